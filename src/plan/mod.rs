//! From what a user wants to carry to the list of content to copy.
//!
//! Planners reach nothing by themselves: all they know comes through a [`crate::source::Source`].
//! Images are planned here; release images, operator catalogs and charts will each be a file
//! beside [`image`]. What is wanted, [`wanted`] says.

pub mod additional;
pub mod image;
pub mod wanted;

use std::collections::{BTreeMap, BTreeSet};

use crate::oci::{Descriptor, Digest, Name, Reference};
use crate::source::Document;

pub use wanted::Wanted;

/// What to carry.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// What a single image resolved to; nothing in a plan of many.
    pub root: Option<Digest>,
    /// The images and artifacts, by the references they are carried under.
    pub roots: BTreeMap<Reference, Descriptor>,
    /// Every manifest, by its digest.
    pub manifests: BTreeMap<Digest, Document>,
    /// Every other blob, by its digest.
    pub blobs: BTreeMap<Digest, Blob>,
    /// Manifests that an index names and its source leaves out.
    pub sparse: BTreeSet<Digest>,
}

/// A blob to carry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Blob {
    /// How many bytes it has, as the manifest says that needs it.
    pub size: u64,
    /// The repository to read it from.
    pub name: Name,
    /// Which of the sources it comes from.
    pub origin: usize,
    /// A reference that needs it, for messages.
    pub needed_by: Reference,
}

impl Plan {
    /// Whether a name means the same in another plan.
    #[must_use]
    pub fn agrees(&self, other: &Self) -> bool {
        other.roots.iter().all(|(reference, theirs)| {
            self.roots.get(reference).is_none_or(|ours| ours.digest == theirs.digest)
        })
    }

    /// Adds what another plan carries; what both carry is carried once.
    pub fn merge(&mut self, other: &Self) {
        self.roots.extend(other.roots.clone());
        self.manifests.extend(other.manifests.clone());
        self.sparse.extend(other.sparse.clone());
        for (digest, blob) in &other.blobs {
            self.blobs.entry(digest.clone()).or_insert_with(|| blob.clone());
        }
    }
}
