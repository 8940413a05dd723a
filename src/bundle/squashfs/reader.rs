//! Reads an image of our profile: every file is an extent, nothing is decompressed.
//!
//! Strict: whatever differs from what [`super::writer`] makes is refused, either as damage
//! or as [`Error::Profile`], in which case [`super::foreign`] may still read it.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::Error;
use super::format::{NO_TABLE, PROFILE_FLAGS, Superblock};
use super::image::{self, Image};
use super::inode::Inode;
use crate::bundle::tree::{Stored, Tree};
use crate::extent::Extent;

/// The files of an image of our profile.
///
/// Every run of bytes lies within the image's data, but nothing of the data was read.
///
/// # Errors
///
/// [`Error::Profile`] when it may be a good image that another tool made; otherwise
/// when it is damaged or beyond the limits.
pub fn read(file: &Arc<File>) -> Result<Tree, Error> {
    let superblock = image::superblock(file)?;
    profile(&superblock)?;
    let image = Image::open(file, superblock, None)?;
    let superblock = image.superblock();
    let mut files = Vec::new();
    let mut nodes = 1_u32;
    let mut blocks = image.most_blocks();
    image.walk(|path, entry, inode| {
        nodes = nodes.saturating_add(1);
        let regular = match inode {
            Inode::Directory(_) => return Ok(()),
            Inode::Other => return Err(Error::profile(format!("{path:?} is no regular file"))),
            Inode::File(regular) if regular.has_xattr => {
                return Err(Error::profile(format!("{path:?} has extended attributes")));
            }
            Inode::File(regular) => regular,
        };
        blocks = blocks
            .checked_sub(regular.blocks().len())
            .ok_or_else(|| image.bad_inode(entry.inode, "files share their inodes"))?;
        let end = regular
            .contiguous_end(superblock.block_size)
            .map_err(|problem| Error::profile(format!("of {path:?} {problem}")))?;
        if regular.start < Superblock::SIZE as u64 || end > superblock.inode_table {
            let problem = format!(
                "{path:?} lies from {} to {end}, the data from {} to {}",
                regular.start,
                Superblock::SIZE,
                superblock.inode_table
            );
            return Err(image.bad_inode(entry.inode, problem));
        }
        let extent = Extent::new(Arc::clone(file), regular.start, regular.length)
            .ok_or_else(|| image.bad_inode(entry.inode, "its end overflows"))?;
        files.push((Box::from(path), Stored::Extent(extent)));
        Ok(())
    })?;
    let tree = image.tree(files)?;
    if nodes != superblock.inode_count {
        let problem = format!("{} inodes, but {nodes} were found", superblock.inode_count);
        return Err(Error::corrupt("superblock", 0, problem));
    }
    Ok(tree)
}

/// Checks what the superblock tells about the profile.
fn profile(superblock: &Superblock) -> Result<(), Error> {
    let Superblock { flags, fragment_count, id_count, .. } = superblock;
    if *flags != PROFILE_FLAGS {
        return Err(Error::profile(format!("flags {flags:#06x}, not {PROFILE_FLAGS:#06x}")));
    }
    if *fragment_count != 0 || superblock.xattr_table != NO_TABLE {
        return Err(Error::profile("it has fragments or extended attributes"));
    }
    if *id_count != 1 {
        return Err(Error::profile(format!("{id_count} users and groups")));
    }
    if superblock.export_table == NO_TABLE || superblock.export_table >= superblock.id_table {
        return Err(Error::profile("no export table before the id table"));
    }
    Ok(())
}

/// How much of an image is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// All of it.
    Whole,
    /// It is still being copied, or was cut.
    Short {
        /// The length of the file.
        have: u64,
        /// The length of the image.
        need: u64,
    },
    /// It has no squashfs superblock (yet).
    NotYet,
}

/// Tells whether a squashfs file is whole, from its superblock and length alone.
///
/// # Errors
///
/// When the file cannot be read.
pub fn completeness(file: &File) -> io::Result<Completeness> {
    let have = file.metadata()?.len();
    let mut bytes = [0; Superblock::SIZE];
    match file.read_exact_at(&mut bytes, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Ok(Completeness::NotYet);
        }
        result => result?,
    }
    Ok(match Superblock::parse(&bytes) {
        Ok(Superblock { bytes_used: need, .. }) if have < need => {
            Completeness::Short { have, need }
        }
        Err(Error::Magic { .. }) => Completeness::NotYet,
        // A damaged one will not become better by waiting: reading it names what is wrong.
        Ok(_) | Err(_) => Completeness::Whole,
    })
}
