//! What inspect, verify and extract say of bundles, good and bad.

use std::fs;

use serde_json::Value;
use shipperd::oci::Digest;

use super::{check, layout, shipperd, stdout, text};

#[test]
fn a_missing_file_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let expected = "error: cannot open \"absent.sqfs\"\n  \
                    caused by: No such file or directory (os error 2)\n\n\
                    hint: check the path; a relative one starts at the working directory\n";
    for command in ["inspect", "verify", "extract"] {
        let mut command = {
            let mut it = shipperd(directory.path());
            it.args([command, "absent.sqfs", "--quiet"]);
            it
        };
        check(&mut command, 2, "", expected);
    }
}

#[test]
fn what_is_no_bundle_is_said_to_be_what_it_looks_like() {
    let directory = tempfile::tempdir().unwrap();
    for (content, looks) in [
        (
            &b"PK\x03\x04..."[..],
            "  caused by: it looks like a zip archive; `unzip file -d DIR` unpacks it\n",
        ),
        (
            b"<!DOCTYPE html>",
            "  caused by: it looks like a web page: a download that met a login page, perhaps\n",
        ),
        (b"\x00\x01\x02", ""),
    ] {
        fs::write(directory.path().join("file"), content).unwrap();
        let expected = format!(
            "error: cannot open \"file\"\n  \
             caused by: it is neither a squashfs image, a tar archive nor a directory\n{looks}"
        );
        check(shipperd(directory.path()).args(["inspect", "file"]), 2, "", &expected);
    }
    fs::write(directory.path().join("file"), b"\x1f\x8b\x08").unwrap();
    check(
        shipperd(directory.path()).args(["inspect", "file"]),
        2,
        "",
        "error: cannot open \"file\"\n  caused by: it is compressed with gzip; `gunzip < file > file.tar` unwraps it\n",
    );
}

#[test]
fn inspect_shows_references_and_sizes() {
    let directory = tempfile::tempdir().unwrap();
    let references = ["quay.io/a/b:v1", "docker.io/library/a:latest"];
    layout(&directory.path().join("one"), &references, b"layer");
    check(
        shipperd(directory.path()).args(["inspect", "one"]),
        0,
        "one: OCI layout (directory)\n  \
           content    3 blobs, 399 B; 2 references\n    \
             docker.io/library/a:latest  sha256:39cd65443454       399 B\n    \
             quay.io/a/b:v1              sha256:39cd65443454       399 B\n",
        "",
    );
}

#[test]
fn inspect_names_what_is_ambiguous_and_what_is_missing() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("bundles/one"), &["quay.io/a/b:v1"], b"one");
    let layer = layout(&directory.path().join("bundles/two"), &["ghcr.io/a/b:v1"], b"two");
    fs::remove_file(layer).unwrap();
    let mut command = shipperd(directory.path());
    let answer = stdout(command.args(["inspect", "--json", "bundles"]), 0);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let missing = &answer["bundles"][1]["missing"][0];
    assert_eq!(missing["digest"], Digest::of(b"two").to_string());
    assert_eq!(missing["needed_by"][0], "ghcr.io/a/b:v1");
    assert_eq!(answer["bundles"][0]["missing"].as_array().unwrap().len(), 0);
    // An image that cannot be served makes no name ambiguous.
    assert_eq!(answer["ambiguous"].as_array().unwrap().len(), 0);

    layout(&directory.path().join("bundles/two"), &["ghcr.io/a/b:v1"], b"two");
    let text = stdout(shipperd(directory.path()).args(["inspect", "bundles"]), 0);
    let last = text.lines().last().unwrap();
    let expected = "ambiguous: a/b:v1 means different images in different registries; \
                    that of quay.io is served";
    assert_eq!(last, expected);
}

