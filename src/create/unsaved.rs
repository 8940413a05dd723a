//! Bundles that were finished by a run that died before it saved the state.
//!
//! Their journals are still there, because a journal goes only after the state was saved. Such
//! bundles may have been carried away already, so the state takes them up.

use std::fs;
use std::path::{Path, PathBuf};

use super::Error;
use super::journal::beside;
use crate::bundle;
use crate::bundle::squashfs::writer::partial;
use crate::imageset::record::{Record, file_name};
use crate::oci::Digest;
use crate::state::{self, State};

/// Takes up in `past` what a run that died has finished; answers the state, if it is another then.
///
/// Waits for the disk.
///
/// # Errors
///
/// When a bundle cannot be given its name.
pub(super) fn take_up(
    output: &Path,
    name: &str,
    past: Option<&State>,
) -> Result<Option<State>, Error> {
    let latest = past.and_then(State::latest);
    let sequence = latest.map_or(1, |it| it.sequence.saturating_add(1));
    let Some((paths, records)) = finished(output, name, sequence) else { return Ok(None) };
    let Some((_, record)) = records.first() else { return Ok(None) };
    let id = record.id;
    let is_of = |record: &Record| {
        record.name == name && record.sequence == sequence && past.is_none_or(|it| it.id == id)
    };
    if !records.iter().all(|(_, record)| is_of(record)) {
        return Ok(None);
    }
    // What does not follow is not ours to judge: it stays, and is told when it is in the way.
    let Ok(edition) = state::Edition::of(records, latest) else { return Ok(None) };
    let mut state = past.cloned().unwrap_or_else(|| State::new(id, name));
    if state.append(edition).is_err() {
        return Ok(None);
    }
    for path in paths.iter().filter(|path| !path.exists()) {
        fs::rename(partial(path), path)
            .map_err(|source| Error::Output { path: path.clone(), source })?;
    }
    Ok(Some(state))
}

/// Removes the journals that a run left which died after it saved the state.
///
/// Waits for the disk.
pub(super) fn tidy(output: &Path, name: &str, past: &State) {
    let Some(latest) = past.latest() else { return };
    // What is there is asked, not how many parts the state claims.
    for path in found(output, name, latest.sequence) {
        drop(fs::remove_file(beside(&partial(&path))));
    }
}

/// A record and its digest.
type Known = (Digest, Record);

/// The bundles of a sequence whose names a run began to give, and their records: all or nothing.
fn finished(output: &Path, name: &str, sequence: u64) -> Option<(Vec<PathBuf>, Vec<Known>)> {
    let count = if paths(output, name, sequence, 1).all(|it| is_unsaved(&it)) {
        1
    } else {
        parts(output, name, sequence)?
    };
    // The first that is not there ends it, whatever count a record claims.
    let bundles = paths(output, name, sequence, count).map(|path| {
        let now = if path.exists() { path.clone() } else { partial(&path) };
        let edition = bundle::record(&now).ok()??;
        Some((path, (edition.digest, edition.record)))
    });
    Some(bundles.collect::<Option<Vec<_>>>()?.into_iter().unzip())
}

/// How many parts a sequence has, as the first that has its name says.
fn parts(output: &Path, name: &str, sequence: u64) -> Option<u32> {
    let path = found(output, name, sequence).next()?;
    Some(bundle::record(&path).ok()??.record.part?.count)
}

/// The bundles of a sequence that are there and have a journal yet.
fn found(output: &Path, name: &str, sequence: u64) -> impl Iterator<Item = PathBuf> {
    let stem = format!("{name}-{sequence}.");
    let entries = fs::read_dir(output).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).filter(move |path| {
        let file = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
        file.starts_with(&stem) && file.ends_with(".sqfs") && is_unsaved(path)
    })
}

fn is_unsaved(path: &Path) -> bool {
    path.exists() && beside(&partial(path)).exists()
}

fn paths(output: &Path, name: &str, sequence: u64, count: u32) -> impl Iterator<Item = PathBuf> {
    let part = move |number| (count > 1).then_some((number, count));
    (1..=count).map(move |number| output.join(file_name(name, sequence, part(number))))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn the_parts_that_a_state_claims_cost_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        let (saved, later) = ("x-1.2-of-3.sqfs", "x-2.sqfs");
        for name in [saved, later] {
            fs::write(file(name), "").unwrap();
            fs::write(beside(&partial(&file(name))), "").unwrap();
        }
        let mut state = State::new(Uuid::nil(), "x");
        let edition = state::Edition {
            sequence: 1,
            digest: Digest::of(b""),
            created: String::new(),
            parts: u32::MAX,
            index: Digest::of(b""),
            blobs: Vec::new(),
        };
        state.append(edition).unwrap();
        tidy(directory.path(), "x", &state);
        let left = [saved, later].map(|name| is_unsaved(&file(name)));
        assert_eq!(left, [false, true], "only what the state knows");
        assert!(file(saved).exists());
    }
}
