//! Why no bundle was made.

use std::io;
use std::path::PathBuf;

use super::moved::Moved;
use super::resolved::Unresolved;
use super::split::TooLarge;
use crate::bundle::squashfs;
use crate::copy;
use crate::imageset::record::{self, Failed};
use crate::oci::{self, Reference};
use crate::state;

/// Why no bundle was made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is one already.
    #[error("{0:?} exists already")]
    Exists(PathBuf),
    /// Nothing was asked for, or nothing of it is to be had.
    #[error("there is nothing to carry")]
    Nothing {
        /// What was asked for and is not to be had.
        failed: Vec<Failed>,
    },
    /// Images cannot be resolved.
    #[error("{} of {total} images cannot be resolved", failed.len())]
    Images {
        /// Which, and why.
        failed: Vec<(String, Unresolved)>,
        /// Of how many.
        total: usize,
    },
    /// A sequence to go on from that the state does not know.
    #[error("there is no sequence {wanted} to go on from: the state knows up to {latest}")]
    Since {
        /// The sequence to go on from.
        wanted: u64,
        /// The latest one that the state knows; 0 if there is none.
        latest: u64,
    },
    /// A blob that is larger than a bundle may be.
    #[error("cannot split the bundle: {needed_by} needs what does not fit")]
    TooLarge {
        /// Who needs it.
        needed_by: String,
        /// Which blob.
        source: TooLarge,
    },
    /// The disk has not enough space.
    #[error("cannot write to {output:?}: {needed} bytes are needed, {free} are free")]
    Full {
        /// The directory of the bundle.
        output: PathBuf,
        /// How many bytes it needs.
        needed: u64,
        /// How many there are.
        free: u64,
    },
    /// A blob was not copied.
    #[error("cannot copy what {needed_by} needs")]
    Copy {
        /// Who needs it.
        needed_by: Box<Reference>,
        /// Whether what was copied stays for the next run.
        kept: bool,
        /// Why.
        source: copy::Error,
    },
    /// A tag was given to another image, and what it was before is gone.
    #[error("{} was given to another image meanwhile: it was {}, now it is {}", .0.reference, .0.carried, .0.now)]
    Moved(Box<Moved>),
    /// The index would be longer than what is read of one.
    #[error(
        "cannot name {references} references in one imageset: the index would have {size} bytes, \
         at most {limit} are read"
    )]
    Index {
        /// How many are wanted.
        references: usize,
        /// How long the index would be, in bytes.
        size: u64,
        /// How long it may be.
        limit: u64,
    },
    /// The content cannot be laid out as an image.
    #[error("cannot lay out the bundle")]
    Layout(#[from] squashfs::layout::Error),
    /// The bundle cannot be written.
    #[error(transparent)]
    Write(#[from] squashfs::writer::Error),
    /// The directory cannot be used.
    #[error("cannot use {path:?}")]
    Output {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A document of the bundle cannot be made.
    #[error("cannot make the documents of the bundle")]
    Document(#[from] oci::Error),
    /// The record of the bundle cannot be made.
    #[error("cannot make the record of the bundle")]
    Record(#[from] record::Error),
    /// The state cannot be read or changed.
    #[error(transparent)]
    State(#[from] state::Error),
    /// The state cannot be as it would have to be.
    #[error("cannot go on from the state")]
    Follow(#[from] state::DocumentError),
}
