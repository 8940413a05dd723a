//! One opened bundle, and what is known of the integrity of its blobs.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::live::Findings;
use crate::bundle::Bundle;
use crate::bundle::index::Ordinal;
use crate::oci::{Digest, MediaType};
use crate::source::Stored;
use crate::verification::{Verdict, Verification};

/// When the digest of a blob is verified.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Verify {
    /// While it is read for the first time.
    #[default]
    FirstRead,
    /// Before the bundle is served.
    Open,
    /// Not at all: the medium is trusted.
    Never,
}

/// One opened bundle. Immutable but for what becomes known of its blobs' integrity.
#[derive(Debug)]
pub struct Snapshot {
    bundle: Bundle,
    verify: Verify,
    verdicts: Arc<Verdicts>,
    running: Arc<Mutex<HashMap<Ordinal, Arc<Verification>>>>,
    findings: Findings,
}

/// What is known of each blob: a byte each.
#[derive(Debug)]
struct Verdicts {
    cells: Box<[AtomicU8]>,
    damaged: AtomicUsize,
}

const UNKNOWN: u8 = 0;
const GOOD: u8 = 1;
const DAMAGED: u8 = 2;

impl Verdicts {
    fn get(&self, blob: Ordinal) -> u8 {
        let cell = usize::try_from(blob).ok().and_then(|at| self.cells.get(at));
        cell.map_or(UNKNOWN, |cell| cell.load(Ordering::Acquire))
    }

    fn set(&self, blob: Ordinal, verdict: Verdict) {
        let Some(cell) = usize::try_from(blob).ok().and_then(|at| self.cells.get(at)) else {
            return;
        };
        let value = if verdict == Verdict::Good { GOOD } else { DAMAGED };
        let before = cell.swap(value, Ordering::AcqRel);
        if value == DAMAGED && before != DAMAGED {
            self.damaged.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Takes what was found when the bundle was opened: its manifests were verified then.
    fn take(&self, bundle: &Bundle) {
        for (blob, _) in bundle.index.manifests() {
            self.set(*blob, Verdict::Good);
        }
        for blob in bundle.index.damaged() {
            self.set(*blob, Verdict::Damaged);
        }
    }
}

impl Snapshot {
    /// Takes an opened bundle.
    #[must_use]
    pub fn new(bundle: Bundle, verify: Verify) -> Self {
        let initial = if verify == Verify::Never { GOOD } else { UNKNOWN };
        let cells = bundle.index.blobs().iter().map(|_| AtomicU8::new(initial)).collect();
        let verdicts = Arc::new(Verdicts { cells, damaged: AtomicUsize::new(0) });
        if verify != Verify::Never {
            verdicts.take(&bundle);
        }
        let findings = Findings::default();
        Self { bundle, verify, verdicts, running: Arc::default(), findings }
    }

    /// The same after these blobs were read as manifests, too; what is known of the integrity
    /// of blobs is shared by both.
    #[must_use]
    pub fn with_manifests(&self, manifests: impl IntoIterator<Item = (Digest, MediaType)>) -> Self {
        let Bundle { path, format, edition, archive, archive_v1, index, problems } = &self.bundle;
        let verifies = self.verify != Verify::Never;
        let (index, more) = index.with_manifests(manifests, verifies);
        let problems = problems.iter().cloned().chain(more).collect();
        let (path, edition) = (path.clone(), edition.clone());
        let (archive, archive_v1) = (archive.clone(), archive_v1.clone());
        let bundle =
            Bundle { path, format: *format, edition, archive, archive_v1, index, problems };
        if verifies {
            self.verdicts.take(&bundle);
        }
        let (verdicts, running) = (Arc::clone(&self.verdicts), Arc::clone(&self.running));
        Self { bundle, verify: self.verify, verdicts, running, findings: self.findings.clone() }
    }

    /// What is found damaged while it is read.
    #[must_use]
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// The bundle.
    #[must_use]
    pub fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    /// When the digests of its blobs are verified.
    #[must_use]
    pub fn verify(&self) -> Verify {
        self.verify
    }

    /// How many of its blobs are known to be damaged.
    #[must_use]
    pub fn damaged_count(&self) -> usize {
        self.verdicts.damaged.load(Ordering::Acquire)
    }

    /// The blobs known to be damaged, and where in the bundle's file they begin.
    #[must_use]
    pub fn damaged(&self) -> Vec<(Digest, Option<u64>)> {
        let blobs = self.bundle.index.blobs().iter().zip(&self.verdicts.cells);
        blobs
            .filter(|(_, cell)| cell.load(Ordering::Acquire) == DAMAGED)
            .map(|((digest, stored), _)| (digest.clone(), stored.offset()))
            .collect()
    }

    /// Whether a blob is known to be damaged.
    #[must_use]
    pub fn is_damaged(&self, blob: Ordinal) -> bool {
        self.verdicts.get(blob) == DAMAGED
    }

    /// Takes note of a verdict that somebody else reached.
    pub fn note(&self, blob: Ordinal, verdict: Verdict) {
        self.verdicts.set(blob, verdict);
    }

    /// Opens a blob; nothing when it is not here, or damaged.
    ///
    /// # Errors
    ///
    /// When its file cannot be opened.
    pub fn open(&self, digest: &Digest, range: Range<u64>) -> Option<io::Result<Stored>> {
        let blob = self.bundle.index.find(digest)?;
        let (_, stored) = self.bundle.index.blob(blob)?;
        let known = self.verdicts.get(blob);
        if known == DAMAGED {
            return None;
        }
        let length = stored.length();
        let range = range.start.min(length)..range.end.min(length);
        let verification = (known == UNKNOWN).then(|| self.verification(blob, digest, length));
        Some(stored.open().map(|content| Stored { content, range, verification }))
    }

    /// The verification of a blob that all its readers share until it is decided.
    fn verification(&self, blob: Ordinal, digest: &Digest, length: u64) -> Arc<Verification> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|_, verification| verification.verdict().is_none());
        let begin = || {
            let verdicts = Arc::clone(&self.verdicts);
            let (at, findings) = (self.place(blob), self.findings.clone());
            Arc::new(Verification::new(digest.clone(), length, move |verdict| {
                verdicts.set(blob, verdict);
                if verdict == Verdict::Damaged {
                    findings.add(at.report());
                }
            }))
        };
        Arc::clone(running.entry(blob).or_insert_with(begin))
    }

    fn place(&self, blob: Ordinal) -> Place {
        let stored = self.bundle.index.blob(blob);
        Place {
            path: self.bundle.path.clone(),
            digest: stored.map(|(digest, _)| digest.clone()),
            offset: stored.and_then(|(_, stored)| stored.offset()),
        }
    }
}

/// Where a blob lies, for the log.
struct Place {
    path: PathBuf,
    digest: Option<Digest>,
    offset: Option<u64>,
}

impl Place {
    /// Logs the damage once, and answers how to call it.
    fn report(&self) -> String {
        let bundle = self.path.display();
        let digest = self.digest.as_ref().map(ToString::to_string).unwrap_or_default();
        let at = self.offset.map_or_else(String::new, |offset| format!(" at byte {offset}"));
        tracing::error!(%bundle, digest, self.offset, "blob {digest}{at} of {bundle} is damaged");
        format!("blob {digest}{at} is damaged")
    }
}
