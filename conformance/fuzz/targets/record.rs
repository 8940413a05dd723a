//! The record of a bundle.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipperd::imageset::record::Record;

fuzz_target!(|bytes: &[u8]| {
    std::hint::black_box(Record::parse(bytes).ok());
});
