//! Reads squashfs images that other tools made: compressed, with fragments, with holes.
//!
//! Files that lie uncompressed in one run become extents all the same, others are
//! decompressed when they are read. Links, devices and extended attributes are ignored.
//! The decompressors are backhand's, everything else is bounded by [`super::image`].

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;

use super::Error;
use super::compressor::Compressor;
use super::format::{Fields, NO_TABLE, Reference, Superblock};
use super::image::{self, Image};
use super::inode::{Block, Inode, Regular};
use super::metadata::Table;
use super::packed::{Fragment, Packed, Volume};
use crate::bundle::tree::{Stored, Tree};
use crate::extent::Extent;

/// The files of any squashfs 4.0 image.
///
/// # Errors
///
/// When the image is damaged, beyond the limits, or compressed in a way that is not known.
pub fn read(file: &Arc<File>) -> Result<Tree, Error> {
    let superblock = image::superblock(file)?;
    let compressor = Compressor::of(superblock.compressor)?;
    let fragments = fragments(file, &superblock, compressor)?;
    let volume = Volume::new(Arc::clone(file), superblock.block_size, compressor);
    let foreign = Foreign {
        file,
        image: Image::open(file, superblock, Some(compressor))?,
        fragments,
        volume: Arc::new(volume),
    };
    let mut files = Vec::new();
    let mut blocks = foreign.image.most_blocks();
    // Hard links share their inode, and so they do here.
    let mut known: HashMap<Reference, Stored> = HashMap::new();
    foreign.image.walk(|path, entry, inode| {
        let Inode::File(regular) = inode else { return Ok(()) };
        let bad = |problem: String| foreign.image.bad_inode(entry.inode, problem);
        let stored = if let Some(stored) = known.get(&entry.inode) {
            stored.clone()
        } else {
            blocks = blocks
                .checked_sub(regular.blocks().len())
                .ok_or_else(|| bad("inodes overlap".to_owned()))?;
            let stored =
                foreign.stored(regular).map_err(|problem| bad(format!("of {path:?} {problem}")))?;
            known.insert(entry.inode, stored.clone());
            stored
        };
        files.push((Box::from(path), stored));
        Ok(())
    })?;
    foreign.image.tree(files)
}

/// An image while it is read.
struct Foreign<'a> {
    file: &'a Arc<File>,
    image: Image,
    fragments: Vec<Fragment>,
    volume: Arc<Volume>,
}

impl Foreign<'_> {
    /// Checks where a file's bytes are, and names the place.
    fn stored(&self, regular: &Regular<'_>) -> Result<Stored, String> {
        let Superblock { block_size, bytes_used, .. } = *self.image.superblock();
        let extent = |start, length| {
            let extent = Extent::new(Arc::clone(self.file), start, length);
            extent.map(Stored::Extent).ok_or_else(|| "the end overflows".to_owned())
        };
        if regular.length == 0 {
            return extent(0, 0);
        }
        blocks(regular, block_size, bytes_used)?;
        let tail = self.tail(regular, block_size)?;
        match tail {
            None if regular.contiguous_end(block_size).is_ok() => {
                extent(regular.start, regular.length)
            }
            Some((fragment, offset))
                if regular.blocks().len() == 0 && fragment.block.is_uncompressed() =>
            {
                extent(fragment.start.saturating_add(offset.into()), regular.length)
            }
            _ => Ok(Stored::Packed(Arc::new(Packed::new(
                &self.volume,
                regular.start,
                regular.length,
                regular.blocks(),
                tail,
            )))),
        }
    }

    /// The fragment with the end of a file, and the end's place in it.
    fn tail(
        &self,
        regular: &Regular<'_>,
        block_size: u32,
    ) -> Result<Option<(Fragment, u32)>, String> {
        let Some((index, offset)) = regular.fragment else { return Ok(None) };
        let fragment = usize::try_from(index).ok().and_then(|index| self.fragments.get(index));
        let Some(fragment) = fragment else {
            return Err(format!("the end is in fragment {index} of {}", self.fragments.len()));
        };
        let end = u64::from(offset) + regular.length % u64::from(block_size);
        let room =
            if fragment.block.is_uncompressed() { fragment.block.size() } else { block_size };
        if end > u64::from(room) {
            return Err(format!("the end reaches to byte {end} of a fragment of {room}"));
        }
        Ok(Some((*fragment, offset)))
    }
}

/// Checks the sizes and places of a file's blocks.
fn blocks(regular: &Regular<'_>, block_size: u32, bytes_used: u64) -> Result<(), String> {
    let mut end = regular.start;
    let mut rest = regular.length;
    for (index, block) in regular.blocks().enumerate() {
        let expected = rest.min(block_size.into());
        let size = u64::from(block.size());
        if size > u64::from(block_size) || size != 0 && block.is_uncompressed() && size != expected
        {
            return Err(format!("block {index} takes {size} bytes for {expected}"));
        }
        end = end.saturating_add(size);
        rest -= expected;
    }
    if end != regular.start && (regular.start < Superblock::SIZE as u64 || end > bytes_used) {
        return Err(format!("the blocks lie from {} to {end} of {bytes_used}", regular.start));
    }
    Ok(())
}

/// Reads the fragment table: `u64 start   u32 block   u32 unused` of each.
fn fragments(
    file: &File,
    superblock: &Superblock,
    compressor: Compressor,
) -> Result<Vec<Fragment>, Error> {
    let Superblock { fragment_count, fragment_table, block_size, bytes_used, .. } = *superblock;
    if fragment_count == 0 || fragment_table == NO_TABLE {
        return Ok(Vec::new());
    }
    let begin = image::first_block(file, superblock, fragment_table)?;
    let table = Table::read(file, "fragment table", begin, fragment_table, Some(compressor))?;
    let front = Reference { block: 0, offset: 0 };
    let bytes = if table.length() == 0 { &[] } else { table.from(front)? };
    let mut fields = Fields::new(bytes);
    let mut fragments = Vec::new();
    for index in 0..fragment_count {
        let corrupt = |problem: String| {
            Error::corrupt("fragment table", begin, format!("fragment {index} {problem}"))
        };
        let fragment = fields.u64().zip(fields.u32()).zip(fields.u32());
        let Some(((start, number), _)) = fragment else {
            return Err(corrupt(format!("of {fragment_count} is past its end")));
        };
        let block = Block::from_u32(number);
        let end = start.saturating_add(block.size().into());
        if start < Superblock::SIZE as u64 || end > bytes_used || block.size() > block_size {
            return Err(corrupt(format!("lies from {start} to {end} of {bytes_used}")));
        }
        fragments.push(Fragment { start, block });
    }
    Ok(fragments)
}
