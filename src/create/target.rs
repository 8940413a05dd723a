//! The bundles being written, and the blobs that they have already.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

use super::Error;
use super::assembly::Assembly;
use super::journal::{Journal, Kept, Log, beside};
use super::leftovers::{self, Leftovers};
use crate::bundle::squashfs::writer::{self, partial};
use crate::bundle::squashfs::{Layout, Space, Writer};
use crate::copy::Place;
use crate::oci::Digest;
use crate::plan::Plan;

/// How much of a blob is written before that is noted, in bytes: so much at most is fetched again
/// after a run was killed.
const NOTED: u64 = 1 << 20;

/// How much of a blob is written before it is sent to the disk, in bytes, while more of it comes.
const SENT: u64 = 8 << 20;
/// Smaller blobs are sent when the bundle is complete, many at once.
const SENT_LEAST: u64 = 1 << 20;

/// The bundles of an edition while they are written.
#[derive(Debug)]
pub(super) struct Target {
    parts: Vec<Part>,
    places: BTreeMap<Digest, Arc<BlobPlace>>,
    leftovers: Leftovers,
}

#[derive(Debug)]
struct Part {
    path: PathBuf,
    writer: Arc<Writer>,
}

/// The place of one blob.
#[derive(Debug)]
pub(super) struct BlobPlace {
    digest: Digest,
    size: u64,
    file: usize,
    writer: Arc<Writer>,
    log: Arc<Log>,
    kept: AtomicU64,
    /// How much was last noted.
    noted: AtomicU64,
    /// How much was last sent to the disk.
    sent: AtomicU64,
}

impl Target {
    /// Opens the bundles, goes on with those that an earlier run began, and takes from others
    /// what they have of the same blobs. Writes documents and manifests.
    ///
    /// Waits for the disk.
    ///
    /// # Errors
    ///
    /// When a bundle is there already, or cannot be written.
    pub(super) fn open(
        assemblies: &[Assembly],
        name: &str,
        created: Timestamp,
        plan: &Plan,
    ) -> Result<Self, Error> {
        let Some(first) = assemblies.first() else {
            return Err(Error::Nothing { failed: Vec::new() });
        };
        let output = first.path.parent().unwrap_or(&first.path).to_owned();
        fs::create_dir_all(&output)
            .map_err(|source| Error::Output { path: output.clone(), source })?;
        let refused = |source| Error::Output { path: output.clone(), source };
        if let Some(it) = assemblies.iter().find(|it| it.path.exists()) {
            return Err(Error::Exists(it.path.clone()));
        }
        let goes_on = |it: &&Assembly| {
            let journal = Journal::load(&partial(&it.path));
            journal.is_some_and(|journal| journal.layout == it.layout_digest())
        };
        let going_on: Vec<_> =
            assemblies.iter().filter(goes_on).map(|it| partial(&it.path)).collect();
        for assembly in assemblies {
            let partial = partial(&assembly.path);
            if !going_on.contains(&partial) && beside(&partial).exists() && partial.exists() {
                leftovers::set_aside(&partial).map_err(refused)?;
            }
        }
        let leftovers = Leftovers::find(&output, name, &going_on).map_err(refused)?;
        let mut target = Self { parts: Vec::new(), places: BTreeMap::new(), leftovers };
        for assembly in assemblies {
            target.add(assembly, created, going_on.contains(&partial(&assembly.path)), plan)?;
        }
        target.take_over().map_err(refused)?;
        Ok(target)
    }

    fn add(
        &mut self,
        assembly: &Assembly,
        created: Timestamp,
        goes_on: bool,
        plan: &Plan,
    ) -> Result<(), Error> {
        let path = assembly.path.clone();
        let partial = partial(&path);
        let refused = |source| Error::Output { path: beside(&partial), source };
        let layout = Layout::plan(assembly.files())?;
        let blobs = assembly.blobs().filter_map(|(file, digest, size)| {
            let offset = layout.offset(file)?;
            Some((digest.clone(), Kept { offset, size, written: 0 }))
        });
        let mut journal = Journal {
            created: created.to_string(),
            layout: assembly.layout_digest(),
            blobs: blobs.collect(),
        };
        let mtime = u32::try_from(created.as_second()).unwrap_or(u32::MAX);
        // Leftovers shrink while this grows: together they need the space of one.
        let space = if self.leftovers.is_empty() { Space::Reserve } else { Space::AsWritten };
        let (writer, log) = if goes_on {
            let writer = Writer::resume(&path, layout, mtime, space)?;
            // Only who has the file knows what is in it.
            journal =
                Journal::load(&partial).filter(|it| it.layout == journal.layout).unwrap_or(journal);
            (writer, Log::resume(&partial).map_err(refused)?)
        } else {
            let writer = Writer::create(&path, layout, mtime, space)?;
            (writer, journal.begin(&partial).map_err(refused)?)
        };
        for (file, bytes) in assembly.documents() {
            writer.write_at(file, 0, bytes)?;
        }
        let (writer, log) = (Arc::new(writer), Arc::new(log));
        for (file, digest, size) in assembly.blobs() {
            if let Some(document) = plan.manifests.get(digest) {
                writer.write_at(file, 0, &document.bytes)?;
                continue;
            }
            let kept = journal.blobs.get(digest).map_or(0, |it| it.written);
            writer.keep(file, kept);
            let (digest, writer, log) = (digest.clone(), Arc::clone(&writer), Arc::clone(&log));
            let place = BlobPlace {
                digest: digest.clone(),
                size,
                file,
                writer,
                log,
                kept: kept.into(),
                noted: kept.into(),
                sent: kept.into(),
            };
            self.places.insert(digest, Arc::new(place));
        }
        self.parts.push(Part { path, writer });
        Ok(())
    }