#[test]
fn verify_names_every_damaged_file() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("good"), &["quay.io/a/b:v1"], b"layer");
    let layer = layout(&directory.path().join("bad"), &["quay.io/a/b:v2"], b"layer");
    fs::write(&layer, b"lAyer").unwrap();
    let (expected, found) = (Digest::of(b"layer"), Digest::of(b"lAyer"));
    let mut command = shipperd(directory.path());
    check(
        command.args(["verify", "--quiet", "good", "bad"]),
        1,
        &format!(
            "good: 3 blobs, 399 B: good\n\
             bad: blobs/sha256/{}, 5 bytes: its bytes have the digest {found}\n\
             bad: 3 blobs, 399 B: 1 damaged\n",
            expected.hex()
        ),
        "",
    );
    let answer: Value = serde_json::from_str(&stdout(command.arg("--json"), 1)).unwrap();
    assert_eq!(answer["good"], false);
    assert_eq!(answer["bundles"][1]["damaged"][0]["digest"], expected.to_string());
}

#[test]
fn verify_says_where_in_an_archive_the_damage_is() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("layout"), &["quay.io/a/b:v1"], b"a layer of an image");
    let path = directory.path().join("archive.tar");
    let mut archive = tar::Builder::new(fs::File::create(&path).unwrap());
    archive.append_dir_all("", directory.path().join("layout")).unwrap();
    archive.finish().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let layer = b"a layer of an image";
    let offset = bytes.windows(layer.len()).position(|window| window == layer).unwrap();
    bytes[offset] ^= 1;
    fs::write(&path, bytes).unwrap();
    let answer = stdout(shipperd(directory.path()).args(["verify", "--json", "archive.tar"]), 1);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let damaged = &answer["bundles"][0]["damaged"][0];
    assert_eq!(damaged["offset"], offset);
    assert_eq!(damaged["digest"], Digest::of(layer).to_string());
}

#[test]
fn verify_goes_on_after_a_file_that_it_cannot_open() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("good"), &["quay.io/a/b:v1"], b"layer");
    let mut command = shipperd(directory.path());
    let answer = stdout(command.args(["verify", "--quiet", "absent", "good"]), 2);
    assert_eq!(answer, "good: 3 blobs, 399 B: good\n");
}

#[test]
fn extract_makes_a_layout_with_the_same_content() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("source"), &["quay.io/a/b:v1"], b"layer");
    check(
        shipperd(directory.path()).args(["extract", "--quiet", "source", "--output", "out"]),
        0,
        "",
        "",
    );
    let entries = |path: &str| {
        let entries = fs::read_dir(directory.path().join(path)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(entries("out/blobs/sha256"), entries("source/blobs/sha256"));
    assert_eq!(entries(""), ["out", "source"]);
    let both = stdout(shipperd(directory.path()).args(["inspect", "source", "out"]), 0);
    let (source, out) = both.split_once("\n\n").unwrap();
    assert_eq!(source.split_once('\n').unwrap().1, out.split_once('\n').unwrap().1.trim_end());
}

#[test]
fn extract_leaves_nothing_when_it_fails() {
    let directory = tempfile::tempdir().unwrap();
    let layer = layout(&directory.path().join("bad"), &["quay.io/a/b:v1"], b"layer");
    fs::write(&layer, b"lAyer").unwrap();
    let output = shipperd(directory.path()).args(["extract", "bad", "-o", "out"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let found = Digest::of(b"lAyer");
    assert_eq!(
        text(&output.stderr),
        format!(
            "error: cannot extract {} from \"bad\"\n  \
             caused by: it is damaged: its bytes have the digest {found}\n",
            Digest::of(b"layer")
        )
    );
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[test]
fn extract_refuses_a_directory_that_is_not_empty() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("source"), &["quay.io/a/b:v1"], b"layer");
    check(
        shipperd(directory.path()).args(["extract", "source"]),
        2,
        "",
        "error: will not extract into \"source\": it is not empty\n\n\
         hint: choose another directory with `--output`\n",
    );
}
