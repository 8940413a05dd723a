//! The decompressed bytes of a zstd file by their positions, most of them as they lie in it.

use std::io;

use super::frame::MAX_BLOCK;
use super::walk::stride;
use crate::extent::{Content, Extent, ReadAt};

/// A run of decompressed bytes, up to the next one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Run {
    /// Where it begins among the decompressed bytes.
    pub(super) at: u64,
    /// Where its bytes are.
    pub(super) place: Place,
}

/// Where the bytes of a run are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// In raw blocks of this size, which follow one another in the file.
    Raw {
        /// Where the body of the first begins.
        offset: u64,
        /// The bytes of each.
        size: u32,
    },
    /// One byte, repeated.
    Fill(u8),
    /// Among those that had to be decoded, from this position.
    Decoded(u64),
}

/// The decompressed bytes; whoever makes one has checked that all of its runs are there.
#[derive(Debug)]
pub(super) struct Map {
    /// The file.
    pub(super) file: Content,
    /// What had to be decoded.
    pub(super) decoded: Content,
    /// In their order, without gaps.
    pub(super) runs: Box<[Run]>,
    /// How many decompressed bytes there are.
    pub(super) length: u64,
}

impl Map {
    /// The runs from the one that holds `position`, each with its end.
    fn from(&self, position: u64) -> impl Iterator<Item = (&Run, u64)> {
        let first = self.runs.partition_point(|run| run.at <= position).saturating_sub(1);
        let runs = self.runs.iter().skip(first);
        let ends = self.runs.iter().skip(first + 1).map(|run| run.at).chain([self.length]);
        runs.zip(ends)
    }
}

/// Fills `buffer` from `within` raw blocks, of which the first is at `offset`.
fn raw(
    file: &Content,
    offset: u64,
    size: u32,
    mut within: u64,
    mut buffer: &mut [u8],
) -> io::Result<()> {
    let size_of_each = u64::from(size.clamp(1, MAX_BLOCK));
    while !buffer.is_empty() {
        let (block, start) = (within / size_of_each, within % size_of_each);
        let rest = usize::try_from(size_of_each - start).unwrap_or(usize::MAX);
        let (now, later) = buffer.split_at_mut(rest.min(buffer.len()));
        file.read_at(now, offset + block * stride(size) + start)?;
        within += now.len() as u64;
        buffer = later;
    }
    Ok(())
}

impl ReadAt for Map {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_at(&self, mut buffer: &mut [u8], mut position: u64) -> io::Result<()> {
        let end = position.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if buffer.is_empty() {
            return Ok(());
        }
        for (run, end) in self.from(position) {
            let length = usize::try_from(end - position).unwrap_or(usize::MAX).min(buffer.len());
            let (now, later) = buffer.split_at_mut(length);
            let within = position - run.at;
            match run.place {
                Place::Raw { offset, size } => raw(&self.file, offset, size, within, now)?,
                Place::Fill(byte) => now.fill(byte),
                Place::Decoded(start) => self.decoded.read_at(now, start + within)?,
            }
            position += length as u64;
            buffer = later;
            if buffer.is_empty() {
                return Ok(());
            }
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    fn extent(&self, start: u64, length: u64) -> Option<Extent> {
        let (run, end) = self.from(start).next()?;
        let Place::Raw { offset, size } = run.place else { return None };
        let (within, size_of_each) = (start.checked_sub(run.at)?, u64::from(size.max(1)));
        let (block, skipped) = (within / size_of_each, within % size_of_each);
        if start.checked_add(length)? > end || skipped + length > size_of_each {
            return None;
        }
        match self.file.slice(offset + block * stride(size) + skipped, length)? {
            Content::Extent(extent) => Some(extent),
            Content::Packed(_) => None,
        }
    }
}
