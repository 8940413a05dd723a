//! The inode table: what each file and directory is.
//!
//! ```text
//! all:           u16 type, mode, uid, gid   u32 mtime, number
//!  1 directory:  u32 block, links           u16 length + 3, offset         u32 parent
//!  8 extended:   u32 links, length + 3, block, parent    u16 indexes, offset    u32 xattr
//!                indexes × { u32 position, block, name length - 1   name }
//!  2 file:       u32 start, fragment, offset, length     u32 per block
//!  9 extended:   u64 start, length, sparse  u32 links, fragment, offset, xattr  u32 per block
//!  others        are skipped: links, devices, pipes, sockets
//! ```
//!
//! A block's number is its stored size, bit 24 set when uncompressed, 0 for a hole.

use super::format::{Fields, NO_FRAGMENT, NO_XATTR, Reference};

/// Set in a block's number when it is stored uncompressed.
const UNCOMPRESSED: u32 = 1 << 24;

/// What an inode describes.
#[derive(Debug)]
pub(super) enum Inode<'a> {
    Directory(Listing),
    File(Regular<'a>),
    /// A symbolic link, device, pipe or socket.
    Other,
}

/// Where the names of a directory are in the directory table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) at: Reference,
    pub(super) length: u32,
}

/// Where the bytes of a file are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Regular<'a> {
    pub(super) start: u64,
    pub(super) length: u64,
    /// The number of the fragment with the file's tail, and the tail's place in it.
    pub(super) fragment: Option<(u32, u32)>,
    pub(super) has_xattr: bool,
    blocks: &'a [[u8; 4]],
}

/// How one block of a file is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block(u32);

impl Block {
    pub(super) fn uncompressed(size: u32) -> Self {
        Self(size | UNCOMPRESSED)
    }

    pub(super) fn from_u32(number: u32) -> Self {
        Self(number)
    }

    pub(super) fn to_u32(self) -> u32 {
        self.0
    }

    /// The bytes it takes in the image; none when it is a hole.
    pub(super) fn size(self) -> u32 {
        self.0 & !UNCOMPRESSED
    }

    pub(super) fn is_uncompressed(self) -> bool {
        self.0 & UNCOMPRESSED != 0
    }
}

impl Regular<'_> {
    pub(super) fn blocks(&self) -> impl ExactSizeIterator<Item = Block> {
        self.blocks.iter().map(|bytes| Block(u32::from_le_bytes(*bytes)))
    }

    /// The offset just past the last byte, when all of it is one uncompressed run of bytes.
    pub(super) fn contiguous_end(&self, block_size: u32) -> Result<u64, String> {
        if self.fragment.is_some() {
            return Err("its end is in a fragment".to_owned());
        }
        let mut rest = self.length;
        for (index, block) in self.blocks().enumerate() {
            let expected = rest.min(block_size.into());
            if !block.is_uncompressed() || u64::from(block.size()) != expected {
                let stored = match (block.size(), block.is_uncompressed()) {
                    (0, _) => "a hole",
                    (_, false) => "compressed",
                    (_, true) => "of another size",
                };
                return Err(format!("its block {index} is {stored}"));
            }
            rest -= expected;
        }
        self.start.checked_add(self.length).ok_or_else(|| "it ends past 2^64".to_owned())
    }
}

impl<'a> Inode<'a> {
    /// Parses the inode at the front; answers what is wrong with it otherwise.
    ///
    /// `bytes` is a table's rest, so the list of a file's blocks is at most that long.
    pub(super) fn parse(bytes: &'a [u8], block_size: u32) -> Result<(u16, Self), String> {
        let mut fields = Fields::new(bytes);
        let short = || "the table ends within an inode".to_owned();
        let kind = fields.u16().ok_or_else(short)?;
        fields.take(14).ok_or_else(short)?;
        match kind {
            1 => Self::directory(&mut fields).ok_or_else(short)?.map(|inode| (1, inode)),
            8 => Self::extended_directory(&mut fields).ok_or_else(short)?.map(|inode| (1, inode)),
            2 => Self::file(&mut fields, block_size).ok_or_else(short).map(|inode| (2, inode)),
            9 => Self::extended_file(&mut fields, block_size)
                .ok_or_else(short)
                .map(|inode| (2, inode)),
            3..=7 => Ok((kind, Self::Other)),
            10..=14 => Ok((kind - 7, Self::Other)),
            _ => Err(format!("inode type {kind}")),
        }
    }

