//! Which opened bundles may be stacked: those in sequence that lack nothing.
//!
//! A sequence that lacks something is refused, and what builds on it waits, so that whatever
//! is stacked of an imageset is complete. One imageset never decides about another.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use uuid::Uuid;

use super::archives::Archives;
use super::closure;
use super::holdings::Holdings;
use super::live::State;
use super::snapshot::Snapshot;
use super::workspaces::Workspaces;
use crate::imageset::sequence::{self, Edition};
use crate::imageset::verdict::Verdict;
use crate::oci::{Digest, Role};

/// How many missing digests a message names.
const NAMED: usize = 3;

/// What becomes of opened bundles.
#[derive(Debug)]
pub struct Accepted {
    /// Those to stack, the uppermost first.
    pub stacked: Vec<Arc<Snapshot>>,
    /// What becomes of each, in the order in which they were given.
    pub fates: Vec<Fate>,
}

/// What becomes of a bundle.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fate {
    /// Whether it is served.
    pub state: State,
    /// Why it is not, or what is odd about it.
    pub reason: Option<String>,
}

/// The files that are served until now, and the digests of their records or metadata.
pub type Served = HashSet<(PathBuf, Digest)>;

/// Judges opened bundles, those in `served` before others that they exclude.
///
/// The newest sequence of an imageset lies above those it builds on, all of them in the place
/// of the one that was given first; so do the archives of oc-mirror.
#[must_use]
pub fn accept(open: &[Arc<Snapshot>], served: &Served) -> Accepted {
    let ours: Vec<usize> = open
        .iter()
        .enumerate()
        .filter(|(_, it)| it.bundle().edition.is_some())
        .map(|(place, _)| place)
        .collect();
    let mut editions: Vec<Edition> = open.iter().filter_map(|it| edition(it, served)).collect();
    let mut lacks: BTreeMap<usize, String> = BTreeMap::new();
    let holdings = Holdings::of(open);
    let verdicts = loop {
        let verdicts = sequence::judge(&editions);
        let found = incomplete_sequences((open, &holdings), &ours, &editions, &verdicts);
        if found.is_empty() {
            break verdicts;
        }
        for (at, reason) in found {
            if let Some(edition) = editions.get_mut(at) {
                edition.unfit = true;
            }
            lacks.insert(at, reason);
        }
    };
    let mut fates = vec![Fate { state: State::Live, reason: None }; open.len()];
    for (at, (place, verdict)) in ours.iter().zip(&verdicts).enumerate() {
        let state = match verdict {
            Verdict::Live => continue,
            Verdict::Duplicate { .. } => State::Ignored,
            Verdict::Waits { .. } => State::Waiting,
            Verdict::Forked { .. } | Verdict::Astray { .. } | Verdict::Unfit => State::Refused,
        };
        let reason = match verdict {
            Verdict::Unfit => lacks.remove(&at).unwrap_or_default(),
            Verdict::Duplicate { of } => {
                let first = ours.get(*of).and_then(|place| open.get(*place));
                let first = first.map(|it| it.bundle().path.display().to_string());
                format!("{verdict}: {}", first.unwrap_or_default())
            }
            _ => verdict.to_string(),
        };
        if let Some(fate) = fates.get_mut(*place) {
            *fate = Fate { state, reason: Some(reason) };
        }
    }
    let workspaces = Workspaces::of(open, served);
    for (place, fate) in workspaces.fates() {
        if let Some(known) = fates.get_mut(place) {
            *known = fate;
        }
    }
    Accepted { stacked: stack(open, &fates, &workspaces), fates }
}

fn edition(snapshot: &Arc<Snapshot>, served: &Served) -> Option<Edition> {
    let edition = snapshot.bundle().edition.as_ref()?;
    let served = served.contains(&key(snapshot)?);
    Some(Edition { served, ..Edition::of(&edition.record, &edition.digest) })
}

/// What tells a bundle in sequence from any other, until its file changes.
pub(super) fn key(snapshot: &Snapshot) -> Option<(PathBuf, Digest)> {
    let bundle = snapshot.bundle();
    let ours = bundle.edition.as_ref().map(|it| &it.digest);
    let theirs = || Some(&bundle.archive_v1.as_ref()?.edition.as_ref()?.digest);
    Some((bundle.path.clone(), ours.or_else(theirs)?.clone()))
}

