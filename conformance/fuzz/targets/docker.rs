//! A docker-archive whose `manifest.json` is the input, the same beside an OCI layout, and one
//! whose configuration and whose layer are the input.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipperd::oci::{Digest, blob_path};

#[path = "../file.rs"]
mod file;

const LAYER: &[u8] = b"layer";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfdlayer";

fuzz_target!(|bytes: &[u8]| {
    let (plain, packed) = (Digest::of(LAYER), Digest::of(ZSTD));
    let config = format!(r#"{{"rootfs":{{"type":"layers","diff_ids":["{plain}","{packed}"]}}}}"#);
    let none = br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers"}}"#;
    let (config, hex) = (config.as_bytes(), packed.hex());
    let list = br#"[{"Config":"config.json","RepoTags":["a/b:c"],"Layers":["layer.tar","a/layer.tar"]}]"#;
    let blob = blob_path(&Digest::of(config));
    for files in [
        vec![
            ("config.json", config),
            ("none.json", none),
            ("layer.tar", LAYER),
            ("a/layer.tar", ZSTD),
            (&format!("{hex}.tar.gz"), LAYER),
            ("manifest.json", bytes),
        ],
        vec![
            ("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#),
            ("index.json", br#"{"schemaVersion":2,"manifests":[]}"#),
            (&blob, config),
            ("layer.tar", LAYER),
            ("manifest.json", bytes),
        ],
        vec![
            ("config.json", bytes),
            ("layer.tar", bytes),
            ("a/layer.tar", bytes),
            ("manifest.json", list),
        ],
    ] {
        let file = file::archive(&files);
        std::hint::black_box(shipperd::bundle::open(&file::path(&file), true).ok());
    }
});
