//! The frame of a squashfs 4.0 image; all numbers are little-endian.
//!
//! ```text
//! 0    superblock, 96 bytes
//! 96   [compressor options]   data blocks and fragments, in any order
//!      inode table            metadata blocks, see `metadata` and `inode`
//!      directory table        metadata blocks, see `directory`
//!      [fragment table]       each of the tables below: metadata blocks, then the
//!      [export table]         u64 offsets of these; the superblock points to the
//!      id table               offsets, not to the blocks
//!      [xattr table]
//! ```
//!
//! <https://dr-emann.github.io/squashfs/squashfs.html>

use super::Error;

/// The bytes of a metadata block before compression.
pub(super) const METADATA_SIZE: usize = 8192;
/// The longest name; Linux allows no more.
pub(super) const MAX_NAME: usize = 255;
/// How deep directories may be nested.
pub(super) const MAX_DEPTH: usize = 64;
/// The longest inode or directory table, uncompressed: 1,000,000 files, 20 TiB in blocks of 1 MiB.
pub(super) const MAX_TABLE: usize = 128 << 20;
/// A table that is not there, and the fragment of a file that has none.
pub(super) const NO_TABLE: u64 = u64::MAX;
/// The fragment of a file that has none.
pub(super) const NO_FRAGMENT: u32 = u32::MAX;
/// The extended attributes of a node that has none.
pub(super) const NO_XATTR: u32 = u32::MAX;

/// The flags of our profile: nothing compressed, no fragments, no attributes, an export table.
pub(super) const PROFILE_FLAGS: u16 = 0x0001 // inodes uncompressed
    | 0x0002 // data uncompressed
    | 0x0008 // fragments uncompressed
    | 0x0010 // no fragments
    | 0x0080 // export table
    | 0x0100 // attributes uncompressed
    | 0x0200 // no attributes
    | 0x0800; // ids uncompressed

/// The compressor that every kernel with squashfs knows; our profile names it and never uses it.
pub(super) const GZIP: u16 = 1;

const MAGIC: u32 = 0x7371_7368;

/// Where an inode is: the offset of its metadata block in the inode table, and its place therein.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reference {
    pub(super) block: u32,
    pub(super) offset: u16,
}

impl Reference {
    /// The reference to byte `position` of a table whose blocks are full and uncompressed.
    pub(super) fn of(position: usize) -> Option<Self> {
        let block = (position / METADATA_SIZE).checked_mul(METADATA_SIZE + 2)?;
        Some(Self {
            block: u32::try_from(block).ok()?,
            offset: u16::try_from(position % METADATA_SIZE).ok()?,
        })
    }

    pub(super) fn to_u64(self) -> u64 {
        u64::from(self.block) << 16 | u64::from(self.offset)
    }

    fn from_u64(number: u64) -> Option<Self> {
        let block = u32::try_from(number >> 16).ok()?;
        let offset = u16::try_from(number & 0xffff).ok()?;
        Some(Self { block, offset })
    }
}

/// The first 96 bytes of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Superblock {
    pub(super) inode_count: u32,
    pub(super) mtime: u32,
    pub(super) block_size: u32,
    pub(super) fragment_count: u32,
    pub(super) compressor: u16,
    pub(super) flags: u16,
    pub(super) id_count: u16,
    pub(super) root: Reference,
    pub(super) bytes_used: u64,
    pub(super) id_table: u64,
    pub(super) xattr_table: u64,
    pub(super) inode_table: u64,
    pub(super) directory_table: u64,
    pub(super) fragment_table: u64,
    pub(super) export_table: u64,
}

impl Superblock {
    pub(super) const SIZE: usize = 96;

    /// Parses and checks all that needs no other part of the image.
    pub(super) fn parse(bytes: &[u8; Self::SIZE]) -> Result<Self, Error> {
        let mut fields = Fields::new(bytes);
        let short = || Error::corrupt("superblock", 0, "too short");
        let magic = fields.u32().ok_or_else(short)?;
        if magic != MAGIC {
            return Err(Error::Magic { found: magic });
        }
        Self::fields(&mut fields).ok_or_else(short)?
    }

