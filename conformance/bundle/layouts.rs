//! OCI layouts of others: under the names that each tool writes, in squashfs of any compressor.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{compare_all, notes, resolve, serve, storage::inspect};
use crate::fixtures::image::image;
use crate::fixtures::layer::{files, noise};
use crate::fixtures::{Content, samples};
use crate::program::{program, run};

/// The entry of an `index.json`, and what it answers to.
type Case<'a> = (&'a str, Value, &'a [&'a str]);

const CONTAINERD: &str = "io.containerd.image.name";
const HAULER: &str = "hauler.dev/original-ref";
const REF_NAME: &str = "org.opencontainers.image.ref.name";
const BASE_NAME: &str = "org.opencontainers.image.base.name";

#[test]
fn names_as_each_tool_writes_them() {
    let cases: [Case<'_>; 12] = [
        ("skopeo, a tag", json!({REF_NAME: "v1"}), &["layout:v1"]),
        ("skopeo, a name", json!({REF_NAME: "quay.io/a/b:v1"}), &["a/b:v1", "quay.io/a/b:v1"]),
        ("podman save", json!({REF_NAME: "localhost/b:v1"}), &["b:v1", "localhost/b:v1"]),
        (
            "docker, containerd",
            json!({REF_NAME: "v1", CONTAINERD: "docker.io/library/b:v1"}),
            &["b:v1", "library/b:v1", "docker.io/library/b:v1"],
        ),
        ("containerd, a short name", json!({REF_NAME: "v1", CONTAINERD: "b:v1"}), &["b:v1"]),
        (
            "hauler",
            json!({REF_NAME: "a/b:v1", HAULER: "quay.io/a/b:v1"}),
            &["a/b:v1", "quay.io/a/b:v1"],
        ),
        ("hauler, a file", json!({REF_NAME: "hauler/b:v1", HAULER: "/srv/b"}), &["hauler/b:v1"]),
        (
            "zarf",
            json!({REF_NAME: "ghcr.io/a/b:v1", BASE_NAME: "ghcr.io/a/b:v1"}),
            &["ghcr.io/a/b:v1"],
        ),
        ("zarf before", json!({BASE_NAME: "ghcr.io/a/b:v1"}), &["a/b:v1", "ghcr.io/a/b:v1"]),
        ("zarf long before", json!({BASE_NAME: "b:v1"}), &["docker.io/library/b:v1"]),
        (
            "what it was built on",
            json!({REF_NAME: "quay.io/a/b:v1", BASE_NAME: "docker.io/library/c:v1"}),
            &["quay.io/a/b:v1"],
        ),
        ("crane", json!(null), &[]),
    ];
    let work = tempfile::tempdir().unwrap();
    let mut content = Content::default();
    let one = image("amd64").layer(files(&[("one", b"1")])).add(&mut content);
    content.tag("quay.io/lab/one:v1", &one);
    let root = work.path().join("layout");
    content.write_layout(&root);
    for (what, annotations, names) in cases {
        let mut entry = one.json();
        entry["annotations"] = annotations;
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        fs::write(root.join("index.json"), index.to_string()).unwrap();
        let site = serve(&[&root]);
        for name in names {
            let (repository, tag) = name.rsplit_once(':').unwrap();
            assert_eq!(resolve(&site, repository, tag).as_ref(), Some(&one.digest), "{what}");
        }
        let listed = inspect(&[&root]);
        assert!(listed.contains("; 1 references\n"), "{what}: {listed}");
        if names.is_empty() {
            assert!(listed.contains(&format!("layout@{}", one.digest)), "{listed}");
        }
        for name in ["library/c", "docker.io/library/c"] {
            assert_eq!(resolve(&site, name, "v1"), None, "{what}");
        }
        assert_eq!(notes(&site, &root), [""; 0], "{what}");
    }
}

#[test]
fn a_squashfs_of_any_compressor() {
    let work = tempfile::tempdir().unwrap();
    let content = content();
    let root = work.path().join("root");
    content.write_layout(&root);
    for compressor in ["gzip", "lzma", "lzo", "xz", "lz4", "zstd"] {
        for way in [&[][..], &["-noD"], &["-noI", "-noD", "-noF", "-no-fragments"], &["-b", "4K"]] {
            let file = work.path().join("image.sqfs");
            if !squashed(&root, &file, compressor, way) {
                return;
            }
            let site = serve(&[&file]);
            compare_all(&site, &content);
            assert_eq!(notes(&site, &file), [""; 0], "{compressor} {way:?}");
            fs::remove_file(file).unwrap();
        }
    }
}

/// Of the samples those that are small, and layers of all packings.
fn content() -> Content {
    let mut content = Content::default();
    let names = [samples::SINGLE, samples::LIST, samples::NESTED, samples::PACKINGS];
    content.extend(&samples::all(), &names);
    let large = image("amd64").plain_layer(noise(9, 400_000)).add(&mut content);
    content.tag("quay.io/lab/large:v1", &large);
    content
}

/// Makes an image, if that can be made here.
fn squashed(root: &Path, file: &Path, compressor: &str, way: &[&str]) -> bool {
    let Some(mut squash) = program("mksquashfs") else { return false };
    squash.arg(root).arg(file).args(["-comp", compressor, "-quiet", "-no-progress"]).args(way);
    run(&mut squash);
    true
}
