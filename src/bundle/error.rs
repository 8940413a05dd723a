//! Why a bundle cannot be opened, and what may be wrong with one that can.

use std::io;
use std::path::PathBuf;

use super::format::Compression;
use super::stranger::Stranger;
use super::{squashfs, zstd};
use crate::imageset::record;
use crate::oci::{self, Digest};

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

impl Problem {
    /// The digest of what is damaged, if that is the problem.
    pub(super) fn damaged(&self) -> Option<Digest> {
        let Self::Damaged { digest, .. } = self else { return None };
        Some(digest.clone())
    }
}

/// How many problems are told of what one document lists: a hostile one lists a million.
const MAX_TOLD: usize = 1000;

/// Adds a problem, if there are not too many yet.
pub(super) fn tell(problems: &mut Vec<Problem>, problem: Problem) {
    match problems.len() {
        0..MAX_TOLD => problems.push(problem),
        MAX_TOLD => problems.push(Problem::More),
        _ => {}
    }
}
