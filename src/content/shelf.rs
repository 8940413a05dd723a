//! The files that are served, looked at again and again: what is new is opened, what is gone
//! is dropped, what is unchanged stays as it is.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::acceptance::{self, Accepted, Fate};
use super::adoption::adopt;
use super::ambiguity::Ambiguous;
use super::archives::Archives;
use super::finder::{Finder, Stamp};
pub use super::finder::{candidates, operands};
use super::live::{Edition, Findings, Served, State, Status};
use super::overlay::Overlay;
use super::snapshot::{Snapshot, Verify};
use crate::bundle;
use crate::bundle::zstd::Indexes;
use crate::source::chain;

/// How many ambiguous names the log tells at a time.
const NAMED: usize = 10;

/// How what is on the shelf is served.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// When digests are verified.
    pub verify: Verify,
    /// Whether a digest is found only in repositories that hold it.
    pub strict_repositories: bool,
    /// Where what has to be decoded of compressed archives is kept.
    pub indexes: Indexes,
}

/// The files that are served.
#[derive(Debug)]
pub struct Shelf {
    finder: Finder,
    options: Options,
    entries: BTreeMap<PathBuf, Entry>,
    /// What is served: of two that exclude each other, that one stays.
    served: acceptance::Served,
    /// How each file fared when it was last said, and why; nothing before the first scan.
    said: Option<BTreeMap<PathBuf, (State, Option<String>)>>,
    /// The names that were said to be ambiguous.
    ambiguous: BTreeSet<String>,
}

/// A file as it was when it was opened, and what came of that.
#[derive(Debug)]
struct Entry {
    stamp: Stamp,
    opened: Result<Arc<Snapshot>, Fate>,
}

impl Shelf {
    /// A shelf of these files, archives, layouts, and directories of them.
    #[must_use]
    pub fn new(paths: Vec<PathBuf>, options: Options) -> Self {
        Self {
            finder: Finder::new(paths),
            options,
            entries: BTreeMap::new(),
            served: acceptance::Served::new(),
            said: None,
            ambiguous: BTreeSet::new(),
        }
    }

    /// What is to be served now; nothing when that is what was answered last.
    ///
    /// Opens what is new, which reads tables and manifests and may wait for the disk.
    ///
    /// # Errors
    ///
    /// When a path that was given cannot be looked at.
    pub fn scan(&mut self) -> io::Result<Option<Served<Overlay>>> {
        let found = self.finder.find()?;
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
        Ok(Some(self.serve(found.into_iter().map(|(path, _)| path).collect())))
    }

    /// Judges what is open, stacks what can be served, and logs what is news.
    fn serve(&mut self, order: Vec<PathBuf>) -> Served<Overlay> {
        self.adopt(&order);
        let open = self.open_in(&order);
        let accepted = acceptance::accept(&open, &self.served);
        self.served = accepted.served();
        let Accepted { stacked, fates } = accepted;
        let fates: BTreeMap<_, _> =
            open.iter().map(|it| it.bundle().path.clone()).zip(fates).collect();
        let incomplete = acceptance::incomplete(&stacked);
        let unfinished = Archives::unfinished(&stacked);
        let status = |path: PathBuf| {
            let entry = self.entries.get(&path)?;
            let lacks = unfinished.get(&path).map(|it| (*it).to_owned());
            let lacks = lacks.into_iter().chain(incomplete.get(&path).cloned());
            let lacks: Vec<_> = lacks.collect();
            let mut status = status(entry, fates.get(&path), path);
            status.notes.extend(lacks);
            Some(status)
        };
        let bundles: Vec<Status> = order.into_iter().filter_map(status).collect();
        let source = Overlay::new(stacked, self.options.strict_repositories);
        let ambiguous = source.ambiguous();
        self.say(&bundles, &fates);
        self.say_ambiguous(&ambiguous);
        Served { source, bundles, ambiguous: ambiguous.len() }
    }

    /// The opened bundles at these paths.
    fn open_in(&self, order: &[PathBuf]) -> Vec<Arc<Snapshot>> {
        let entries = order.iter().filter_map(|path| self.entries.get(path));
        entries.filter_map(|entry| entry.opened.as_ref().ok().cloned()).collect()
    }

    /// Has bundles read what others of their imagesets say are manifests.
    fn adopt(&mut self, order: &[PathBuf]) {
        for snapshot in adopt(self.open_in(order)) {
            if let Some(entry) = self.entries.get_mut(&snapshot.bundle().path) {
                entry.opened = Ok(snapshot);
            }
        }
    }

