//! A state made again of the records of its bundles, where the state itself was lost.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{DocumentError, Edition, State};
use crate::imageset::record::{Blob, Previous, Record};
use crate::oci::{Digest, INDEX_FILE};

/// Why records do not make a state.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There are none.
    #[error("there is no bundle")]
    Nothing,
    /// They are of more than one imageset.
    #[error("they are of two imagesets: {one}, and {other}")]
    Imagesets {
        /// The name and id of one.
        one: String,
        /// The name and id of another.
        other: String,
    },
    /// Some are missing.
    #[error("missing: {}", .0.join(", "))]
    Missing(Vec<String>),
    /// There are two of the same sequence, or of the same part of one.
    #[error("there are two different bundles of {what}: {one} and {other}")]
    Forked {
        /// Which sequence or part.
        what: String,
        /// The digest of one record.
        one: Digest,
        /// The digest of another record.
        other: Digest,
    },
    /// One does not build on the one before it.
    #[error("{what} builds on {expected}, not on {found}, which is here")]
    Broken {
        /// Which sequence or part.
        what: String,
        /// The digest of the record that it names.
        expected: Digest,
        /// The digest of the record that is here.
        found: Digest,
    },
    /// The parts of a sequence do not belong together.
    #[error("the parts of sequence {sequence} do not belong together: {why}")]
    Parts {
        /// Which sequence.
        sequence: u64,
        /// What differs.
        why: &'static str,
    },
    /// One does not list its `index.json`.
    #[error("the record of sequence {0} lists no {INDEX_FILE}")]
    NoIndex(u64),
    /// What came out is no state.
    #[error("the bundles make no state")]
    Document(#[from] DocumentError),
}

/// The bundles of one sequence: their records, each with its digest.
type Sequence = Vec<(Digest, Record)>;

impl State {
    /// Makes the state again of the records of all bundles of an imageset, in any order.
    ///
    /// A bundle that is there twice counts once.
    ///
    /// # Errors
    ///
    /// When a bundle before the last one is missing, or the bundles are not one chain.
    pub fn rebuild(records: Vec<(Digest, Record)>) -> Result<Self, Error> {
        let mut sequences: BTreeMap<u64, Sequence> = BTreeMap::new();
        let mut imageset: Option<(Uuid, String)> = None;
        for (digest, record) in records {
            let (id, name) = imageset.get_or_insert_with(|| (record.id, record.name.clone()));
            if (*id, &*name) != (record.id, &record.name) {
                let (one, other) = (shown(name, id), shown(&record.name, &record.id));
                return Err(Error::Imagesets { one, other });
            }
            let bundles = sequences.entry(record.sequence).or_default();
            if bundles.iter().all(|(there, _)| *there != digest) {
                bundles.push((digest, record));
            }
        }
        let (id, name) = imageset.ok_or(Error::Nothing)?;
        let missing = missing(&mut sequences);
        if !missing.is_empty() {
            return Err(Error::Missing(missing));
        }
        let mut state = Self::new(id, name);
        for (sequence, bundles) in sequences {
            let latest = state.latest().map(|latest| &latest.digest);
            let edition = edition(sequence, bundles, latest)?;
            state.append(edition)?;
        }
        Ok(state)
    }
}

/// What is missing, in words; puts the parts of each sequence in order.
fn missing(sequences: &mut BTreeMap<u64, Sequence>) -> Vec<String> {
    let mut missing = gaps(sequences.keys().copied(), None, "sequence");
    missing.extend(parts_missing(sequences));
    missing
}

/// What is missing of the sequences themselves, in words; puts the parts of each in order.
fn parts_missing(sequences: &mut BTreeMap<u64, Sequence>) -> Vec<String> {
    let mut missing = Vec::new();
    for (sequence, bundles) in sequences {
        let part = |record: &Record| record.part.as_ref().map_or(1, |part| part.number);
        bundles.sort_by_key(|(_, record)| part(record));
        let parts = bundles.iter().filter_map(|(_, record)| record.part.as_ref());
        let Some(count) = parts.map(|part| part.count).max() else { continue };
        let numbers = bundles.iter().map(|(_, record)| part(record).into());
        let gaps = gaps(numbers, Some(count.into()), "part");
        missing
            .extend(gaps.into_iter().map(|it| format!("{it} of {count} of sequence {sequence}")));
    }
    missing
}

/// The numbers that are missing from 1 to the last one, in words. They may be many: only the
/// ends of each gap are looked at.
fn gaps(numbers: impl Iterator<Item = u64>, last: Option<u64>, what: &str) -> Vec<String> {
    let mut gaps = Vec::new();
    let mut before = 0_u64;
    let end = last.and_then(|last| last.checked_add(1));
    for number in numbers.chain(end) {
        match number.saturating_sub(before) {
            0 | 1 => {}
            2 => gaps.push(format!("{what} {}", before + 1)),
            _ => gaps.push(format!("{what}s {} to {}", before + 1, number - 1)),
        }
        before = number;
    }
    gaps
}

