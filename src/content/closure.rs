//! Which manifests can be used: those whose every need is here and undamaged.
//!
//! Clients choose a mirror by its manifest and then fail hard on a missing blob, so a
//! manifest that lacks something is not answered. The manifests that an index leaves out
//! are no lack: platforms are left out on purpose, and a client asks for its own only.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

use super::snapshot::Snapshot;
use crate::bundle::ContentIndex;
use crate::bundle::index::Ordinal;
use crate::oci::{Digest, Role};

/// The manifests of stacked bundles that cannot be used.
#[must_use]
pub fn unusable(snapshots: &[Arc<Snapshot>]) -> HashSet<Digest> {
    let intact = |digest: &Digest| {
        snapshots.iter().any(|snapshot| {
            let blob = snapshot.bundle().index.find(digest);
            blob.is_some_and(|blob| !snapshot.is_damaged(blob))
        })
    };
    let mut unusable = HashSet::new();
    let mut queue = VecDeque::new();
    for snapshot in snapshots.iter().filter(|snapshot| snapshot.damaged_count() > 0) {
        let damaged = snapshot.damaged().into_iter().map(|(digest, _)| digest);
        queue.extend(damaged.filter(|digest| !intact(digest)));
    }
    for snapshot in snapshots {
        let index = &snapshot.bundle().index;
        let mut childless = BTreeSet::new();
        for absent in index.absent().iter().filter(|absent| !intact(&absent.digest)) {
            match absent.role {
                Role::Config | Role::Layer => queue.extend(digest_of(index, absent.parent)),
                Role::Manifest => {
                    childless.insert(absent.parent);
                }
            }
        }
        for parent in with_children(index, &childless) {
            childless.remove(&parent);
        }
        queue.extend(childless.into_iter().filter_map(|parent| digest_of(index, parent)));
    }
    while let Some(digest) = queue.pop_front() {
        if !unusable.insert(digest.clone()) {
            continue;
        }
        for snapshot in snapshots {
            let index = &snapshot.bundle().index;
            let parents = index.find(&digest).into_iter().flat_map(|blob| index.parents(blob));
            queue.extend(parents.filter_map(|parent| digest_of(index, parent)));
        }
    }
    unusable
}

/// Whether a blob is one of `roots` or something they need.
#[must_use]
pub fn reaches(index: &ContentIndex, roots: &BTreeSet<Ordinal>, blob: Ordinal) -> bool {
    let mut seen = HashSet::from([blob]);
    let mut queue = VecDeque::from([blob]);
    while let Some(blob) = queue.pop_front() {
        if roots.contains(&blob) {
            return true;
        }
        queue.extend(index.parents(blob).filter(|parent| seen.insert(*parent)));
    }
    false
}

fn digest_of(index: &ContentIndex, blob: Ordinal) -> Option<Digest> {
    Some(index.blob(blob)?.0.clone())
}

/// Those of `parents` that have at least one child here.
fn with_children(index: &ContentIndex, parents: &BTreeSet<Ordinal>) -> Vec<Ordinal> {
    if parents.is_empty() {
        return Vec::new();
    }
    let blobs = index.blobs().iter().filter_map(|(digest, _)| index.find(digest));
    blobs.flat_map(|blob| index.parents(blob)).filter(|parent| parents.contains(parent)).collect()
}
