//! Parts, platforms, what is left out, and what is only said.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::Value;
use shipperd::imageset::record::Record;

use super::bundle::{Tree, assert_is_what_its_record_says_of, tool};
use super::{Mount, Yard, carried};
use crate::fixtures::Content;
use crate::fixtures::image::image;
use crate::fixtures::layer::noise;

const MIB: usize = 1 << 20;

fn record(bundle: &std::path::Path) -> Record {
    Record::parse(&Tree::of(bundle).read("shipperd/imageset.json")).unwrap()
}

/// A layout of an image with layers of these sizes.
fn layers(yard: &Yard, sizes: &[usize]) -> Content {
    let mut content = Content::default();
    let mut image = image("amd64");
    for (seed, size) in sizes.iter().enumerate() {
        image = image.plain_layer(noise(seed as u64, *size));
    }
    let image = image.add(&mut content);
    content.tag("quay.io/lab/app:v1", &image);
    content.write_layout(&yard.path().join("layout"));
    content
}

#[tokio::test]
async fn parts_are_bundles_that_no_medium_is_too_small_for() {
    let yard = Yard::new().with(&["--archive-size", "5MiB"]);
    let sizes = [3 * MIB, 3 * MIB, 2 * MIB, MIB, 700_000, 1000];
    let content = layers(&yard, &sizes);
    let outcome = yard.create("fleet", &["oci:layout"]).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let mut names = yard.left();
    names.sort();
    assert_eq!(names, ["fleet-1.1-of-3.sqfs", "fleet-1.2-of-3.sqfs", "fleet-1.3-of-3.sqfs"]);
    let parts: Vec<PathBuf> = names.iter().map(|name| yard.path().join("out").join(name)).collect();
    let (mut blobs, mut before) = (BTreeSet::new(), None);
    for (number, path) in (1..).zip(&parts) {
        assert!(fs::metadata(path).unwrap().len() <= 5 << 20);
        assert_is_what_its_record_says_of(path, 1);
        let record = record(path);
        let part = record.part.unwrap();
        assert_eq!((part.number, part.count, part.previous), (number, 3, before));
        let text = Tree::of(path).read("shipperd/imageset.json");
        before = Some(shipperd::oci::Digest::of(&text));
        assert_eq!(carried(path).len(), 1, "each says what it belongs to");
        blobs.extend(record.blobs.into_iter().map(|blob| blob.digest.to_string()));
        let mut verify = yard.shipperd(&["verify", "--quiet", path.to_str().unwrap()]);
        assert!(verify.status().await.unwrap().success());
        if let Some(mount) = Mount::new(path) {
            assert!(mount.path().join("index.json").exists());
        }
        let list = tool(std::process::Command::new("unsquashfs").args(["-l"]).arg(path));
        assert!(list.is_none_or(|list| list.contains("shipperd/imageset.json")));
    }
    let all: BTreeSet<_> = content.blobs().map(|(digest, _)| digest.to_owned()).collect();
    assert_eq!(blobs, all);
    // The next sequence names the last part.
    let more = yard.path().join("more");
    let mut content = Content::default();
    let other = image("amd64").plain_layer(noise(99, 1000)).add(&mut content);
    content.tag("quay.io/lab/other:v1", &other);
    content.write_layout(&more);
    let outcome = yard.create("fleet", &["oci:layout", "oci:more"]).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    let second = record(&yard.path().join("out/fleet-2.sqfs"));
    assert_eq!(second.previous.map(|it| it.digest), before);
    assert_eq!((second.part, second.blobs.len()), (None, 3));
}

#[tokio::test]
async fn a_blob_that_fits_in_no_part_is_named_before_anything_is_written() {
    let yard = Yard::new();
    layers(&yard, &[1000, 3 * MIB]);
    let said = yard.no_bundle(2, &["--archive-size", "2MiB", "oci:layout"]).await;
    assert!(said.contains("quay.io/lab/app:v1 needs what does not fit"), "{said}");
    assert_eq!(yard.left(), [""; 0]);
    let (_, rest) = said.split_once("2097152 bytes: ").unwrap();
    let least: u64 = rest.split(' ').next().unwrap().parse().unwrap();
    let size = format!("{}KiB", least.div_ceil(1024));
    let outcome = yard.create("fleet", &["--archive-size", &size, "oci:layout"]).await;
    assert_eq!(outcome.code, Some(0), "what it says would do does: {}", outcome.stderr);
}

