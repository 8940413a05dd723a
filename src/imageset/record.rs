//! The record of a bundle, `shipperd/imageset.json`: which edition of which imageset it is,
//! and the digest of everything in it. Its own digest is the bundle's identity.
//!
//! docs/bundle-format.md draws it.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::document;
use crate::oci::Digest;

/// Where the record lies in a bundle.
pub const RECORD_FILE: &str = "shipperd/imageset.json";

/// Where a bundle keeps the configuration that it was made from.
pub const CONFIG_FILE: &str = "shipperd/config.yaml";

/// The newest version of the record that is read and written.
pub const SCHEMA_VERSION: u32 = 1;

/// The record of a bundle.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// [`SCHEMA_VERSION`] or lower.
    pub schema_version: u32,
    /// The imageset: made with sequence 1, never changed.
    pub id: Uuid,
    /// Its name for people.
    pub name: String,
    /// 1 is a full bundle, the next ones hold what is new.
    pub sequence: u64,
    /// The record before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// Which part of a split sequence this is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
    /// When it was made, RFC 3339.
    pub created: String,
    /// What made it.
    pub generator: String,
    /// Every file that is not a blob.
    pub files: Vec<File>,
    /// The blobs carried here, sorted by digest.
    pub blobs: Vec<Blob>,
    /// The blobs that earlier sequences carry, sorted by digest.
    #[serde(default)]
    pub needs: Vec<Blob>,
    /// Manifests of indexes that were left out on purpose.
    #[serde(default)]
    pub sparse: Vec<Digest>,
    /// What was asked for and is not carried.
    #[serde(default)]
    pub failed: Vec<Failed>,
    /// What a newer version wrote and this one does not know.
    #[serde(flatten)]
    pub unknown: serde_json::Map<String, serde_json::Value>,
}

/// A record that another builds on.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Previous {
    /// Its sequence.
    pub sequence: u64,
    /// Its digest.
    pub digest: Digest,
}

/// One of several bundles that are one sequence together.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Part {
    /// From 1.
    pub number: u32,
    /// How many there are.
    pub count: u32,
    /// The digest of the record of the part before: the parts are one chain, and the
    /// record of the last part stands for the whole sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
}

/// A file that is not a blob.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct File {
    /// Where it lies in the bundle.
    pub path: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
}

/// A blob, by what it must be.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Blob {
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
}

/// Something asked for and not carried.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Failed {
    /// What was asked for: a reference, or a local file.
    pub reference: String,
    /// Why it is not here.
    pub reason: String,
}

/// Why bytes are not a record.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not the JSON of a record.
    #[error("{RECORD_FILE} is not an imageset record")]
    Json(#[source] serde_json::Error),
    /// Written by a newer shipperd.
    #[error("{RECORD_FILE} has schema version {found}, this shipperd reads up to {SCHEMA_VERSION}")]
    Newer {
        /// The version it has.
        found: u32,
    },
    /// Something about it cannot be.
    #[error("{RECORD_FILE} is not an imageset record: {0}")]
    Impossible(&'static str),
}

impl Record {
    /// Reads a record.
    ///
    /// # Errors
    ///
    /// When the bytes are not one, or one of a newer schema.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let newer = |found| Error::Newer { found };
        let record: Self = document::parse(bytes, SCHEMA_VERSION, Error::Json, newer)?;
        let follows = record.previous.as_ref().map(|previous| previous.sequence.checked_add(1));
        if record.sequence == 0 {
            return Err(Error::Impossible("sequences count from 1"));
        }
        if follows.is_some_and(|follows| follows != Some(record.sequence)) {
            return Err(Error::Impossible("its previous sequence is not the one before it"));
        }
        if follows.is_none() != (record.sequence == 1) {
            return Err(Error::Impossible("the first sequence alone has no previous one"));
        }
        if let Some(Part { number, count, previous }) = &record.part {
            if !(1..=*count).contains(number) {
                return Err(Error::Impossible("its part is not one of its parts"));
            }
            if previous.is_none() != (*number == 1) {
                return Err(Error::Impossible("the first part alone has none before it"));
            }
        }
        Ok(record)
    }

    /// The bytes of the record: the same for the same record.
    ///
    /// # Errors
    ///
    /// Never for checked words.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        document::to_bytes(self).map_err(Error::Json)
    }
}

/// The name of a bundle's file: `NAME-SEQUENCE.sqfs`, of part K of N `NAME-SEQUENCE.K-of-N.sqfs`.
#[must_use]
pub fn file_name(name: &str, sequence: u64, part: Option<(u32, u32)>) -> String {
    match part {
        None => format!("{name}-{sequence}.sqfs"),
        Some((number, count)) => format!("{name}-{sequence}.{number}-of-{count}.sqfs"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            schema_version: 1,
            id: Uuid::nil(),
            name: "test".to_owned(),
            sequence: 1,
            previous: None,
            part: None,
            created: "2026-11-21T07:00:00Z".to_owned(),
            generator: "shipperd".to_owned(),
            files: vec![],
            blobs: vec![Blob { digest: Digest::of(b"a"), size: 1 }],
            needs: vec![],
            sparse: vec![],
            failed: vec![],
            unknown: serde_json::Map::new(),
        }
    }

    #[test]
    fn a_record_reads_back_with_what_is_unknown() {
        let mut with_more = record();
        with_more.unknown.insert("later".to_owned(), serde_json::json!({"a": 1}));
        let bytes = with_more.to_bytes().unwrap();
        assert_eq!(Record::parse(&bytes).unwrap(), with_more);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let previous = |sequence| Some(Previous { sequence, digest: Digest::of(b"") });
        let part = |number, count, follows: bool| {
            Some(Part { number, count, previous: follows.then(|| Digest::of(b"")) })
        };
        for (change, expected) in [
            (
                Box::new(|r: &mut Record| r.schema_version = 2) as Box<dyn Fn(&mut Record)>,
                "has schema version 2, this shipperd reads up to 1",
            ),
            (Box::new(|r| r.sequence = 0), "count from 1"),
            (Box::new(|r| r.sequence = 2), "the first sequence alone"),
            (Box::new(move |r| r.previous = previous(1)), "not the one before"),
            (Box::new(move |r| r.previous = previous(u64::MAX)), "not the one before"),
            (Box::new(move |r| r.part = part(3, 2, true)), "its part"),
            (Box::new(move |r| r.part = part(0, 2, false)), "its part"),
            (Box::new(move |r| r.part = part(2, 2, false)), "the first part alone"),
            (Box::new(move |r| r.part = part(1, 2, true)), "the first part alone"),
        ] {
            let mut changed = record();
            change(&mut changed);
            let error = Record::parse(&changed.to_bytes().unwrap()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert!(Record::parse(b"{}").is_err());
    }
}
