//! An oci-archive whose index and whose one manifest are the input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipperd::oci::{Digest, blob_path};

#[path = "../file.rs"]
mod file;

fuzz_target!(|bytes: &[u8]| {
    let manifest = blob_path(&Digest::of(bytes));
    let layer = blob_path(&Digest::of(b"layer"));
    let file = file::archive(&[
        ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#),
        ("index.json", bytes),
        (&manifest, bytes),
        (&layer, b"layer"),
    ]);
    std::hint::black_box(shipperd::bundle::open(&file::path(&file), true).ok());
});
