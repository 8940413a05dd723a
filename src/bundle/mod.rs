//! A bundle file and the formats it may have.
//!
//! Synchronous and by position: nothing here names HTTP or is async.
//! A container (directory, tar, squashfs) becomes a [`tree::Tree`] of files;
//! what the tree means (an OCI layout, a registry's storage, a docker-archive) becomes a
//! [`ContentIndex`].
//! A new container is an arm in `contain`, a new meaning one in `meaning`.

mod error;
mod meaning;
pub mod tree;
pub mod format;
mod advice;
mod pieces;
pub mod parts;
mod volume;
pub mod directory;
pub mod archive;
pub mod zstd;
pub mod squashfs;
pub mod index;
mod hauler;
pub mod layout;
pub mod storage;
pub mod mirror;
pub mod mirror_v1;
pub mod imgpkg;
pub mod docker;
mod loose;
pub mod skopeo;
pub mod talos;
pub mod image_mirror;
pub mod layouts;
mod glance;
pub mod stranger;
pub mod edition;

use std::fs;
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::thread;

pub use error::{Error, Problem};
pub use glance::{is_bundle_directory, telltales};
pub use index::ContentIndex;
pub use meaning::{Format, Meaning};

use crate::oci::Digest;
use edition::Edition;
use error::tell;
use format::Container;
use meaning::{Understood, understand};
use stranger::Stranger;
use tree::Tree;
use zstd::Indexes;

/// An opened bundle.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// Where it lies.
    pub path: PathBuf,
    /// What it was recognised as.
    pub format: Format,
    /// Which edition of which imageset it is, if it is one of ours.
    pub edition: Option<Edition>,
    /// What it says of the archive of oc-mirror that it is a file of, if it is one.
    pub archive: Option<mirror::Archive>,
    /// The same of an archive of oc-mirror v1.
    pub archive_v1: Option<mirror_v1::Archive>,
    /// What it holds.
    pub index: ContentIndex,
    /// What is wrong with it, while the rest can be used.
    pub problems: Vec<Problem>,
}

impl Bundle {
    /// Where that is which it needs and does not hold, in words, as far as it says.
    #[must_use]
    pub fn elsewhere(&self, digest: &Digest) -> Option<String> {
        let made = self.archive.as_ref().and_then(|it| it.earlier.get(digest));
        let made = made.map(|made| format!("in the archive of {made}"));
        made.or_else(|| self.archive_v1.as_ref().map(|it| it.elsewhere().to_owned()))
    }
}

/// Opens a bundle: finds out what it is and indexes what it holds.
///
/// Reads its tables and its manifests, never its layers. With `verify`, the digests of
/// its manifests and of its documents are verified.
///
/// # Errors
///
/// When it cannot be used at all. What is wrong with parts of it is in [`Bundle::problems`].
pub fn open(path: &Path, verify: bool) -> Result<Bundle, Error> {
    open_with(path, verify, &Indexes::default())
}

/// Opens a bundle as [`open`] does; what has to be decoded of it is kept in `indexes`.
///
/// # Errors
///
/// As [`open`].
pub fn open_with(path: &Path, verify: bool, indexes: &Indexes) -> Result<Bundle, Error> {
    let (container, tree, omissions) = contain(path, indexes)?;
    let omitted = omissions.into_iter();
    let mut problems: Vec<Problem> =
        omitted.map(|it| Problem::Omitted { path: it.path, reason: it.reason }).collect();
    // The record and the manifests are half of the work each, and know nothing of each other.
    let (edition, inside) = thread::scope(|scope| {
        let edition =
            edition::is_there(&tree).then(|| scope.spawn(|| edition::find(&tree, verify)));
        let inside = look_inside(&tree, path, verify);
        (edition.map(|it| it.join().unwrap_or_else(|panic| resume_unwind(panic))), inside)
    });
    let edition = edition.transpose()?.flatten();
    let Inside { meaning, index, problems: more, archive_v1 } = inside?;
    if archive_v1.is_some() {
        // The metadata says what a tag means, be the manifest in this file or not.
        problems.retain(|it| !mirror_v1::is_mere_link(it));
    }
    problems.extend(more);
    if meaning == Meaning::Layout {
        match talos::packed(&index) {
            Some(_) if index.manifests().len() == 1 => return Err(Error::PackedCache),
            Some(digest) => problems.push(Problem::PackedCache { digest }),
            None => {}
        }
    }
    let format = Format { container, meaning };
    let archive = (meaning == Meaning::Mirror).then(|| mirror::Archive::of(&tree, &index));
    Ok(Bundle { path: path.to_owned(), format, edition, archive, archive_v1, index, problems })
}

