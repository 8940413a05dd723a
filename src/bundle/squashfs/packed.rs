//! Files of a foreign image that are not one run of bytes: read at any position, block by block.
//!
//! Only the blocks that a read touches are decompressed, in the thread that reads.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::cache::Cache;
use super::compressor::Compressor;
use super::inode::Block;
use crate::extent::ReadAt;

/// The bytes of decompressed blocks that are kept of an image.
const CACHE: usize = 16 << 20;

/// Of so many blocks the place of the first is stored, of the others it is computed.
const STRIDE: usize = 256;

/// What the files of an image share.
pub(super) struct Volume {
    file: Arc<File>,
    block_size: u32,
    compressor: Compressor,
    cache: Cache,
}

impl Volume {
    pub(super) fn new(file: Arc<File>, block_size: u32, compressor: Compressor) -> Self {
        Self { file, block_size, compressor, cache: Cache::new(CACHE) }
    }

    /// Fills `buffer` from `within` a block that is stored at `start`.
    fn read(&self, start: u64, block: Block, within: usize, buffer: &mut [u8]) -> io::Result<()> {
        if block.is_uncompressed() {
            return self.file.read_exact_at(buffer, start.saturating_add(within as u64));
        }
        let size = block.size();
        let bytes = self.cache.get((start, size), || self.unpack(start, size))?;
        let end = within.checked_add(buffer.len());
        let Some(bytes) = end.and_then(|end| bytes.get(within..end)) else {
            let problem = format!("the block at offset {start} has only {} bytes", bytes.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        };
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn unpack(&self, start: u64, size: u32) -> io::Result<Arc<[u8]>> {
        let bound = |size| usize::try_from(size).map_err(io::Error::other);
        let mut stored = vec![0; bound(size)?];
        self.file.read_exact_at(&mut stored, start)?;
        let bytes = self.compressor.unpack(&stored, bound(self.block_size)?);
        bytes.map(Arc::from).map_err(|error| {
            io::Error::new(error.kind(), format!("the block at offset {start}: {error}"))
        })
    }
}

impl fmt::Debug for Volume {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Volume").field("file", &self.file).finish_non_exhaustive()
    }
}

/// A block that holds the ends of several files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment {
    pub(super) start: u64,
    pub(super) block: Block,
}

/// A file in blocks; whoever makes one has checked all sizes and places.
#[derive(Debug)]
pub(super) struct Packed {
    volume: Arc<Volume>,
    length: u64,
    blocks: Box<[Block]>,
    /// Where each [`STRIDE`]th block is.
    starts: Box<[u64]>,
    /// Where the rest is, after the blocks.
    tail: Option<(Fragment, u32)>,
}

impl Packed {
    pub(super) fn new(
        volume: &Arc<Volume>,
        start: u64,
        length: u64,
        blocks: impl ExactSizeIterator<Item = Block>,
        tail: Option<(Fragment, u32)>,
    ) -> Self {
        let mut place = start;
        let mut starts = Vec::with_capacity(blocks.len().div_ceil(STRIDE));
        let count = |(index, block): (usize, Block)| {
            if index % STRIDE == 0 {
                starts.push(place);
            }
            place = place.saturating_add(block.size().into());
            block
        };
        let blocks = blocks.enumerate().map(count).collect();
        Self { volume: Arc::clone(volume), length, blocks, starts: starts.into(), tail }
    }

    /// Where a block is stored.
    fn start(&self, index: usize) -> Option<u64> {
        let first = index / STRIDE * STRIDE;
        let before = self.blocks.get(first..index)?;
        let stored: u64 = before.iter().map(|block| u64::from(block.size())).sum();
        self.starts.get(index / STRIDE)?.checked_add(stored)
    }

    /// Fills `buffer` from `within` the block of number `index`.
    fn read_block(&self, index: usize, within: usize, buffer: &mut [u8]) -> io::Result<()> {
        if let (Some(block), Some(start)) = (self.blocks.get(index), self.start(index)) {
            if block.size() == 0 {
                buffer.fill(0);
                return Ok(());
            }
            return self.volume.read(start, *block, within, buffer);
        }
        let place = self.tail.and_then(|(fragment, offset)| {
            Some((fragment, usize::try_from(offset).ok()?.checked_add(within)?))
        });
        let Some((Fragment { start, block }, within)) = place else {
            return Err(io::ErrorKind::UnexpectedEof.into());
        };
        self.volume.read(start, block, within, buffer)
    }
}

impl ReadAt for Packed {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        let end = position.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.length) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let block_size = u64::from(self.volume.block_size);
        let (mut position, mut rest) = (position, buffer);
        while !rest.is_empty() {
            let bound = |number| usize::try_from(number).map_err(io::Error::other);
            let (index, within) = (position / block_size, position % block_size);
            let length = bound(block_size - within)?.min(rest.len());
            let (part, after) = rest.split_at_mut(length);
            self.read_block(bound(index)?, bound(within)?, part)?;
            position += length as u64;
            rest = after;
        }
        Ok(())
    }
}