    /// Logs how files fare, if that is news. Why one cannot be opened was said at once.
    fn say(&mut self, bundles: &[Status], fates: &BTreeMap<PathBuf, Fate>) {
        let before = self.said.take().unwrap_or_default();
        let mut said = BTreeMap::new();
        for Status { path, state, notes, .. } in bundles {
            let shown = path.display();
            // Of one that is live only what is odd about it: what it lacks stands beside it.
            let odd = fates.get(path).and_then(|fate| fate.reason.as_ref());
            let reason = if *state == State::Live { odd } else { notes.first() }.cloned();
            let now = (*state, reason);
            let opened = self.entries.get(path).is_some_and(|entry| entry.opened.is_ok());
            if opened && before.get(path) != Some(&now) {
                let reason = now.1.as_deref().unwrap_or_default();
                match state {
                    State::Live if !reason.is_empty() => {
                        tracing::warn!(bundle = %shown, "{shown} is live: {reason}");
                    }
                    State::Live if before.get(path).is_some_and(|it| it.0 == State::Live) => {}
                    State::Live => tracing::info!(bundle = %shown, "{shown} is live"),
                    State::Waiting => tracing::info!(bundle = %shown, "{shown} waits: {reason}"),
                    State::Ignored => {
                        tracing::info!(bundle = %shown, "{shown} is ignored: {reason}");
                    }
                    State::Refused => {
                        tracing::error!(bundle = %shown, "{shown} is refused: {reason}");
                    }
                }
            }
            said.insert(path.clone(), now);
        }
        for path in before.keys().filter(|path| !self.entries.contains_key(*path)) {
            let shown = path.display();
            tracing::info!(bundle = %shown, "{shown} is gone");
        }
        self.said = Some(said);
    }

    /// Logs which names became ambiguous.
    fn say_ambiguous(&mut self, ambiguous: &[Ambiguous]) {
        let new: Vec<_> =
            ambiguous.iter().filter(|it| !self.ambiguous.contains(&it.name)).collect();
        for name in new.iter().take(NAMED) {
            tracing::warn!("ambiguous name: {name}");
        }
        if let Some(more @ 1..) = new.len().checked_sub(NAMED) {
            tracing::warn!("{more} more names are ambiguous: `shipperd inspect` lists them");
        }
        self.ambiguous = ambiguous.iter().map(|it| it.name.clone()).collect();
    }

    fn open(&self, path: &Path) -> Result<Arc<Snapshot>, Fate> {
        let verify = self.options.verify;
        let shown = path.display();
        match bundle::open_with(path, verify != Verify::Never, &self.options.indexes) {
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
                    return Err(Fate { state: State::Waiting, reason: Some(reason) });
                }
                if self.lies_beside(path, &error) {
                    tracing::debug!(bundle = %shown, "{shown} is ignored: {reason}");
                    return Err(Fate { state: State::Ignored, reason: Some(reason) });
                }
                tracing::error!(bundle = %shown, "{shown} is refused: {reason}");
                Err(Fate { state: State::Refused, reason: Some(reason) })
            }
        }
    }

    /// Whether nobody meant this file: text in a directory, such as the checksum of a bundle.
    fn lies_beside(&self, path: &Path, error: &bundle::Error) -> bool {
        let bundle::Error::UnknownContainer(Some(stranger)) = error else { return false };
        stranger.is_text() && !self.finder.is_given(path)
    }
}

fn status(entry: &Entry, judged: Option<&Fate>, path: PathBuf) -> Status {
    let snapshot = entry.opened.as_ref();
    let bundle = snapshot.ok().map(|it| it.bundle());
    let ours = bundle.and_then(|it| it.edition.as_ref()).map(|it| Edition::of(&it.record));
    let theirs = bundle.and_then(|it| it.archive_v1.as_ref()?.edition.as_ref());
    let imageset = ours.or_else(|| theirs.map(Edition::of_oc_mirror));
    let fate = snapshot.err().or(judged).filter(|fate| fate.state != State::Live);
    if let Some(Fate { state, reason }) = fate {
        let notes = reason.iter().cloned().collect();
        return Status { path, imageset, state: *state, notes, damaged: Findings::default() };
    }
    let problems = snapshot.iter().flat_map(|snapshot| &snapshot.bundle().problems);
    let odd = judged.and_then(|fate| fate.reason.clone());
    let notes = odd.into_iter().chain(problems.map(ToString::to_string)).collect();
    let damaged = snapshot.map(|snapshot| snapshot.findings().clone()).unwrap_or_default();
    Status { path, imageset, state: State::Live, notes, damaged }
}
