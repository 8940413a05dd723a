//! The one cell that changes: what is served now.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use crate::bundle::mirror_v1;
use crate::imageset::record::{Part, Record};

/// Holds what is served now and swaps it whole.
///
/// A request takes it once and keeps it to its end, so it sees one state of things.
#[derive(Debug)]
pub struct Live<S> {
    cell: ArcSwap<Served<S>>,
}

/// What is served, and how each file it comes from fares.
#[derive(Debug)]
pub struct Served<S> {
    /// The content.
    pub source: S,
    /// The files, in the order they were given or found.
    pub bundles: Vec<Status>,
    /// How many names mean different contents.
    pub ambiguous: usize,
}

/// How one file fares.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// The file.
    #[serde(serialize_with = "shown")]
    pub path: PathBuf,
    /// Which edition of which imageset it is, if it is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imageset: Option<Edition>,
    /// Whether it is served.
    pub state: State,
    /// Why it is not, or what about it is worth saying.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What was found damaged since, while it was read.
    #[serde(skip_serializing_if = "Findings::is_empty")]
    pub damaged: Findings,
}

/// Which edition of which imageset a file is.
#[derive(Clone, Debug, Serialize)]
pub struct Edition {
    /// The imageset.
    pub id: Uuid,
    /// Its name for people.
    pub name: String,
    /// The sequence.
    pub sequence: u64,
    /// Which part of it, if it is split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<Part>,
}

impl Edition {
    /// The edition of a record.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        let Record { id, name, sequence, part, .. } = record;
        Self { id: *id, name: name.clone(), sequence: *sequence, part: part.clone() }
    }

    /// The edition of an archive of oc-mirror v1, whose workspaces have no names.
    #[must_use]
    pub fn of_oc_mirror(edition: &mirror_v1::Edition) -> Self {
        let mirror_v1::Edition { uid, sequence, .. } = edition;
        Self { id: *uid, name: "oc-mirror".to_owned(), sequence: *sequence, part: None }
    }
}

/// A name that is not UTF-8 is shown as far as it can be: it must not hide the other files.
fn shown<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

/// What is found out about a file while it is served.
#[derive(Clone, Debug, Default)]
pub struct Findings(Arc<Mutex<Vec<String>>>);

impl Findings {
    /// Adds one.
    pub fn add(&self, finding: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
    }

    /// All so far.
    #[must_use]
    pub fn list(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether there are none so far.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl Serialize for Findings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.list().serialize(serializer)
    }
}

/// Whether a file is served.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Its content is served.
    Live,
    /// It is not whole yet, or something it builds on is missing.
    Waiting,
    /// It is the same as another one that is here, or text that lies beside bundles.
    Ignored,
    /// It cannot be served as it is.
    Refused,
}

impl<S> Live<S> {
    /// Begins with this.
    pub fn new(served: Served<S>) -> Self {
        Self { cell: ArcSwap::from_pointee(served) }
    }

    /// What is served now.
    pub fn current(&self) -> Arc<Served<S>> {
        self.cell.load_full()
    }

    /// Serves this from now on; requests under way end with what they began with.
    pub fn replace(&self, served: Served<S>) {
        self.cell.store(Arc::new(served));
    }
}
