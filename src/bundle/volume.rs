//! A file that may be cut into parts, as one run of bytes.
//!
//! ```text
//! zarf, first part:   {"sha256Sum": hex, "bytes": n, "count": n}
//! hauler, a shard:    magic "HAULRSF1" | set 8 | count u16 | parity u16 | number u16 | length u64 | crc u32
//!                     | bytes of the file, or parity; numbers are big-endian
//! ```
//!
//! Sums are not looked at: all that is served has a digest.

use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;

use super::Error;
use super::parts::{self, Role, Scheme};
use super::pieces::Pieces;
use crate::extent::{Content, Extent};

/// How many parts a file may have: each is a file that stays open.
const MAX_PARTS: usize = 1000;
/// The longest first part of zarf, in bytes.
const MAX_ZARF_HEADER: u64 = 4096;
/// How a shard of hauler begins.
const SHARD: &[u8; 8] = b"HAULRSF1";
/// The length of the header of a shard, in bytes.
const SHARD_HEADER: usize = 34;

/// A file, or all parts of one, as one run of bytes.
#[derive(Debug)]
pub(super) struct Volume {
    /// The bytes.
    pub(super) content: Content,
    /// When each of the files was changed: seconds and nanoseconds.
    pub(super) changed: Vec<(i64, i64)>,
    /// The file, if it is one.
    pub(super) file: Option<Arc<File>>,
}

/// Opens a file with all its parts.
///
/// # Errors
///
/// When a part is missing, or is a later one of another file.
pub(super) fn open(path: &Path) -> Result<Volume, Error> {
    let others = match parts::role(path).map_err(Error::Io)? {
        Role::First(others) => others,
        Role::Later(first) => return Err(Error::Part(first)),
        Role::Orphan(first) => {
            return Err(Error::NotWhole(format!("its first part, {first:?}, is not here")));
        }
    };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut volume = Parts::default();
    volume.open(path)?;
    let Some(((scheme, stem, ending), first)) = parts::parse(name) else { return volume.join() };
    let mut order = vec![];
    for other in others {
        let name = other.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let number = parts::parse(name).map(|(_, number)| number);
        order.extend(number.map(|number| (number, other)));
    }
    let place = |number| path.with_file_name(scheme.name(stem, ending, number));
    let missing = |number: u32| {
        let place = place(number);
        Error::NotWhole(format!("its part {place:?} is not here"))
    };
    if scheme == Scheme::Zarf && volume.is_zarf_header() {
        let header = volume.zarf_header()?;
        for number in 1..=header.count {
            let part = order.iter().find(|(it, _)| *it == number);
            volume.open(&part.ok_or_else(|| missing(number))?.1)?;
        }
        volume.extents.remove(0);
        let joined = volume.join()?;
        let (found, bytes) = (joined.content.length(), header.bytes);
        if found != bytes {
            let message = format!("its parts have {found} bytes, {name:?} says {bytes}");
            return Err(Error::NotWhole(message));
        }
        return Ok(joined);
    }
    let shard = volume.shard(0);
    let mut expected = first;
    for (number, other) in order {
        expected += 1;
        if shard.as_ref().is_some_and(|it| u64::from(expected - first) >= it.count) {
            break;
        }
        if number != expected {
            return Err(missing(expected));
        }
        volume.open(&other)?;
    }
    let Some(shard) = shard else { return volume.join() };
    if volume.extents.len() as u64 != shard.count {
        return Err(missing(expected + 1));
    }
    volume.unwrap_shards(&shard)?;
    let joined = volume.join()?;
    let too_short = || Error::NotWhole(format!("it has less than {} bytes", shard.bytes));
    let content = joined.content.slice(0, shard.bytes).ok_or_else(too_short)?;
    Ok(Volume { content, ..joined })
}

/// Files that are to be put together.
#[derive(Default)]
struct Parts {
    files: Vec<Arc<File>>,
    extents: Vec<Extent>,
    changed: Vec<(i64, i64)>,
}

/// The first part of zarf.
#[derive(Deserialize)]
struct ZarfHeader {
    bytes: u64,
    count: u32,
}

/// What a shard of hauler says of its set.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Shard {
    set: [u8; 8],
    /// How many shards hold the file; others repair them.
    count: u64,
    number: u64,
    /// The length of the file.
    bytes: u64,
}

impl Parts {
    fn open(&mut self, path: &Path) -> Result<(), Error> {
        if self.files.len() >= MAX_PARTS {
            return Err(Error::NotWhole(format!("it has more than {MAX_PARTS} parts")));
        }
        let file = Arc::new(File::open(path).map_err(Error::Io)?);
        let metadata = file.metadata().map_err(Error::Io)?;
        self.changed.push((metadata.mtime(), metadata.mtime_nsec()));
        self.extents.push(Extent::whole(Arc::clone(&file)).map_err(Error::Io)?);
        self.files.push(file);
        Ok(())
    }

    fn join(mut self) -> Result<Volume, Error> {
        let changed = self.changed;
        if let ([_], [_]) = (self.files.as_slice(), self.extents.as_slice())
            && let (Some(file), Some(extent)) = (self.files.pop(), self.extents.pop())
        {
            return Ok(Volume { content: Content::Extent(extent), changed, file: Some(file) });
        }
        let pieces = self.extents.into_iter().map(Content::Extent);
        let pieces = Pieces::of(pieces).map_err(Error::Io)?;
        Ok(Volume { content: Content::Packed(Arc::new(pieces)), changed, file: None })
    }

    fn is_zarf_header(&self) -> bool {
        let mut head = [0];
        self.extents.first().is_some_and(|it| it.read_at(&mut head, 0).is_ok() && head == *b"{")
    }

    fn zarf_header(&self) -> Result<ZarfHeader, Error> {
        let first = self.extents.first().cloned().map(Content::Extent);
        let bytes = first.map(|it| it.read_all(MAX_ZARF_HEADER)).transpose().map_err(Error::Io)?;
        let header: Result<ZarfHeader, _> = serde_json::from_slice(&bytes.unwrap_or_default());
        match header {
            Ok(header) if usize::try_from(header.count).is_ok_and(|it| it < MAX_PARTS) => {
                Ok(header)
            }
            Ok(header) => {
                let message = format!("it has {} parts, of at most {MAX_PARTS}", header.count);
                Err(Error::NotWhole(message))
            }
            Err(error) => Err(Error::NotWhole(format!("its first part is no list of it: {error}"))),
        }
    }

    /// The header of a shard, if it has one.
    fn shard(&self, at: usize) -> Option<Shard> {
        let mut head = [0; SHARD_HEADER];
        self.extents.get(at)?.read_at(&mut head, 0).ok()?;
        if !head.starts_with(SHARD) {
            return None;
        }
        let number = |at: usize, length: usize| {
            let bytes = head.get(at..at + length).unwrap_or_default();
            bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
        };
        let set = head.get(8..16)?.try_into().ok()?;
        Some(Shard { set, count: number(16, 2), number: number(20, 2), bytes: number(22, 8) })
    }

    /// Takes the headers off shards, which must all be of one set and in order.
    fn unwrap_shards(&mut self, first: &Shard) -> Result<(), Error> {
        for at in 0..self.extents.len() {
            let wanted = Shard { number: at as u64, ..first.clone() };
            if self.shard(at) != Some(wanted) {
                let message = format!("its shard {} is of another set", at + 1);
                return Err(Error::NotWhole(message));
            }
        }
        let bodies = self.extents.iter().map(|it| it.slice(SHARD_HEADER as u64, u64::MAX));
        self.extents = bodies.collect();
        Ok(())
    }
}
