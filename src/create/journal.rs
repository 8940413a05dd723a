//! What an unfinished bundle holds already: a file beside it that lets a later run go on.
//!
//! ```text
//! shipperd journal 1
//! created 2026-11-21T07:00:00Z        when the bundle is said to be made
//! layout sha256:…                     the digest of the list of its files
//! blob sha256:… OFFSET SIZE           where a blob goes, in bytes; one line each
//! at sha256:… BYTES                   so much of it was written; the last such line counts
//! ```
//!
//! Each line is appended by one write, so a killed run leaves at most one torn line, which is
//! ignored. Nothing is synced: what a journal says counts only after the bytes were hashed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use crate::oci::Digest;

const HEAD: &str = "shipperd journal 1";
/// The longest journal that is read, in bytes: a million blobs.
const MAX_SIZE: u64 = 512 << 20;

/// What a journal says.
#[derive(Debug, Eq, PartialEq)]
pub(super) struct Journal {
    pub(super) created: String,
    pub(super) layout: Digest,
    pub(super) blobs: BTreeMap<Digest, Kept>,
}

/// Where a blob lies in an unfinished bundle, and how much of it is there, in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Kept {
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) written: u64,
}

/// The journal of an unfinished bundle.
pub(super) fn beside(partial: &Path) -> PathBuf {
    partial.with_extension("journal")
}

impl Journal {
    /// Reads the journal of an unfinished bundle; nothing if there is none that can be read.
    pub(super) fn load(partial: &Path) -> Option<Self> {
        let mut bytes = Vec::new();
        File::open(beside(partial)).ok()?.take(MAX_SIZE).read_to_end(&mut bytes).ok()?;
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    /// Reads a journal as far as it makes sense.
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.split_inclusive('\n').map_while(|line| line.strip_suffix('\n'));
        if lines.next() != Some(HEAD) {
            return None;
        }
        let created = lines.next()?.strip_prefix("created ")?.to_owned();
        let layout = lines.next()?.strip_prefix("layout ")?.parse().ok()?;
        let mut blobs = BTreeMap::new();
        for line in lines {
            let mut words = line.split(' ');
            let mut next = || words.next();
            let (Some(kind), Some(digest)) = (next(), next()) else { break };
            let Ok(digest) = digest.parse::<Digest>() else { break };
            let mut number = || next()?.parse::<u64>().ok();
            match (kind, number(), number()) {
                ("blob", Some(offset), Some(size)) if offset.checked_add(size).is_some() => {
                    blobs.insert(digest, Kept { offset, size, written: 0 });
                }
                ("at", Some(written), None) => {
                    let Some(kept) = blobs.get_mut(&digest) else { break };
                    kept.written = written.min(kept.size);
                }
                _ => break,
            }
        }
        Some(Self { created, layout, blobs })
    }

    /// Begins the journal of a new bundle.
    pub(super) fn begin(&self, partial: &Path) -> io::Result<Log> {
        let mut text = format!("{HEAD}\ncreated {}\nlayout {}\n", self.created, self.layout);
        for (digest, Kept { offset, size, .. }) in &self.blobs {
            let _ = writeln!(text, "blob {digest} {offset} {size}");
        }
        let mut file =
            File::options().append(true).create(true).truncate(false).open(beside(partial))?;
        file.set_len(0)?;
        file.write_all(text.as_bytes())?;
        Ok(Log(file))
    }
}

/// A journal to which is written.
#[derive(Debug)]
pub(super) struct Log(File);

impl Log {
    /// Goes on with the journal of an unfinished bundle.
    pub(super) fn resume(partial: &Path) -> io::Result<Self> {
        let path = beside(partial);
        let mut file = File::options().read(true).append(true).open(&path)?;
        let mut last = Vec::new();
        file.read_to_end(&mut last)?;
        // What a killed run wrote half must not swallow the next line.
        let whole = last.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        file.set_len(whole as u64)?;
        Ok(Self(file))
    }

    /// Notes how much of a blob is there, in bytes.
    pub(super) fn at(&self, digest: &Digest, written: u64) -> io::Result<()> {
        (&self.0).write_all(format!("at {digest} {written}\n").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn journal() -> Journal {
        let kept = |offset, size| Kept { offset, size, written: 0 };
        let blobs = [(Digest::of(b"a"), kept(96, 10)), (Digest::of(b"b"), kept(4096, 70_000))];
        Journal {
            created: "2026-11-21T07:00:00Z".to_owned(),
            layout: Digest::of(b"layout"),
            blobs: blobs.into(),
        }
    }

    #[test]
    fn what_was_noted_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let partial = directory.path().join("x-1.sqfs.partial");
        assert_eq!(Journal::load(&partial), None);
        let log = journal().begin(&partial).unwrap();
        assert_eq!(Journal::load(&partial), Some(journal()));
        log.at(&Digest::of(b"a"), 5).unwrap();
        log.at(&Digest::of(b"b"), 65_536).unwrap();
        log.at(&Digest::of(b"a"), 10).unwrap();
        log.at(&Digest::of(b"b"), u64::MAX).unwrap();
        (&log.0).write_all(b"at sha256:to").unwrap();
        let written = |journal: &Journal| {
            journal.blobs.values().map(|it| it.written).collect::<std::collections::BTreeSet<_>>()
        };
        let found = Journal::load(&partial).unwrap();
        assert_eq!(written(&found), [10, 70_000].into(), "never more than there can be");
        let log = Log::resume(&partial).unwrap();
        log.at(&Digest::of(b"b"), 1).unwrap();
        let found = Journal::load(&partial).unwrap();
        assert_eq!(written(&found), [10, 1].into(), "a torn line is cut off");
    }

    #[test]
    fn what_makes_no_sense_ends_it() {
        let digest = Digest::of(b"a");
        let head = format!("{HEAD}\ncreated now\nlayout {digest}\nblob {digest} 5 6\n");
        for (more, written) in [
            ("", 0),
            ("at sha256:x 5\n", 0),
            ("at\n", 0),
            (&format!("at {digest} -1\n"), 0),
            (&format!("at {digest} 5 6\n"), 0),
            (&format!("at {} 5\nat {digest} 3\n", Digest::of(b"other")), 0),
            (&format!("at {digest} 3\n\0\0\0\n"), 3),
            (&format!("blob {digest} {} 1\n", u64::MAX), 0),
        ] {
            let journal = Journal::parse(&format!("{head}{more}")).unwrap();
            assert_eq!(journal.blobs[&digest].written, written, "{more}");
        }
        for text in ["", "shipperd journal 2\n", HEAD, &format!("{HEAD}\ncreated now\n")] {
            assert_eq!(Journal::parse(text), None, "{text}");
        }
    }
}
