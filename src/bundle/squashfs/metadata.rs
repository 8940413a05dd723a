//! A table of an image: metadata blocks, one after the other.
//!
//! ```text
//! u16 length of what follows, bit 15 set when it is stored uncompressed
//! ≤ 8192 bytes once uncompressed; all blocks but the last are full
//! ```
//!
//! What refers into a table names a block by its offset from the table's start, and
//! a place in the uncompressed block; what begins in one block may go on in the next.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::Error;
use super::compressor::Compressor;
use super::format::{Fields, MAX_TABLE, METADATA_SIZE, Reference};

const UNCOMPRESSED: u16 = 1 << 15;

/// How much of a table is read at once.
const READ_AHEAD: usize = 1 << 20;

/// A table in memory, uncompressed.
#[derive(Debug)]
pub(super) struct Table {
    part: &'static str,
    start: u64,
    bytes: Vec<u8>,
    /// Of each block: its offset from `start`, and where its bytes begin in `bytes`.
    blocks: Vec<(u32, usize)>,
}

impl Table {
    /// Reads the blocks from `start` to `end`.
    ///
    /// Memory grows as blocks prove to be ones, whatever `end` claims.
    pub(super) fn read(
        file: &File,
        part: &'static str,
        start: u64,
        end: u64,
        compressor: Option<Compressor>,
    ) -> Result<Self, Error> {
        let mut table = Self { part, start, bytes: Vec::new(), blocks: Vec::new() };
        let mut window = Window { file, end, start, bytes: Vec::new() };
        let mut position = start;
        while position < end {
            position = table.block(&mut window, position, compressor)?;
        }
        Ok(table)
    }

    /// Reads the block at `position`, answers where the next begins.
    fn block(
        &mut self,
        window: &mut Window<'_>,
        position: u64,
        compressor: Option<Compressor>,
    ) -> Result<u64, Error> {
        let part = self.part;
        let corrupt = |problem: &str| Error::corrupt(part, position, problem);
        let beyond = || corrupt("a block reaches past the table's end");
        let block = u32::try_from(position - self.start)
            .map_err(|_| corrupt("the table is longer than 4 GiB"))?;
        let header = window.get(position, 2)?.ok_or_else(beyond)?;
        let header = Fields::new(header).u16().ok_or_else(beyond)?;
        let length = usize::from(header & !UNCOMPRESSED);
        if length == 0 || length > METADATA_SIZE {
            return Err(corrupt(&format!("a block of {length} bytes")));
        }
        let stored = window.get(position + 2, length)?.ok_or_else(beyond)?;
        if !self.bytes.len().is_multiple_of(METADATA_SIZE) {
            return Err(corrupt("the block before is not full"));
        }
        self.blocks.push((block, self.bytes.len()));
        if header & UNCOMPRESSED != 0 {
            self.bytes.extend_from_slice(stored);
        } else {
            let Some(compressor) = compressor else {
                return Err(Error::profile(format!("the {} is compressed", self.part)));
            };
            let unpacked = compressor
                .unpack(stored, METADATA_SIZE)
                .map_err(|error| corrupt(&error.to_string()))?;
            self.bytes.extend_from_slice(&unpacked);
        }
        if self.bytes.len() > MAX_TABLE {
            return Err(Error::Limit { what: "bytes in a table", limit: MAX_TABLE as u64 });
        }
        Ok(position + 2 + length as u64)
    }

    /// The number of bytes, uncompressed.
    pub(super) fn length(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes from `reference` to the table's end.
    pub(super) fn from(&self, reference: Reference) -> Result<&[u8], Error> {
        let Reference { block, offset } = reference;
        self.blocks
            .binary_search_by_key(&block, |(block, _)| *block)
            .ok()
            .and_then(|index| self.blocks.get(index))
            .and_then(|(_, begin)| self.bytes.get(begin + usize::from(offset)..))
            .ok_or_else(|| self.corrupt(reference, "no metadata block begins there"))
    }

    /// An error about what is at `reference`.
    pub(super) fn corrupt(&self, reference: Reference, problem: impl AsRef<str>) -> Error {
        let problem = format!("byte {} of its block: {}", reference.offset, problem.as_ref());
        Error::corrupt(self.part, self.start.saturating_add(reference.block.into()), problem)
    }
}

/// Reads `length` bytes at `offset`.
pub(super) fn read_exact(file: &File, offset: u64, buffer: &mut [u8]) -> Result<(), Error> {
    let length = buffer.len();
    file.read_exact_at(buffer, offset).map_err(|source| Error::Read { offset, length, source })
}

/// What of the file is in memory while a table is read.
struct Window<'a> {
    file: &'a File,
    end: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// `length` bytes at `position`; nothing when they reach past the end.
    fn get(&mut self, position: u64, length: usize) -> Result<Option<&[u8]>, Error> {
        let Some(left) = self.end.checked_sub(position) else { return Ok(None) };
        if left < length as u64 {
            return Ok(None);
        }
        let held = position
            .checked_sub(self.start)
            .and_then(|skip| usize::try_from(skip).ok())
            .filter(|skip| skip + length <= self.bytes.len());
        let skip = if let Some(skip) = held {
            skip
        } else {
            let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(READ_AHEAD);
            self.bytes.resize(wanted, 0);
            self.start = position;
            read_exact(self.file, position, &mut self.bytes)?;
            0
        };
        Ok(self.bytes.get(skip..skip + length))
    }
}

/// The length of `length` bytes as full and uncompressed metadata blocks.
pub(super) fn stored_length(length: usize) -> u64 {
    length as u64 + 2 * length.div_ceil(METADATA_SIZE) as u64
}

/// Writes `bytes` as full and uncompressed metadata blocks.
pub(super) fn write(bytes: &[u8], to: &mut impl io::Write) -> io::Result<()> {
    for block in bytes.chunks(METADATA_SIZE) {
        let length = u16::try_from(block.len()).map_err(io::Error::other)?;
        to.write_all(&(length | UNCOMPRESSED).to_le_bytes())?;
        to.write_all(block)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(stored: &[u8], end: u64) -> Result<Table, Error> {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(stored, 100).unwrap();
        Table::read(&file, "inode table", 100, 100 + end, None)
    }

    #[test]
    fn a_table_is_what_was_written() {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n / 7 % 251).to_le_bytes()[0]).collect();
        let mut stored = Vec::new();
        write(&bytes, &mut stored).unwrap();
        assert_eq!(stored.len() as u64, stored_length(bytes.len()));
        let table = table(&stored, stored.len() as u64).unwrap();
        assert_eq!(table.bytes, bytes);
        for position in [0, 8191, 8192, 2_000_000] {
            let found = table.from(Reference::of(position).unwrap()).unwrap();
            assert_eq!(found, &bytes[position..]);
        }
        assert!(table.from(Reference { block: 1, offset: 0 }).is_err());
        assert!(table.from(Reference { block: 8194, offset: u16::MAX }).is_ok());
    }

    #[test]
    fn a_damaged_table_is_refused() {
        let cases: &[(&[u8], u64, &str)] = &[
            (&[3, 0x80, 1, 2, 3], 4, "past the table's end"),
            (&[3, 0x80, 1, 2, 3], 6, "cannot read"),
            (&[0, 0x80], 2, "a block of 0 bytes"),
            (&[1, 0x80, 1, 1, 0x80, 1], 6, "the block before is not full"),
            (&[0xff, 0xff], 2, "a block of 32767 bytes"),
            (&[3, 0, 1, 2, 3], 5, "is compressed"),
        ];
        for (stored, end, expected) in cases {
            let message = table(stored, *end).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
