//! The `Range` header: which bytes of so many are asked for.
//!
//! <https://www.rfc-editor.org/rfc/rfc9110#section-14>

use std::ops::Range;

/// What a `Range` header means for a blob of a known size.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Wanted {
    /// All of it: the unit is not bytes.
    Whole,
    /// One run of bytes, not empty.
    One(Range<u64>),
    /// Several runs, none empty, together not more than there is, in the order asked for.
    Many(Vec<Range<u64>>),
    /// Nothing that can be given: 416.
    Unsatisfiable,
}

/// The most runs in one request; zstd:chunked clients ask for at most 1024.
const MAX_RUNS: usize = 1024;

/// Reads the header for a blob of `size` bytes.
///
/// What is malformed is refused like what lies beyond the end: a client that resumes
/// a download would otherwise append a whole blob to the part it has.
#[must_use]
pub fn parse(header: &str, size: u64) -> Wanted {
    let Some((unit, runs)) = header.split_once('=') else { return Wanted::Unsatisfiable };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return Wanted::Whole;
    }
    let mut wanted = Vec::new();
    let runs = runs.split(',').map(|run| run.trim_matches([' ', '\t']));
    for (count, run) in runs.filter(|run| !run.is_empty()).enumerate() {
        match self::run(run, size) {
            Some(run) if count < MAX_RUNS => wanted.push(run),
            _ => return Wanted::Unsatisfiable,
        }
    }
    wanted.retain(|run| !run.is_empty());
    let total = wanted.iter().try_fold(0_u64, |sum, run| sum.checked_add(run.end - run.start));
    match (wanted.len(), total) {
        (0, _) => Wanted::Unsatisfiable,
        (1, _) => wanted.pop().map_or(Wanted::Unsatisfiable, Wanted::One),
        (_, Some(total)) if total <= size => Wanted::Many(wanted),
        _ => Wanted::Unsatisfiable,
    }
}

/// Reads `first-`, `first-last` or `-suffix`; empty when it lies beyond the end.
fn run(text: &str, size: u64) -> Option<Range<u64>> {
    let (first, last) = text.split_once('-')?;
    if first.is_empty() {
        return Some(size.saturating_sub(number(last)?)..size);
    }
    let first = number(first)?;
    let end = if last.is_empty() { size } else { number(last)?.saturating_add(1) };
    if first >= end && !last.is_empty() && first != u64::MAX {
        return None;
    }
    Some(first.min(size)..end.min(size))
}

/// Reads digits; more than fit count as the most that fit.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_edge() {
        let one = |range| Wanted::One(range);
        for (header, expected) in [
            ("bytes=0-0", one(0..1)),
            ("bytes=0-", one(0..10)),
            ("bytes=0-9", one(0..10)),
            ("bytes=0-10", one(0..10)),
            ("bytes=4-10", one(4..10)),
            ("bytes=9-9", one(9..10)),
            ("bytes=3-99999999999999999999999", one(3..10)),
            ("bytes=3-18446744073709551615", one(3..10)),
            ("bytes=-3", one(7..10)),
            ("bytes=-10", one(0..10)),
            ("bytes=-99", one(0..10)),
            ("Bytes=1-2", one(1..3)),
            ("bytes= 1-2", one(1..3)),
            ("bytes=1-2,", one(1..3)),
            ("bytes=1-2,50-60", one(1..3)),
            ("bytes=0-1,4-5", Wanted::Many(vec![0..2, 4..6])),
            ("bytes=4-5 , 0-1", Wanted::Many(vec![4..6, 0..2])),
            ("bytes=0-1,-2", Wanted::Many(vec![0..2, 8..10])),
            ("bytes=0-,0-", Wanted::Unsatisfiable),
            ("bytes=10-", Wanted::Unsatisfiable),
            ("bytes=10-12", Wanted::Unsatisfiable),
            ("bytes=99999999999999999999999-", Wanted::Unsatisfiable),
            ("bytes=18446744073709551615-18446744073709551615", Wanted::Unsatisfiable),
            ("bytes=-0", Wanted::Unsatisfiable),
            ("bytes=5-4", Wanted::Unsatisfiable),
            ("bytes=0-1,5-4", Wanted::Unsatisfiable),
            ("bytes=", Wanted::Unsatisfiable),
            ("bytes=-", Wanted::Unsatisfiable),
            ("bytes=a-b", Wanted::Unsatisfiable),
            ("bytes=1", Wanted::Unsatisfiable),
            ("bytes=+1-2", Wanted::Unsatisfiable),
            ("bytes=1-2-3", Wanted::Unsatisfiable),
            ("bytes", Wanted::Unsatisfiable),
            ("items=0-1", Wanted::Whole),
        ] {
            assert_eq!(parse(header, 10), expected, "{header}");
        }
        assert_eq!(parse("bytes=0-", 0), Wanted::Unsatisfiable);
        assert_eq!(parse("bytes=-1", 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn as_many_runs_as_clients_ask_for() {
        let runs = |count: u64| {
            let runs: Vec<_> = (0..count).map(|n| format!("{}-{}", n * 2, n * 2)).collect();
            parse(&format!("bytes={}", runs.join(",")), 1 << 20)
        };
        assert!(matches!(runs(1024), Wanted::Many(runs) if runs.len() == 1024));
        assert_eq!(runs(1025), Wanted::Unsatisfiable);
    }

    proptest::proptest! {
        #[test]
        fn what_is_wanted_is_there(header in "bytes=[0-9,-]{0,40}", size in 0_u64..1000) {
            let runs = match parse(&header, size) {
                Wanted::One(run) => vec![run],
                Wanted::Many(runs) => runs,
                Wanted::Whole | Wanted::Unsatisfiable => vec![],
            };
            for run in runs {
                proptest::prop_assert!(run.start < run.end && run.end <= size);
            }
        }
    }
}
