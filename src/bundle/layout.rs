//! An OCI image layout, wherever it lies, as an index of content.
//!
//! ```text
//! oci-layout
//! index.json
//! blobs/<algorithm>/<hex>
//! ```
//!
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>

use super::index::Root;
use super::tree::{Stored, Tree};
use super::{Error, Meaning, Problem, Understood};
use crate::oci::{self, Algorithm, Digest, INDEX_FILE, LAYOUT_FILE, Name};

/// The longest `index.json` read, in bytes: some hundred thousand references.
const MAX_INDEX_SIZE: u64 = 32 << 20;

/// Whether a tree is an OCI layout (some writers leave `oci-layout` out).
#[must_use]
pub fn recognise(tree: &Tree) -> bool {
    tree.get(INDEX_FILE).is_some()
        && (tree.get(LAYOUT_FILE).is_some() || tree.below("blobs/").next().is_some())
}

/// Reads the names in `index.json` and which blobs there are.
///
/// An entry that says only its tag belongs to the repository `stem`, if that is a name.
///
/// # Errors
///
/// When `index.json` is missing or is not the index of a layout.
pub(super) fn understand(tree: &Tree, stem: Option<&oci::Repository>) -> Result<Understood, Error> {
    let bytes = super::read(tree, INDEX_FILE, MAX_INDEX_SIZE)?;
    let index = oci::Index::parse(&bytes)?;
    let mut roots = Vec::with_capacity(index.manifests.len());
    let mut problems = Vec::new();
    for descriptor in index.manifests {
        let nowhere = |repository: oci::Repository| Name { registry: None, repository };
        let (name, tag) = match (oci::Root::of(&descriptor), stem) {
            (oci::Root::Full(reference), _) => (reference.name(), reference.tag),
            (oci::Root::Path(repository, tag), _) => (nowhere(repository), tag),
            (oci::Root::Tag(tag), Some(stem)) => (nowhere(stem.clone()), Some(tag)),
            (oci::Root::Nameless, Some(stem)) => (nowhere(stem.clone()), None),
            (oci::Root::Tag(_) | oci::Root::Nameless, None) => {
                problems.push(Problem::Nameless { digest: descriptor.digest });
                continue;
            }
        };
        roots.push(Root { name, tag, descriptor });
    }
    Ok(Understood { meaning: Meaning::Layout, blobs: blobs(tree), roots, problems })
}

/// The blobs of a layout, by the digests that their names say.
fn blobs(tree: &Tree) -> Vec<(Digest, Stored)> {
    let mut blobs = Vec::new();
    for algorithm in Algorithm::ALL {
        let prefix = format!("blobs/{}/", algorithm.name());
        for (path, stored) in tree.below(&prefix) {
            let hex = path.strip_prefix(&prefix).unwrap_or_default();
            if let Ok(digest) = format!("{}:{hex}", algorithm.name()).parse() {
                blobs.push((digest, stored.clone()));
            }
        }
    }
    blobs
}
