//! A docker-archive whose `manifest.json` is the input.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../file.rs"]
mod file;

fuzz_target!(|bytes: &[u8]| {
    let config = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers"}}"#;
    let file = file::archive(&[
        ("config.json", config),
        ("layer.tar", b"layer"),
        ("a/layer.tar", b"another layer"),
        ("manifest.json", bytes),
    ]);
    std::hint::black_box(shipperd::bundle::open(&file::path(&file), true).ok());
});
