//! Unfinished bundles of the same imageset, whose blobs are taken over instead of fetched again.
//!
//! What changed in between (a tag, the size of parts) moves every blob, so the old file is set
//! aside under a name of its own and gives its blobs to the new one, each only once: what is
//! taken is cut out of it, so that the disk never holds all of it twice.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, FlockOperation};

use super::journal::{Journal, Kept, Log, beside};
use crate::bundle::squashfs::writer::is_at;
use crate::extent::Extent;
use crate::oci::Digest;

/// What unfinished bundles of an imageset hold, looked at without touching them.
#[derive(Debug, Default)]
pub(super) struct Survey {
    /// How many bytes of the disk.
    pub(super) held: u64,
    /// How many bytes of each blob.
    pub(super) kept: BTreeMap<Digest, u64>,
}

impl Survey {
    /// Looks at those of an imageset in a directory.
    pub(super) fn of(output: &Path, name: &str) -> io::Result<Self> {
        let mut survey = Self::default();
        for partial in partials(output, name)? {
            let Some(journal) = Journal::load(&partial) else { continue };
            survey.held += fs::metadata(&partial)?.blocks() * 512;
            for (digest, Kept { written, .. }) in journal.blobs {
                let kept = survey.kept.entry(digest).or_default();
                *kept = written.max(*kept);
            }
        }
        Ok(survey)
    }
}

/// All of them that nobody else writes.
#[derive(Debug, Default)]
pub(super) struct Leftovers(Vec<Leftover>);

#[derive(Debug)]
struct Leftover {
    partial: PathBuf,
    file: Arc<File>,
    journal: Journal,
    log: Log,
}

impl Leftovers {
    /// Finds those of an imageset in a directory; there are none in a directory that is not there.
    pub(super) fn find(output: &Path, name: &str, but: &[PathBuf]) -> io::Result<Self> {
        let mut found = Vec::new();
        for partial in partials(output, name)? {
            if !but.contains(&partial) {
                found.extend(Leftover::open(partial)?);
            }
        }
        Ok(Self(found))
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes of a blob they have.
    pub(super) fn kept(&self, digest: &Digest) -> u64 {
        self.best(digest).map_or(0, |(_, extent)| extent.length())
    }

    /// Gives what they have of a blob to `take`, then cuts it out.
    pub(super) fn hand_over(
        &self,
        digest: &Digest,
        take: impl FnOnce(&Extent) -> io::Result<()>,
    ) -> io::Result<()> {
        let Some((leftover, extent)) = self.best(digest) else { return Ok(()) };
        take(&extent)?;
        leftover.log.at(digest, 0)?;
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        // Not every file system can; then it goes when all is done.
        let _ = rustix::fs::fallocate(&leftover.file, flags, extent.offset(), extent.length());
        Ok(())
    }

    /// Removes them: everything in them is elsewhere, or not wanted any more.
    pub(super) fn remove(&self) -> io::Result<()> {
        for leftover in &self.0 {
            remove(&leftover.partial)?;
        }
        Ok(())
    }

    fn best(&self, digest: &Digest) -> Option<(&Leftover, Extent)> {
        let kept = |it: &Leftover| it.journal.blobs.get(digest).copied().unwrap_or(Kept::NOTHING);
        let best = self.0.iter().max_by_key(|it| kept(it).written)?;
        let Kept { offset, written, .. } = kept(best);
        let extent = Extent::new(Arc::clone(&best.file), offset, written)?;
        (written > 0).then_some((best, extent))
    }
}

impl Leftover {
    /// Opens one; nothing if it has no journal or somebody writes it.
    fn open(partial: PathBuf) -> io::Result<Option<Self>> {
        let Some(journal) = Journal::load(&partial) else { return Ok(None) };
        let file = File::options().read(true).write(true).open(&partial)?;
        let locked = rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive);
        if locked.is_err() || !is_at(&file, &partial)? {
            return Ok(None);
        }
        let log = Log::resume(&partial)?;
        Ok(Some(Self { partial, file: Arc::new(file), journal, log }))
    }
}

