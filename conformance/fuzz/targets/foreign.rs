//! Trees of other tools: the first line of the input is in a path, the rest is a manifest.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shipperd::oci::Digest;

#[path = "../file.rs"]
mod file;

fuzz_target!(|bytes: &[u8]| {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (line, manifest) = bytes.split_at(end);
    let Ok(name) = std::str::from_utf8(line) else { return };
    // What no tar can hold needs no parser to refuse it.
    let fits = |part: &str| !part.is_empty() && part != ".." && part != ".";
    if name.len() > 80 || name.contains('\0') || !name.split('/').all(fits) {
        return;
    }
    let digest = Digest::of(manifest);
    let hex = digest.hex();
    for files in [
        vec![
            (format!("{name}/version"), &b"Directory Transport Version: 1.1\n"[..]),
            (format!("{name}/manifest.json"), manifest),
            (format!("{name}/{hex}"), manifest),
        ],
        vec![
            (format!("blob/sha256-{hex}"), manifest),
            (format!("manifests/{name}/reference/v1"), manifest),
            (format!("manifests/{name}/digest/sha256-{hex}"), manifest),
        ],
        vec![
            (format!("v2/{name}/blobs/{digest}"), manifest),
            (format!("v2/{name}/manifests/{digest}"), manifest),
            (format!("v2/a/manifests/{name}"), manifest),
        ],
        vec![
            (format!("{name}/oci-layout"), &b"{}"[..]),
            (format!("{name}/index.json"), manifest),
            (format!("{name}/blobs/sha256/{hex}"), manifest),
            (format!("a/{name}/index.json"), b"{"),
            (format!("a/{name}/oci-layout"), b"{}"),
        ],
    ] {
        let files: Vec<_> = files.iter().map(|(path, bytes)| (path.as_str(), *bytes)).collect();
        let file = file::archive(&files);
        std::hint::black_box(shipperd::bundle::open(&file::path(&file), true).ok());
    }
});
