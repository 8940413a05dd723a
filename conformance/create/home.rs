//! `shipperd create` carries home what its source holds, byte for byte, and nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::fixtures::Content;
use crate::fixtures::layout::split;
use crate::fixtures::samples::all;
use crate::program::run;
use crate::site::{Site, Transport};

/// A creation whose bundle, and whatever else it writes, goes to `directory`.
fn create(directory: &Path) -> Command {
    let mut create = Command::new(env!("CARGO_BIN_EXE_shipperd"));
    create.args(["create", "--name", "carried", "--output"]).arg(directory);
    create.env("XDG_CONFIG_HOME", directory.join("config"));
    create.env("XDG_STATE_HOME", directory.join("state"));
    create
}

/// Runs the creation, extracts the bundle, and gives the digests that are in it.
fn carried(create: &mut Command, directory: &Path, content: &Content) -> BTreeSet<String> {
    let bundle = run(create);
    let layout = directory.join("extracted");
    let mut extract = Command::new(env!("CARGO_BIN_EXE_shipperd"));
    run(extract.args(["extract", bundle.trim(), "--output"]).arg(&layout));
    let blobs = fs::read_dir(layout.join("blobs/sha256")).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let digest = format!("sha256:{}", path.file_name().unwrap().to_str().unwrap());
        assert!(fs::read(path).unwrap() == content.bytes(&digest), "{digest} has other bytes");
        digest
    });
    blobs.collect()
}

fn carries_a_registry(transport: Transport) {
    let content = all();
    let Some(site) = Site::distribution(&content, "quay.io", transport) else { return };
    let directory = TempDir::new().unwrap();
    let mut create = create(directory.path());
    match site.trust() {
        None => {
            create.args(["--plain-http", site.address()]);
        }
        Some(trust) => {
            let trusted = directory.path().join("config/containers/certs.d").join(site.address());
            fs::create_dir_all(&trusted).unwrap();
            fs::copy(trust.join("ca.crt"), trusted.join("ca.crt")).unwrap();
        }
    }
    let mut expected = BTreeSet::new();
    for (reference, descriptor) in content.references() {
        let (repository, tag) = split(reference);
        // By tag only: distribution's registry does not know what refers to what.
        let Some(tag) = tag.filter(|_| reference.starts_with("quay.io/")) else { continue };
        expected.extend(content.closure(&descriptor.digest));
        // A signature comes with the image that it is of.
        if !tag.ends_with(".sig") {
            create.arg(format!("{}/{repository}:{tag}", site.address()));
        }
    }
    assert_eq!(carried(&mut create, directory.path(), &content), expected);
}

#[test]
fn from_a_registry_over_http() {
    carries_a_registry(Transport::Http);
}

#[test]
fn from_a_registry_over_https() {
    carries_a_registry(Transport::Https);
}

#[test]
fn from_a_layout() {
    let content = all();
    let directory = TempDir::new().unwrap();
    let layout = directory.path().join("layout");
    content.write_layout(&layout);
    let mut create = create(directory.path());
    create.arg(format!("oci:{}", layout.display()));
    let expected = content.blobs().map(|(digest, _)| digest.to_owned()).collect();
    assert_eq!(carried(&mut create, directory.path(), &content), expected);
}
