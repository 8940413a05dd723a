//! A connection that does not wait for ever: a client that takes nothing is given up,
//! and one that still sends a body is heard for a moment when all is said, so that it
//! gets the answer before it learns that the connection is closed.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use super::direct::Direct;
use super::reader::PIECE;

/// How long what a client still sends is swallowed.
const LINGER: Duration = Duration::from_millis(500);
/// How much of it, in bytes: more than a client sends before it reads the answer.
const LINGER_BYTES: u64 = 16 << 20;

/// How much is written before the other connections of the thread get their turn, in bytes
/// (docs/decisions/009-how-bytes-reach-the-socket.md).
const TURN: usize = 8 * PIECE;

/// A connection.
pub(super) struct Stream {
    stream: TcpStream,
    direct: Option<Arc<Direct>>,
    /// Bytes written in this turn.
    written: usize,
    patience: Duration,
    /// Runs while the client takes nothing, and on after it took something: winding
    /// it anew each time would cost more than the write.
    stalled: Option<Pin<Box<Sleep>>>,
    has_moved: bool,
    /// Whether the client may be sending what nobody reads.
    has_unread: Arc<AtomicBool>,
    lingering: Option<Pin<Box<Sleep>>>,
    swallowed: u64,
}

impl Stream {
    /// `patience` is how long a client may take nothing; it gets up to twice that.
    pub(super) fn new(stream: TcpStream, patience: Duration, has_unread: &Arc<AtomicBool>) -> Self {
        let has_unread = Arc::clone(has_unread);
        Self {
            stream,
            direct: None,
            written: 0,
            patience,
            stalled: None,
            has_moved: false,
            has_unread,
            lingering: None,
            swallowed: 0,
        }
    }

    /// Sends from files what stand-ins stand for.
    pub(super) fn with_direct(self, direct: Arc<Direct>) -> Self {
        Self { direct: Some(direct), ..self }
    }

    /// Writes buffers, or sends what the first of them stands for.
    fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Some(direct) = &self.direct else {
            return Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        };
        let is_real = |buffer: &&IoSlice<'_>| !direct.stands_in(buffer);
        let real = buffers.iter().take_while(is_real).count();
        let (Some(first), 0) = (buffers.first(), real) else {
            let buffers = buffers.get(..real).unwrap_or_default();
            return Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        };
        loop {
            ready!(self.stream.poll_write_ready(cx))?;
            let send = || direct.send(&self.stream, first.len());
            match self.stream.try_io(Interest::WRITABLE, send) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return Poll::Ready(sent),
            }
        }
    }

    /// The first byte that the client sends, which stays to be read.
    pub(super) async fn first_byte(&self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        let seen = self.stream.peek(&mut byte).await?;
        Ok(byte.first().copied().filter(|_| seen > 0))
    }

    /// Looks at the clock if the client takes nothing.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.has_moved = true;
            return written;
        }
        let patience = self.patience;
        loop {
            let stalled = self.stalled.get_or_insert_with(|| {
                self.has_moved = false;
                Box::pin(sleep(patience))
            });
            ready!(stalled.as_mut().poll(cx));
            if !self.has_moved {
                let waited = "the client took nothing for too long";
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, waited)));
            }
            self.has_moved = false;
            stalled.as_mut().reset(Instant::now() + patience);
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buffer)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.written >= TURN {
            self.written = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let written = self.poll_send(cx, buffers);
        match &written {
            Poll::Ready(Ok(length)) => self.written += length,
            _ => self.written = 0,
        }
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.lingering.is_none() {
            ready!(Pin::new(&mut this.stream).poll_shutdown(cx))?;
            if !this.has_unread.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        let lingering = this.lingering.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        let mut buffer = [0; 4096];
        while this.swallowed < LINGER_BYTES && lingering.as_mut().poll(cx).is_pending() {
            let mut piece = ReadBuf::new(&mut buffer);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                break;
            }
            this.swallowed += piece.filled().len() as u64;
        }
        Poll::Ready(Ok(()))
    }
}
