//! The body of a blob: runs of stored bytes, piece by piece, and text between them.
//!
//! The one place that decides how stored bytes get to a socket. Known to be good and at
//! hand, they go there by themselves; else at most one piece is here and two in the
//! connection, however slow the client. Bytes that are not verified yet are shown to
//! the verification, and the last of them are withheld until it agrees: of a damaged
//! blob the connection breaks off, it never completes.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::reader::{Piece, Reader};
use crate::extent::Content;
use crate::oci::Digest;
use crate::verification::{Verdict, Verification};

/// A part of the body.
pub(super) enum Part {
    /// Bytes of the blob.
    Stored(Range<u64>),
    /// What stands between them.
    Text(Bytes),
}

/// The body.
pub(super) struct Pieces {
    reader: Arc<Reader>,
    digest: Digest,
    content: Content,
    /// Only for a body that is the whole blob.
    verification: Option<Arc<Verification>>,
    parts: VecDeque<Part>,
    reading: Option<Reading>,
    left: u64,
}

type Reading = Pin<Box<dyn Future<Output = io::Result<Piece>> + Send>>;

impl Pieces {
    /// The whole blob; `verification` is what it has to pass, if anything.
    pub(super) fn whole(
        reader: &Arc<Reader>,
        digest: &Digest,
        content: Content,
        verification: Option<Arc<Verification>>,
    ) -> Self {
        let parts = VecDeque::from([Part::Stored(0..content.length())]);
        Self { verification, ..Self::parts(reader, digest, content, parts) }
    }

    /// Parts of a blob that is known to be good.
    pub(super) fn parts(
        reader: &Arc<Reader>,
        digest: &Digest,
        content: Content,
        parts: VecDeque<Part>,
    ) -> Self {
        let length = |part: &Part| match part {
            Part::Stored(range) => range.end - range.start,
            Part::Text(text) => text.len() as u64,
        };
        let left = parts.iter().map(length).sum();
        let (reader, digest) = (Arc::clone(reader), digest.clone());
        Self { reader, digest, content, verification: None, parts, reading: None, left }
    }

    /// Leaves the run in front to the connection, as far as it can send it unread.
    fn defer(&self, range: &Range<u64>) -> Option<Bytes> {
        let is_free = self.verification.is_none() && self.reading.is_none();
        is_free.then(|| self.reader.defer(&self.content, range.start, range.end - range.start))?
    }

    /// Reads the next piece of the run in front.
    fn poll_piece(&mut self, cx: &mut Context<'_>, range: &Range<u64>) -> Poll<io::Result<Piece>> {
        let length = range.end - range.start;
        let mut reading = match self.reading.take() {
            Some(reading) => reading,
            None => match self.reader.read_cached(&self.content, range.start, length)? {
                Some(piece) => return Poll::Ready(Ok(piece)),
                None => Box::pin(self.reader.read(&self.content, range.start, length)),
            },
        };
        let polled = reading.as_mut().poll(cx);
        if polled.is_pending() {
            self.reading = Some(reading);
        }
        polled
    }

    /// Shows a piece to the verification; fails if it must not be sent.
    fn verify(&mut self, position: u64, piece: &Piece, is_last: bool) -> io::Result<()> {
        let Some(verification) = &self.verification else { return Ok(()) };
        match verification.observe(position, piece.as_ref()) {
            Some(Verdict::Good) => self.verification = None,
            None if !is_last => {}
            Some(Verdict::Damaged) | None => {
                let digest = &self.digest;
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("{digest} is damaged, its last bytes are withheld"),
                ));
            }
        }
        Ok(())
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let bytes = loop {
            match this.parts.pop_front() {
                None => return Poll::Ready(None),
                Some(Part::Text(text)) => break text,
                Some(Part::Stored(range)) if range.is_empty() => {}
                Some(Part::Stored(range)) => {
                    if let Some(bytes) = this.defer(&range) {
                        this.parts
                            .push_front(Part::Stored(range.start + bytes.len() as u64..range.end));
                        break bytes;
                    }
                    let polled = this.poll_piece(cx, &range);
                    let Poll::Ready(piece) = polled else {
                        this.parts.push_front(Part::Stored(range));
                        return Poll::Pending;
                    };
                    let piece = piece.inspect_err(|error| {
                        let (digest, position) = (&this.digest, range.start);
                        tracing::error!(
                            %digest,
                            position,
                            "cannot read blob {digest} from byte {position}: {error}"
                        );
                        let verification = this.verification.as_ref();
                        verification.map(|it| it.failed(error.kind().into()));
                    })?;
                    let end = range.start + piece.as_ref().len() as u64;
                    this.verify(range.start, &piece, end == range.end)?;
                    this.parts.push_front(Part::Stored(end..range.end));
                    break piece.into_bytes();
                }
            }
        };
        this.left = this.left.saturating_sub(bytes.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
