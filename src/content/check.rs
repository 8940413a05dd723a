//! The verification of every blob of a bundle at once, on all cores.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use super::snapshot::Snapshot;
use crate::bundle::index::Ordinal;
use crate::bundle::tree::Stored;
use crate::oci::{Digest, Hasher};
use crate::verification::Verdict;

/// How much is read at a time, in bytes.
const PIECE: usize = 1 << 20;

/// A blob that is not what its name says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Damage {
    /// The name.
    pub digest: Digest,
    /// Where it begins in the bundle's file, in bytes, where that can be said.
    pub offset: Option<u64>,
    /// What is wrong with it.
    pub reason: String,
}

impl Snapshot {
    /// Hashes every blob and takes note of the verdicts; answers what is damaged.
    ///
    /// `progress` is told of every run of bytes that was read. Blocks until all is read.
    pub fn verify_all(&self, progress: &(dyn Fn(u64) + Sync)) -> Vec<Damage> {
        let blobs = self.bundle().index.blobs();
        let next = AtomicUsize::new(0);
        let damages = Mutex::new(Vec::new());
        let work = || {
            let mut buffer = vec![0; PIECE];
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                let Some((digest, stored)) = blobs.get(at) else { return };
                let Ok(blob) = Ordinal::try_from(at) else { return };
                match hash(digest, stored, &mut buffer, progress) {
                    Ok(()) => self.note(blob, Verdict::Good),
                    Err(reason) => {
                        self.note(blob, Verdict::Damaged);
                        let offset = stored.offset();
                        let damage = Damage { digest: digest.clone(), offset, reason };
                        damages.lock().unwrap_or_else(PoisonError::into_inner).push(damage);
                    }
                }
            }
        };
        let threads = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        let mut damages = damages.into_inner().unwrap_or_else(PoisonError::into_inner);
        damages.sort_by(|a, b| a.digest.cmp(&b.digest));
        damages
    }
}

fn hash(
    digest: &Digest,
    stored: &Stored,
    buffer: &mut [u8],
    progress: &(dyn Fn(u64) + Sync),
) -> Result<(), String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let content = stored.open().map_err(unreadable)?;
    let mut hasher = Hasher::new(digest.algorithm());
    content.read_through(buffer, |piece| {
        let piece = piece.map_err(unreadable)?;
        hasher.update(piece);
        progress(piece.len() as u64);
        Ok::<(), String>(())
    })?;
    let found = hasher.finish();
    if found == *digest { Ok(()) } else { Err(format!("its bytes have the digest {found}")) }
}
