//! Archives that are cut, damaged or made to do harm.

use std::fs;

use serde_json::{Value, json};

use super::{METADATA, UID, archive, blobs, metadata, notes, pack, resolve, serve};
use crate::bundle::damage::{ask, content};
use crate::damage::Server;

#[test]
fn a_cut_archive_waits_and_says_so() {
    let (work, content) = (tempfile::tempdir().unwrap(), content());
    let file = work.path().join("mirror_seq1_000000.tar");
    archive(&file, &metadata(&content, UID, 1), blobs(&content, &[]));
    let bytes = fs::read(&file).unwrap();
    let all = ask(&Server::open(work.path()), &content, "whole");
    assert!(all > 6, "{all}");
    for cut in (0..bytes.len()).step_by(bytes.len() / 30).chain([511, 512, 513]) {
        fs::write(&file, &bytes[..cut]).unwrap();
        let server = Server::open(work.path());
        let what = format!("cut to {cut} of {} bytes", bytes.len());
        assert_eq!(ask(&server, &content, &what), 0, "{what}");
        let said = server.said_of(&file).unwrap_or_else(|| panic!("{what}: unsaid"));
        assert!(said["notes"].as_array().is_some_and(|it| !it.is_empty()), "{what}: {said}");
    }
}

#[test]
fn a_flipped_byte_is_never_completed() {
    let (work, content) = (tempfile::tempdir().unwrap(), content());
    let file = work.path().join("mirror_seq1_000000.tar");
    archive(&file, &metadata(&content, UID, 1), blobs(&content, &[]));
    let mut bytes = fs::read(&file).unwrap();
    let all = ask(&Server::open(work.path()), &content, "whole");
    let mut harmed = 0;
    for position in (0..bytes.len()).step_by(173) {
        let flip = [0x01, 0x80, 0xff][position % 3];
        bytes[position] ^= flip;
        fs::write(&file, &bytes).unwrap();
        let what = format!("byte {position}");
        if ask(&Server::open(work.path()), &content, &what) < all {
            harmed += 1;
        }
        bytes[position] ^= flip;
    }
    assert!(harmed > 5, "{harmed}: the flips do not hit what matters");
}

/// What is changed in metadata.
type Change<'a> = &'a dyn Fn(&mut Value);

#[test]
fn metadata_is_not_believed() {
    let (work, content) = (tempfile::tempdir().unwrap(), content());
    let app = content.named("quay.io/lab/app:v1").digest.clone();
    let first = |it: &mut Value, key: &str, to: Value| {
        it["pastMirror"]["associations"][1][key] = to;
    };
    let long = "x".repeat(1 << 20);
    // What is changed in the second image, or all over: the first is served anyway.
    let cases: [(&str, Change<'_>); 12] = [
        ("path that points up", &|it| first(it, "path", "../../etc".into())),
        ("absolute path", &|it| first(it, "path", "/etc".into())),
        ("huge path", &|it| first(it, "path", long.clone().into())),
        ("huge name", &|it| first(it, "name", long.clone().into())),
        ("name that is none", &|it| first(it, "name", "quay.io/../a@sha256:00".into())),
        ("digest that is none", &|it| first(it, "id", "sha256:xyz".into())),
        ("digest of a path", &|it| first(it, "id", "../../../etc/passwd".into())),
        ("no digest", &|it| first(it, "id", Value::Null)),
        ("tag that is none", &|it| first(it, "tagSymlink", "..".into())),
        ("layers that are none", &|it| first(it, "layerDigests", json!(["", "..", "md5:00"]))),
        ("an image of nothing", &|it| it["pastMirror"]["associations"][1] = json!({})),
        ("unknown fields", &|it| it["later"] = json!({"a": [1, {"b": null}]})),
    ];
    for (what, change) in cases {
        let file = work.path().join("mirror_seq1_000000.tar");
        let mut metadata = metadata(&content, UID, 1);
        change(&mut metadata);
        archive(&file, &metadata, blobs(&content, &[]));
        let site = serve(&[&file]);
        assert_eq!(resolve(&site, "lab/app", "v1").as_ref(), Some(&app), "{what}");
        assert_eq!(resolve(&site, "lab/app", &app).as_ref(), Some(&app), "{what}");
    }
}

#[test]
fn metadata_that_cannot_be_read_is_told() {
    let (work, content) = (tempfile::tempdir().unwrap(), content());
    let app = content.named("quay.io/lab/app:v1").digest.clone();
    let text = metadata(&content, UID, 1).to_string();
    let many = format!("[{}{{}}]", "{},".repeat(1 << 20));
    let deep = "[".repeat(100_000);
    for (what, bytes) in [
        ("nothing", String::new()),
        ("half of it", text[..text.len() / 2].to_owned()),
        ("no uid", text.replace(UID, "../..")),
        ("a sequence below none", text.replace("\"sequence\":1", "\"sequence\":-1")),
        ("a sequence beyond all", text.replace("\"sequence\":1", "\"sequence\":1e300")),
        (
            "a million images",
            text.replace("\"associations\":[", &format!("\"associations\":{many},\"x\":[")),
        ),
        ("deep", text.replace("\"uid\"", &format!("\"x\":{deep},\"uid\""))),
    ] {
        let file = work.path().join("mirror_seq1_000000.tar");
        let mut members = vec![(METADATA.to_owned(), bytes.into_bytes())];
        members.extend(blobs(&content, &[]));
        // What a link would be: the manifest again, under a tag.
        members.push(("v2/lab/app/manifests/v1".to_owned(), content.bytes(&app).to_vec()));
        members.push(("v2/../manifests/v1".to_owned(), content.bytes(&app).to_vec()));
        members.push(("v2/UPPER/manifests/v1".to_owned(), content.bytes(&app).to_vec()));
        pack(&file, &members);
        let site = serve(&[&file]);
        let said = notes(&site, &file).join("\n");
        assert!(said.contains(METADATA), "{what}: {said}");
        assert!(said.contains("v2/UPPER/manifests/v1"), "{what}: {said}");
        assert_eq!(resolve(&site, "lab/app", "v1").as_ref(), Some(&app), "{what}");
    }
}