impl Accepted {
    /// What is served now.
    #[must_use]
    pub fn served(&self) -> Served {
        self.stacked.iter().filter_map(|snapshot| key(snapshot)).collect()
    }
}

/// Puts what is live into its order.
fn stack(
    open: &[Arc<Snapshot>],
    fates: &[Fate],
    workspaces: &Workspaces<'_>,
) -> Vec<Arc<Snapshot>> {
    let mut first_of: HashMap<Option<Uuid>, usize> = HashMap::new();
    let archives = Archives::of(open);
    let all = open.iter().zip(fates).enumerate();
    let live = all.filter(|(_, (_, fate))| fate.state == State::Live);
    let mut stacked: Vec<_> = live
        .map(|(place, (snapshot, _))| {
            let record = snapshot.bundle().edition.as_ref().map(|it| &it.record);
            if let Some((age, part)) = archives.age(snapshot) {
                let place = *first_of.entry(None).or_insert(place);
                return ((place, age, part), Arc::clone(snapshot));
            }
            if let Some(edition) = workspaces.edition(place) {
                let first = *first_of.entry(Some(edition.uid)).or_insert(place);
                return ((first, u64::MAX - edition.sequence, 0), Arc::clone(snapshot));
            }
            let place = record.map_or(place, |it| *first_of.entry(Some(it.id)).or_insert(place));
            let age = record.map_or(0, |it| u64::MAX - it.sequence);
            let part = record.and_then(|it| it.part.as_ref()).map_or(0, |part| part.number);
            ((place, age, part), Arc::clone(snapshot))
        })
        .collect();
    stacked.sort_by_key(|(order, _)| *order);
    stacked.into_iter().map(|(_, snapshot)| snapshot).collect()
}

/// The lowest sequence of each imageset that lacks something: its members, and what it lacks.
fn incomplete_sequences(
    (open, holdings): (&[Arc<Snapshot>], &Holdings),
    ours: &[usize],
    editions: &[Edition],
    verdicts: &[Verdict],
) -> Vec<(usize, String)> {
    let mut sequences: BTreeMap<(Uuid, u64), Vec<usize>> = BTreeMap::new();
    for (at, (edition, verdict)) in editions.iter().zip(verdicts).enumerate() {
        if *verdict == Verdict::Live {
            let key = (edition.imageset.id, edition.sequence);
            sequences.entry(key).or_default().push(at);
        }
    }
    let mut found = Vec::new();
    let mut below = Below { open, holdings, places: BTreeSet::new() };
    let mut current = None;
    let mut broken = false;
    for ((id, sequence), members) in sequences {
        if current != Some(id) {
            (current, broken) = (Some(id), false);
            below.places.clear();
        }
        if broken {
            continue;
        }
        let places = || members.iter().filter_map(|at| ours.get(*at));
        below.places.extend(places());
        let own: Vec<&Arc<Snapshot>> = places().filter_map(|place| open.get(*place)).collect();
        if let Some(reason) = lacks(&own, &below, sequence) {
            broken = true;
            found.extend(members.into_iter().map(|at| (at, reason.clone())));
        }
    }
    found
}

/// A sequence and what is below it, of all that is open.
struct Below<'a> {
    open: &'a [Arc<Snapshot>],
    holdings: &'a Holdings,
    places: BTreeSet<usize>,
}

impl<'a> Below<'a> {
    /// Whether a blob of this size is there.
    fn holds(&self, digest: &Digest, size: u64) -> bool {
        let mut places = self.holdings.of_digest(digest).filter(|it| self.places.contains(it));
        places.any(|place| {
            let index = self.open.get(place).map(|it| &it.bundle().index);
            let blob = index.and_then(|index| index.blob(index.find(digest)?));
            blob.is_some_and(|(_, stored)| stored.length() == size)
        })
    }

