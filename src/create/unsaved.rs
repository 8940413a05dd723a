//! Bundles that were finished by a run that died before it saved the state.
//!
//! Their journals are still there, because a journal goes only after the state was saved. Such
//! bundles may have been carried away already, so the state takes them up.

use std::fs;
use std::path::{Path, PathBuf};

use super::Error;
use super::journal::beside;
use crate::bundle::squashfs::writer::partial;
use crate::bundle::{self, Bundle};
use crate::imageset::record::{Blob, Record, file_name};
use crate::oci::INDEX_FILE;
use crate::state::{self, State};

/// One bundle of an edition.
struct Part {
    /// Its name once all of them have it.
    path: PathBuf,
    bundle: Bundle,
}

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
    let parts = finished(output, name, sequence);
    let Some(state) = followed(name, past, &parts) else { return Ok(None) };
    for Part { path, .. } in parts.iter().filter(|it| !it.path.exists()) {
        fs::rename(partial(path), path)
            .map_err(|source| Error::Output { path: path.clone(), source })?;
    }
    Ok(Some(state))
}

/// Removes the journals that a run left which died after it saved the state.
pub(super) fn tidy(output: &Path, name: &str, past: &State) {
    let Some(latest) = past.latest() else { return };
    for path in paths(output, name, latest.sequence, latest.parts) {
        if path.exists() {
            drop(fs::remove_file(beside(&partial(&path))));
        }
    }
}

/// The state with one more edition, if these bundles are whole and the one that follows.
fn followed(name: &str, past: Option<&State>, parts: &[Part]) -> Option<State> {
    let edition = parts.last()?.bundle.edition.as_ref()?;
    let record = &edition.record;
    let latest = past.and_then(State::latest);
    let previous = record.previous.as_ref().map(|it| &it.digest);
    if record.name != name
        || past.is_some_and(|past| past.id != record.id)
        || previous != latest.map(|it| &it.digest)
    {
        return None;
    }
    let held = |bundle: &Bundle| -> Vec<Blob> {
        let blobs = bundle.index.blobs().iter();
        blobs.map(|(digest, it)| Blob { digest: digest.clone(), size: it.length() }).collect()
    };
    let mut blobs: Vec<Blob> = parts.iter().flat_map(|it| held(&it.bundle)).collect();
    blobs.sort();
    let index = record.files.iter().find(|it| it.path == INDEX_FILE)?.digest.clone();
    let (sequence, digest) = (record.sequence, edition.digest.clone());
    let created = record.created.clone();
    let parts = u32::try_from(parts.len()).ok()?;
    let mut state = past.cloned().unwrap_or_else(|| State::new(record.id, name));
    state.append(state::Edition { sequence, digest, created, parts, index, blobs }).ok()?;
    Some(state)
}

/// The bundles of a sequence whose names a run began to give; none if one of them is not whole.
fn finished(output: &Path, name: &str, sequence: u64) -> Vec<Part> {
    let whole = paths(output, name, sequence, 1);
    let split = || {
        let record = named_parts(output, name, sequence)?;
        Some(paths(output, name, sequence, record.part?.count))
    };
    let paths =
        if whole.iter().all(|it| is_unsaved(it)) { whole } else { split().unwrap_or_default() };
    let parts = paths.into_iter().map(|path| {
        let now = if path.exists() { path.clone() } else { partial(&path) };
        Some(Part { bundle: bundle::open(&now, true).ok()?, path })
    });
    let parts: Option<Vec<Part>> = parts.collect();
    let parts = parts.unwrap_or_default();
    // The chain of the parts is what makes them one.
    let chained = parts.windows(2).all(|two| match two {
        [one, other] => {
            let before = one.bundle.edition.as_ref().map(|it| &it.digest);
            let part = other.bundle.edition.as_ref().and_then(|it| it.record.part.as_ref());
            before.is_some() && part.and_then(|it| it.previous.as_ref()) == before
        }
        _ => false,
    });
    if chained { parts } else { Vec::new() }
}

/// The record of the first part that has its name already.
fn named_parts(output: &Path, name: &str, sequence: u64) -> Option<Record> {
    let stem = format!("{name}-{sequence}.");
    let paths = fs::read_dir(output).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let path = paths.into_iter().find(|path| {
        let file = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
        file.starts_with(&stem) && file.ends_with(".sqfs") && is_unsaved(path)
    })?;
    Some(bundle::open(&path, true).ok()?.edition?.record)
}

fn is_unsaved(path: &Path) -> bool {
    path.exists() && beside(&partial(path)).exists()
}

fn paths(output: &Path, name: &str, sequence: u64, count: u32) -> Vec<PathBuf> {
    let part = |number| (count > 1).then_some((number, count));
    (1..=count).map(|number| output.join(file_name(name, sequence, part(number)))).collect()
}
