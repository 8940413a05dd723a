//! An OCI image layout, wherever it lies, as an index of content.
//!
//! ```text
//! oci-layout
//! index.json
//! blobs/<algorithm>/<hex>
//! ```
//!
//! A package of zarf has one in `images/`, beside its `zarf.yaml`; a haul has no `oci-layout`.
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>

use super::hauler;
use super::index::Root;
use super::tree::{Stored, Tree};
use super::{Error, Meaning, Problem, Understood, docker};
use crate::oci::{self, Algorithm, Digest, INDEX_FILE, LAYOUT_FILE, Name};

/// The longest `index.json` read, in bytes: some hundred thousand references.
pub(super) const MAX_INDEX_SIZE: u64 = 32 << 20;

/// The directory of the layout in a package of zarf, and the file that says that it is one.
const ZARF: (&str, &str) = ("images/", "zarf.yaml");

/// Whether a tree is an OCI layout (some writers leave `oci-layout` out), or has one as zarf does.
#[must_use]
pub fn recognise(tree: &Tree) -> bool {
    prefix(tree).is_some()
}

/// What the paths of the layout in a tree begin with.
fn prefix(tree: &Tree) -> Option<&'static str> {
    let (images, package) = ZARF;
    let prefix = if tree.get(package).is_some() { images } else { "" };
    is_at(tree, prefix).then_some(prefix)
}

/// Whether there is one in a directory of a tree, named with the slash at its end.
pub(super) fn is_at(tree: &Tree, directory: &str) -> bool {
    let has = |name: &str| tree.get(&format!("{directory}{name}")).is_some();
    has(INDEX_FILE)
        && (has(LAYOUT_FILE) || tree.below(&format!("{directory}blobs/")).next().is_some())
}

/// Reads the names in `index.json` and which blobs there are.
///
/// An entry that says only its tag belongs to the repository `stem`, if that is a name.
///
/// # Errors
///
/// When `index.json` is missing or is not the index of a layout.
pub(super) fn understand(tree: &Tree, stem: Option<&oci::Repository>) -> Result<Understood, Error> {
    let prefix = prefix(tree).unwrap_or_default();
    let bytes = super::read(tree, &format!("{prefix}{INDEX_FILE}"), MAX_INDEX_SIZE)?;
    let own = stem.map(|stem| Name { registry: None, repository: stem.clone() });
    let (mut roots, mut problems) = (Vec::new(), Vec::new());
    name(&oci::Index::parse(&bytes)?, own.as_ref(), &mut roots, &mut problems);
    let mut blobs = blobs(tree, prefix);
    let beside = docker::beside::understand(tree, &roots);
    blobs.extend(beside.blobs);
    roots.extend(beside.roots);
    problems.extend(beside.problems);
    Ok(Understood { meaning: Meaning::Layout, blobs, roots, problems })
}

/// Names the entries of an index; `own` is the repository of those that name none.
pub(super) fn name(
    index: &oci::Index,
    own: Option<&Name>,
    roots: &mut Vec<Root>,
    problems: &mut Vec<Problem>,
) {
    let images = hauler::Images::of(&index.manifests);
    for descriptor in index.manifests.iter().cloned() {
        let nowhere = |repository: oci::Repository| Name { registry: None, repository };
        let (name, tag) = match (oci::Root::of(&descriptor), own) {
            (oci::Root::Full(reference), _) => (reference.name(), reference.tag),
            (oci::Root::Path(repository, tag), _) => (nowhere(repository), tag),
            (oci::Root::Tag(tag), Some(own)) => (own.clone(), Some(tag)),
            (oci::Root::Nameless, Some(own)) => (own.clone(), None),
            (oci::Root::Tag(_) | oci::Root::Nameless, None) => {
                problems.push(Problem::Nameless { digest: descriptor.digest });
                continue;
            }
        };
        let tag = images.tag(&descriptor, tag);
        roots.push(Root { name, tag, descriptor });
    }
}

/// The blobs of a layout in a directory, by the digests that their names say.
pub(super) fn blobs(tree: &Tree, directory: &str) -> Vec<(Digest, Stored)> {
    let mut blobs = Vec::new();
    for algorithm in Algorithm::ALL {
        let prefix = format!("{directory}blobs/{}/", algorithm.name());
        for (path, stored) in tree.below(&prefix) {
            let hex = path.strip_prefix(&prefix).unwrap_or_default();
            if let Ok(digest) = format!("{}:{hex}", algorithm.name()).parse() {
                blobs.push((digest, stored.clone()));
            }
        }
    }
    blobs
}
