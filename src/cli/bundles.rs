//! The bundles that the operands of a command name.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::printer::Printer;
use crate::bundle::{self, Bundle, Error};
use crate::content::shelf;

/// What a file is not when it is no bundle, so that a person sees what went wrong.
#[derive(Debug, thiserror::Error)]
#[error("it looks like {0}")]
pub(super) struct LooksLike(&'static str);

/// A file that cannot be opened as a bundle.
pub(super) struct Refused {
    pub(super) path: PathBuf,
    pub(super) error: Error,
}

impl Refused {
    /// The failure, for a person.
    pub(super) fn explain(self) -> anyhow::Error {
        let Self { path, error } = self;
        let error = match (error, looks_like(&path)) {
            (Error::Io(source), _) => source.into(),
            (Error::UnknownContainer, Some(what)) => {
                anyhow::Error::new(LooksLike(what)).context(Error::UnknownContainer)
            }
            (error, _) => error.into(),
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
    for path in paths {
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
    for path in paths {
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
            Err(Refused { error: Error::UnknownContainer | Error::UnknownMeaning(_), .. }) => {
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

/// What a file that is no bundle is, judged by its beginning.
fn looks_like(path: &Path) -> Option<&'static str> {
    let mut head = Vec::new();
    File::open(path).ok()?.take(512).read_to_end(&mut head).ok()?;
    recognise(&head)
}

fn recognise(head: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 9] = [
        (b"PK\x03\x04", "a zip archive"),
        (b"\x7fELF", "a program"),
        (b"\xed\xab\xee\xdb", "an RPM package"),
        (b"!<arch>\n", "a Debian package"),
        (b"QFI\xfb", "a disk image (qcow2)"),
        (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
        (b"version https://git-lfs", "a Git LFS pointer: the file itself was not fetched"),
        (b"<!", "a web page: a download that met a login page, perhaps"),
        (b"<html", "a web page: a download that met a login page, perhaps"),
    ];
    let known = KNOWN.iter().find(|(magic, _)| head.starts_with(magic));
    if let Some((_, what)) = known {
        return Some(what);
    }
    let text = std::str::from_utf8(head).ok()?;
    text.chars().all(|c| !c.is_control() || c.is_whitespace()).then_some("text")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_bundle_is_named() {
        for (head, expected) in [
            (&b"PK\x03\x04rest"[..], Some("a zip archive")),
            (b"hello\n", Some("text")),
            (b"\x00\x01\x02", None),
            (b"\xff\xfe", None),
        ] {
            assert_eq!(recognise(head), expected, "{head:?}");
        }
    }

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
