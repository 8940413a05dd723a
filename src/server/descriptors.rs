//! How many descriptors the process may hold, and so how many connections.
//!
//! Each connection and each bundle holds one. Where all are taken nothing can be opened any more,
//! so connections leave some: those that are too many wait, instead of breaking what is served.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// One in so many descriptors is left to bundles that come and to files that are read.
const LEFT: u64 = 8;

/// Lets the process hold as many descriptors as it may: most systems begin with 1024.
///
/// The server does so when it begins; who opens many bundles before does so before.
pub fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if maximum.is_none() || current == maximum {
        return;
    }
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!("cannot raise the limit of {current:?} descriptors: {error}");
    }
}

/// How many connections there can be of those that are wanted; logs if that is fewer.
pub(super) fn connections(wanted: u32) -> u32 {
    raise_limit();
    let Some(limit) = getrlimit(Resource::Nofile).current else { return wanted };
    // What is open now stays open: bundles, most of it.
    let held = fs::read_dir("/proc/self/fd").map_or(0, |open| open.count() as u64);
    let granted = granted(wanted, limit, held);
    if granted < wanted {
        tracing::warn!(
            "at most {granted} connections instead of {wanted}: the process may hold {limit} \
             descriptors (`ulimit -n`, LimitNOFILE=) and holds {held}"
        );
    }
    granted
}

/// How many connections of those wanted fit beside the descriptors that are held.
fn granted(wanted: u32, limit: u64, held: u64) -> u32 {
    let room = limit.saturating_sub(held).saturating_sub(limit / LEFT).max(1);
    u32::try_from(room).map_or(wanted, |room| room.min(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_descriptors_to_others() {
        for (wanted, limit, held, expected) in [
            (16384, 1_048_576, 120, 16384),
            (16384, u64::MAX, 0, 16384),
            (16384, 20_000, 500, 16384),
            (16384, 16_384, 100, 14_236),
            (16384, 1024, 24, 872),
            (100, 1024, 24, 100),
            // Even where bundles take all of them one client after the other is served.
            (16384, 1024, 1000, 1),
            (16384, 0, 3, 1),
        ] {
            assert_eq!(granted(wanted, limit, held), expected, "{wanted} {limit} {held}");
        }
    }
}
