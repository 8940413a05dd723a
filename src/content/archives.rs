//! Archives of oc-mirror: which files are one, which archive is the newest, which is unfinished.
//!
//! The files of an archive lie in one directory, and their names differ in their numbers only:
//! that is how oc-mirror itself finds them. The first has all names, the last tells when the
//! archive was made, and which blobs a file has is up to their sizes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;

use super::snapshot::Snapshot;

/// The archives that files belong to.
#[derive(Debug, Default)]
pub struct Archives(BTreeMap<Key, Known>);

/// The directory of files, and their names without their numbers.
pub(super) type Key = (Option<PathBuf>, String);

/// What the files of one archive say; of more than one, if they were put together.
#[derive(Debug, Default)]
struct Known {
    firsts: usize,
    lasts: usize,
    made: Option<Timestamp>,
}

impl Archives {
    /// Finds what belongs together; what is no archive of oc-mirror is passed over.
    #[must_use]
    pub fn of(snapshots: &[Arc<Snapshot>]) -> Self {
        let mut archives: BTreeMap<Key, Known> = BTreeMap::new();
        for snapshot in snapshots {
            let Some(archive) = &snapshot.bundle().archive else { continue };
            let known = archives.entry(key(snapshot)).or_default();
            known.firsts += usize::from(archive.begins);
            known.lasts += usize::from(archive.made.is_some());
            known.made = known.made.max(archive.made);
        }
        Self(archives)
    }

    /// What orders a file of an archive among those of all: the newest comes first, and the file
    /// that has the names after those that may say them better. Nothing for any other file.
    pub(super) fn age(&self, snapshot: &Snapshot) -> Option<(u64, u32)> {
        let archive = snapshot.bundle().archive.as_ref()?;
        let made = archive.made.or_else(|| self.0.get(&key(snapshot))?.made);
        // Of what nobody finished it is not known how old it is.
        let seconds = made.and_then(|made| u64::try_from(made.as_second()).ok());
        Some((u64::MAX - seconds.unwrap_or(0), u32::from(archive.begins)))
    }

    /// What a file's archive lacks as a whole, in words.
    #[must_use]
    pub fn lacks(&self, snapshot: &Snapshot) -> Option<&'static str> {
        let archive = snapshot.bundle().archive.as_ref()?;
        let Known { firsts, lasts, .. } = self.0.get(&key(snapshot))?;
        if archive.made.is_none() && firsts > lasts {
            return Some(
                "its archive is unfinished: oc-mirror was interrupted, or the last file of the \
                 archive is not here",
            );
        }
        let nameless = !archive.begins && (lasts > firsts || *firsts == 0);
        nameless.then_some("the first file of its archive, which has the names, is not here")
    }

    /// The same of each of these files, by its path.
    #[must_use]
    pub fn unfinished(snapshots: &[Arc<Snapshot>]) -> BTreeMap<PathBuf, &'static str> {
        let archives = Self::of(snapshots);
        let lacks = |it: &Arc<Snapshot>| Some((it.bundle().path.clone(), archives.lacks(it)?));
        snapshots.iter().filter_map(lacks).collect()
    }
}

/// What the files of an archive have in common.
pub(super) fn key(snapshot: &Snapshot) -> Key {
    let path = &snapshot.bundle().path;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.strip_suffix(".tar").unwrap_or(&name);
    let stem = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    (path.parent().map(ToOwned::to_owned), stem.to_owned())
}
