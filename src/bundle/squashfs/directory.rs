//! The directory table: the names of each directory, in byte order.
//!
//! ```text
//! runs of { u32 names - 1, inode block, inode number
//!           names × { u16 inode offset   i16 inode number, from the run's
//!                     u16 type   u16 name length - 1   name } }
//! ```
//!
//! A run has at most 256 names, whose inodes begin in one metadata block. In a long
//! listing a run begins about every 8 KiB, and an index in the directory's inode leads there.

use super::format::{Fields, METADATA_SIZE, Reference};
use super::inode::Index;

const MAX_RUN: usize = 256;

/// One name of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a [u8],
    /// Where the inode is in the inode table.
    pub(super) inode: Reference,
    /// The type of the inode, extended ones as the basic type.
    pub(super) kind: u16,
}

/// The names in a listing, until the first that is damaged.
#[derive(Clone, Debug)]
pub(super) struct Entries<'a> {
    fields: Fields<'a>,
    left: u32,
    block: u32,
}

impl<'a> Entries<'a> {
    pub(super) fn new(listing: &'a [u8]) -> Self {
        Self { fields: Fields::new(listing), left: 0, block: 0 }
    }

    fn entry(&mut self) -> Option<Entry<'a>> {
        if self.left == 0 {
            self.left = self.fields.u32()?.checked_add(1)?;
            self.block = self.fields.u32()?;
            self.fields.u32()?;
        }
        self.left -= 1;
        let offset = self.fields.u16()?;
        self.fields.u16()?;
        let kind = self.fields.u16()?;
        let length = usize::from(self.fields.u16()?) + 1;
        let name = self.fields.take(length)?;
        Some(Entry { name, inode: Reference { block: self.block, offset }, kind })
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<Entry<'a>, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.fields.is_empty() && self.left == 0 {
            return None;
        }
        let entry = self.entry();
        if entry.is_none() {
            (self.fields, self.left) = (Fields::new(&[]), 0);
        }
        Some(entry.ok_or("the listing ends within a name"))
    }
}

/// A name to be written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Child<'a> {
    pub(super) name: &'a str,
    pub(super) inode: Reference,
    pub(super) number: u32,
    /// 1 for a directory, 2 for a file.
    pub(super) kind: u16,
}

/// Writes a listing at the end of `table`; answers its index, nothing when the format cannot hold it.
pub(super) fn encode(children: &[Child<'_>], table: &mut Vec<u8>) -> Option<Vec<Index>> {
    let begin = table.len();
    let mut index = Vec::new();
    let mut indexed = begin;
    let mut last = "";
    let mut rest = children;
    while let Some(first) = rest.first() {
        let run = run_length(rest, table.len() - indexed);
        let (run, after) = rest.split_at_checked(run)?;
        if table.len() > begin && table.len() - indexed + 12 + run_size(run) > METADATA_SIZE {
            indexed = table.len();
            index.push(Index {
                position: u32::try_from(indexed - begin).ok()?,
                block: Reference::of(indexed)?.block,
                name: separator(last, first.name),
            });
        }
        table.extend(u32::try_from(run.len()).ok()?.checked_sub(1)?.to_le_bytes());
        table.extend(first.inode.block.to_le_bytes());
        table.extend(first.number.to_le_bytes());
        for child in run {
            table.extend(child.inode.offset.to_le_bytes());
            table.extend(distance(first, child)?.to_le_bytes());
            table.extend(child.kind.to_le_bytes());
            table.extend(u16::try_from(child.name.len()).ok()?.checked_sub(1)?.to_le_bytes());
            table.extend(child.name.as_bytes());
            last = child.name;
        }
        rest = after;
    }
    Some(index)
}

/// How many of `children` fit in one run, when `since` bytes follow the last place in the index.
fn run_length(children: &[Child<'_>], since: usize) -> usize {
    let Some(first) = children.first() else { return 0 };
    // A run too long for what is left of the index's step begins a new step.
    let mut room = (METADATA_SIZE - 12).saturating_sub(since);
    if run_size(children.get(..1).unwrap_or_default()) > room {
        room = METADATA_SIZE - 12;
    }
    let mut length = 0;
    for child in children.iter().take(MAX_RUN) {
        let size = 8 + child.name.len();
        if child.inode.block != first.inode.block || distance(first, child).is_none() || size > room
        {
            break;
        }
        room -= size;
        length += 1;
    }
    length.max(1)
}

/// The shortest beginning of `name` that is greater than `last`.
///
/// An index of whole digests would fill several metadata blocks, each a read when cold.
fn separator(last: &str, name: &str) -> Vec<u8> {
    let common = last.bytes().zip(name.bytes()).take_while(|(a, b)| a == b).count();
    name.bytes().take(common + 1).collect()
}

fn run_size(run: &[Child<'_>]) -> usize {
    run.iter().map(|child| 8 + child.name.len()).sum()
}

fn distance(first: &Child<'_>, child: &Child<'_>) -> Option<i16> {
    i16::try_from(i64::from(child.number) - i64::from(first.number)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn children(names: &[String]) -> Vec<Child<'_>> {
        let number = |n: usize| u32::try_from(n).unwrap();
        names
            .iter()
            .enumerate()
            .map(|(n, name)| Child {
                name,
                inode: Reference::of(n * 36).unwrap(),
                number: number(n),
                kind: 2,
            })
            .collect()
    }

    #[test]
    fn a_listing_is_what_was_written() {
        for count in [0, 1, 256, 257, 50_000] {
            let names: Vec<String> = (0..count).map(|n| format!("{n:064x}")).collect();
            let mut table = vec![7; 5000];
            let index = encode(&children(&names), &mut table).unwrap();
            let listing = &table[5000..];
            let found: Vec<_> = Entries::new(listing).map(Result::unwrap).collect();
            assert_eq!(found.len(), count);
            for (n, entry) in found.iter().enumerate() {
                assert_eq!(entry.name, names[n].as_bytes());
                assert_eq!(entry.inode, Reference::of(n * 36).unwrap());
            }
            assert!(index.len() >= listing.len() / METADATA_SIZE, "{count}");
            for pair in index.windows(2) {
                assert!(pair[1].position - pair[0].position <= 8192 && pair[0].name < pair[1].name);
            }
            for entry in &index {
                let position = usize::try_from(entry.position).unwrap();
                let first = Entries::new(&listing[position..]).next().unwrap().unwrap();
                assert!(first.name.starts_with(&entry.name));
                let reached = |name: &&String| name.as_bytes() >= &entry.name[..];
                let before = names.iter().position(|name| reached(&name)).unwrap();
                assert_eq!(first.name, names[before].as_bytes());
                assert_eq!(entry.block, Reference::of(5000 + position).unwrap().block);
            }
        }
    }

    #[test]
    fn a_cut_listing_ends_in_an_error() {
        let names = ["a".to_owned(), "bc".to_owned()];
        let mut listing = Vec::new();
        encode(&children(&names), &mut listing).unwrap();
        for length in 1..listing.len() {
            let last = Entries::new(&listing[..length]).last().unwrap();
            assert!(last.is_err(), "{length}");
        }
    }

    #[test]
    fn far_inodes_begin_a_run() {
        let mut children =
            [Child { name: "a", inode: Reference::of(0).unwrap(), number: 1, kind: 2 }; 2];
        children[1].number = 40_000;
        let mut listing = Vec::new();
        encode(&children, &mut listing).unwrap();
        assert_eq!(listing.len(), 2 * (12 + 9));
    }
}
