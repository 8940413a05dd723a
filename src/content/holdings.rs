//! Which of many bundles hold a digest, without asking each of them.
//!
//! A few bundles are asked one after the other, each by a binary search. Of more, a table of all
//! their blobs tells which to ask, so that neither stacking a hundred nor answering from them
//! costs a hundred times as much as one.

use std::sync::Arc;

use super::snapshot::Snapshot;
use crate::oci::Digest;

/// So many bundles are asked one after the other.
const FEW: usize = 4;

/// What bundles hold, each known by its place in a list.
#[derive(Debug)]
pub(super) struct Holdings {
    /// How many bundles are asked without looking into the table.
    few: usize,
    /// The beginning of each digest and the place of a bundle that has it, sorted: eight bytes for
    /// a blob.
    table: Box<[(u32, u32)]>,
}

impl Holdings {
    /// What these bundles hold.
    pub(super) fn of(snapshots: &[Arc<Snapshot>]) -> Self {
        if snapshots.len() <= FEW {
            return Self { few: snapshots.len(), table: Box::default() };
        }
        let blobs = snapshots.iter().map(|it| it.bundle().index.blobs().len()).sum();
        let mut table = Vec::with_capacity(blobs);
        for (place, snapshot) in (0..).zip(snapshots) {
            let digests = snapshot.bundle().index.blobs().iter();
            table.extend(digests.map(|(digest, _)| (digest.beginning(), place)));
        }
        table.sort_unstable();
        table.dedup();
        Self { few: 0, table: table.into() }
    }

    /// The places of the bundles that may hold a digest, the lowest first; no other one does.
    pub(super) fn of_digest(&self, digest: &Digest) -> impl Iterator<Item = usize> + Clone {
        let beginning = digest.beginning();
        let from = self.table.partition_point(|(it, _)| *it < beginning);
        let found = self.table.get(from..).unwrap_or_default().iter();
        let found = found.take_while(move |(it, _)| *it == beginning);
        (0..self.few).chain(found.filter_map(|(_, place)| usize::try_from(*place).ok()))
    }
}
