//! Manifests that only another bundle says are manifests.
//!
//! A bundle reads as manifests what its own names lead to. Of an imageset in sequences or
//! parts, the index of an image may lie in one bundle and a manifest of it in another, which
//! holds it as a mere blob until it is told. A sequence is told by the same one and by those
//! below only: what comes later must not change what it needs, and so whether it is complete.
//! The bundles of others have no order: they are told by one another.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::assembly::assemble;
use super::snapshot::Snapshot;
use crate::oci::{Digest, MediaType};

/// The sequence that bundles of others are taken to be.
const UNORDERED: u64 = 0;

/// Answers the same bundles, in each the manifests read that others of its imageset name.
///
/// Reads each such manifest once, which may wait for the disk; bundles without any stay the same.
#[must_use]
pub fn adopt(mut open: Vec<Arc<Snapshot>>) -> Vec<Arc<Snapshot>> {
    assemble(&mut open);
    // What is read may name more. Each round reads at least one that was not, or is the last.
    loop {
        let named = named(&open);
        let mut changed = false;
        for snapshot in &mut open {
            let (id, sequence) = place(snapshot);
            let index = &snapshot.bundle().index;
            let unread = |digest: &Digest| {
                index.find(digest).is_some_and(|blob| {
                    index.media_type(blob).is_none()
                        && !index.damaged().contains(&blob)
                        && !index.unreadable().contains(&blob)
                })
            };
            let named = named.get(&id).into_iter().flatten();
            let manifests = named
                .filter(|(digest, (by, _))| *by <= sequence && unread(digest))
                .map(|(digest, (_, media_type))| (digest.clone(), media_type.clone()));
            let manifests: Vec<_> = manifests.collect();
            if !manifests.is_empty() {
                *snapshot = Arc::new(snapshot.with_manifests(manifests));
                changed = true;
            }
        }
        if !changed {
            return open;
        }
    }
}

/// The imageset of a bundle and its sequence; no imageset if it is not one of ours.
fn place(snapshot: &Snapshot) -> (Option<Uuid>, u64) {
    let record = snapshot.bundle().edition.as_ref().map(|it| &it.record);
    record.map_or((None, UNORDERED), |record| (Some(record.id), record.sequence))
}

/// Manifests that are named and not held, each with the lowest sequence that names it.
type Named = HashMap<Digest, (u64, MediaType)>;

/// By imageset the manifests that its bundles name and do not hold themselves.
fn named(open: &[Arc<Snapshot>]) -> HashMap<Option<Uuid>, Named> {
    let mut named: HashMap<Option<Uuid>, Named> = HashMap::new();
    for snapshot in open {
        let (id, sequence) = place(snapshot);
        let index = &snapshot.bundle().index;
        let children = index.absent().iter();
        let children = children.filter_map(|it| Some((&it.digest, it.media_type.as_ref()?)));
        let roots = index.elsewhere().iter().map(|it| (&it.digest, &it.media_type));
        let of = named.entry(id).or_default();
        for (digest, media_type) in children.chain(roots) {
            let entry = of.entry(digest.clone());
            let (lowest, _) = entry.or_insert_with(|| (sequence, media_type.clone()));
            *lowest = sequence.min(*lowest);
        }
    }
    named
}