    fn directory(fields: &mut Fields<'a>) -> Option<Result<Self, String>> {
        let (block, _links) = (fields.u32()?, fields.u32()?);
        let (size, offset) = (fields.u16()?, fields.u16()?);
        Some(Self::listing(block, offset, size.into()))
    }

    fn extended_directory(fields: &mut Fields<'a>) -> Option<Result<Self, String>> {
        let (_links, size, block) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let (_parent, _indexes, offset) = (fields.u32()?, fields.u16()?, fields.u16()?);
        Some(Self::listing(block, offset, size))
    }

    fn listing(block: u32, offset: u16, size: u32) -> Result<Self, String> {
        // `.` and `..` are counted as three bytes, though they are not stored.
        let length = size.checked_sub(3).ok_or_else(|| format!("directory of size {size}"))?;
        Ok(Self::Directory(Listing { at: Reference { block, offset }, length }))
    }

    fn file(fields: &mut Fields<'a>, block_size: u32) -> Option<Self> {
        let (start, fragment, offset) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let length = fields.u32()?;
        let fragment = (fragment != NO_FRAGMENT).then_some((fragment, offset));
        let (start, length) = (start.into(), length.into());
        let blocks = block_list(fields, length, block_size, fragment.is_some())?;
        Some(Self::File(Regular { start, length, fragment, has_xattr: false, blocks }))
    }

    fn extended_file(fields: &mut Fields<'a>, block_size: u32) -> Option<Self> {
        let (start, length, _sparse) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let (_links, fragment, offset) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let has_xattr = fields.u32()? != NO_XATTR;
        let fragment = (fragment != NO_FRAGMENT).then_some((fragment, offset));
        let blocks = block_list(fields, length, block_size, fragment.is_some())?;
        Some(Self::File(Regular { start, length, fragment, has_xattr, blocks }))
    }
}

/// The numbers of a file's blocks; nothing when there are fewer than its length needs.
fn block_list<'a>(
    fields: &mut Fields<'a>,
    length: u64,
    block_size: u32,
    has_fragment: bool,
) -> Option<&'a [[u8; 4]]> {
    let block_size = u64::from(block_size);
    let count = if has_fragment { length / block_size } else { length.div_ceil(block_size) };
    let bytes = usize::try_from(count).ok()?.checked_mul(4)?;
    Some(fields.take(bytes)?.as_chunks().0)
}

/// What all inodes that we write have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) mtime: u32,
    pub(super) number: u32,
}

impl Header {
    fn encode(self, kind: u16, mode: u16, to: &mut Vec<u8>) {
        for number in [kind, mode, 0, 0] {
            to.extend(number.to_le_bytes());
        }
        to.extend(self.mtime.to_le_bytes());
        to.extend(self.number.to_le_bytes());
    }

    /// Writes the inode of a file of `length` uncompressed bytes at `start`.
    pub(super) fn encode_file(self, start: u64, length: u64, block_size: u32, to: &mut Vec<u8>) {
        if let (Ok(start), Ok(length)) = (u32::try_from(start), u32::try_from(length)) {
            self.encode(2, 0o644, to);
            for number in [start, NO_FRAGMENT, 0, length] {
                to.extend(number.to_le_bytes());
            }
        } else {
            self.encode(9, 0o644, to);
            for number in [start, length, 0] {
                to.extend(number.to_le_bytes());
            }
            for number in [1, NO_FRAGMENT, 0, NO_XATTR] {
                to.extend(number.to_le_bytes());
            }
        }
        let mut rest = length;
        while rest > 0 {
            let size = u32::try_from(rest).unwrap_or(u32::MAX).min(block_size);
            to.extend(Block::uncompressed(size).to_u32().to_le_bytes());
            rest -= u64::from(size);
        }
    }

    /// The most bytes that [`Header::encode_file`] writes; nothing when that overflows.
    pub(super) fn file_bound(length: u64, block_size: u32) -> Option<u64> {
        length.div_ceil(block_size.into()).checked_mul(4)?.checked_add(56)
    }