    /// The fields after the magic; nothing when there are too few bytes.
    fn fields(fields: &mut Fields<'_>) -> Option<Result<Self, Error>> {
        let (inode_count, mtime, block_size) = (fields.u32()?, fields.u32()?, fields.u32()?);
        let (fragment_count, compressor) = (fields.u32()?, fields.u16()?);
        let (block_log, flags, id_count) = (fields.u16()?, fields.u16()?, fields.u16()?);
        let (major, minor) = (fields.u16()?, fields.u16()?);
        if (major, minor) != (4, 0) {
            return Some(Err(Error::Version { major, minor }));
        }
        let root = fields.u64()?;
        let bytes_used = fields.u64()?;
        let (id_table, xattr_table) = (fields.u64()?, fields.u64()?);
        let (inode_table, directory_table) = (fields.u64()?, fields.u64()?);
        let (fragment_table, export_table) = (fields.u64()?, fields.u64()?);

        let corrupt = |problem: String| Some(Err(Error::corrupt("superblock", 0, problem)));
        if !(4096..=1 << 20).contains(&block_size) || !block_size.is_power_of_two() {
            return corrupt(format!("block size {block_size}"));
        }
        if block_size.ilog2() != u32::from(block_log) {
            return corrupt(format!("block size {block_size}, but its logarithm {block_log}"));
        }
        let Some(root) = Reference::from_u64(root) else {
            return corrupt(format!("root inode {root:#x}"));
        };
        let ordered = [Self::SIZE as u64, inode_table, directory_table, id_table, bytes_used];
        if !ordered.is_sorted() || inode_table == directory_table || id_table == bytes_used {
            return corrupt(format!(
                "inode table at {inode_table}, directory table at {directory_table}, \
                 id table at {id_table}, end at {bytes_used}"
            ));
        }
        for (name, table) in [("fragment", fragment_table), ("export", export_table)] {
            if table != NO_TABLE && !(directory_table..bytes_used).contains(&table) {
                return corrupt(format!("{name} table at {table}"));
            }
        }
        Some(Ok(Self {
            inode_count,
            mtime,
            block_size,
            fragment_count,
            compressor,
            flags,
            id_count,
            root,
            bytes_used,
            id_table,
            xattr_table,
            inode_table,
            directory_table,
            fragment_table,
            export_table,
        }))
    }

    /// The 96 bytes.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::SIZE);
        for number in [MAGIC, self.inode_count, self.mtime, self.block_size, self.fragment_count] {
            bytes.extend(number.to_le_bytes());
        }
        let block_log = if self.block_size.is_power_of_two() { self.block_size.ilog2() } else { 0 };
        let block_log = u16::try_from(block_log).unwrap_or(0);
        for number in [self.compressor, block_log, self.flags, self.id_count, 4, 0] {
            bytes.extend(number.to_le_bytes());
        }
        for number in [
            self.root.to_u64(),
            self.bytes_used,
            self.id_table,
            self.xattr_table,
            self.inode_table,
            self.directory_table,
            self.fragment_table,
            self.export_table,
        ] {
            bytes.extend(number.to_le_bytes());
        }
        bytes
    }
}

/// Little-endian numbers and bytes, taken from the front until there are no more.
#[derive(Clone, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk()?;
        self.rest = rest;
        Some(*taken)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn superblock() -> Superblock {
        Superblock {
            inode_count: 3,
            mtime: 1_700_000_000,
            block_size: 1 << 20,
            fragment_count: 0,
            compressor: GZIP,
            flags: PROFILE_FLAGS,
            id_count: 1,
            root: Reference { block: 8194, offset: 77 },
            bytes_used: 1000,
            id_table: 992,
            xattr_table: NO_TABLE,
            inode_table: 200,
            directory_table: 300,
            fragment_table: NO_TABLE,
            export_table: 900,
        }
    }

    fn parse(superblock: &Superblock) -> Result<Superblock, Error> {
        Superblock::parse(superblock.encode().as_slice().try_into().unwrap())
    }

    #[test]
    fn a_superblock_is_what_was_written() {
        assert_eq!(parse(&superblock()).unwrap(), superblock());
    }

    #[test]
    fn a_wrong_superblock_is_named() {
        type Damage = fn(&mut Superblock);
        let cases: &[(&str, Damage)] = &[
            ("block size 1000", |s| s.block_size = 1000),
            ("block size 2097152", |s| s.block_size = 2 << 20),
            ("inode table at 95", |s| s.inode_table = 95),
            ("directory table at 200", |s| s.directory_table = 200),
            ("end at 992", |s| s.bytes_used = 992),
            ("export table at 299", |s| s.export_table = 299),
            ("fragment table at 1000", |s| s.fragment_table = 1000),
        ];
        for (expected, damage) in cases {
            let mut superblock = superblock();
            damage(&mut superblock);
            let message = parse(&superblock).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }

    #[test]
    fn a_reference_counts_block_headers() {
        assert_eq!(Reference::of(8191), Some(Reference { block: 0, offset: 8191 }));
        assert_eq!(Reference::of(8192), Some(Reference { block: 8194, offset: 0 }));
        assert_eq!(Reference::of(usize::MAX), None);
        let reference = Reference { block: u32::MAX, offset: 8191 };
        assert_eq!(Reference::from_u64(reference.to_u64()), Some(reference));
        assert_eq!(Reference::from_u64(u64::MAX), None);
    }
}
