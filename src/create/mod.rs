//! Makes the next bundle of an imageset: what is wanted → plan → layout → copy → finished file,
//! then state.
//!
//! Everything is resolved before a byte of a layer is asked for; then each blob is written
//! straight to its final place. A bundle gets its name when all of it is on the disk, and the
//! state changes after that. A run that ends before leaves what it has for the next one.

mod assembly;
mod edition;
mod error;
mod estimate;
mod journal;
mod leftovers;
mod local;
mod moved;
mod origins;
mod resolved;
mod run;
mod split;
mod target;
mod unsaved;

use std::path::PathBuf;

use jiff::Timestamp;
use uuid::Uuid;

pub use error::Error;
pub use estimate::{Bundle, Estimate};
pub use moved::Moved;
pub use resolved::Unresolved;
pub use run::create;
pub use split::TooLarge;

use crate::imageset::record::Failed;
use crate::oci::Digest;
use crate::plan::Wanted;
use crate::plan::image::Referrers;

/// What bundle to make of what.
#[derive(Clone, Debug)]
pub struct Request {
    /// What the imageset consists of.
    pub images: Vec<Wanted>,
    /// The configuration that says so, to be carried along.
    pub config: Option<String>,
    /// The name of the imageset.
    pub name: String,
    /// The directory of the bundle.
    pub output: PathBuf,
    /// What it follows.
    pub follows: Follows,
    /// Whether what refers to an image is carried with it.
    pub referrers: Referrers,
    /// The size that no bundle may exceed, in bytes.
    pub archive_size: Option<u64>,
    /// How many transfers run at the same time.
    pub parallel: usize,
    /// When it is said to be made; now, if nothing is given.
    pub created: Option<Timestamp>,
    /// Whether what cannot be had is left out and recorded.
    pub keep_going: bool,
    /// Whether it is only said what would be made.
    pub dry_run: bool,
}

/// What a bundle follows.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Follows {
    /// The latest sequence that the state knows.
    #[default]
    Latest,
    /// This one: the later ones never arrived.
    Since(u64),
    /// Nothing: it is the first of a new imageset, whatever the state knows.
    Nothing,
}

/// Who is told how far it has come. Called from many threads.
pub trait Progress: Send + Sync + 'static {
    /// So many of the images are resolved.
    fn resolved(&self, done: usize, total: usize);
    /// So many bytes are to be copied; so many more are here from an earlier run.
    fn begin(&self, bytes: u64, kept: u64);
    /// So many bytes more were copied, or were wrong and are taken back.
    fn advance(&self, bytes: i64);
}

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    /// The next sequence.
    Created(Created),
    /// Nothing: a site that has everything up to the latest sequence would gain nothing.
    Unchanged {
        /// The latest sequence.
        sequence: u64,
        /// What was asked for and cannot be had.
        failed: Vec<Failed>,
    },
    /// It is known what would be made.
    Planned(Estimate),
}

/// A finished sequence.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Created {
    /// Where its bundles lie: one, or its parts in order.
    pub paths: Vec<PathBuf>,
    /// The digest of its record, or of that of its last part: its identity.
    pub digest: Digest,
    /// The id of its imageset.
    pub id: Uuid,
    /// Its sequence.
    pub sequence: u64,
    /// How many references it names.
    pub references: usize,
    /// How many blobs it carries, manifests included.
    pub blobs: usize,
    /// How many blobs it leaves to earlier sequences.
    pub needs: usize,
    /// The size of its files, in bytes.
    pub size: u64,
    /// What was asked for and is not carried.
    pub failed: Vec<Failed>,
    /// Tags that were given to another image meanwhile.
    pub moved: Vec<Moved>,
}
