//! The bundles that the operands of a command name.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::printer::Printer;
use crate::bundle::{self, Bundle, Error};
use crate::content::shelf;

/// A file that cannot be opened as a bundle.
pub(super) struct Refused {
    pub(super) path: PathBuf,
    pub(super) error: Error,
}

impl Refused {
    /// The failure, for a person.
    pub(super) fn explain(self) -> anyhow::Error {
        let Self { path, error } = self;
        let error: anyhow::Error = match error {
            Error::Io(source) => source.into(),
            error => error.into(),
        };
        error.context(format!("cannot open {path:?}"))
    }
}

/// Opens the bundles at `paths` and, where a path is a directory of bundles, in it.
///
/// What lies in a directory and is nothing that shipperd knows is passed over with a warning.
pub(super) fn open(
    paths: &[PathBuf],
    verify: bool,
    printer: &Printer,
) -> Vec<Result<Bundle, Refused>> {
    let mut opened = Vec::new();
    let paths = match shelf::operands(paths) {
        Ok(paths) => paths,
        Err(error) => {
            let path = paths.first().cloned().unwrap_or_default();
            return vec![Err(Refused { path, error: Error::Io(error) })];
        }
    };
    for path in &paths {
        match holds_bundles(path)
            .and_then(|many| if many { shelf::candidates(path).map(Some) } else { Ok(None) })
        {
            Err(error) => opened.push(Err(Refused { path: path.clone(), error: Error::Io(error) })),
            Ok(None) => opened.push(one(path, verify)),
            Ok(Some(entries)) => opened.extend(all(&entries, verify, printer)),
        }
    }
    opened
}

/// A file that may be a bundle.
pub(super) struct Candidate {
    pub(super) path: PathBuf,
    /// Whether nobody named it: it was found in a directory.
    pub(super) found: bool,
}

/// The files that `paths` name and, where a path is a directory of bundles, those in it.
pub(super) fn candidates(paths: &[PathBuf]) -> anyhow::Result<Vec<Candidate>> {
    let mut candidates = Vec::new();
    for path in &shelf::operands(paths).context("cannot look for bundles")? {
        let failed = || format!("cannot open {path:?}");
        if holds_bundles(path).with_context(failed)? {
            let entries = shelf::candidates(path).with_context(failed)?;
            let found = entries.into_iter().map(|path| Candidate { path, found: true });
            candidates.extend(found);
        } else {
            candidates.push(Candidate { path: path.clone(), found: false });
        }
    }
    Ok(candidates)
}

/// Opens what lies in a directory, but for what is no bundle.
fn all(entries: &[PathBuf], verify: bool, printer: &Printer) -> Vec<Result<Bundle, Refused>> {
    let mut opened = Vec::new();
    for entry in entries {
        match one(entry, verify) {
            Err(Refused { error: Error::UnknownContainer(Some(it)), .. }) if it.has_remedy() => {
                printer.warn(format!("passing over {entry:?}: {it}"));
            }
            Err(Refused {
                error: Error::UnknownContainer(_) | Error::UnknownMeaning(_), ..
            }) => {
                printer.warn(format!("passing over {entry:?}: not a bundle"));
            }
            other => opened.push(other),
        }
    }
    opened
}

/// Opens one bundle.
pub(super) fn one(path: &Path, verify: bool) -> Result<Bundle, Refused> {
    bundle::open(path, verify).map_err(|error| Refused { path: path.to_owned(), error })
}

/// The bytes of all blobs of a bundle.
pub(super) fn bytes_of(bundle: &Bundle) -> u64 {
    bundle.index.blobs().iter().map(|(_, stored)| stored.length()).sum()
}

fn holds_bundles(path: &Path) -> io::Result<bool> {
    Ok(fs::metadata(path)?.is_dir() && !bundle::is_bundle_directory(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_listed_without_what_is_unfinished() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b.sqfs", "a.sqfs", ".hidden", "c.sqfs.partial", "c.sqfs.journal"] {
            fs::write(directory.path().join(name), "").unwrap();
        }
        let expected: Vec<_> =
            ["a.sqfs", "b.sqfs"].iter().map(|name| directory.path().join(name)).collect();
        assert_eq!(shelf::candidates(directory.path()).unwrap(), expected);
        assert!(holds_bundles(directory.path()).unwrap());
    }
}
