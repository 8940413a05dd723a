//! A bundle file and the formats it may have.
//!
//! Synchronous and by position: nothing here names HTTP or is async.
//! A container (directory, tar, squashfs) becomes a [`tree::Tree`] of files;
//! what the tree means (an OCI layout, a registry's storage, a docker-archive) becomes a
//! [`ContentIndex`].
//! A new container is an arm in [`contain`], a new meaning an arm in [`understand`].

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
use std::path::{Path, PathBuf};

pub use glance::{is_bundle_directory, telltales};
pub use index::ContentIndex;

use crate::imageset::record;
use crate::oci::{self, Digest};
use edition::Edition;
use format::{Compression, Container};
use index::Roots;
use stranger::Stranger;
use tree::Tree;
use zstd::Indexes;

/// How many files are shown of what is no bundle, and how much of their names.
const SHOWN: usize = 3;
const SHOWN_LENGTH: usize = 60;

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

/// What a bundle was recognised as.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Format {
    /// How its files are kept.
    pub container: Container,
    /// What they mean.
    pub meaning: Meaning,
}

/// What the files of a container mean.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Meaning {
    /// A bundle of ours: an OCI image layout with an imageset record.
    Bundle,
    /// An OCI image layout.
    Layout,
    /// The storage of distribution's registry.
    Storage,
    /// A file of an archive of oc-mirror v2.
    Mirror,
    /// A file of an archive of oc-mirror v1.
    MirrorV1,
    /// A docker-archive.
    Docker,
    /// A tar of imgpkg.
    Imgpkg,
    /// Directories that skopeo wrote.
    Skopeo,
    /// An image cache of Talos.
    Talos,
    /// A directory that `oc image mirror` wrote.
    ImageMirror,
    /// OCI image layouts, one for each repository.
    Layouts,
}

