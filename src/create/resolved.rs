//! What came of resolving what is wanted: the images that are to be had, and why the others are not.

use std::collections::BTreeMap;

use crate::bundle;
use crate::copy;
use crate::imageset::record::Failed;
use crate::oci::{Digest, Reference};
use crate::plan::{Plan, image};
use crate::source::chain;

/// Why something wanted is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum Unresolved {
    /// The local file cannot be opened.
    #[error(transparent)]
    Open(#[from] bundle::Error),
    /// The local file belongs to what is not there, or not with what is.
    #[error("nothing can be taken of it: {0}")]
    Unfit(String),
    /// The local file has nothing of that name.
    #[error("it holds nothing named {0:?}")]
    NotThere(String),
    /// The local file has nothing at all.
    #[error("it holds no images")]
    Empty,
    /// Its source does not have it, or not all of it.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// Two sources have it, and not the same.
    #[error("two different images of that name are wanted")]
    Ambiguous,
    /// Its task was lost.
    #[error("cannot open it")]
    Lost(#[source] tokio::task::JoinError),
}

/// What came of resolving everything.
#[derive(Debug)]
pub(super) struct Resolved {
    /// The images that are to be had, in the order in which they are wanted.
    pub(super) images: Vec<Resolution>,
    /// What is not, and why, sorted.
    pub(super) failed: Vec<(String, Unresolved)>,
    /// How many were wanted.
    pub(super) total: usize,
}

/// One image that is to be had.
#[derive(Debug)]
pub(super) struct Resolution {
    /// What it was asked for by.
    pub(super) reference: Reference,
    /// Whether it comes from a registry.
    pub(super) is_remote: bool,
    /// All that belongs to it.
    pub(super) plan: Plan,
}

/// What is said of something that is not carried.
pub(super) fn failed(reference: String, error: &dyn std::error::Error) -> Failed {
    Failed { reference, reason: chain(error) }
}

impl Resolved {
    /// Leaves out the images that need a blob that could not be had; answers them and why.
    pub(super) fn leave_out(&mut self, lacking: &BTreeMap<Digest, copy::Error>) -> Vec<Failed> {
        let mut left_out = Vec::new();
        self.images.retain(|image| {
            let lacks = image.plan.blobs.keys().find_map(|digest| lacking.get(digest));
            left_out.extend(lacks.map(|error| failed(image.reference.to_string(), error)));
            lacks.is_none()
        });
        left_out
    }

    /// All that is to be carried.
    pub(super) fn plan(&self) -> Plan {
        let mut whole = Plan::default();
        for image in &self.images {
            whole.merge(&image.plan);
        }
        // A manifest may be another image's layer; it is here already.
        let Plan { manifests, blobs, .. } = &mut whole;
        blobs.retain(|digest, _| !manifests.contains_key(digest));
        whole
    }
}
