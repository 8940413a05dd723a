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

use serde::Deserialize;

use super::hauler;
use super::index::Root;
use super::tree::{Stored, Tree};
use super::{Error, Meaning, Problem, Understood, docker};
use crate::oci::{self, Algorithm, Descriptor, Digest, INDEX_FILE, LAYOUT_FILE, Name};

/// The longest `index.json` read, in bytes: some hundred thousand references.
pub const MAX_INDEX_SIZE: u64 = 32 << 20;

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
    let index = entries(&super::read(tree, &format!("{prefix}{INDEX_FILE}"), MAX_INDEX_SIZE)?)?;
    let own = stem.map(|stem| Name { registry: None, repository: stem.clone() });
    let (mut roots, mut problems) = (Vec::new(), Vec::new());
    name(index, own.as_ref(), &mut roots, &mut problems);
    let mut blobs = blobs(tree, prefix);
    let beside = docker::beside::understand(tree, &roots);
    blobs.extend(beside.blobs);
    roots.extend(beside.roots);
    problems.extend(beside.problems);
    Ok(Understood { meaning: Meaning::Layout, blobs, roots, problems })
}

/// An entry of an `index.json`, without the annotations: what they say of it is known.
#[derive(Debug, Deserialize)]
#[serde(from = "Descriptor")]
pub(super) struct Entry {
    named: oci::Root,
    /// What hauler says of it.
    label: Option<Box<hauler::Label>>,
    descriptor: Descriptor,
}

impl From<Descriptor> for Entry {
    fn from(descriptor: Descriptor) -> Self {
        let named = oci::Root::of(&descriptor);
        let label = hauler::Label::of(&descriptor).map(Box::new);
        let Descriptor { media_type, digest, size, .. } = descriptor;
        Self { named, label, descriptor: Descriptor::new(media_type, digest, size) }
    }
}

/// Reads the entries of an `index.json`.
///
/// # Errors
///
/// When it is none.
pub(super) fn entries(bytes: &[u8]) -> Result<Vec<Entry>, oci::Error> {
    Ok(oci::Index::parse(bytes)?.manifests)
}

/// Names the entries of an index; `own` is the repository of those that name none.
pub(super) fn name(
    entries: Vec<Entry>,
    own: Option<&Name>,
    roots: &mut Vec<Root>,
    problems: &mut Vec<Problem>,
) {
    let labelled =
        entries.iter().filter_map(|it| Some((it.label.as_deref()?, &it.descriptor.digest)));
    let images = hauler::Images::of(labelled);
    roots.reserve_exact(entries.len());
    for Entry { named, label, descriptor } in entries {
        let nowhere = |repository: oci::Repository| Name { registry: None, repository };
        let (name, tag) = match (named, own) {
            (oci::Root::Full(reference), _) => (reference.name(), reference.tag),
            (oci::Root::Path(repository, tag), _) => (nowhere(repository), tag),
            (oci::Root::Tag(tag), Some(own)) => (own.clone(), Some(tag)),
            (oci::Root::Nameless, Some(own)) => (own.clone(), None),
            (oci::Root::Tag(_) | oci::Root::Nameless, None) => {
                problems.push(Problem::Nameless { digest: descriptor.digest });
                continue;
            }
        };
        let tag = match label {
            Some(label) => images.tag(&label, tag),
            None => tag,
        };
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
