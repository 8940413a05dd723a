//! A tar of imgpkg whose `manifest.json` is the input, and one in which it is a manifest, a
//! configuration and the names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipperd::oci::Digest;

#[path = "../file.rs"]
mod file;

fuzz_target!(|bytes: &[u8]| {
    open(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let digest = Digest::of(bytes);
    let quoted = format!("{text:?}");
    // Rust and JSON quote otherwise what is not printable.
    if quoted.contains("\\u{") || quoted.contains("\\'") || quoted.contains("\\0") {
        return;
    }
    let document = format!(r#"{{"Digest":"{digest}","Raw":{quoted}}}"#);
    let image = format!(
        r#"{{"Refs":[{quoted},"quay.io/a/b@{digest}"],"Tag":{quoted},"OrigRef":{quoted},
        "Config":{document},"Manifest":{document}}}"#
    );
    let index = format!(
        r#"{{"Refs":null,"MediaType":{quoted},"Digest":"{digest}","Raw":{quoted},
        "Images":[{image}],"Indexes":[{{"Digest":"{digest}","Raw":"","Images":[{image}]}}]}}"#
    );
    open(format!(r#"[{{"Image":{image}}},{{"ImageIndex":{index}}}]"#).as_bytes());
});

fn open(manifest: &[u8]) {
    let layer = format!("sha256-{}.tar.gz", Digest::of(b"layer").hex());
    let file = file::archive(&[("manifest.json", manifest), (&layer, b"layer")]);
    std::hint::black_box(shipperd::bundle::open(&file::path(&file), true).ok());
}