    /// Writes the inode of a directory, extended when it has an index or a long listing.
    pub(super) fn encode_directory(
        self,
        listing: Listing,
        index: &[Index],
        links: u32,
        parent: u32,
        to: &mut Vec<u8>,
    ) -> Option<()> {
        let size = listing.length.checked_add(3)?;
        let Reference { block, offset } = listing.at;
        match u16::try_from(size) {
            Ok(size) if index.is_empty() => {
                self.encode(1, 0o755, to);
                to.extend(block.to_le_bytes());
                to.extend(links.to_le_bytes());
                to.extend(size.to_le_bytes());
                to.extend(offset.to_le_bytes());
                to.extend(parent.to_le_bytes());
            }
            _ => {
                self.encode(8, 0o755, to);
                for number in [links, size, block, parent] {
                    to.extend(number.to_le_bytes());
                }
                to.extend(u16::try_from(index.len()).ok()?.to_le_bytes());
                to.extend(offset.to_le_bytes());
                to.extend(NO_XATTR.to_le_bytes());
                for entry in index {
                    entry.encode(to)?;
                }
            }
        }
        Some(())
    }
}

/// A place to begin the search for a name in a long listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Index {
    /// The place in the listing.
    pub(super) position: u32,
    /// The metadata block where that is.
    pub(super) block: u32,
    /// What no name before that place reaches, and all from there on do.
    pub(super) name: Vec<u8>,
}

impl Index {
    fn encode(&self, to: &mut Vec<u8>) -> Option<()> {
        let length = u32::try_from(self.name.len()).ok()?.checked_sub(1)?;
        for number in [self.position, self.block, length] {
            to.extend(number.to_le_bytes());
        }
        to.extend(&self.name);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: u32 = 1 << 20;
    const HEADER: Header = Header { mtime: 1, number: 2 };

    fn file(start: u64, length: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        HEADER.encode_file(start, length, BLOCK, &mut bytes);
        assert!(bytes.len() as u64 <= Header::file_bound(length, BLOCK).unwrap());
        bytes
    }

    #[test]
    fn a_file_is_what_was_written() {
        let large = 1 << 32;
        for (start, length) in
            [(96, 0), (96, 1), (96, BLOCK.into()), (large, 5), (96, large), (1 << 41, large + 7)]
        {
            let bytes = file(start, length);
            let Ok((2, Inode::File(found))) = Inode::parse(&bytes, BLOCK) else { panic!() };
            assert_eq!((found.start, found.length), (start, length));
            assert_eq!(found.contiguous_end(BLOCK), Ok(start + length));
            assert!(found.fragment.is_none() && !found.has_xattr);
            if length > 0 {
                Inode::parse(&bytes[..bytes.len() - 1], BLOCK).unwrap_err();
            }
        }
    }

    #[test]
    fn a_claimed_length_needs_its_blocks() {
        let mut bytes = file(1 << 41, 5);
        bytes[24..32].fill(0xff);
        assert!(Inode::parse(&bytes, BLOCK).is_err());
    }

    #[test]
    fn what_is_not_contiguous_is_named() {
        let cases: &[(u32, &str)] = &[(0, "hole"), (9, "compressed"), (4 | 1 << 24, "size")];
        for (number, expected) in cases {
            let mut bytes = file(96, 5);
            let last = bytes.len() - 4;
            bytes[last..].copy_from_slice(&number.to_le_bytes());
            let Ok((2, Inode::File(found))) = Inode::parse(&bytes, BLOCK) else { panic!() };
            let problem = found.contiguous_end(BLOCK).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
    }

    #[test]
    fn a_directory_is_what_was_written() {
        let at = Reference { block: 8194, offset: 5 };
        let index = Index { position: 8000, block: 8194, name: b"a".to_vec() };
        for (length, index) in [(0, vec![]), (70_000, vec![]), (9000, vec![index])] {
            let listing = Listing { at, length };
            let mut bytes = Vec::new();
            HEADER.encode_directory(listing, &index, 2, 1, &mut bytes).unwrap();
            let Ok((1, Inode::Directory(found))) = Inode::parse(&bytes, BLOCK) else { panic!() };
            assert_eq!(found, listing);
        }
    }
}
