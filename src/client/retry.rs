//! How often and after which wait a request is repeated.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use jiff::Timestamp;

/// How patient a client is with a registry that fails.
#[derive(Clone, Copy, Debug)]
pub struct Retries {
    /// How often a request is sent, at least once.
    pub attempts: u32,
    /// The wait after the first failure; it doubles with each further one.
    pub first_wait: Duration,
    /// The longest wait, also for a registry that asks for more: then it has failed.
    pub longest_wait: Duration,
}

impl Retries {
    /// For a person who waits for a registry on the internet: gives up after a quarter of a minute.
    pub const PATIENT: Self = Self {
        attempts: 6,
        first_wait: Duration::from_millis(500),
        longest_wait: Duration::from_secs(60),
    };

    /// The wait before the next attempt after `failed` ones; none when it is time to give up.
    ///
    /// `asked` is what the registry asked for.
    pub(super) fn wait(&self, failed: u32, asked: Option<Duration>) -> Option<Duration> {
        if failed >= self.attempts {
            return None;
        }
        let asked = asked.unwrap_or_default();
        if asked > self.longest_wait {
            return None;
        }
        let doubled =
            self.first_wait.saturating_mul(2_u32.saturating_pow(failed.saturating_sub(1)));
        // Between half and the whole of it, so that many clients do not come back at once.
        let share = RandomState::new().hash_one(failed) % 512 + 512;
        let wait =
            doubled.min(self.longest_wait).saturating_mul(u32::try_from(share).unwrap_or(1024));
        // Zero seconds, asked for by a registry that is down, must not use up all attempts.
        Some(asked.max(wait / 1024))
    }
}

/// Reads a `Retry-After`: seconds, or a date.
pub(super) fn after(header: &str, now: Timestamp) -> Option<Duration> {
    let header = header.trim();
    if !header.is_empty() && header.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(header.parse().unwrap_or(u64::MAX)));
    }
    let date = jiff::fmt::rfc2822::parse(header).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after() {
        let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        for (header, expected) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Sat, 21 Nov 2026 10:01:30 GMT", Some(90)),
            ("Sat, 21 Nov 2026 09:00:00 GMT", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(after(header, now), expected.map(Duration::from_secs), "{header}");
        }
    }

    #[test]
    fn waits_double_and_end() {
        let retries = Retries { attempts: 4, ..Retries::PATIENT };
        for (failed, least, most) in [(1, 250, 500), (2, 500, 1000), (3, 1000, 2000)] {
            let wait = retries.wait(failed, None).unwrap().as_millis();
            assert!((least..=most).contains(&wait), "{failed}: {wait}");
        }
        assert_eq!(retries.wait(4, None), None);
        assert_eq!(retries.wait(4, Some(Duration::ZERO)), None);
        let minute = Duration::from_secs(60);
        assert_eq!(retries.wait(1, Some(minute)), Some(minute));
        assert_eq!(retries.wait(1, Some(Duration::MAX)), None, "too long to wait for");
        assert!(!retries.wait(1, Some(Duration::ZERO)).unwrap().is_zero(), "not at once");
        let often = Retries { attempts: u32::MAX, ..Retries::PATIENT };
        assert!(often.wait(1_000_000, None).unwrap() <= minute);
    }
}