#[tokio::test]
async fn what_cannot_be_had_is_left_out_if_that_is_wanted() {
    let yard = Yard::new();
    let (mut content, layer) = (Content::default(), noise(7, 100_000));
    for (name, layer) in [("good", noise(6, 100_000)), ("bad", layer.clone())] {
        let image = image("amd64").plain_layer(layer).add(&mut content);
        content.tag(&format!("quay.io/lab/{name}:v1"), &image);
    }
    content.write_layout(&yard.path().join("layout"));
    let damaged = crate::fixtures::digest(&layer).replace("sha256:", "layout/blobs/sha256/");
    let damaged = yard.path().join(damaged);
    fs::write(&damaged, noise(8, 100_000)).unwrap();
    let said = yard.no_bundle(2, &["oci:layout"]).await;
    assert!(said.contains("cannot copy what quay.io/lab/bad:v1 needs"), "{said}");
    let wanted = ["oci:layout", "oci-archive:none.tar"];
    let mut command = yard.shipperd(&["create", "-o", "out", "--name", "fleet", "--keep-going"]);
    let output = command.args(wanted).stdout(Stdio::piped()).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(output.stdout, b"out/fleet-1.sqfs\n");
    for part in ["not carried: quay.io/lab/bad:v1: ", "not carried: none.tar: "] {
        assert!(said.contains(part), "{said}");
    }
    assert!(said.trim_end().ends_with("run it again to try"), "{said}");
    let bundle = yard.path().join("out/fleet-1.sqfs");
    assert_is_what_its_record_says_of(&bundle, 1);
    let failed: Vec<_> = record(&bundle).failed.into_iter().map(|it| it.reference).collect();
    assert_eq!(failed, ["none.tar", "quay.io/lab/bad:v1"]);
    assert_eq!(carried(&bundle).len(), 1);
    let mut left = yard.left();
    left.retain(|name| name.starts_with("fleet-"));
    assert_eq!(left, ["fleet-1.sqfs"]);
    // Once it can be had, the next sequence brings it.
    fs::write(damaged, layer).unwrap();
    let outcome = yard.create("fleet", &["oci:layout"]).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    assert_eq!(record(&yard.path().join("out/fleet-2.sqfs")).blobs.len(), 3);
}

#[tokio::test]
async fn a_dry_run_says_what_a_run_does_and_writes_nothing() {
    let yard = Yard::new();
    layers(&yard, &[3 * MIB, 1000]);
    let dry = async |options: &[&str]| {
        let mut command = yard.shipperd(&["create", "-o", "out", "--name", "fleet", "--dry-run"]);
        command.args(options).arg("oci:layout").stdout(Stdio::piped());
        let output = command.output().await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let text = dry(&[]).await;
    let plan: Value = serde_json::from_str(&dry(&["--json"]).await).unwrap();
    assert!(!yard.path().join("out").exists() && !yard.path().join("state").exists());
    assert_eq!((plan["sequence"].as_u64(), plan["blobs"].as_u64()), (Some(1), Some(4)));
    assert_eq!(plan["references"].as_u64(), Some(1));
    assert!(plan["diskFree"].as_u64().unwrap() > plan["diskNeeded"].as_u64().unwrap());
    assert!(
        text.starts_with("sequence 1 of fleet: 1 references\nnew: 4 blobs, 3.00 MiB\n"),
        "{text}"
    );
    let bundle = yard.bundle("fleet", &["oci:layout"]).await;
    let size = fs::metadata(&bundle).unwrap().len();
    assert_eq!(plan["bundles"][0]["size"].as_u64(), Some(size), "what it said is what it is");
    assert!(plan["download"].as_u64().unwrap() >= 3 << 20);
}
