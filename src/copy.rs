//! Copies a blob from a source to its place: each byte once, verified while it passes.
//!
//! A broken connection is taken up where it broke, and so is what an earlier run left at the
//! place; only bytes that do not have the digest asked for are begun again, and given up if
//! they are wrong twice.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use crate::extent::Content;
use crate::oci::{Digest, Hasher, Name};
use crate::source::{self, Blob, Body, Source};

/// How often a transfer is taken up again without a byte of progress in between.
const MAX_STALLS: u32 = 7;
/// How long is waited before the first of these; doubled each time, to half a minute in all.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// How many pieces may wait to be written: bounds the memory of a transfer.
const PIECES: usize = 4;
/// How much of a stored blob is read at a time, in bytes.
const PIECE: usize = 1 << 20;

/// Where the bytes of one blob go.
///
/// Called from blocking threads, in order from what is there; begun again from 0 when the bytes
/// were wrong.
pub trait Place: Send + Sync + 'static {
    /// How many bytes are there already, from an earlier run.
    fn kept(&self) -> u64;

    /// Reads of what is there.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    fn read_at(&self, position: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Puts bytes at a position.
    ///
    /// # Errors
    ///
    /// When they cannot be written.
    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()>;
}

/// Why a blob was not copied.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// It could not be written, or what was written not read again.
    #[error("cannot write blob {digest}")]
    Write {
        /// Which.
        digest: Digest,
        /// Why.
        source: io::Error,
    },
    /// It has another size than its manifest says.
    #[error("blob {digest} has {found} bytes, its manifest says {expected}")]
    Size {
        /// Which.
        digest: Digest,
        /// What the manifest says.
        expected: u64,
        /// What came.
        found: u64,
    },
}

/// Copies the blob `digest` of `size` bytes to `place`.
///
/// `progress` is told of every run of bytes that was written, and of bytes taken back
/// (as a negative number) when they were wrong.
///
/// # Errors
///
/// When it cannot be read or written, or is not what it should be.
pub async fn blob<S: Source>(
    source: &S,
    name: &Name,
    digest: &Digest,
    size: u64,
    place: Arc<dyn Place>,
    progress: Arc<dyn Fn(i64) + Send + Sync>,
) -> Result<(), Error> {
    let (mut kept, mut wrong) = (place.kept().min(size), 0);
    loop {
        let transfer =
            Transfer { source, name, digest, size, kept, place: &place, progress: &progress };
        let found = transfer.run().await?;
        if found == *digest {
            return Ok(());
        }
        progress(-i64::try_from(size - kept).unwrap_or(i64::MAX));
        if kept > 0 {
            // What an earlier run left may not have reached the disk: that is nobody's fault.
            tracing::info!(%digest, "what is there of blob {digest} is not it, beginning again");
            kept = 0;
            continue;
        }
        wrong += 1;
        if wrong == 2 {
            let (digest, found) = (digest.clone(), found.to_string());
            return Err(source::Error::Damaged { digest, found }.into());
        }
        tracing::warn!(%digest, %found, "blob {digest} came with wrong bytes, asking again");
    }
}

struct Transfer<'a, S> {
    source: &'a S,
    name: &'a Name,
    digest: &'a Digest,
    size: u64,
    /// How many bytes at the place are taken as they are.
    kept: u64,
    place: &'a Arc<dyn Place>,
    progress: &'a Arc<dyn Fn(i64) + Send + Sync>,
}

