//! Which opened bundles may be stacked: those in sequence that lack nothing.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::live::State;
use super::snapshot::Snapshot;
use crate::bundle::index::Absent;
use crate::imageset::sequence;
use crate::oci::{Digest, Role};

/// How many missing digests a message names.
const NAMED: usize = 3;

/// Bundles that are not served, and why.
pub(super) type Refused = Vec<(PathBuf, (State, String))>;

/// Answers the bundles to stack, the uppermost first, and those that are left out.
pub(super) fn accept(open: Vec<Arc<Snapshot>>) -> (Vec<Arc<Snapshot>>, Refused) {
    let (open, mut refused) = in_sequence(open);
    let (open, incomplete) = closed(open);
    refused.extend(incomplete);
    (open, refused)
}

/// Puts the newest sequence of each imageset uppermost; leaves out what is out of sequence.
fn in_sequence(open: Vec<Arc<Snapshot>>) -> (Vec<Arc<Snapshot>>, Refused) {
    let edition = |snapshot: &Arc<Snapshot>| {
        let edition = snapshot.bundle().edition.as_ref()?;
        let record = &edition.record;
        Some(sequence::Edition {
            id: record.id,
            sequence: record.sequence,
            digest: edition.digest.clone(),
            previous: record.previous.clone(),
        })
    };
    let editions: Vec<_> = open.iter().filter_map(edition).collect();
    let mut verdicts = sequence::judge(&editions).into_iter();
    let mut refused = Vec::new();
    let mut stacked: Vec<(usize, u64, Arc<Snapshot>)> = Vec::new();
    let mut first_of = BTreeMap::new();
    for (place, snapshot) in open.into_iter().enumerate() {
        let path = snapshot.bundle().path.clone();
        let Some(edition) = edition(&snapshot) else {
            stacked.push((place, 0, snapshot));
            continue;
        };
        let verdict = verdicts.next().unwrap_or(sequence::Verdict::Live);
        let state = match verdict {
            sequence::Verdict::Live => {
                let place = *first_of.entry(edition.id).or_insert(place);
                stacked.push((place, u64::MAX - edition.sequence, snapshot));
                continue;
            }
            sequence::Verdict::Waits { .. } => State::Waiting,
            sequence::Verdict::Duplicate | sequence::Verdict::Forked { .. } => State::Refused,
        };
        refused.push((path, (state, verdict.to_string())));
    }
    stacked.sort_by_key(|(place, age, _)| (*place, *age));
    (stacked.into_iter().map(|(_, _, snapshot)| snapshot).collect(), refused)
}

/// Leaves out bundles of ours that lack something they should have or build on.
fn closed(mut open: Vec<Arc<Snapshot>>) -> (Vec<Arc<Snapshot>>, Refused) {
    let mut refused = Vec::new();
    loop {
        let ours = |(_, it): &(usize, &Arc<Snapshot>)| it.bundle().edition.is_some();
        let lacking = open.iter().enumerate().filter(ours).find_map(|(at, snapshot)| {
            let missing = missing(snapshot, &open);
            (!missing.is_empty()).then(|| (at, reason(snapshot, &missing)))
        });
        let Some((at, reason)) = lacking else { return (open, refused) };
        let snapshot = open.remove(at);
        refused.push((snapshot.bundle().path.clone(), (State::Refused, reason)));
    }
}

/// What the bundles that are stacked lack, in words, each by its path.
///
/// That is what others made: it is served without the manifests that need what is missing.
pub(super) fn incomplete(stacked: &[Arc<Snapshot>]) -> BTreeMap<PathBuf, String> {
    let lacks = |snapshot: &Arc<Snapshot>| {
        let missing = missing(snapshot, stacked);
        let path = snapshot.bundle().path.clone();
        (!missing.is_empty()).then(|| (path, reason(snapshot, &missing)))
    };
    stacked.iter().filter_map(lacks).collect()
}

/// What a bundle needs and neither it nor the others hold.
///
/// Platforms may be left out: of ours those that the record says, of others' any.
fn missing<'a>(snapshot: &'a Snapshot, open: &[Arc<Snapshot>]) -> Vec<&'a Absent> {
    let sparse: Option<HashSet<&Digest>> =
        snapshot.bundle().edition.as_ref().map(|it| it.record.sparse.iter().collect());
    let may_lack = |digest: &Digest| sparse.as_ref().is_none_or(|sparse| sparse.contains(digest));
    let held = |digest: &Digest| open.iter().any(|it| it.bundle().index.find(digest).is_some());
    let absent = snapshot.bundle().index.absent().iter();
    absent
        .filter(|it| !(it.role == Role::Manifest && may_lack(&it.digest)))
        .filter(|it| !held(&it.digest))
        .collect()
}

fn reason(snapshot: &Snapshot, missing: &[&Absent]) -> String {
    let index = &snapshot.bundle().index;
    let named: Vec<String> = missing
        .iter()
        .take(NAMED)
        .map(|absent| {
            let needed_by = index.references(absent.parent).into_iter().next();
            format!("{} (needed by {})", absent.digest, needed_by.unwrap_or_default())
        })
        .collect();
    let more = missing.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("it is incomplete: {}{more}", named.join(", "))
}
