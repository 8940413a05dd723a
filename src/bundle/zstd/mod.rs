//! A zstd file as the bytes that it was made of, read at any position without unpacking it.
//!
//! What an encoder could not make smaller it stores as it is, and the layers of images are
//! compressed already: nearly all of an archive of images lies in raw blocks. [`walk`] finds them
//! by their headers, [`decode`] decodes the others, and [`map`] reads from both. What was decoded is
//! kept in memory while it is little, else in an [`index`] that is made once.
//! Checksums of frames are not looked at: all that is served has a digest.

mod decode;
mod frame;
mod index;
mod map;
mod store;
#[cfg(test)]
mod tests;
mod walk;

use std::env;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::format::{self, Container};
use super::tree::{self, Tree};
use super::volume::Volume;
use super::{advice, archive};
use crate::extent::Content;
use index::Identity;
use map::Map;
use store::Store;

/// Where what is decoded of a file is kept when it is too much for the memory.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Indexes {
    /// In files in this directory, to be used again; not of files that are really compressed.
    Kept(PathBuf),
    /// In files without a name in this directory, or the one above it that there is, of any size.
    Temporary(PathBuf),
}

impl Default for Indexes {
    /// Temporary ones, in `$TMPDIR`, else in `/var/tmp`: they may be too large for a memory.
    fn default() -> Self {
        let chosen = env::var_os("TMPDIR").filter(|it| !it.is_empty());
        Self::Temporary(chosen.map_or_else(|| "/var/tmp".into(), PathBuf::from))
    }
}

/// Why a zstd file cannot be read in place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused a read.
    #[error("cannot read it")]
    Read(#[source] io::Error),
    /// It ends within a frame.
    #[error("{0}")]
    NotWhole(String),
    /// It contradicts the format.
    #[error("its zstd data at byte {offset} are damaged: {problem}")]
    Damaged {
        /// Where in the file.
        offset: u64,
        /// What was found.
        problem: String,
    },
    /// Matches may reach too far back.
    #[error(
        "it wants a window of {} MiB, of at most {} MiB",
        .0.div_ceil(1 << 20),
        walk::MAX_WINDOW >> 20
    )]
    Window(u64),
    /// It cannot be decompressed without another file.
    #[error("the frame at byte {0} needs a dictionary")]
    Dictionary(u64),
    /// It is cut up more than any encoder would.
    #[error("it is cut into more than {pieces} pieces before byte {at}")]
    Pieces {
        /// Where that was found out.
        at: u64,
        /// How many are accepted of such a file.
        pieces: u64,
    },
    /// So much of it is really compressed that an index would be a copy.
    #[error("more than a quarter of its content is really compressed")]
    Packed,
    /// The file for what was decoded cannot be written.
    #[error("cannot keep what was decoded of it in {path:?}")]
    Index {
        /// The file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl Error {
    fn damaged(offset: u64, problem: impl Into<String>) -> Self {
        Self::Damaged { offset, problem: problem.into() }
    }
}

/// The decompressed bytes of a file in zstd frames, whatever they are.
///
/// # Errors
///
/// When the file is not whole, damaged, or beyond the limits.
pub fn decompressed(file: &Content, indexes: &Indexes) -> Result<Content, Error> {
    let identity = index::identity(file, &[]).map_err(Error::Read)?;
    Ok(Content::Packed(Arc::new(map(file, identity, indexes)?)))
}

/// The files of a tar archive in a zstd file.
///
/// # Errors
///
/// When the file is not whole, damaged, beyond the limits, compressed too much to be served in
/// place, or no tar archive.
pub(super) fn read(
    volume: &Volume,
    path: &Path,
    indexes: &Indexes,
) -> Result<(Tree, Vec<tree::Omission>), super::Error> {
    let file = &volume.content;
    let identity = index::identity(file, &volume.changed).map_err(super::Error::Io)?;
    if let Indexes::Kept(directory) = indexes {
        // One that is damaged, or cannot be read, is no reason to refuse what it is of.
        let path = index::path(directory, &identity);
        if let Ok(Some(map)) = index::load(&path, &identity, file)
            && let Ok(read) = tar(map)
        {
            return Ok(read);
        }
    }
    let map = map(file, identity, indexes).map_err(|error| explain(error, volume, path))?;
    tar(map)
}

fn tar(map: Map) -> Result<(Tree, Vec<tree::Omission>), super::Error> {
    let content = Content::Packed(Arc::new(map));
    match format::sniff(&content).map_err(super::Error::Io)? {
        Container::Tar => archive::read(&content).map_err(super::of_archive),
        Container::Blank => Err(super::Error::NotWhole("its beginning is empty".to_owned())),
        _ => Err(super::Error::UnknownContainer(None)),
    }
}

/// Says what can be done about an error.
fn explain(source: Error, volume: &Volume, path: &Path) -> super::Error {
    let is_long = matches!(source, Error::Window(_));
    let unzstd = match volume.file {
        Some(_) => format!("`{}` unwraps it", advice::unzstd(is_long, path)),
        None => "`cat` joins its parts".to_owned(),
    };
    match source {
        Error::NotWhole(how) if volume.file.is_none() => {
            let files = volume.changed.len();
            super::Error::NotWhole(format!("{how}; it is in {files} parts, is one missing?"))
        }
        Error::NotWhole(how) => super::Error::NotWhole(how),
        Error::Packed => {
            let convert = advice::convert(path);
            let advice = format!("`{convert}` makes a bundle of it, {unzstd}");
            super::Error::NotInPlace { advice, source }
        }
        Error::Window(_) => super::Error::NotInPlace { advice: unzstd, source },
        source => super::Error::Zstd(source),
    }
}

/// Finds where everything is.
fn map(file: &Content, identity: Identity, indexes: &Indexes) -> Result<Map, Error> {
    let outline = walk::walk(file)?;
    let mut store = Store::new(indexes, identity, outline.plain);
    let (runs, length) = decode::decode(file, &outline, &mut store)?;
    drop(outline);
    store.finish(file, runs, length)
}