/// Gives an unfinished bundle another name, under which it is found as a leftover.
pub(super) fn set_aside(partial: &Path) -> io::Result<()> {
    let file = File::open(partial)?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
    let stem = partial.with_extension("");
    let mut number = 1_u32;
    let aside = loop {
        let mut aside = stem.clone().into_os_string();
        aside.push(format!(".{number}.partial"));
        let aside = PathBuf::from(aside);
        if !aside.try_exists()? && !beside(&aside).try_exists()? {
            break aside;
        }
        number = number.checked_add(1).ok_or(io::ErrorKind::AlreadyExists)?;
    };
    // In this order a killed run leaves no journal without its bundle.
    fs::rename(partial, &aside)?;
    fs::rename(beside(partial), beside(&aside))
}

/// Removes an unfinished bundle and its journal.
pub(super) fn remove(partial: &Path) -> io::Result<()> {
    for path in [partial, &beside(partial)] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn partials(output: &Path, name: &str) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(output) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_ours = path.file_name().and_then(|it| it.to_str()).is_some_and(|it| is_of(it, name));
        if is_ours {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a file's name is `NAME-N.sqfs.partial`, with `.K-of-M` before or `.J` after `.sqfs`.
fn is_of(file: &str, name: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    let split = || {
        let rest = file.strip_prefix(name)?.strip_prefix('-')?.strip_suffix(".partial")?;
        rest.split_once(".sqfs")
    };
    let Some((edition, aside)) = split() else { return false };
    let (sequence, part) = edition.split_once('.').unwrap_or((edition, "1-of-1"));
    let (part, count) = part.split_once("-of-").unwrap_or_default();
    let aside = aside.strip_prefix('.').unwrap_or("1");
    [sequence, part, count, aside].into_iter().all(is_number)
}

impl Kept {
    const NOTHING: Self = Self { offset: 0, size: 0, written: 0 };
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn names_of_unfinished_bundles() {
        for (file, expected) in [
            ("a-1.sqfs.partial", true),
            ("a-12.3-of-4.sqfs.partial", true),
            ("a-1.sqfs.2.partial", true),
            ("a-12.3-of-4.sqfs.7.partial", true),
            ("a-1.sqfs", false),
            ("a-1.sqfs.journal", false),
            ("a-b-1.sqfs.partial", false),
            ("a-.sqfs.partial", false),
            ("a-1.x.sqfs.partial", false),
            ("a-1.sqfs.x.partial", false),
            ("b-1.sqfs.partial", false),
        ] {
            assert_eq!(is_of(file, "a"), expected, "{file}");
        }
        assert!(is_of("a-2-1.sqfs.partial", "a-2"));
        assert!(!is_of("a-2-1.sqfs.partial", "a"));
    }

    #[test]
    fn the_longest_is_handed_over_once() {
        let directory = tempfile::tempdir().unwrap();
        let digest = Digest::of(b"blob");
        for (at, written) in [(1, 3), (2, 5)] {
            let partial = directory.path().join("x-1.sqfs.partial");
            fs::write(&partial, format!("--{at}{at}{at}{at}{at}--")).unwrap();
            let blobs = [(digest.clone(), Kept { offset: 2, size: 5, written: 0 })].into();
            let layout = Digest::of(b"");
            let journal = Journal { created: String::new(), layout, blobs };
            journal.begin(&partial).unwrap().at(&digest, written).unwrap();
            set_aside(&partial).unwrap();
        }
        let find = || Leftovers::find(directory.path(), "x", &[]).unwrap();
        let leftovers = find();
        assert!(find().is_empty(), "somebody has them");
        assert_eq!(leftovers.kept(&digest), 5);
        let mut seen = vec![0; 5];
        leftovers.hand_over(&digest, |extent| extent.read_at(&mut seen, 0)).unwrap();
        assert_eq!(seen, b"22222");
        drop(leftovers);
        let leftovers = find();
        assert_eq!(leftovers.kept(&digest), 3, "the other one is left");
        let mut left = Vec::new();
        let path = directory.path().join("x-1.sqfs.2.partial");
        File::open(path).unwrap().read_to_end(&mut left).unwrap();
        assert_eq!(left.get(..2), Some(&b"--"[..]), "nothing else is cut out");
        leftovers.remove().unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        assert_eq!(find().kept(&digest), 0);
        assert!(Leftovers::find(&directory.path().join("none"), "x", &[]).unwrap().is_empty());
    }
}