impl Meaning {
    /// Whether what it names may be held by other bundles.
    fn roots(self) -> Roots {
        match self {
            // Of a registry's storage, too, a part may be carried.
            Self::Bundle | Self::Storage | Self::Mirror | Self::MirrorV1 => Roots::Elsewhere,
            Self::Layout
            | Self::Docker
            | Self::Imgpkg
            | Self::Skopeo
            | Self::Talos
            | Self::ImageMirror
            | Self::Layouts => Roots::Here,
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let container = match self.container {
            Container::Directory => "directory",
            Container::Squashfs => "squashfs",
            Container::Tar => "tar",
            Container::Zstd => "tar in zstd",
            Container::Compressed(_) | Container::Blank | Container::Unknown => "file",
        };
        let meaning = match self.meaning {
            Meaning::Bundle => "bundle",
            Meaning::Layout => "OCI layout",
            Meaning::Storage => "registry storage",
            Meaning::Mirror => "oc-mirror v2 archive",
            Meaning::MirrorV1 => "oc-mirror v1 archive",
            Meaning::Docker => "docker-archive",
            Meaning::Imgpkg => "imgpkg archive",
            Meaning::Skopeo => "skopeo directories",
            Meaning::Talos => "Talos image cache",
            Meaning::ImageMirror => "oc image mirror directory",
            Meaning::Layouts => "OCI layouts",
        };
        write!(f, "{meaning} ({container})")
    }
}

/// Why a file cannot be opened as a bundle.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read it")]
    Io(#[source] io::Error),
    /// It ends before its content does: it was cut, or is still being copied.
    #[error("it is not whole: {0}")]
    NotWhole(String),
    /// It is compressed as a whole.
    #[error("it is compressed with {}; `{command}` unwraps it", compression.name())]
    Compressed {
        /// How.
        compression: Compression,
        /// What unwraps it.
        command: String,
    },
    /// It is a part of this file.
    #[error("it is a part of {0:?}: name that one")]
    Part(PathBuf),
    /// It is in parts and of a kind that is read as one file.
    #[error("it is a squashfs image in parts; `cat` joins them")]
    Parts,
    /// It is in zstd frames that are not read in place.
    #[error("it cannot be served in place; {advice}")]
    NotInPlace {
        /// What can be done about it.
        advice: String,
        /// Why not.
        source: zstd::Error,
    },
    /// It is in zstd frames that cannot be read.
    #[error(transparent)]
    Zstd(zstd::Error),
    /// It is nothing that can be served; perhaps something else that is known.
    #[error("it is neither a squashfs image, a tar archive nor a directory")]
    UnknownContainer(#[source] Option<Stranger>),
    /// It is a container of something else.
    #[error(
        "its files ({0}) are no OCI layout, no registry storage, no docker-archive and nothing else \
         that tools keep images in"
    )]
    UnknownMeaning(String),
    /// It is an OCI layout of nothing but an image that a cache of Talos is packed into.
    #[error(
        "it is an image cache of Talos packed into one layer; \
         `talosctl image cache-create --layout=flat` makes one that can be served"
    )]
    PackedCache,
    /// It is a broken squashfs image.
    #[error(transparent)]
    Squashfs(#[from] squashfs::Error),
    /// It is a broken tar archive.
    #[error("its tar headers are broken")]
    Archive(#[source] io::Error),
    /// A file that its format demands is missing.
    #[error("it has no {0:?}")]
    NoFile(String),
    /// A file of it cannot be read.
    #[error("cannot read its {path:?}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A document of it is not what it should be.
    #[error(transparent)]
    Document(#[from] oci::Error),
    /// Its docker-archive manifest is not what it should be.
    #[error("its {path:?} is no docker-archive document")]
    Docker {
        /// Which.
        path: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Its list of images is not what imgpkg writes.
    #[error("its {path:?} is no imgpkg document")]
    Imgpkg {
        /// Which.
        path: String,
        /// Why.
        source: serde_json::Error,
    },
    /// It is an archive of docker before 1.10, which has no configurations.
    #[error("it was saved by docker before 1.10; load it into a later one and save it again")]
    Ancient,
    /// Its imageset record is not what it should be.
    #[error(transparent)]
    Record(#[from] record::Error),
    /// It is not what its imageset record says.
    #[error("its {path:?} is not what {} says: {found}, should be {expected}", record::RECORD_FILE)]
    Altered {
        /// Which file.
        path: String,
        /// What was recorded.
        expected: String,
        /// What is there.
        found: String,
    },
    /// It holds more than an index can.
    #[error("it has {0} blobs, more than can be indexed")]
    TooMany(usize),
}

/// What is wrong with a bundle that can be used otherwise.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Problem {
    /// Bytes do not have the digest that names them.
    #[error("{digest} is damaged{}", offset.map_or_else(String::new, |at| format!(", at byte {at}")))]
    Damaged {
        /// The name.
        digest: Digest,
        /// Where in the file they begin, where that can be said.
        offset: Option<u64>,
    },
    /// What should be a manifest cannot be read as one.
    #[error("{digest} cannot be read as a manifest: {reason}")]
    Unreadable {
        /// Its digest.
        digest: Digest,
        /// Why not.
        reason: String,
    },
    /// It is named but not there.
    #[error("{reference} is named, but its manifest {digest} is not there")]
    MissingRoot {
        /// The manifest.
        digest: Digest,
        /// Its name.
        reference: String,
    },
    /// One name, two contents; the first counts.
    #[error("{reference} is named twice; {digest} does not count")]
    Duplicate {
        /// The name.
        reference: String,
        /// The content that does not count.
        digest: Digest,
    },
    /// Nothing says under which name it is to be served.
    #[error("{digest} has no name")]
    Nameless {
        /// Its digest.
        digest: Digest,
    },
    /// An image that is to be made of files of the bundle is not.
    #[error("no image is made of {reference}: {reason}")]
    NotMade {
        /// What it would be called, or where the files lie.
        reference: String,
        /// Why not.
        reason: String,
    },
    /// It is an image of which only its one layer holds images.
    #[error(
        "{digest} is an image cache of Talos packed into one layer, whose images are not served; \
         `talosctl image cache-create --layout=flat` makes one that can be"
    )]
    PackedCache {
        /// Its digest.
        digest: Digest,
    },
    /// An image of an archive that has no manifests cannot be given one.
    #[error("{image} is not served: {reason}")]
    Unserved {
        /// What the archive calls it.
        image: String,
        /// Why.
        reason: String,
    },
    /// What an archive says that an image is called is no name.
    #[error("{name:?} is no name for {image}: {reason}")]
    Misnamed {
        /// What it is called.
        name: String,
        /// The image.
        image: String,
        /// Why.
        reason: String,
    },
    /// There is more to tell than anybody reads.
    #[error("it has more problems than these")]
    More,
    /// A file of the container was left out.
    #[error("{path:?} is left out: {reason}")]
    Omitted {
        /// Its path.
        path: String,
        /// Why.
        reason: &'static str,
    },
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

impl Problem {
    /// The digest of what is damaged, if that is the problem.
    fn damaged(&self) -> Option<Digest> {
        let Self::Damaged { digest, .. } = self else { return None };
        Some(digest.clone())
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
    let edition = edition::find(&tree, verify)?;
    let (understood, archive_v1) = if !layout::recognise(&tree) && mirror_v1::recognise(&tree, path)
    {
        // The metadata says what a tag means, be the manifest in this file or not.
        problems.retain(|it| !mirror_v1::is_mere_link(it));
        let (understood, archive) = mirror_v1::understand(&tree)?;
        (understood, Some(archive))
    } else {
        (understand(&tree, path, edition.is_some())?, None)
    };
    let damaged: Vec<Digest> = understood.problems.iter().filter_map(Problem::damaged).collect();
    problems.extend(understood.problems);
    let meaning = understood.meaning;
    let (mut index, more) =
        index::build(understood.blobs, understood.roots, meaning.roots(), verify)?;
    index.take_damaged(&damaged);
    if matches!(meaning, Meaning::Storage | Meaning::Mirror | Meaning::Layouts) {
        index.keep_outermost_roots();
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

/// What the files of a container were understood as.
struct Understood {
    meaning: Meaning,
    blobs: Vec<(Digest, tree::Stored)>,
    roots: Vec<index::Root>,
    problems: Vec<Problem>,
}

fn understand(tree: &Tree, path: &Path, ours: bool) -> Result<Understood, Error> {
    let stem = stem(path);
    if layout::recognise(tree) {
        let mut layout = layout::understand(tree, stem.as_ref())?;
        if ours {
            layout.meaning = Meaning::Bundle;
        }
        return Ok(layout);
    }
    if mirror::recognise(tree, path) {
        return mirror::understand(tree);
    }
    if storage::recognise(tree) {
        return storage::understand(tree);
    }
    if skopeo::recognise(tree) {
        return skopeo::understand(tree, stem.as_ref());
    }
    if imgpkg::recognise(tree) {
        return imgpkg::understand(tree);
    }
    if docker::recognise(tree) {
        return docker::understand(tree, stem.as_ref());
    }
    if talos::recognise(tree) {
        return talos::understand(tree);
    }
    if image_mirror::recognise(tree) {
        return image_mirror::understand(tree);
    }
    if layouts::recognise(tree) {
        return layouts::understand(tree);
    }
    if docker::is_ancient(tree) {
        return Err(Error::Ancient);
    }
    Err(Error::UnknownMeaning(shown(tree)))
}

/// How many files there are, and the first of them.
fn shown(tree: &Tree) -> String {
    let mut text = tree.len().to_string();
    for (number, (path, _)) in tree.below("").take(SHOWN).enumerate() {
        let short: String = path.chars().take(SHOWN_LENGTH).collect();
        let before = if number == 0 { ": " } else { ", " };
        text.push_str(&format!("{before}{short:?}"));
    }
    if tree.len() > SHOWN { text + ", …" } else { text }
}

/// How many problems are told of what one document lists: a hostile one lists a million.
const MAX_TOLD: usize = 1000;

/// Adds a problem, if there are not too many yet.
fn tell(problems: &mut Vec<Problem>, problem: Problem) {
    match problems.len() {
        0..MAX_TOLD => problems.push(problem),
        MAX_TOLD => problems.push(Problem::More),
        _ => {}
    }
}

/// Reads a document of a tree, at most `limit` bytes.
fn read(tree: &Tree, path: &str, limit: u64) -> Result<Vec<u8>, Error> {
    let stored = tree.get(path).ok_or_else(|| Error::NoFile(path.to_owned()))?;
    let content = stored.open().and_then(|content| content.read_all(limit));
    content.map_err(|source| Error::File { path: path.to_owned(), source })
}

/// The repository that nameless content of a file belongs to: the file's own name.
fn stem(path: &Path) -> Option<oci::Repository> {
    let name = parts::whole(path.file_name()?.to_str()?).to_ascii_lowercase();
    let name = name.strip_suffix(".zst").unwrap_or(&name);
    let endings = [".sqfs", ".squashfs", ".tar", ".oci"];
    let stem = endings.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    stem.parse().ok()
}