impl Edition {
    /// The edition that follows `latest` and that these bundles are together, in any order.
    ///
    /// # Errors
    ///
    /// When they are not all parts of one sequence, or do not follow.
    pub fn of(bundles: Sequence, latest: Option<&Self>) -> Result<Self, Error> {
        let sequence = latest.map_or(1, |it| it.sequence.saturating_add(1));
        let mut sequences = BTreeMap::from([(sequence, bundles)]);
        let missing = parts_missing(&mut sequences);
        if !missing.is_empty() {
            return Err(Error::Missing(missing));
        }
        let bundles = sequences.remove(&sequence).unwrap_or_default();
        edition(sequence, bundles, latest.map(|latest| &latest.digest))
    }
}

/// The edition that all bundles of a sequence are together; the parts are in order, none missing.
fn edition(sequence: u64, bundles: Sequence, latest: Option<&Digest>) -> Result<Edition, Error> {
    let what = |record: &Record| match &record.part {
        Some(part) => format!("part {} of sequence {sequence}", part.number),
        None => format!("sequence {sequence}"),
    };
    let count = bundles.len();
    let mut blobs: Vec<Blob> = Vec::new();
    let mut before: Option<(Digest, Record)> = None;
    for (digest, mut record) in bundles {
        if let (Some(Previous { digest: expected, .. }), Some(found)) = (&record.previous, latest)
            && expected != found
        {
            let (expected, found) = (expected.clone(), found.clone());
            return Err(Error::Broken { what: what(&record), expected, found });
        }
        if let Some((one, other)) = &before {
            follows(sequence, other, one, &record, &digest, &what)?;
        }
        blobs.append(&mut record.blobs);
        before = Some((digest, record));
    }
    let Some((digest, record)) = before else { return Err(Error::Nothing) };
    let index = index(&record).ok_or(Error::NoIndex(sequence))?.clone();
    let parts = u32::try_from(count).unwrap_or(u32::MAX);
    blobs.sort();
    blobs.dedup();
    Ok(Edition { sequence, digest, created: record.created, parts, index, blobs })
}

/// Checks that a part is the next one after another.
fn follows(
    sequence: u64,
    before: &Record,
    digest_before: &Digest,
    record: &Record,
    digest: &Digest,
    what: &impl Fn(&Record) -> String,
) -> Result<(), Error> {
    let (Some(one), Some(next)) = (&before.part, &record.part) else {
        let (one, other) = (digest_before.clone(), digest.clone());
        return Err(Error::Forked { what: format!("sequence {sequence}"), one, other });
    };
    if one.number == next.number {
        let (one, other) = (digest_before.clone(), digest.clone());
        return Err(Error::Forked { what: what(record), one, other });
    }
    if one.count != next.count {
        return Err(Error::Parts { sequence, why: "they count differently" });
    }
    if index(before) != index(record) || before.previous != record.previous {
        return Err(Error::Parts { sequence, why: "they are of different runs" });
    }
    match &next.previous {
        Some(expected) if expected != digest_before => {
            let (expected, found) = (expected.clone(), digest_before.clone());
            Err(Error::Broken { what: what(record), expected, found })
        }
        _ => Ok(()),
    }
}

/// The digest of the bundle's `index.json`.
fn index(record: &Record) -> Option<&Digest> {
    let index = record.files.iter().find(|file| file.path == INDEX_FILE);
    index.map(|file| &file.digest)
}

