//! The references of a bundle, and the sizes of what they name.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::bundle::ContentIndex;
use crate::bundle::index::Ordinal;
use crate::oci::Digest;

/// One reference.
#[derive(Serialize)]
pub(super) struct Reference {
    pub(super) reference: String,
    pub(super) digest: Digest,
    /// Whether its manifest is in this bundle, not in another one of the imageset.
    pub(super) here: bool,
    /// The bytes of everything it needs that is here.
    pub(super) bytes: u64,
}

/// The references of a bundle: tags, and digests that no tag names.
pub(super) fn references(index: &ContentIndex) -> Vec<Reference> {
    let children = Children::of(index);
    let mut references = Vec::new();
    for (name, repository) in index.names() {
        let tags = repository.tags.iter().map(|(tag, place)| (*place, Some(tag)));
        for (place, tag) in tags.chain(repository.untagged().map(|place| (place, None))) {
            let Some(digest) = index.digest(place) else { continue };
            let reference = match tag {
                Some(tag) => format!("{name}:{tag}"),
                None => format!("{name}@{digest}"),
            };
            let here = index.blob(place).is_some();
            let bytes = children.size(index, place);
            references.push(Reference { reference, digest: digest.clone(), here, bytes });
        }
    }
    references
}

/// What each manifest needs directly.
struct Children(HashMap<Ordinal, Vec<Ordinal>>);

impl Children {
    fn of(index: &ContentIndex) -> Self {
        let mut children = HashMap::<_, Vec<_>>::new();
        for (blob, _) in (0..).zip(index.blobs()) {
            for parent in index.parents(blob) {
                children.entry(parent).or_default().push(blob);
            }
        }
        Self(children)
    }

    /// The bytes of a manifest and of everything that it needs, each counted once.
    fn size(&self, index: &ContentIndex, manifest: Ordinal) -> u64 {
        let mut seen = HashSet::from([manifest]);
        let mut queue = vec![manifest];
        let mut total = 0u64;
        while let Some(blob) = queue.pop() {
            let length = index.blob(blob).map_or(0, |(_, stored)| stored.length());
            total = total.saturating_add(length);
            let children = self.0.get(&blob).into_iter().flatten();
            queue.extend(children.filter(|child| seen.insert(**child)));
        }
        total
    }
}
