//! The state of an imageset as a document: which editions were made and what each carried.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::imageset::document;
use crate::imageset::record::Blob;
use crate::oci::Digest;

/// The newest version of the document that is read and written.
pub const SCHEMA_VERSION: u32 = 1;

/// What is known on the connected side of an imageset: every edition that was made of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// [`SCHEMA_VERSION`] or lower.
    pub schema_version: u32,
    /// The imageset: made with sequence 1, never changed.
    pub id: Uuid,
    /// Its name for people.
    pub name: String,
    /// Sequences 1, 2, … in order, none missing, at least one.
    pub editions: Vec<Edition>,
    /// What a newer version wrote and this one does not know.
    #[serde(flatten)]
    pub unknown: serde_json::Map<String, serde_json::Value>,
}

/// One sequence of an imageset.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Edition {
    /// From 1.
    pub sequence: u64,
    /// The digest of its record; of the record of its last part if it was split.
    pub digest: Digest,
    /// When it was made, RFC 3339.
    pub created: String,
    /// How many bundles it is; 1 if it was not split.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub parts: u32,
    /// The digest of its `index.json`: the same references to the same content give the same.
    pub index: Digest,
    /// The blobs that it carried, of all its parts, sorted by digest.
    pub blobs: Vec<Blob>,
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_one(parts: &u32) -> bool {
    *parts == 1
}

/// Why bytes are not a state.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not the JSON of a state.
    #[error("it is not the state of an imageset")]
    Json(#[source] serde_json::Error),
    /// Written by a newer shipperd.
    #[error("it has schema version {found}, this shipperd reads up to {SCHEMA_VERSION}")]
    Newer {
        /// The version it has.
        found: u32,
    },
    /// The place that keeps it has lost or altered it.
    #[error("its content {0}")]
    Content(&'static str),
    /// Something about it cannot be.
    #[error("it is not the state of an imageset: {0}")]
    Impossible(&'static str),
    /// An edition that does not follow the latest one.
    #[error("sequence {found} does not follow sequence {latest}")]
    NotNext {
        /// The sequence of the edition.
        found: u64,
        /// The latest that there is; 0 if there is none.
        latest: u64,
    },
}

impl State {
    /// The state of a new imageset. It can be saved once it has an edition.
    #[must_use]
    pub fn new(id: Uuid, name: impl Into<String>) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            id,
            name: name.into(),
            editions: Vec::new(),
            unknown: serde_json::Map::new(),
        }
    }

    /// Reads a state.
    ///
    /// # Errors
    ///
    /// When the bytes are not one, or one of a newer schema.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let newer = |found| Error::Newer { found };
        let state: Self = document::parse(bytes, SCHEMA_VERSION, Error::Json, newer)?;
        state.check()?;
        Ok(state)
    }

    /// The bytes of the state: the same for the same state.
    ///
    /// # Errors
    ///
    /// When it could not be read again, as one without an edition.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        self.check()?;
        document::to_bytes(self).map_err(Error::Json)
    }

    /// The edition that the next one follows.
    #[must_use]
    pub fn latest(&self) -> Option<&Edition> {
        self.editions.last()
    }

    /// Every blob that was carried, and its size in bytes.
    #[must_use]
    pub fn carried(&self) -> BTreeMap<&Digest, u64> {
        let blobs = self.editions.iter().flat_map(|edition| &edition.blobs);
        blobs.map(|blob| (&blob.digest, blob.size)).collect()
    }

    /// Forgets every edition after `sequence`: what never arrived is made again.
    pub fn truncate(&mut self, sequence: u64) {
        self.editions.retain(|edition| edition.sequence <= sequence);
    }

    /// Takes up the next edition.
    ///
    /// # Errors
    ///
    /// When its sequence does not follow the latest one, or it cannot be.
    pub fn append(&mut self, edition: Edition) -> Result<(), Error> {
        let latest = self.latest().map_or(0, |edition| edition.sequence);
        if latest.checked_add(1) != Some(edition.sequence) {
            return Err(Error::NotNext { found: edition.sequence, latest });
        }
        edition.check()?;
        self.editions.push(edition);
        Ok(())
    }

    /// Whether `other` is this state with the same or more editions.
    #[must_use]
    pub fn is_extended_by(&self, other: &Self) -> bool {
        self.id == other.id && self.name == other.name && other.editions.starts_with(&self.editions)
    }

    fn check(&self) -> Result<(), Error> {
        if self.editions.is_empty() {
            return Err(Error::Impossible("there is no edition"));
        }
        if (1..).zip(&self.editions).any(|(expected, edition)| edition.sequence != expected) {
            return Err(Error::Impossible("its sequences are not 1, 2, … in order"));
        }
        self.editions.iter().try_for_each(Edition::check)
    }
}

