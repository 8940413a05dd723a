//! The verification of one stored blob by those who read it.
//!
//! A reader shows every piece it reads. Whoever stands where the hashing has come
//! to, carries it on; so a blob is hashed once however many read it at once, a slow
//! or vanished reader holds up nobody, and who has read to the end has the verdict.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::extent::Content;
use crate::oci::{Digest, Hasher};

/// What is known of stored bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// They have the digest that names them.
    Good,
    /// They do not.
    Damaged,
}

/// The verification of one blob: unknown at first, then a verdict for good.
pub struct Verification {
    digest: Digest,
    length: u64,
    verdict: AtomicU8,
    frontier: Mutex<Frontier>,
    reached: Box<dyn Fn(Verdict) + Send + Sync>,
}

/// How far the hashing has come.
struct Frontier {
    position: u64,
    hasher: Option<Hasher>,
}

/// How much is read at a time when verification reads for itself, in bytes.
const PIECE: usize = 256 << 10;

impl Verification {
    /// Begins for a blob of `length` bytes; `reached` is told the verdict, once.
    pub fn new(
        digest: Digest,
        length: u64,
        reached: impl Fn(Verdict) + Send + Sync + 'static,
    ) -> Self {
        let hasher = Some(Hasher::new(digest.algorithm()));
        Self {
            digest,
            length,
            verdict: AtomicU8::new(0),
            frontier: Mutex::new(Frontier { position: 0, hasher }),
            reached: Box::new(reached),
        }
    }

    /// The digest that the bytes should have.
    #[must_use]
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The verdict, if there is one yet.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        match self.verdict.load(Ordering::Acquire) {
            0 => None,
            1 => Some(Verdict::Good),
            _ => Some(Verdict::Damaged),
        }
    }

    /// Takes bytes that a reader read at `position`, and answers the verdict if that decides it.
    ///
    /// A reader that shows everything it reads from the beginning to the end has a
    /// verdict after its last piece. Hashing a piece costs half a microsecond per KiB.
    pub fn observe(&self, position: u64, bytes: &[u8]) -> Option<Verdict> {
        if let Some(verdict) = self.verdict() {
            return Some(verdict);
        }
        self.advance(&mut self.frontier(), position, bytes);
        self.verdict()
    }

    /// Reads and hashes what nobody has yet, and answers the verdict.
    ///
    /// Blocks for as long as reading takes; what readers hash meanwhile is not hashed again. What
    /// cannot be decompressed is damaged.
    ///
    /// # Errors
    ///
    /// When the content cannot be read; nothing is decided then.
    pub fn complete(&self, content: &Content) -> io::Result<Verdict> {
        // Most blobs of a bundle are small, and clearing a whole piece costs more than hashing them.
        let mut buffer = vec![0; usize::try_from(self.length).unwrap_or(PIECE).min(PIECE)];
        loop {
            if let Some(verdict) = self.verdict() {
                return Ok(verdict);
            }
            let position = self.frontier().position;
            let rest = usize::try_from(self.length - position).unwrap_or(PIECE);
            let piece = buffer.get_mut(..rest.min(PIECE)).unwrap_or_default();
            // Not under the lock: readers in async code take it, and must not wait for a disk.
            match content.read_at(piece, position) {
                Ok(()) => self.advance(&mut self.frontier(), position, piece),
                Err(error) => self.failed(error)?,
            }
        }
    }

    /// Takes an error of reading: if it says that the bytes are not what they were, they are damaged.
    ///
    /// # Errors
    ///
    /// The same, if it decides nothing: the next attempt may do better.
    pub fn failed(&self, error: io::Error) -> io::Result<()> {
        if error.kind() != io::ErrorKind::InvalidData {
            return Err(error);
        }
        if self.frontier().hasher.take().is_some() {
            self.decide(Verdict::Damaged);
        }
        Ok(())
    }

    fn frontier(&self) -> MutexGuard<'_, Frontier> {
        self.frontier.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn advance(&self, frontier: &mut Frontier, position: u64, bytes: &[u8]) {
        let fresh = frontier.position.checked_sub(position).and_then(|known| {
            let known = usize::try_from(known).ok()?;
            bytes.get(known..)
        });
        let Some(fresh) = fresh else { return };
        let Some(hasher) = &mut frontier.hasher else { return };
        hasher.update(fresh);
        frontier.position += fresh.len() as u64;
        if frontier.position < self.length {
            return;
        }
        let Some(hasher) = frontier.hasher.take() else { return };
        let good = frontier.position == self.length && hasher.finish() == self.digest;
        self.decide(if good { Verdict::Good } else { Verdict::Damaged });
    }

    fn decide(&self, verdict: Verdict) {
        (self.reached)(verdict);
        self.verdict.store(if verdict == Verdict::Good { 1 } else { 2 }, Ordering::Release);
    }
}

