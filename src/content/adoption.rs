//! Manifests that only another bundle says are manifests.
//!
//! A bundle reads as manifests what its own names lead to. Of an imageset in sequences or
//! parts, the index of an image may lie in one bundle and a manifest of it in another, which
//! holds it as a mere blob until it is told. A sequence is told by the same one and by those
//! below only: what comes later must not change what it needs, and so whether it is complete.
//! The bundles of others have no order: they are told by one another.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use uuid::Uuid;

use super::assembly::assemble;
use super::holdings::Holdings;
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
    let holdings = Holdings::of(&open);
    // What is read may name more. Each round reads at least one that was not, or is the last.
    loop {
        let mut unread: BTreeMap<usize, Vec<(Digest, MediaType)>> = BTreeMap::new();
        for (id, named) in named(&open) {
            for (digest, (by, media_type)) in named {
                let holds = |at: &usize| {
                    open.get(*at).is_some_and(|snapshot| {
                        let (of, sequence) = place(snapshot);
                        of == id && by <= sequence && is_unread(snapshot, &digest)
                    })
                };
                for at in holdings.of_digest(&digest).filter(holds) {
                    unread.entry(at).or_default().push((digest.clone(), media_type.clone()));
                }
            }
        }
        if unread.is_empty() {
            return open;
        }
        for (at, manifests) in unread {
            if let Some(snapshot) = open.get_mut(at) {
                *snapshot = Arc::new(snapshot.with_manifests(manifests));
            }
        }
    }
}

/// Whether a bundle holds a blob that it has not read as a manifest.
fn is_unread(snapshot: &Snapshot, digest: &Digest) -> bool {
    let index = &snapshot.bundle().index;
    index.find(digest).is_some_and(|blob| {
        index.media_type(blob).is_none()
            && !index.damaged().contains(&blob)
            && !index.unreadable().contains(&blob)
    })
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