impl Edition {
    /// The bytes of all blobs that it carried.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.blobs.iter().fold(0, |sum, blob| sum.saturating_add(blob.size))
    }

    fn check(&self) -> Result<(), Error> {
        if self.parts == 0 {
            return Err(Error::Impossible("an edition has no part"));
        }
        if !self.blobs.is_sorted_by(|one, other| one.digest < other.digest) {
            return Err(Error::Impossible("the blobs of an edition are not sorted"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edition(sequence: u64, blobs: &[&str]) -> Edition {
        let blob = |text: &&str| Blob { digest: Digest::of(text.as_bytes()), size: 1 };
        let mut blobs: Vec<Blob> = blobs.iter().map(blob).collect();
        blobs.sort();
        Edition {
            sequence,
            digest: Digest::of(&sequence.to_le_bytes()),
            created: "2026-11-21T07:00:00Z".to_owned(),
            parts: 1,
            index: Digest::of(b"index"),
            blobs,
        }
    }

    fn state() -> State {
        let mut state = State::new(Uuid::nil(), "demo");
        state.append(edition(1, &["a", "b"])).unwrap();
        state.append(Edition { parts: 3, ..edition(2, &["c"]) }).unwrap();
        state
    }

    #[test]
    fn a_state_reads_back_with_what_is_unknown() {
        let mut with_more = state();
        with_more.unknown.insert("later".to_owned(), serde_json::json!({"a": 1}));
        let bytes = with_more.to_bytes().unwrap();
        assert_eq!(State::parse(&bytes).unwrap(), with_more);
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text.matches("\"parts\"").count(), 1, "only where it was split: {text}");
    }

    #[test]
    fn editions_follow_each_other_and_can_be_forgotten() {
        let mut state = state();
        let carried: Vec<u64> = state.carried().into_values().collect();
        assert_eq!(carried, [1, 1, 1]);
        for wrong in [0, 1, 2, 4, u64::MAX] {
            let error = state.append(edition(wrong, &[])).unwrap_err();
            assert!(matches!(error, Error::NotNext { latest: 2, .. }), "{wrong}: {error}");
        }
        let whole = state.clone();
        state.truncate(1);
        assert_eq!(state.latest().unwrap().sequence, 1);
        assert!(!state.carried().contains_key(&Digest::of(b"c")));
        assert!(state.is_extended_by(&whole) && !whole.is_extended_by(&state));
        state.append(edition(2, &["d"])).unwrap();
        assert!(!state.is_extended_by(&whole), "another sequence 2");
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (change, expected) in [
            (
                Box::new(|s: &mut State| s.schema_version = 2) as Box<dyn Fn(&mut State)>,
                "has schema version 2, this shipperd reads up to 1",
            ),
            (Box::new(|s| s.editions.clear()), "no edition"),
            (Box::new(|s| drop(s.editions.remove(0))), "1, 2, … in order"),
            (Box::new(|s| s.editions[1].sequence = 1), "1, 2, … in order"),
            (Box::new(|s| s.editions[0].parts = 0), "no part"),
            (Box::new(|s| s.editions[0].blobs.reverse()), "not sorted"),
            (
                Box::new(|s| {
                    let twice = s.editions[1].blobs[0].clone();
                    s.editions[1].blobs.push(twice);
                }),
                "not sorted",
            ),
        ] {
            let mut changed = state();
            change(&mut changed);
            let bytes = serde_json::to_vec(&changed).unwrap();
            let error = State::parse(&bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
            if changed.schema_version == 1 {
                assert_eq!(changed.to_bytes().unwrap_err().to_string(), error);
            }
        }
        for text in ["", "{}", "[]", r#"{"schemaVersion":1}"#] {
            assert!(State::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