    /// Takes from leftovers what they have more of than the bundles.
    fn take_over(&self) -> io::Result<()> {
        for (digest, place) in &self.places {
            if self.leftovers.kept(digest) <= place.kept() {
                continue;
            }
            self.leftovers.hand_over(digest, |extent| {
                let extent = extent.slice(0, place.size);
                place.writer.copy_from(place.file, &extent).map_err(io::Error::other)?;
                place.kept.store(extent.length(), Ordering::Relaxed);
                place.note(extent.length())
            })?;
        }
        Ok(())
    }

    /// Where a blob goes, if it is not there whole with the documents.
    pub(super) fn place(&self, digest: &Digest) -> Option<Arc<BlobPlace>> {
        self.places.get(digest).cloned()
    }

    /// How many bytes the blobs have that are copied.
    pub(super) fn size(&self) -> u64 {
        self.places.values().map(|place| place.size).sum()
    }

    /// How many bytes of blobs an earlier run left.
    pub(super) fn kept(&self) -> u64 {
        self.places.values().map(|place| place.kept()).sum()
    }

    /// Completes the bundles and gives them their names.
    ///
    /// None has its name before all are complete and on the disk: of a run that is killed
    /// here, the next one finds all it takes to finish.
    pub(super) fn publish(&self) -> Result<(), Error> {
        for part in &self.parts {
            part.writer.seal()?;
        }
        for part in &self.parts {
            part.writer.publish()?;
        }
        Ok(())
    }

    /// Takes the names away again: what was made is no bundle, but what it holds is kept.
    pub(super) fn withdraw(&self) {
        for part in &self.parts {
            if let Err(error) = fs::rename(&part.path, partial(&part.path)) {
                let path = part.path.display();
                tracing::error!("cannot rename {path}, which no state knows: {error}");
            }
        }
    }

    /// Removes what only helps a later run: it is not needed any more.
    pub(super) fn tidy(&self) {
        for part in &self.parts {
            drop(fs::remove_file(beside(&partial(&part.path))));
        }
        drop(self.leftovers.remove());
    }

    /// Gives up: what was written stays for a later run, unless there is nothing worth it.
    ///
    /// Answers whether anything stays.
    pub(super) fn leave(self) -> bool {
        let is_worth = self.places.values().any(|place| place.noted.load(Ordering::Relaxed) > 0);
        if !is_worth {
            for part in &self.parts {
                drop(leftovers::remove(&partial(&part.path)));
            }
        }
        is_worth || !self.leftovers.is_empty()
    }
}

impl BlobPlace {
    fn note(&self, written: u64) -> io::Result<()> {
        self.log.at(&self.digest, written)?;
        self.noted.store(written, Ordering::Relaxed);
        Ok(())
    }

    /// Sends to the disk what was written since the last time, up to `end`, if that is worth it.
    ///
    /// Otherwise all of a bundle would be waited for when it is complete.
    fn send(&self, position: u64, end: u64) {
        let from = self.sent.load(Ordering::Relaxed).min(position);
        if self.size >= SENT_LEAST && (end == self.size || end - from >= SENT) {
            self.writer.write_back(self.file, from, end - from);
            self.sent.store(end, Ordering::Relaxed);
        }
    }
}

impl Place for BlobPlace {
    fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.writer.read_at(self.file, position, buffer).map_err(cause)
    }

    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_at(self.file, position, bytes).map_err(cause)?;
        let (end, noted) = (position + bytes.len() as u64, self.noted.load(Ordering::Relaxed));
        // One that is begun again has less than was noted.
        if end == self.size || position < noted || end - noted >= NOTED {
            self.note(end)?;
        }
        self.send(position, end);
        Ok(())
    }
}

/// An error of the writer as one of the system, which it mostly is.
fn cause(error: writer::Error) -> io::Error {
    io::Error::other(error)
}
