//! How stored bytes come into memory without an async thread ever waiting for a disk.
//!
//! What the page cache holds is copied at once; the rest is read on a bounded number of
//! blocking threads. Buffers are lent and come back: a fresh one for every piece costs
//! more than filling it, with musl's allocator three times more. When many are lent,
//! as to many slow clients, pieces get smaller and memory stays bounded.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::Bytes;
use tokio::sync::{Semaphore, watch};
use tokio::task;

use super::direct::{Direct, StandIn};
use crate::extent::Content;
use crate::verification::{Verdict, Verification};

/// The size of a piece, in bytes. With what TLS adds it goes into one packet of the kernel's,
/// which are of up to 64 KiB: a piece of 64 KiB ends in a second packet of some bytes, which
/// costs nearly as much as the first (docs/decisions/009-how-bytes-reach-the-socket.md). And it stays in the cache of a core
/// from the copy out of the page cache to the encryption or the copy to the socket.
pub(super) const PIECE: usize = 60 << 10;
/// The size of a piece when `MAX_LENT` pieces are lent.
const SMALL_PIECE: usize = 16 << 10;
/// How many full pieces are lent at once: 15 MiB, enough for the sixty-four connections of a large
/// site that read for the first time.
const MAX_LENT: usize = 256;
/// How many returned buffers are kept: 8 MiB.
const MAX_KEPT: usize = 128;

/// Reads stored bytes for async code; clones share their buffers and threads.
#[derive(Clone)]
pub(super) struct Reader {
    stand_in: StandIn,
    direct: Option<Arc<Direct>>,
    pool: Arc<Pool>,
    slots: Arc<Semaphore>,
    completions: Completions,
    completion_slots: Arc<Semaphore>,
}

impl Reader {
    pub(super) fn new() -> Self {
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            stand_in: StandIn::new(),
            direct: None,
            pool: Arc::default(),
            slots: Arc::new(Semaphore::new((2 * cores).max(8))),
            completions: Completions::default(),
            completion_slots: Arc::new(Semaphore::new(cores)),
        }
    }

    /// One for a connection that can send from files, and what that connection asks then.
    pub(super) fn with_direct(&self) -> (Self, Arc<Direct>) {
        let direct = Arc::new(Direct::new(&self.stand_in));
        (Self { direct: Some(Arc::clone(&direct)), ..self.clone() }, direct)
    }

    /// Leaves at most `length` bytes from `position` to the connection, if it can send them.
    ///
    /// What is answered stands for them and must be sent before anything that follows.
    pub(super) fn defer(&self, content: &Content, position: u64, length: u64) -> Option<Bytes> {
        let (Some(direct), Content::Extent(extent)) = (&self.direct, content) else { return None };
        direct.defer(&extent.slice(position, length))
    }

    /// Reads what is at hand from `position`, at most a piece and `length` bytes.
    ///
    /// Nothing when reading may have to wait: [`Reader::read`] then.
    pub(super) fn read_cached(
        &self,
        content: &Content,
        position: u64,
        length: u64,
    ) -> io::Result<Option<Piece>> {
        let Content::Extent(extent) = content else { return Ok(None) };
        let mut piece = Pool::lend(&self.pool, length);
        let read = extent.read_cached(piece.as_mut(), position)?;
        piece.length = read;
        Ok((read > 0).then_some(piece))
    }

    /// Reads from `position`, at most a piece and `length` bytes, on a blocking thread.
    pub(super) fn read(
        &self,
        content: &Content,
        position: u64,
        length: u64,
    ) -> impl Future<Output = io::Result<Piece>> + Send + use<> {
        let (pool, slots, content) =
            (Arc::clone(&self.pool), Arc::clone(&self.slots), content.clone());
        async move {
            let slot = slots.acquire_owned().await.map_err(io::Error::other)?;
            let read = move || {
                let _slot = slot;
                let mut piece = Pool::lend(&pool, length);
                content.read_at(piece.as_mut(), position)?;
                Ok(piece)
            };
            task::spawn_blocking(read).await.map_err(io::Error::other)?
        }
    }

    /// Reads the rest of what has to be verified; all who wait for the same share one reading.
    pub(super) async fn complete(
        &self,
        verification: Arc<Verification>,
        content: &Content,
    ) -> io::Result<Verdict> {
        let mut done = self.join(verification, content);
        let outcome = done.wait_for(Option::is_some).await.map_err(io::Error::other)?;
        match outcome.as_ref() {
            Some(Ok(verdict)) => Ok(*verdict),
            Some(Err(error)) => Err(io::Error::new(error.kind(), error.to_string())),
            None => Err(io::ErrorKind::Other.into()),
        }
    }

    fn join(&self, verification: Arc<Verification>, content: &Content) -> Done {
        let key = Arc::as_ptr(&verification).addr();
        let mut running = self.completions.lock();
        if let Some(done) = running.get(&key) {
            return done.clone();
        }
        let (tell, done) = watch::channel(None);
        running.insert(key, done.clone());
        let (slots, content, completions) =
            (Arc::clone(&self.completion_slots), content.clone(), self.completions.clone());
        tokio::spawn(async move {
            let slot = slots.acquire_owned().await;
            let subject = Arc::clone(&verification);
            let outcome = task::spawn_blocking(move || {
                let _slot = slot;
                subject.complete(&content)
            });
            let outcome = outcome.await.map_err(io::Error::other).flatten();
            // The verification lives until here, so no other has its address meanwhile.
            completions.lock().remove(&Arc::as_ptr(&verification).addr());
            tell.send_replace(Some(outcome.map_err(Arc::new)));
        });
        done
    }
}

type Done = watch::Receiver<Option<Result<Verdict, Arc<io::Error>>>>;

/// The verifications that are being completed, by their address.
#[derive(Clone, Default)]
struct Completions(Arc<Mutex<HashMap<usize, Done>>>);

impl Completions {
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<usize, Done>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lent = self.pool.lent.load(Ordering::Relaxed);
        f.debug_struct("Reader").field("lent", &lent).finish_non_exhaustive()
    }
}

/// Buffers that are lent and come back.
#[derive(Default)]
struct Pool {
    kept: Mutex<Vec<Box<[u8]>>>,
    lent: AtomicUsize,
}

impl Pool {
    /// Lends a piece for `length` bytes, or for as many as a piece may have.
    fn lend(pool: &Arc<Self>, length: u64) -> Piece {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length <= SMALL_PIECE || pool.lent.load(Ordering::Relaxed) >= MAX_LENT {
            let length = length.min(SMALL_PIECE);
            return Piece { buffer: vec![0; length].into(), length, pool: None };
        }
        pool.lent.fetch_add(1, Ordering::Relaxed);
        let kept = pool.kept.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let buffer = kept.unwrap_or_else(|| vec![0; PIECE].into());
        Piece { buffer, length: length.min(PIECE), pool: Some(Arc::clone(pool)) }
    }
}

/// A buffer and how much of it counts.
pub(super) struct Piece {
    buffer: Box<[u8]>,
    length: usize,
    pool: Option<Arc<Pool>>,
}

impl Piece {
    /// The bytes, to be sent; the buffer comes back when they are.
    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        self.buffer.get(..self.length).unwrap_or_default()
    }
}

impl AsMut<[u8]> for Piece {
    fn as_mut(&mut self) -> &mut [u8] {
        self.buffer.get_mut(..self.length).unwrap_or_default()
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        let Some(pool) = self.pool.take() else { return };
        pool.lent.fetch_sub(1, Ordering::Relaxed);
        let mut kept = pool.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < MAX_KEPT {
            kept.push(std::mem::take(&mut self.buffer));
        }
    }
}
