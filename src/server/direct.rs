//! Bytes that go from a file to the connection within the kernel, by sendfile(2).
//!
//! hyper writes bytes that lie in memory and knows no files. So the body hands it a
//! stand-in of the right length and notes here what it stands for; the connection
//! knows the stand-in by its address when it comes to be written, and sends what it
//! stands for instead. hyper keeps order and counts, and copies nothing on the way,
//! because the connection says that it writes many buffers at once.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use super::reader::PIECE;
use crate::extent::Extent;

/// The longest run that one stand-in stands for, in bytes.
const RUN: usize = 1 << 20;
/// Runs that are shorter are copied: they go out together with the head.
const SHORT: u64 = 64 << 10;

/// What stand-ins are cut from. Nobody reads it, so the kernel never gives it memory.
#[derive(Clone)]
pub(super) struct StandIn(Bytes);

impl StandIn {
    pub(super) fn new() -> Self {
        Self(vec![0; RUN].into())
    }
}

/// What one connection has still to send from files, in order.
pub(super) struct Direct {
    stand_in: Bytes,
    runs: Mutex<VecDeque<Extent>>,
}

impl Direct {
    pub(super) fn new(stand_in: &StandIn) -> Self {
        Self { stand_in: stand_in.0.clone(), runs: Mutex::default() }
    }

    /// A stand-in for the beginning of an extent, if it can be sent without waiting for a disk.
    pub(super) fn defer(&self, extent: &Extent) -> Option<Bytes> {
        let run = extent.slice(0, RUN as u64);
        if run.length() < SHORT || !run.is_cached() {
            return None;
        }
        let length = usize::try_from(run.length()).ok()?;
        self.runs().push_back(run);
        Some(self.stand_in.slice(..length))
    }

    /// Whether this is a stand-in, or what is left of one.
    pub(super) fn stands_in(&self, buffer: &[u8]) -> bool {
        self.stand_in.as_ptr_range().contains(&buffer.as_ptr())
    }

    /// Sends at most `length` bytes of what comes next, and not more than a piece.
    ///
    /// The kernel takes 16 pages at a time and sends each batch at once; one that does not go into
    /// a packet leaves a second one of some bytes, for which the client is woken once more.
    ///
    /// # Errors
    ///
    /// When the file has become shorter, or the socket takes nothing now.
    pub(super) fn send(&self, socket: impl AsFd, length: usize) -> io::Result<usize> {
        let mut runs = self.runs();
        let run = runs.front_mut().ok_or(io::ErrorKind::InvalidData)?;
        let sent = run.send(socket, length.min(PIECE)).inspect_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                let position = run.offset();
                tracing::error!(position, "cannot send a blob: its file ends before {position}");
            }
        })?;
        *run = run.slice(sent as u64, u64::MAX);
        if run.length() == 0 {
            runs.pop_front();
        }
        Ok(sent)
    }

    fn runs(&self) -> MutexGuard<'_, VecDeque<Extent>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct").field("runs", &self.runs().len()).finish_non_exhaustive()
    }
}
