//! How far a long work has come: a bar on a terminal, plain lines elsewhere.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::style::TemplateError;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::printer::{Printer, size};

/// Counts how much of a work is done, and shows it.
#[derive(Debug)]
pub struct Progress {
    printer: Printer,
    label: &'static str,
    unit: Unit,
    started: Instant,
    total: u64,
    done: AtomicU64,
    /// When the next plain line is due, in seconds from the start.
    due: AtomicU64,
    bar: Option<ProgressBar>,
}

/// What is counted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unit {
    /// Bytes, with their rate.
    Bytes,
    /// Images.
    Images,
}

/// The time between plain lines, in seconds; they are read in logs of many hours.
const INTERVAL: u64 = 10;

impl Progress {
    /// Begins a work of `total` units that `label` names, such as `verifying`.
    #[must_use]
    pub fn new(printer: &Printer, label: &'static str, total: u64, unit: Unit) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        let bar = printer.bar(bar);
        if let Some(bar) = &bar {
            // The templates are constant: that they parse is tested.
            bar.set_style(unit.style().unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(label);
        }
        Self {
            printer: printer.clone(),
            label,
            unit,
            started: Instant::now(),
            total,
            done: AtomicU64::new(0),
            due: AtomicU64::new(INTERVAL),
            bar,
        }
    }

    /// Says that so much more is done.
    pub fn advance(&self, by: u64) {
        self.show(self.done.fetch_add(by, Ordering::Relaxed).saturating_add(by));
    }

    /// Says that so much was done in vain.
    pub fn retreat(&self, by: u64) {
        self.show(self.done.fetch_sub(by, Ordering::Relaxed).saturating_sub(by));
    }

    /// Says how much is done in all.
    pub fn reach(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
        self.show(done);
    }

    /// Ends the work and takes the bar away; answers how much was done and how long it took.
    pub fn finish(&self) -> (u64, Duration) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        (self.done.load(Ordering::Relaxed), self.started.elapsed())
    }

    fn show(&self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            return;
        }
        let elapsed = self.started.elapsed();
        let due = self.due.load(Ordering::Relaxed);
        if elapsed.as_secs() < due {
            return;
        }
        let next = elapsed.as_secs().saturating_add(INTERVAL);
        let claimed = self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
        if claimed.is_ok() {
            self.printer.say(self.unit.line(self.label, done, self.total, elapsed));
        }
    }
}

impl Unit {
    fn style(self) -> Result<ProgressStyle, TemplateError> {
        let template = match self {
            Self::Bytes => {
                "{msg} [{bar:30}] {binary_bytes} of {binary_total_bytes}, \
                 {binary_bytes_per_sec}, {eta} left"
            }
            Self::Images => "{msg} [{bar:30}] {pos} of {len} images",
        };
        Ok(ProgressStyle::with_template(template)?.progress_chars("=> "))
    }

    fn line(self, label: &str, done: u64, total: u64, elapsed: Duration) -> String {
        if self == Self::Images {
            return format!("{label}: {done} of {total} images");
        }
        let of = format!("{label}: {} of {}", size(done), size(total));
        let rate = rate(done, elapsed);
        match total.saturating_sub(done).checked_div(rate) {
            Some(left) => {
                let left = HumanDuration(Duration::from_secs(left));
                format!("{of}, {}/s, {left} left", size(rate))
            }
            None => of,
        }
    }
}

/// Bytes a second.
pub(super) fn rate(bytes: u64, time: Duration) -> u64 {
    let milliseconds = time.as_millis().max(1);
    u64::try_from(u128::from(bytes) * 1000 / milliseconds).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_and_lines() {
        for unit in [Unit::Bytes, Unit::Images] {
            assert!(unit.style().is_ok());
        }
        let text = Unit::Bytes.line("verifying", 3 << 20, 12 << 20, Duration::from_secs(3));
        assert_eq!(text, "verifying: 3.00 MiB of 12.00 MiB, 1.00 MiB/s, 9 seconds left");
        let text = Unit::Bytes.line("verifying", 0, 1 << 10, Duration::ZERO);
        assert_eq!(text, "verifying: 0 B of 1.00 KiB");
        let text = Unit::Images.line("resolving", 3, 191, Duration::from_secs(3));
        assert_eq!(text, "resolving: 3 of 191 images");
    }
}