fn shown(name: &str, id: &Uuid) -> String {
    format!("{name:?} ({id})")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imageset::record::{File, Part, SCHEMA_VERSION};

    fn record(sequence: u64, previous: Option<&Digest>, blobs: &[&str]) -> Record {
        let blob = |text: &&str| Blob { digest: Digest::of(text.as_bytes()), size: 1 };
        let mut blobs: Vec<Blob> = blobs.iter().map(blob).collect();
        blobs.sort();
        let index = Digest::of(&sequence.to_le_bytes());
        let previous = previous.cloned();
        Record {
            schema_version: SCHEMA_VERSION,
            id: Uuid::from_u128(1),
            name: "demo".to_owned(),
            sequence,
            previous: previous.map(|digest| Previous { sequence: sequence - 1, digest }),
            part: None,
            created: format!("2026-11-2{sequence}T07:00:00Z"),
            generator: "shipperd".to_owned(),
            files: vec![File { path: INDEX_FILE.to_owned(), digest: index, size: 1 }],
            blobs,
            needs: vec![],
            sparse: vec![],
            failed: vec![],
            unknown: serde_json::Map::new(),
        }
    }

    fn sealed(record: Record) -> (Digest, Record) {
        (Digest::of(&record.to_bytes().unwrap()), record)
    }

    fn part(
        record: Record,
        number: u32,
        count: u32,
        previous: Option<&Digest>,
    ) -> (Digest, Record) {
        let previous = previous.cloned();
        sealed(Record { part: Some(Part { number, count, previous }), ..record })
    }

    /// Sequence 1, sequence 2 in two parts, and sequence 3.
    fn chain() -> [(Digest, Record); 4] {
        let one = sealed(record(1, None, &["a", "b"]));
        let first = part(record(2, Some(&one.0), &["d", "c"]), 1, 2, None);
        let last = part(record(2, Some(&one.0), &["e", "c"]), 2, 2, Some(&first.0));
        let three = sealed(record(3, Some(&last.0), &[]));
        [one, first, last, three]
    }

    #[test]
    fn the_bundles_in_any_order_make_the_state() {
        let [one, first, last, three] = chain();
        let (first_digest, last_digest) = (one.0.clone(), last.0.clone());
        let bundles = vec![three, last.clone(), one, first, last];
        let state = State::rebuild(bundles).unwrap();
        let [one, two, three] = &state.editions[..] else { panic!("{state:?}") };
        assert_eq!((&one.digest, one.parts, one.blobs.len()), (&first_digest, 1, 2));
        assert_eq!((&two.digest, two.parts, two.blobs.len()), (&last_digest, 2, 3));
        assert_eq!(two.index, Digest::of(&2_u64.to_le_bytes()));
        assert_eq!(three.created, "2026-11-23T07:00:00Z");
        assert_eq!(State::parse(&state.to_bytes().unwrap()).unwrap(), state);
    }

    #[test]
    fn what_is_missing_is_named() {
        let [one, first, last, three] = &chain();
        let far = sealed(record(u64::MAX, Some(&one.0), &[]));
        let many = part(record(1, None, &[]), 3, u32::MAX, Some(&one.0));
        for (bundles, expected) in [
            (vec![], "there is no bundle"),
            (vec![one, first, three], "missing: part 2 of 2 of sequence 2"),
            (vec![one, last], "missing: part 1 of 2 of sequence 2"),
            (vec![one, three], "missing: sequence 2"),
            (vec![three, last], "missing: sequence 1, part 1 of 2 of sequence 2"),
            (vec![one, &far], "missing: sequences 2 to 18446744073709551614"),
            (
                vec![&many],
                "missing: parts 1 to 2 of 4294967295 of sequence 1, \
                 parts 4 to 4294967295 of 4294967295 of sequence 1",
            ),
        ] {
            let error = State::rebuild(bundles.into_iter().cloned().collect()).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }

    #[test]
    fn what_is_no_chain_is_refused() {
        let [one, first, last, _] = &chain();
        let other = Digest::of(b"other");
        let fork = sealed(record(1, None, &["x"]));
        let stranger = sealed(Record { id: Uuid::from_u128(2), ..record(2, Some(&one.0), &[]) });
        let unsplit = sealed(record(2, Some(&one.0), &[]));
        let strays = sealed(record(2, Some(&other), &[]));
        let stray_part = part(record(2, Some(&one.0), &[]), 2, 2, Some(&other));
        let again = part(record(2, Some(&one.0), &["x"]), 2, 2, Some(&first.0));
        let of_three = part(record(2, Some(&one.0), &[]), 2, 3, Some(&first.0));
        let third = part(record(2, Some(&one.0), &[]), 3, 3, Some(&of_three.0));
        let other_run = part(record(2, Some(&other), &[]), 2, 2, Some(&first.0));
        let mut no_index = record(1, None, &[]);
        no_index.files.clear();
        let no_index = sealed(no_index);
        for (bundles, expected) in [
            (vec![one, &fork], "two different bundles of sequence 1: "),
            (vec![one, &stranger], "two imagesets: \"demo\" (00000000-"),
            (vec![one, first, last, &unsplit], "two different bundles of sequence 2: "),
            (vec![one, first, last, &again], "two different bundles of part 2 of sequence 2: "),
            (vec![one, &strays], "sequence 2 builds on sha256:"),
            (vec![one, first, &stray_part], "part 2 of sequence 2 builds on sha256:"),
            (vec![one, first, &of_three, &third], "do not belong together: they count"),
            (vec![one, first, &other_run], "part 2 of sequence 2 builds on sha256:"),
            (vec![&no_index], "the record of sequence 1 lists no index.json"),
        ] {
            let error = State::rebuild(bundles.into_iter().cloned().collect()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