impl<S: Source> Transfer<'_, S> {
    /// Copies all bytes; answers their digest.
    async fn run(&self) -> Result<Digest, Error> {
        let hasher = self.hash_kept().await.map_err(|source| self.unwritten(source))?;
        let (pieces, writing) = self.write(hasher);
        let sent = self.read(&pieces).await;
        drop(pieces);
        let written = writing.await.map_err(io::Error::other).flatten();
        let digest = written.map_err(|source| self.unwritten(source));
        // A writer that gave up is the cause of a reader that could not go on.
        let digest = digest?;
        sent.map(|()| digest)
    }

    fn unwritten(&self, source: io::Error) -> Error {
        Error::Write { digest: self.digest.clone(), source }
    }

    /// Hashes what is kept, before the source is asked: it would not wait for that.
    async fn hash_kept(&self) -> io::Result<Hasher> {
        let mut hasher = Hasher::new(self.digest.algorithm());
        let (kept, place) = (self.kept, Arc::clone(self.place));
        if kept == 0 {
            return Ok(hasher);
        }
        let work = move || {
            let mut buffer = vec![0; PIECE];
            let mut position = 0;
            while position < kept {
                let length = usize::try_from(kept - position).unwrap_or(PIECE).min(PIECE);
                let piece = buffer.get_mut(..length).unwrap_or_default();
                place.read_at(position, piece)?;
                hasher.update(piece);
                position += length as u64;
            }
            Ok(hasher)
        };
        tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
    }

    /// Hashes and writes pieces in order, where it may block.
    fn write(
        &self,
        mut hasher: Hasher,
    ) -> (mpsc::Sender<Bytes>, tokio::task::JoinHandle<io::Result<Digest>>) {
        let (pieces, mut arriving) = mpsc::channel::<Bytes>(PIECES);
        let (place, progress) = (Arc::clone(self.place), Arc::clone(self.progress));
        let mut position = self.kept;
        let work = move || {
            while let Some(piece) = arriving.blocking_recv() {
                hasher.update(&piece);
                place.write_at(position, &piece)?;
                position += piece.len() as u64;
                progress(i64::try_from(piece.len()).unwrap_or(0));
            }
            Ok(hasher.finish())
        };
        (pieces, tokio::task::spawn_blocking(work))
    }

    async fn read(&self, pieces: &mpsc::Sender<Bytes>) -> Result<(), Error> {
        let (mut position, mut stalls, mut pause) = (self.kept, 0, FIRST_PAUSE);
        while position < self.size && !pieces.is_closed() {
            let before = position;
            // A source that cannot even begin was patient itself.
            let blob = self.source.blob(self.name, self.digest, position..u64::MAX).await?;
            let Err(error) = self.read_once(blob, &mut position, pieces).await else { continue };
            if position > before {
                (stalls, pause) = (0, FIRST_PAUSE);
            }
            stalls += 1;
            let retryable = matches!(&error, Error::Source(source) if source.retryable());
            if !retryable || stalls > MAX_STALLS {
                return Err(error);
            }
            let digest = self.digest;
            tracing::info!(%digest, position, "blob {digest} broke off at byte {position}: {error}");
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        Ok(())
    }

    /// Reads from `position` as far as one connection goes.
    async fn read_once(
        &self,
        blob: Blob,
        position: &mut u64,
        pieces: &mpsc::Sender<Bytes>,
    ) -> Result<(), Error> {
        let expected = self.size;
        let wrong = |found| Error::Size { digest: self.digest.clone(), expected, found };
        if blob.size != expected {
            return Err(wrong(blob.size));
        }
        match blob.body {
            Body::Stream(mut stream) => {
                while let Some(piece) = stream.next().await {
                    let piece = piece?;
                    let end = *position + piece.len() as u64;
                    if end > expected {
                        return Err(wrong(end));
                    }
                    if !send(pieces, piece).await {
                        return Ok(());
                    }
                    *position = end;
                }
                if *position < expected {
                    let attempted = format!("reading blob {}", self.digest);
                    let source = io::Error::from(io::ErrorKind::UnexpectedEof).into();
                    return Err(source::Error::Unavailable { attempted, source }.into());
                }
            }
            Body::Stored(stored) => {
                while *position < expected {
                    let rest = usize::try_from(expected - *position).unwrap_or(PIECE).min(PIECE);
                    let piece = read(stored.content.clone(), *position, rest).await;
                    let piece = piece.map_err(|source| {
                        let attempted = format!("reading blob {}", self.digest);
                        source::Error::Unavailable { attempted, source: source.into() }
                    })?;
                    if !send(pieces, piece).await {
                        return Ok(());
                    }
                    *position += rest as u64;
                }
            }
        }
        Ok(())
    }
}

/// Hands a piece to the writer; false when it has given up, which it will say itself.
async fn send(pieces: &mpsc::Sender<Bytes>, piece: Bytes) -> bool {
    pieces.send(piece).await.is_ok()
}

async fn read(content: Content, position: u64, length: usize) -> io::Result<Bytes> {
    let work = move || {
        let mut piece = vec![0; length];
        content.read_at(&mut piece, position)?;
        Ok(Bytes::from(piece))
    };
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
