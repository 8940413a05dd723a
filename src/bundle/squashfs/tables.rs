//! The tables of an image of our profile, made from its layout alone.
//!
//! What is written after the data: inodes, names, the export table (where the inode
//! of a number is, for NFS) and the one user and group there is, 0.

use std::io;

use super::directory::{self, Child};
use super::format::{GZIP, METADATA_SIZE, NO_TABLE, PROFILE_FLAGS, Reference, Superblock};
use super::inode::{Header, Listing};
use super::layout::{BLOCK_SIZE, Directory, Layout, Node};
use super::metadata;

/// The tables, uncompressed.
#[derive(Debug)]
pub(super) struct Tables {
    start: u64,
    mtime: u32,
    root: Reference,
    inodes: Vec<u8>,
    directories: Vec<u8>,
    /// Where the inode of each number is, from 1.
    references: Vec<Reference>,
}

impl Tables {
    /// Makes the tables; nothing when the format cannot hold them.
    pub(super) fn of(layout: &Layout, mtime: u32) -> Option<Self> {
        let mut tables = Self {
            start: layout.data_end(),
            mtime,
            root: Reference { block: 0, offset: 0 },
            inodes: Vec::new(),
            directories: Vec::new(),
            references: Vec::with_capacity(layout.len()),
        };
        let number = tables.number()?;
        // The root has no parent; its number is one that no inode has.
        let parent = u32::MAX;
        tables.directory(layout, layout.root(), number, parent)?;
        tables.root = tables.references.first().copied()?;
        Some(tables)
    }

    /// Writes the inodes below a directory and its own, and its listing.
    ///
    /// Recursion ends: the layout bounds the depth.
    fn directory(
        &mut self,
        layout: &Layout,
        directory: &Directory,
        number: u32,
        parent: u32,
    ) -> Option<()> {
        let mut children = Vec::with_capacity(directory.len());
        let mut links = 2;
        for (name, node) in directory {
            if let Node::Directory(below) = node {
                links += 1;
                let child = self.number()?;
                self.directory(layout, below, child, number)?;
                let inode = *self.references.get(usize::try_from(child).ok()?.checked_sub(1)?)?;
                children.push(Child { name, inode, number: child, kind: 1 });
            }
        }
        for (name, node) in directory {
            if let Node::File(index) = node {
                let place = layout.place(*index)?;
                let child = self.number()?;
                let inode = self.begin(child)?;
                Header { mtime: self.mtime, number: child }.encode_file(
                    place.offset,
                    place.size,
                    BLOCK_SIZE,
                    &mut self.inodes,
                );
                children.push(Child { name, inode, number: child, kind: 2 });
            }
        }
        children.sort_unstable_by_key(|child| child.name);
        let at = Reference::of(self.directories.len())?;
        let begin = self.directories.len();
        let index = directory::encode(&children, &mut self.directories)?;
        let length = u32::try_from(self.directories.len() - begin).ok()?;
        self.begin(number)?;
        Header { mtime: self.mtime, number }.encode_directory(
            Listing { at, length },
            &index,
            links,
            parent,
            &mut self.inodes,
        )
    }

    /// The next inode number, from 1.
    fn number(&mut self) -> Option<u32> {
        self.references.push(Reference { block: 0, offset: 0 });
        u32::try_from(self.references.len()).ok()
    }

    /// Notes that the inode of `number` begins here.
    fn begin(&mut self, number: u32) -> Option<Reference> {
        let here = Reference::of(self.inodes.len())?;
        *self.references.get_mut(usize::try_from(number).ok()?.checked_sub(1)?)? = here;
        Some(here)
    }

    /// The length of the longer of the tables that a reader holds in memory.
    pub(super) fn longest(&self) -> usize {
        self.inodes.len().max(self.directories.len())
    }

    /// The length of all of it in the image.
    pub(super) fn stored_length(&self) -> u64 {
        self.end().saturating_sub(self.start)
    }

    fn directory_start(&self) -> u64 {
        self.start + metadata::stored_length(self.inodes.len())
    }

    fn export_start(&self) -> u64 {
        self.directory_start() + metadata::stored_length(self.directories.len())
    }

    /// Where the list of the export table's blocks is.
    fn export_list(&self) -> u64 {
        self.export_start() + metadata::stored_length(self.export_length())
    }

    fn id_start(&self) -> u64 {
        self.export_list() + 8 * self.export_length().div_ceil(METADATA_SIZE) as u64
    }

    /// Where the list of the id table's one block is.
    fn id_list(&self) -> u64 {
        self.id_start() + metadata::stored_length(4)
    }

    /// Where the image ends, padding apart.
    fn end(&self) -> u64 {
        self.id_list() + 8
    }

    fn export_length(&self) -> usize {
        8 * self.references.len()
    }

    /// Writes the tables, to be stored from the layout's end of data on.
    pub(super) fn write(&self, to: &mut impl io::Write) -> io::Result<()> {
        metadata::write(&self.inodes, to)?;
        metadata::write(&self.directories, to)?;
        let references: Vec<u8> =
            self.references.iter().flat_map(|reference| reference.to_u64().to_le_bytes()).collect();
        metadata::write(&references, to)?;
        let mut block = self.export_start();
        for references in references.chunks(METADATA_SIZE) {
            to.write_all(&block.to_le_bytes())?;
            block += metadata::stored_length(references.len());
        }
        metadata::write(&[0; 4], to)?;
        to.write_all(&self.id_start().to_le_bytes())
    }

    /// The superblock that makes it an image.
    pub(super) fn superblock(&self) -> Superblock {
        Superblock {
            // Numbers are u32, so there are no more than that.
            inode_count: u32::try_from(self.references.len()).unwrap_or(u32::MAX),
            mtime: self.mtime,
            block_size: BLOCK_SIZE,
            fragment_count: 0,
            compressor: GZIP,
            flags: PROFILE_FLAGS,
            id_count: 1,
            root: self.root,
            bytes_used: self.end(),
            id_table: self.id_list(),
            xattr_table: NO_TABLE,
            inode_table: self.start,
            directory_table: self.directory_start(),
            fragment_table: NO_TABLE,
            export_table: self.export_list(),
        }
    }
}
