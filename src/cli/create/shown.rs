//! How far a creation has come: first in images, then in bytes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::cli::printer::{Printer, size};
use crate::cli::progress::{self, Progress, Unit};
use crate::create;

/// Shows how far it has come: first in images, then in bytes.
pub(super) struct Shown {
    printer: Printer,
    now: Mutex<Option<Progress>>,
    has_begun: AtomicBool,
}

impl Shown {
    pub(super) fn new(printer: &Printer) -> Self {
        Self { printer: printer.clone(), now: Mutex::new(None), has_begun: AtomicBool::new(false) }
    }

    /// Whether anything was written yet.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    /// Takes the bar away; answers how fast the last stage was.
    pub(super) fn finish(&self) -> Option<String> {
        let progress = self.now.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        let (done, time) = progress.finish();
        let rate = size(progress::rate(done, time));
        Some(format!("copied {} in {:.1} s, {rate}/s", size(done), time.as_secs_f64()))
    }
}

impl create::Progress for Shown {
    fn resolved(&self, done: usize, total: usize) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let total = total as u64;
        now.get_or_insert_with(|| Progress::new(&self.printer, "resolving", total, Unit::Images))
            .reach(done as u64);
    }

    fn begin(&self, bytes: u64, kept: u64) {
        self.has_begun.store(true, Ordering::Relaxed);
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(resolving) = now.take() {
            resolving.finish();
        }
        if kept > 0 {
            let (kept, rest) = (size(kept), size(bytes));
            self.printer
                .say(format!("going on: {kept} are here from an earlier run, {rest} are to come"));
        }
        self.printer.detail(format!("copying {}", size(bytes)));
        *now = Some(Progress::new(&self.printer, "copying", bytes, Unit::Bytes));
    }

    fn advance(&self, bytes: i64) {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(progress) = &*now {
            if bytes < 0 {
                progress.retreat(bytes.unsigned_abs());
            } else {
                progress.advance(bytes.unsigned_abs());
            }
        }
    }
}
