//! How far a long work has come: a bar on a terminal, plain lines elsewhere.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::printer::{Printer, size};

/// Counts the bytes done of a work, and shows them.
#[derive(Debug)]
pub struct Progress {
    printer: Printer,
    label: &'static str,
    started: Instant,
    total: AtomicU64,
    done: AtomicU64,
    /// When the next plain line is due, in seconds from the start.
    due: AtomicU64,
    bar: Option<ProgressBar>,
}

/// The time between plain lines, in seconds; they are read in logs of many hours.
const INTERVAL: u64 = 10;

/// What a bar shows; bytes, rate and time left.
const TEMPLATE: &str = "{msg} [{bar:30}] {binary_bytes} of {binary_total_bytes}, \
                        {binary_bytes_per_sec}, {eta} left";

impl Progress {
    /// Begins a work of `total` bytes that `label` names, such as `verifying`.
    #[must_use]
    pub fn new(printer: &Printer, label: &'static str, total: u64) -> Self {
        let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::hidden());
        let bar = printer.bar(bar);
        if let Some(bar) = &bar {
            // The template is constant: that it parses is tested.
            bar.set_style(style().unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(label);
        }
        Self {
            printer: printer.clone(),
            label,
            started: Instant::now(),
            total: AtomicU64::new(total),
            done: AtomicU64::new(0),
            due: AtomicU64::new(INTERVAL),
            bar,
        }
    }

    /// Says that there are `bytes` more to do than was known.
    pub fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.inc_length(bytes);
        }
    }

    /// Says that `bytes` more are done.
    pub fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if let Some(bar) = &self.bar {
            bar.inc(bytes);
            return;
        }
        let elapsed = self.started.elapsed();
        let due = self.due.load(Ordering::Relaxed);
        let now = elapsed.as_secs();
        if now >= due {
            let next = now.saturating_add(INTERVAL);
            let claimed =
                self.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
            if claimed.is_ok() {
                let total = self.total.load(Ordering::Relaxed);
                self.printer.say(line(self.label, done, total, elapsed));
            }
        }
    }

    /// Ends the work and takes the bar away; answers the bytes done and the time they took.
    pub fn finish(&self) -> (u64, Duration) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        (self.done.load(Ordering::Relaxed), self.started.elapsed())
    }
}

fn style() -> Result<ProgressStyle, indicatif::style::TemplateError> {
    Ok(ProgressStyle::with_template(TEMPLATE)?.progress_chars("=> "))
}

fn line(label: &str, done: u64, total: u64, elapsed: Duration) -> String {
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
        assert!(style().is_ok());
        let text = line("verifying", 3 << 20, 12 << 20, Duration::from_secs(3));
        assert_eq!(text, "verifying: 3.00 MiB of 12.00 MiB, 1.00 MiB/s, 9 seconds left");
        let text = line("verifying", 0, 1 << 10, Duration::ZERO);
        assert_eq!(text, "verifying: 0 B of 1.00 KiB");
    }
}