impl fmt::Debug for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = self.verdict();
        f.debug_struct("Verification")
            .field("digest", &self.digest)
            .field("verdict", &verdict)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use super::*;
    use crate::extent::{Extent, ReadAt};

    fn content(bytes: &[u8]) -> Content {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Content::Extent(Extent::whole(Arc::new(file)).unwrap())
    }

    #[test]
    fn readers_share_the_work_and_the_verdict() {
        let told = Arc::new(AtomicUsize::new(0));
        let teller = Arc::clone(&told);
        let check = Verification::new(Digest::of(b"abcdef"), 6, move |verdict| {
            assert_eq!(verdict, Verdict::Good);
            teller.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(check.observe(2, b"cd"), None, "ahead of the frontier: ignored");
        assert_eq!(check.observe(0, b"abc"), None);
        assert_eq!(check.observe(0, b"ab"), None, "behind the frontier: known");
        assert_eq!(check.observe(2, b"cd"), None, "half known");
        assert_eq!(check.complete(&content(b"abcdef")).unwrap(), Verdict::Good);
        assert_eq!(check.observe(0, b"zz"), Some(Verdict::Good));
        assert_eq!(told.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn damage_is_found_by_reader_and_by_completion() {
        let check = Verification::new(Digest::of(b"abc"), 3, |_| ());
        assert_eq!(check.observe(0, b"abd"), Some(Verdict::Damaged));
        let check = Verification::new(Digest::of(b"abc"), 3, |_| ());
        assert_eq!(check.complete(&content(b"abd")).unwrap(), Verdict::Damaged);
        let check = Verification::new(Digest::of(b"abc"), 3, |_| ());
        assert!(check.complete(&content(b"ab")).is_err(), "unreadable decides nothing");
        assert_eq!(check.verdict(), None);
    }

    /// Bytes that cannot be decompressed.
    #[derive(Debug)]
    struct Garbled;

    impl ReadAt for Garbled {
        fn length(&self) -> u64 {
            3
        }

        fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
            Err(io::ErrorKind::InvalidData.into())
        }
    }

    #[test]
    fn what_cannot_be_decompressed_is_damaged() {
        let told = Arc::new(AtomicUsize::new(0));
        let teller = Arc::clone(&told);
        let check = Verification::new(Digest::of(b"abc"), 3, move |verdict| {
            assert_eq!(verdict, Verdict::Damaged);
            teller.fetch_add(1, Ordering::Relaxed);
        });
        let garbled = Content::Packed(Arc::new(Garbled));
        assert_eq!(check.complete(&garbled).unwrap(), Verdict::Damaged);
        check.failed(io::ErrorKind::InvalidData.into()).unwrap();
        assert_eq!(told.load(Ordering::Relaxed), 1, "once");
        assert!(check.failed(io::ErrorKind::TimedOut.into()).is_err());
    }

    #[test]
    fn an_empty_blob_is_decided_by_an_empty_piece() {
        let check = Verification::new(Digest::of(b""), 0, |_| ());
        assert_eq!(check.observe(0, b""), Some(Verdict::Good));
    }
}
