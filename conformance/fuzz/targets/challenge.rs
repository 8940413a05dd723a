//! `WWW-Authenticate`, as a registry sends it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipperd::client::challenge::parse;

fuzz_target!(|header: &str| {
    assert!(parse(header).len() <= header.len());
});
