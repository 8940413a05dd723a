//! The state of an imageset, and the place it is kept in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipperd::state::{Location, State};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(state) = State::parse(bytes) {
        let written = state.to_bytes().unwrap();
        assert_eq!(State::parse(&written).unwrap(), state);
        std::hint::black_box(state.carried());
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(location) = text.parse::<Location>() {
        assert_eq!(location.to_string().parse(), Ok(location));
    }
});
