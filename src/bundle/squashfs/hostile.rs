//! Tests with images that no tool makes: tables that contradict themselves.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::directory::{self, Child};
use super::format::{GZIP, NO_TABLE, PROFILE_FLAGS, Reference, Superblock};
use super::inode::{Header, Index, Listing};
use super::{foreign, metadata, reader};

const HEADER: Header = Header { mtime: 0, number: 1 };

/// An image made of tables that no writer would make.
#[derive(Default)]
struct Craft {
    inodes: Vec<u8>,
    directories: Vec<u8>,
}

impl Craft {
    /// Adds a directory with these names, types and inodes.
    fn directory(&mut self, names: &[(&str, u16, Reference)]) -> Reference {
        let child = |&(name, kind, inode)| Child { name, inode, number: 1, kind };
        let children: Vec<_> = names.iter().map(child).collect();
        let at = Reference::of(self.directories.len()).unwrap();
        let begin = self.directories.len();
        let index = directory::encode(&children, &mut self.directories).unwrap();
        let length = u32::try_from(self.directories.len() - begin).unwrap();
        self.listing(Listing { at, length }, index.as_slice())
    }

    fn listing(&mut self, listing: Listing, index: &[Index]) -> Reference {
        let inode = Reference::of(self.inodes.len()).unwrap();
        HEADER.encode_directory(listing, index, 2, 1, &mut self.inodes).unwrap();
        inode
    }

    fn file(&mut self, start: u64, length: u64) -> Reference {
        let inode = Reference::of(self.inodes.len()).unwrap();
        HEADER.encode_file(start, length, 1 << 20, &mut self.inodes);
        inode
    }

    fn image(&self, root: Reference) -> Arc<File> {
        let mut bytes = vec![0; 1096];
        metadata::write(&self.inodes, &mut bytes).unwrap();
        let directory_table = bytes.len() as u64;
        metadata::write(&self.directories, &mut bytes).unwrap();
        let end = bytes.len() as u64;
        bytes.extend(end.to_le_bytes());
        bytes.extend(end.to_le_bytes());
        let superblock = Superblock {
            inode_count: u32::MAX,
            mtime: 0,
            block_size: 1 << 20,
            fragment_count: 0,
            compressor: GZIP,
            flags: PROFILE_FLAGS,
            id_count: 1,
            root,
            bytes_used: bytes.len() as u64,
            id_table: end + 8,
            xattr_table: NO_TABLE,
            inode_table: 1096,
            directory_table,
            fragment_table: NO_TABLE,
            export_table: end,
        };
        bytes[..Superblock::SIZE].copy_from_slice(&superblock.encode());
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&bytes, 0).unwrap();
        Arc::new(file)
    }

    /// What both readers say about it.
    #[track_caller]
    fn refused(&self, root: Reference, expected: &str) {
        let file = self.image(root);
        for read in [reader::read, foreign::read] {
            let message = read(&file).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}

#[test]
fn names_must_be_ones() {
    for (name, expected) in [
        ("..", "not one of a file"),
        (".", "not one of a file"),
        ("a/b", "contains a slash"),
        ("a\0", "contains a slash or NUL"),
        (&"x".repeat(256), "longer than 255"),
    ] {
        let mut craft = Craft::default();
        let file = craft.file(96, 1);
        let root = craft.directory(&[(name, 2, file)]);
        craft.refused(root, expected);
    }
    let mut craft = Craft::default();
    let file = craft.file(96, 1);
    let root = craft.directory(&[("abcde", 2, file)]);
    let last = craft.directories.len() - 1;
    craft.directories[last] = 0xff;
    craft.refused(root, "the name \"abcd\\xff\" is not UTF-8");
}

#[test]
fn names_must_be_different_and_of_the_right_type() {
    let mut craft = Craft::default();
    let file = craft.file(96, 1);
    let root = craft.directory(&[("a", 2, file), ("a", 2, file)]);
    craft.refused(root, "\"a\" is there twice");
    let root = craft.directory(&[("a", 1, file)]);
    craft.refused(root, "type 2, but 1 in \"a\"");
    craft.refused(file, "the root is no directory");
    craft.refused(Reference { block: 5, offset: 0 }, "no metadata block begins there");
}

#[test]
fn cycles_and_overlaps_are_refused() {
    let mut craft = Craft::default();
    let root = craft.directory(&[("a", 1, Reference { block: 0, offset: 0 })]);
    craft.refused(root, "overlap or form a cycle");

    let mut craft = Craft::default();
    let file = craft.file(96, 1);
    let below = craft.directory(&[("x", 2, file)]);
    let length = u32::try_from(craft.directories.len()).unwrap();
    let same = craft.listing(Listing { at: Reference { block: 0, offset: 0 }, length }, &[]);
    let names = [("a", 1, below), ("b", 1, same), ("c", 1, same), ("d", 1, same)];
    let root = craft.directory(&names);
    craft.refused(root, "overlap or form a cycle");
    let beyond = craft.listing(Listing { at: Reference { block: 0, offset: 9 }, length: 99 }, &[]);
    craft.refused(beyond, "a listing of 99 bytes ends past the table");
}

#[test]
fn deep_directories_are_refused() {
    let mut craft = Craft::default();
    let mut inode = craft.file(96, 1);
    let mut kind = 2;
    for _ in 0..100_000 {
        inode = craft.directory(&[("d", kind, inode)]);
        kind = 1;
    }
    craft.refused(inode, "more than 64 nested directories");
}

#[test]
fn files_must_lie_within_the_data() {
    let cases = [(95, 1), (96, 1001), (1096, 1), (u64::MAX, 1), (u64::MAX - 5, 6), (1 << 40, 9)];
    for (start, length) in cases {
        let mut craft = Craft::default();
        let file = craft.file(start, length);
        let root = craft.directory(&[("a", 2, file)]);
        reader::read(&craft.image(root)).unwrap_err();
    }
    // A large file whose inode has many names is looked at once.
    let mut craft = Craft::default();
    let file = craft.file(96, 1 << 40);
    let names: Vec<String> = (0..10_000).map(|n| format!("{n:05}")).collect();
    let names: Vec<_> = names.iter().map(|name| (&**name, 2, file)).collect();
    let root = craft.directory(&names);
    reader::read(&craft.image(root)).unwrap_err();
}