    fn snapshots(&self) -> Vec<&'a Arc<Snapshot>> {
        self.places.iter().filter_map(|place| self.open.get(*place)).collect()
    }
}

/// What a sequence lacks, in words: what its images need and neither it nor what is below holds.
fn lacks(own: &[&Arc<Snapshot>], below: &Below<'_>, sequence: u64) -> Option<String> {
    let held = |digest: &Digest, size: u64| below.holds(digest, size);
    let records = || own.iter().filter_map(|it| Some(&it.bundle().edition.as_ref()?.record));
    let sparse: HashSet<&Digest> = records().flat_map(|it| &it.sparse).collect();
    let mut missing: BTreeMap<&Digest, u64> = BTreeMap::new();
    let mut earlier: BTreeSet<&Digest> = BTreeSet::new();
    for need in records().flat_map(|it| &it.needs) {
        if !held(&need.digest, need.size) {
            missing.insert(&need.digest, need.size);
            earlier.insert(&need.digest);
        }
    }
    for snapshot in own {
        let index = &snapshot.bundle().index;
        let absent = index.absent().iter();
        let absent = absent
            .filter(|it| !(it.role == Role::Manifest && sparse.contains(&it.digest)))
            .map(|it| (&it.digest, it.size));
        let named = index.elsewhere().iter().map(|it| (&it.digest, it.size));
        missing.extend(absent.chain(named).filter(|(digest, size)| !held(digest, *size)));
    }
    let should = |digest: &Digest| match sequence.saturating_sub(1) {
        _ if !earlier.contains(digest) => String::new(),
        1 => ", should be in sequence 1".to_owned(),
        last => format!(", should be in one of sequences 1 to {last}"),
    };
    let missing = missing.into_iter().map(|(digest, size)| (digest, size, should(digest)));
    in_words(missing.collect(), &below.snapshots())
}

/// What the bundles of others lack that are stacked, in words, each by its path.
///
/// They are served without the manifests that need what is missing.
#[must_use]
pub fn incomplete(stacked: &[Arc<Snapshot>]) -> BTreeMap<PathBuf, String> {
    let holdings = Holdings::of(stacked);
    let held = |digest: &Digest| {
        let mut holders = holdings.of_digest(digest).filter_map(|place| stacked.get(place));
        holders.any(|it| it.bundle().index.find(digest).is_some())
    };
    let theirs = stacked.iter().filter(|it| it.bundle().edition.is_none());
    let lacks = |snapshot: &Arc<Snapshot>| {
        let index = &snapshot.bundle().index;
        let absent = index.absent().iter();
        let absent = absent.filter(|it| it.role != Role::Manifest);
        let absent = absent.map(|it| (&it.digest, it.size));
        let named = index.elsewhere().iter().map(|it| (&it.digest, it.size));
        let missing = absent.chain(named).filter(|(digest, _)| !held(digest));
        let missing: BTreeMap<_, _> = missing.collect();
        let missing = missing.into_iter().map(|(digest, size)| {
            let place = snapshot.bundle().elsewhere(digest);
            let place = place.map(|place| format!(", {place}"));
            (digest, size, place.unwrap_or_default())
        });
        Some((snapshot.bundle().path.clone(), in_words(missing.collect(), &[snapshot])?))
    };
    theirs.filter_map(lacks).collect()
}

/// Digests that are missing, with their sizes and what is to be said of them, in words.
fn in_words(missing: Vec<(&Digest, u64, String)>, snapshots: &[&Arc<Snapshot>]) -> Option<String> {
    let count = missing.len();
    let named = missing.into_iter().take(NAMED).map(|(digest, size, more)| {
        let needed_by = closure::references(snapshots, digest).into_iter().next();
        let needed_by = needed_by.map(|it| format!("needed by {it}"));
        // Of a name without its manifest the size is not known.
        let size = (size > 0).then(|| format!("{size} bytes"));
        let known: Vec<String> = needed_by.into_iter().chain(size).collect();
        format!("{digest} ({}{more})", known.join(", "))
    });
    let named: Vec<String> = named.collect();
    let more = count.saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (count > 0).then(|| format!("it is incomplete: {}{more}", named.join(", ")))
}