/// What the files of a container hold.
struct Inside {
    meaning: Meaning,
    index: ContentIndex,
    problems: Vec<Problem>,
    archive_v1: Option<mirror_v1::Archive>,
}

/// Finds out what the files of a container mean, and indexes what they hold.
fn look_inside(tree: &Tree, path: &Path, verify: bool) -> Result<Inside, Error> {
    let (understood, archive_v1) = if !layout::recognise(tree) && mirror_v1::recognise(tree, path) {
        let (understood, archive) = mirror_v1::understand(tree)?;
        (understood, Some(archive))
    } else {
        (understand(tree, path)?, None)
    };
    let Understood { meaning, blobs, roots, mut problems } = understood;
    let damaged: Vec<Digest> = problems.iter().filter_map(Problem::damaged).collect();
    let (mut index, more) = index::build(blobs, roots, meaning.roots(), verify)?;
    index.take_damaged(&damaged);
    if matches!(meaning, Meaning::Storage | Meaning::Mirror | Meaning::Layouts) {
        index.keep_outermost_roots();
    }
    problems.extend(more);
    Ok(Inside { meaning, index, problems, archive_v1 })
}

/// Reads the record of the bundle of ours at `path`, with its list of blobs; nothing when it has
/// none. Its manifests are not looked at.
///
/// # Errors
///
/// When it cannot be opened, or is not what its record says.
pub fn record(path: &Path) -> Result<Option<Edition>, Error> {
    let (_, tree, _) = contain(path, &Indexes::default())?;
    edition::whole(&tree, true)
}

/// A container: its kind, its files, and those that are left out.
type Contained = (Container, Tree, Vec<tree::Omission>);

fn contain(path: &Path, indexes: &Indexes) -> Result<Contained, Error> {
    // Opening a pipe would wait for somebody to write to it.
    let kind = fs::metadata(path).map_err(Error::Io)?.file_type();
    if !kind.is_file() && !kind.is_dir() {
        let found = "it is neither a regular file nor a directory";
        return Err(Error::Io(io::Error::new(io::ErrorKind::InvalidInput, found)));
    }
    if kind.is_dir() {
        let (tree, omissions) = directory::read(path).map_err(Error::Io)?;
        return Ok((Container::Directory, tree, omissions));
    }
    let volume = volume::open(path)?;
    let container = format::sniff(&volume.content).map_err(Error::Io)?;
    let (tree, omissions) = match container {
        Container::Tar => archive::read(&volume.content).map_err(of_archive)?,
        Container::Zstd => zstd::read(&volume, path, indexes)?,
        Container::Squashfs => {
            let Some(file) = &volume.file else { return Err(Error::Parts) };
            let completeness = squashfs::completeness(file).map_err(Error::Io)?;
            if let squashfs::Completeness::Short { have, need } = completeness {
                return Err(Error::NotWhole(format!("it has {have} of {need} bytes")));
            }
            (squashfs::read(file)?, Vec::new())
        }
        Container::Compressed(compression) => {
            let command = advice::unwrap(compression, path);
            return Err(Error::Compressed { compression, command });
        }
        Container::Directory | Container::Blank | Container::Unknown => {
            let stranger = Stranger::of(&volume.content, path).map_err(Error::Io)?;
            if stranger.is_none() && container == Container::Blank {
                return Err(Error::NotWhole("its beginning is still empty".to_owned()));
            }
            return Err(Error::UnknownContainer(stranger));
        }
    };
    Ok((container, tree, omissions))
}

fn of_archive(error: io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::NotWhole(error.to_string()),
        _ => Error::Archive(error),
    }
}

/// Reads a document of a tree, at most `limit` bytes.
fn read(tree: &Tree, path: &str, limit: u64) -> Result<Vec<u8>, Error> {
    let stored = tree.get(path).ok_or_else(|| Error::NoFile(path.to_owned()))?;
    let content = stored.open().and_then(|content| content.read_all(limit));
    content.map_err(|source| Error::File { path: path.to_owned(), source })
}
