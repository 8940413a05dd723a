//! An archive of oc-mirror v1: the first line of the input is its metadata, the rest is a manifest,
//! the layout of a catalog and its content, and graph data.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipperd::bundle::mirror_v1::metadata::Metadata;
use shipperd::oci::Digest;

#[path = "../file.rs"]
mod file;

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (metadata, rest) = bytes.split_at(end);
    let rest = rest.strip_prefix(b"\n").unwrap_or(rest);
    if let Ok(read) = Metadata::read(metadata) {
        // What follows the first value does not count.
        let followed = [metadata, b" }]"].concat();
        assert_eq!(Metadata::read(&followed[..]).ok(), Some(read));
    }
    let digest = Digest::of(rest);
    let manifest = format!("v2/lab/app/manifests/{digest}");
    let blob = format!("blobs/{digest}");
    let original = format!("catalogs/quay.io/lab/index/v1/layout/blobs/sha256/{}", digest.hex());
    let index = format!(
        r#"{{"schemaVersion":2,"manifests":[{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{digest}","size":{}}}]}}"#,
        rest.len()
    );
    let file = file::archive(&[
        ("publish/.metadata.json", metadata),
        (&blob, rest),
        (&manifest, rest),
        (&original, rest),
        ("catalogs/quay.io/lab/index/v1/layout/index.json", index.as_bytes()),
        ("catalogs/quay.io/lab/index/v1/index/index.json", rest),
        ("catalogs/quay.io/lab/other/v1/layout/index.json", rest),
        ("cincinnati/cincinnati-graph-data.tar.gz", rest),
        ("release-signatures/signature-sha256-0.json", rest),
    ]);
    std::hint::black_box(shipperd::bundle::open(&file::path(&file), true).ok());
});
