//! The `Range` header: what is wanted is there, and never more than there is.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipperd::server::range::{Wanted, parse};

fuzz_target!(|input: (u64, &str)| {
    let (size, header) = input;
    for size in [size, size % 1000] {
        let runs = match parse(header, size) {
            Wanted::One(run) => vec![run],
            Wanted::Many(runs) => runs,
            Wanted::Whole | Wanted::Unsatisfiable => vec![],
        };
        let mut total = 0_u64;
        for run in &runs {
            assert!(run.start < run.end && run.end <= size, "{header:?} of {size}: {run:?}");
            total = total.checked_add(run.end - run.start).unwrap();
        }
        assert!(total <= size, "{header:?} of {size}: {total} bytes");
    }
});
