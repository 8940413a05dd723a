//! The tree of directories of any squashfs image, walked without recursion.
//!
//! Work and memory are bounded by what the image really holds: the listings of all
//! directories together are no longer than the directory table, so they can neither
//! overlap nor form a cycle.

use std::fs::File;

use super::Error;
use super::compressor::Compressor;
use super::directory::{Entries, Entry};
use super::format::{MAX_DEPTH, MAX_NAME, NO_TABLE, Reference, Superblock};
use super::inode::{Inode, Listing};
use super::metadata::{Table, read_exact};
use crate::bundle::tree::{Stored, Tree};

/// The most files and directories.
const MAX_ENTRIES: usize = 1 << 20;
/// The most bytes of all paths together.
const MAX_PATHS: usize = 128 << 20;

/// An image whose inodes and names are in memory.
#[derive(Debug)]
pub(super) struct Image {
    superblock: Superblock,
    inodes: Table,
    directories: Table,
}

/// Reads the superblock; the image must be all there.
pub(super) fn superblock(file: &File) -> Result<Superblock, Error> {
    let mut bytes = [0; Superblock::SIZE];
    read_exact(file, 0, &mut bytes)?;
    let superblock = Superblock::parse(&bytes)?;
    let metadata = file.metadata();
    let have = metadata.map_err(|source| Error::Read { offset: 0, length: 0, source })?.len();
    if have < superblock.bytes_used {
        return Err(Error::Short { have, need: superblock.bytes_used });
    }
    Ok(superblock)
}

impl Image {
    /// Reads the inodes and names; compressed ones only with a compressor.
    pub(super) fn open(
        file: &File,
        superblock: Superblock,
        compressor: Option<Compressor>,
    ) -> Result<Self, Error> {
        let Superblock { inode_table, directory_table, .. } = superblock;
        let end = directory_end(file, &superblock)?;
        let inodes = Table::read(file, "inode table", inode_table, directory_table, compressor)?;
        let directories = Table::read(file, "directory table", directory_table, end, compressor)?;
        Ok(Self { superblock, inodes, directories })
    }

    pub(super) fn superblock(&self) -> &Superblock {
        &self.superblock
    }

    /// How many blocks all files together can have, when none shares its inode.
    pub(super) fn most_blocks(&self) -> usize {
        self.inodes.length() / 4
    }

    /// An error about the inode at `reference`.
    pub(super) fn bad_inode(&self, reference: Reference, problem: impl AsRef<str>) -> Error {
        self.inodes.corrupt(reference, problem)
    }

    fn inode(&self, reference: Reference) -> Result<(u16, Inode<'_>), Error> {
        Inode::parse(self.inodes.from(reference)?, self.superblock.block_size)
            .map_err(|problem| self.bad_inode(reference, problem))
    }

    /// Shows each directory, file and other node below the root, with its path.
    pub(super) fn walk<'a>(
        &'a self,
        mut visit: impl FnMut(&str, &Entry<'a>, &Inode<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let root = self.superblock.root;
        let (_, Inode::Directory(listing)) = self.inode(root)? else {
            return Err(self.bad_inode(root, "the root is no directory"));
        };
        let mut pending = vec![(String::new(), 0, listing)];
        let mut left = Left::of(self);
        while let Some((mut path, depth, listing)) = pending.pop() {
            let base = path.len();
            let bytes = self.listing(listing)?;
            left.names = left.names.checked_sub(bytes.len()).ok_or_else(|| {
                self.directories.corrupt(listing.at, "listings overlap or form a cycle")
            })?;
            for entry in Entries::new(bytes) {
                let entry =
                    entry.map_err(|problem| self.directories.corrupt(listing.at, problem))?;
                path.truncate(base);
                path.push_str(self.name(&entry, listing)?);
                left.count(path.len())?;
                let (kind, inode) = self.inode(entry.inode)?;
                if kind != entry.kind {
                    let problem = format!("type {kind}, but {} in {path:?}", entry.kind);
                    return Err(self.bad_inode(entry.inode, problem));
                }
                visit(&path, &entry, &inode)?;
                if let Inode::Directory(below) = inode {
                    if depth == MAX_DEPTH {
                        let (what, limit) = ("nested directories", MAX_DEPTH as u64);
                        return Err(Error::Limit { what, limit });
                    }
                    pending.push((format!("{path}/"), depth + 1, below));
                }
            }
        }
        Ok(())
    }

    /// The tree of the files that a walk found.
    pub(super) fn tree(&self, files: Vec<(Box<str>, Stored)>) -> Result<Tree, Error> {
        Tree::of(files).map_err(|path| {
            let place = self.superblock.directory_table;
            Error::corrupt("directory table", place, format!("{path:?} is there twice"))
        })
    }

    fn listing(&self, listing: Listing) -> Result<&[u8], Error> {
        if listing.length == 0 {
            return Ok(&[]);
        }
        usize::try_from(listing.length)
            .ok()
            .zip(Some(self.directories.from(listing.at)?))
            .and_then(|(length, bytes)| bytes.get(..length))
            .ok_or_else(|| {
                let problem = format!("a listing of {} bytes ends past the table", listing.length);
                self.directories.corrupt(listing.at, problem)
            })
    }

    fn name<'a>(&self, entry: &Entry<'a>, listing: Listing) -> Result<&'a str, Error> {
        let bad = |problem: &str| {
            let name = entry.name.escape_ascii();
            self.directories.corrupt(listing.at, format!("the name \"{name}\" {problem}"))
        };
        match str::from_utf8(entry.name).map_err(|_| bad("is not UTF-8"))? {
            "." | ".." => Err(bad("is not one of a file")),
            name if name.len() > MAX_NAME => Err(bad("is longer than 255 bytes")),
            name if name.contains(['/', '\0']) => Err(bad("contains a slash or NUL")),
            name => Ok(name),
        }
    }
}

/// How much more is accepted.
struct Left {
    names: usize,
    entries: usize,
    paths: usize,
}

impl Left {
    fn of(image: &Image) -> Self {
        Self { names: image.directories.length(), entries: MAX_ENTRIES, paths: MAX_PATHS }
    }

    fn count(&mut self, path: usize) -> Result<(), Error> {
        let limit = |what, limit| move || Error::Limit { what, limit };
        self.entries = self
            .entries
            .checked_sub(1)
            .ok_or_else(limit("files and directories", MAX_ENTRIES as u64))?;
        self.paths =
            self.paths.checked_sub(path).ok_or_else(limit("bytes of paths", MAX_PATHS as u64))?;
        Ok(())
    }
}

/// Where the directory table ends: where the blocks of the next table begin.
fn directory_end(file: &File, superblock: &Superblock) -> Result<u64, Error> {
    let fragment_table =
        if superblock.fragment_count == 0 { NO_TABLE } else { superblock.fragment_table };
    let mut end = superblock.id_table;
    for list in [fragment_table, superblock.export_table, superblock.id_table] {
        if list == NO_TABLE {
            continue;
        }
        end = end.min(first_block(file, superblock, list)?);
    }
    Ok(end)
}

/// Where the first block of a table is, whose list of blocks is at `list`.
pub(super) fn first_block(file: &File, superblock: &Superblock, list: u64) -> Result<u64, Error> {
    let mut first = [0; 8];
    read_exact(file, list, &mut first)?;
    let first = u64::from_le_bytes(first);
    if !(superblock.directory_table..=list).contains(&first) {
        let problem = format!("the first block is at {first}");
        return Err(Error::corrupt("list of a table's blocks", list, problem));
    }
    Ok(first)
}
