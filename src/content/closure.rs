//! Which manifests can be used: those whose every need is here and undamaged.
//!
//! Clients choose a mirror by its manifest and then fail hard on a missing blob, so a
//! manifest that lacks something is not answered. The manifests that an index leaves out
//! are no lack: platforms are left out on purpose, and a client asks for its own only.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::sync::Arc;

use super::holdings::Holdings;
use super::snapshot::Snapshot;
use crate::bundle::ContentIndex;
use crate::bundle::index::Ordinal;
use crate::oci::{Digest, Name, Role};

/// The manifests of stacked bundles that cannot be used; `holdings` is what they hold.
#[must_use]
pub(super) fn unusable(snapshots: &[Arc<Snapshot>], holdings: &Holdings) -> HashSet<Digest> {
    let intact = |digest: &Digest| {
        let holders = holdings.of_digest(digest).filter_map(|place| snapshots.get(place));
        holders.into_iter().any(|snapshot| {
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
        let (mut childless, mut with_child) = (BTreeSet::new(), BTreeSet::new());
        for absent in index.absent() {
            match (absent.role, intact(&absent.digest)) {
                (Role::Config | Role::Layer, true) => {}
                (Role::Config | Role::Layer, false) => {
                    queue.extend(index.digest(absent.parent).cloned());
                }
                // Another bundle has it.
                (Role::Manifest, true) => drop(with_child.insert(absent.parent)),
                (Role::Manifest, false) => drop(childless.insert(absent.parent)),
            }
        }
        for parent in with_children(index, &childless).iter().chain(&with_child) {
            childless.remove(parent);
        }
        queue.extend(childless.into_iter().filter_map(|parent| index.digest(parent).cloned()));
    }
    while let Some(digest) = queue.pop_front() {
        if unusable.insert(digest.clone()) {
            queue.extend(parents(snapshots.iter(), &digest));
        }
    }
    unusable
}

/// Whether a digest is that of a root of one of these repositories, or of something that they
/// need, left out or not.
#[must_use]
pub fn reaches(snapshots: &[Arc<Snapshot>], names: &BTreeSet<Name>, digest: &Digest) -> bool {
    ascend(&snapshots.iter(), digest, |snapshot, place| {
        let held = snapshot.bundle().index.names();
        let repositories = names.iter().filter_map(|name| held.get(name));
        repositories.into_iter().any(|repository| repository.roots.contains(&place))
    })
}

/// The references that need a digest, whichever of the bundles name them, for messages.
#[must_use]
pub fn references(snapshots: &[&Arc<Snapshot>], digest: &Digest) -> BTreeSet<String> {
    let mut references = BTreeSet::new();
    ascend(&snapshots.iter().copied(), digest, |snapshot, place| {
        references.extend(snapshot.bundle().index.references(place));
        false
    });
    references
}

/// Goes from a digest up to whatever needs it, through all bundles, until `found` says so;
/// answers whether it did. Told are the places of each digest in the bundles that know it.
fn ascend<'a>(
    snapshots: &(impl Iterator<Item = &'a Arc<Snapshot>> + Clone),
    digest: &Digest,
    mut found: impl FnMut(&Snapshot, Ordinal) -> bool,
) -> bool {
    let mut seen = HashSet::from([digest.clone()]);
    let mut queue = VecDeque::from([digest.clone()]);
    while let Some(digest) = queue.pop_front() {
        for snapshot in snapshots.clone() {
            let place = snapshot.bundle().index.place(&digest);
            if place.is_some_and(|place| found(snapshot, place)) {
                return true;
            }
        }
        let parents = parents(snapshots.clone(), &digest);
        queue.extend(parents.filter(|parent| seen.insert(parent.clone())));
    }
    false
}

/// The manifests that need a digest directly.
fn parents<'a>(
    snapshots: impl Iterator<Item = &'a Arc<Snapshot>>,
    digest: &Digest,
) -> impl Iterator<Item = Digest> {
    snapshots.flat_map(move |snapshot| {
        let index = &snapshot.bundle().index;
        let here = index.find(digest).into_iter().flat_map(|blob| index.parents(blob));
        let parents = here.chain(index.absent_parents(digest));
        parents.filter_map(|parent| index.digest(parent).cloned())
    })
}

/// Those of `parents` that have at least one child here.
fn with_children(index: &ContentIndex, parents: &BTreeSet<Ordinal>) -> Vec<Ordinal> {
    if parents.is_empty() {
        return Vec::new();
    }
    let blobs = index.blobs().iter().filter_map(|(digest, _)| index.find(digest));
    blobs.flat_map(|blob| index.parents(blob)).filter(|parent| parents.contains(parent)).collect()
}
