//! Files of any kind made into one bundle of ours, digest by digest.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use super::bundle::{Tree, assert_is_what_its_record_says};
use super::{Yard, carried};
use crate::fixtures::Content;
use crate::fixtures::image::image;
use crate::fixtures::layer::noise;
use crate::fixtures::samples;
use crate::program::run;

fn digests(bundle: &std::path::Path) -> BTreeSet<String> {
    let files = Tree::of(bundle).files().into_values();
    files.map(|(digest, _)| digest.to_string()).collect()
}

/// Converts; the exit code, what it says, and what it prints.
async fn convert(yard: &Yard, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = yard.shipperd(&["convert", "--quiet", "-o", "out"]);
    command.args(arguments).stdout(std::process::Stdio::piped());
    let output = command.output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stderr), text(output.stdout))
}

#[tokio::test]
async fn a_layout_and_an_archive_of_it_become_the_same_bundle() {
    let yard = Yard::new();
    let content = samples::all();
    content.write_layout(&yard.path().join("layout"));
    run(Command::new("tar").current_dir(yard.path()).args(["-C", "layout", "-cf", "one.tar", "."]));
    let references: BTreeSet<_> = content.references().map(|(name, _)| name.to_owned()).collect();
    for (path, name) in [("layout", "one"), ("one.tar", "two")] {
        let (code, said, printed) = convert(&yard, &[path, "--name", name]).await;
        assert_eq!((code, said.as_str()), (Some(0), ""), "{path}");
        assert_eq!(printed, format!("out/{name}-1.sqfs\n"));
        let bundle = yard.path().join("out").join(format!("{name}-1.sqfs"));
        assert_is_what_its_record_says(&bundle);
        let names: BTreeSet<_> = carried(&bundle).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, references);
        let held = digests(&bundle);
        assert!(content.blobs().all(|(digest, _)| held.contains(digest)));
    }
    assert!(!yard.path().join("state").exists(), "nobody remembers it");
    let (code, said, _) = convert(&yard, &["one.tar"]).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("\"out/one-1.sqfs\" exists already"), "{said}");
}

#[tokio::test]
async fn the_sequences_of_an_imageset_become_one_bundle() {
    let yard = Yard::new();
    let mut content = Content::default();
    for (tag, seed) in [("v1", 1), ("v2", 2)] {
        let image = image("amd64").plain_layer(noise(seed, 100_000)).add(&mut content);
        content.tag(&format!("quay.io/lab/app:{tag}"), &image);
        fs::remove_dir_all(yard.path().join("layout")).ok();
        content.write_layout(&yard.path().join("layout"));
        let outcome = yard.create("fleet", &["oci:layout"]).await;
        assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    }
    fs::rename(yard.path().join("out"), yard.path().join("usb")).unwrap();
    let (code, said, _) = convert(&yard, &["usb", "--name", "whole"]).await;
    assert_eq!((code, said.as_str()), (Some(0), ""));
    let bundle = yard.path().join("out/whole-1.sqfs");
    assert_is_what_its_record_says(&bundle);
    let held = digests(&bundle);
    assert!(content.blobs().all(|(digest, _)| held.contains(digest)));
    assert_eq!(carried(&bundle).len(), 2);

    let (code, said, _) = convert(&yard, &["usb/fleet-2.sqfs"]).await;
    assert_eq!(code, Some(1));
    assert!(
        said.contains("usb/fleet-2.sqfs: nothing can be taken of it: waits for sequence 1"),
        "{said}"
    );
    assert!(said.contains("bring fleet-1.sqfs"), "{said}");
    let (code, said, _) = convert(&yard, &["usb/fleet-2.sqfs", "usb/fleet-1.sqfs"]).await;
    assert_eq!((code, said.as_str()), (Some(0), ""));
    assert_is_what_its_record_says(&yard.path().join("out/fleet-2-1.sqfs"));
}
