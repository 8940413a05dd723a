//! The files that are served, looked at again and again: what is new is opened, what is gone
//! is dropped, what is unchanged stays as it is.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::acceptance;
use super::live::{Findings, Served, State, Status};
use super::overlay::Overlay;
use super::snapshot::{Snapshot, Verify};
use crate::bundle;
use crate::source::chain;

/// How what is on the shelf is served.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// When digests are verified.
    pub verify: Verify,
    /// Whether a digest is found only in repositories that hold it.
    pub strict_repositories: bool,
}

/// The files that are served.
#[derive(Debug)]
pub struct Shelf {
    paths: Vec<PathBuf>,
    options: Options,
    entries: BTreeMap<PathBuf, Entry>,
    /// How each file fared when it was last said; nothing before the first scan.
    said: Option<BTreeMap<PathBuf, State>>,
}

/// A file as it was when it was opened, and what came of that.
#[derive(Debug)]
struct Entry {
    stamp: Stamp,
    opened: Result<Arc<Snapshot>, (State, String)>,
}

/// What changes when a file changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Shelf {
    /// A shelf of these files, archives, layouts, and directories of them.
    #[must_use]
    pub fn new(paths: Vec<PathBuf>, options: Options) -> Self {
        Self { paths, options, entries: BTreeMap::new(), said: None }
    }

    /// What is to be served now; nothing when that is what was answered last.
    ///
    /// Opens what is new, which reads tables and manifests and may wait for the disk.
    ///
    /// # Errors
    ///
    /// When a path that was given cannot be looked at.
    pub fn scan(&mut self) -> io::Result<Option<Served<Overlay>>> {
        let found = self.find()?;
        let before = self.entries.len();
        let gone: HashSet<_> = found.iter().map(|(path, _)| path.clone()).collect();
        self.entries.retain(|path, _| gone.contains(path));
        let mut changed = self.said.is_none() || self.entries.len() != before;
        for (path, stamp) in &found {
            if self.entries.get(path).is_some_and(|entry| entry.stamp == *stamp) {
                continue;
            }
            let opened = self.open(path);
            changed = true;
            self.entries.insert(path.clone(), Entry { stamp: *stamp, opened });
        }
        if !changed {
            return Ok(None);
        }
        let served = self.stack(found.into_iter().map(|(path, _)| path));
        self.say(&served.bundles);
        Ok(Some(served))
    }

    /// Logs how files fare, if that is news. Why one is refused was said when it was opened,
    /// unless it is for what else is here.
    fn say(&mut self, bundles: &[Status]) {
        let before = self.said.take().unwrap_or_default();
        for Status { path, state, notes, .. } in bundles {
            let shown = path.display();
            if before.get(path) == Some(state) {
                continue;
            }
            let opened = self.entries.get(path).is_some_and(|entry| entry.opened.is_ok());
            match (state, notes.first().filter(|_| opened)) {
                (State::Live, _) => tracing::info!(bundle = %shown, "{shown} is live"),
                (State::Waiting, Some(reason)) => {
                    tracing::info!(bundle = %shown, "{shown} waits: {reason}");
                }
                (State::Refused, Some(reason)) => {
                    tracing::error!(bundle = %shown, "{shown} is refused: {reason}");
                }
                (State::Waiting | State::Refused, None) => {}
            }
        }
        for path in before.keys().filter(|path| !self.entries.contains_key(*path)) {
            let shown = path.display();
            tracing::info!(bundle = %shown, "{shown} is gone");
        }
        let now = bundles.iter().map(|status| (status.path.clone(), status.state));
        self.said = Some(now.collect());
    }

    /// Every candidate, in the order of the paths given and by name within a directory.
    fn find(&self) -> io::Result<Vec<(PathBuf, Stamp)>> {
        let mut found = Vec::new();
        for path in &self.paths {
            if !path.is_dir() || bundle::is_layout_directory(path)? {
                found.push((path.clone(), Stamp::of(path)?));
                continue;
            }
            let mut names: Vec<_> = fs::read_dir(path)?
                .map(|entry| entry.map(|it| it.path()))
                .collect::<Result<_, _>>()?;
            names.sort();
            // A file may be gone again by now: the next scan will not see it.
            found.extend(names.into_iter().filter(|path| is_candidate(path)).filter_map(|path| {
                let stamp = Stamp::of(&path).ok()?;
                Some((path, stamp))
            }));
        }
        Ok(found)
    }

    fn open(&self, path: &Path) -> Result<Arc<Snapshot>, (State, String)> {
        let verify = self.options.verify;
        let shown = path.display();
        match bundle::open(path, verify != Verify::Never) {
            Ok(bundle) => {
                for problem in &bundle.problems {
                    tracing::warn!(bundle = %shown, "{shown}: {problem}");
                }
                let snapshot = Snapshot::new(bundle, verify);
                if verify == Verify::Open {
                    snapshot.verify_all(&|_| ());
                }
                Ok(Arc::new(snapshot))
            }
            Err(error) => {
                let reason = chain(&error);
                if matches!(error, bundle::Error::NotWhole(_)) {
                    tracing::info!(bundle = %shown, "{shown} waits: {reason}");
                    return Err((State::Waiting, reason));
                }
                tracing::error!(bundle = %shown, "{shown} is refused: {reason}");
                Err((State::Refused, reason))
            }
        }
    }

    /// Judges what is open and stacks what can be served.
    fn stack(&self, order: impl Iterator<Item = PathBuf>) -> Served<Overlay> {
        let entries: Vec<_> =
            order.filter_map(|path| Some((path.clone(), self.entries.get(&path)?))).collect();
        let mut refusals: BTreeMap<PathBuf, (State, String)> = BTreeMap::new();
        for (path, entry) in &entries {
            if let Err(refusal) = &entry.opened {
                refusals.insert(path.clone(), refusal.clone());
            }
        }
        let open: Vec<_> =
            entries.iter().filter_map(|(_, entry)| entry.opened.as_ref().ok().cloned()).collect();
        let (open, refused) = acceptance::accept(open);
        refusals.extend(refused);
        let incomplete = acceptance::incomplete(&open);
        let bundles = entries
            .into_iter()
            .map(|(path, entry)| {
                let lacks = incomplete.get(&path).cloned();
                let mut status = status(path, entry, &refusals);
                status.notes.extend(lacks);
                status
            })
            .collect();
        Served { source: Overlay::new(open, self.options.strict_repositories), bundles }
    }
}

fn status(path: PathBuf, entry: &Entry, refusals: &BTreeMap<PathBuf, (State, String)>) -> Status {
    if let Some((state, reason)) = refusals.get(&path) {
        let notes = vec![reason.clone()];
        return Status { path, state: *state, notes, damaged: Findings::default() };
    }
    let problems = entry.opened.iter().flat_map(|snapshot| &snapshot.bundle().problems);
    let notes = problems.map(ToString::to_string).collect();
    let damaged = entry.opened.iter().map(|snapshot| snapshot.findings().clone()).next();
    Status { path, state: State::Live, notes, damaged: damaged.unwrap_or_default() }
}

/// Whether a name in a directory may be a bundle: nothing hidden, nothing under construction.
#[must_use]
pub fn is_candidate(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if name.is_empty() || name.starts_with('.') || name.ends_with(".partial") {
        return false;
    }
    !path.is_dir() || bundle::is_layout_directory(path).unwrap_or(false)
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let mut metadata = fs::metadata(path)?;
        if metadata.is_dir() {
            metadata = fs::metadata(path.join(crate::oci::INDEX_FILE))?;
        }
        Ok(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}
