//! One bundle after another of the same imageset: what each carries, and what the state knows.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use shipperd::bundle;
use shipperd::imageset::record::Record;

use super::bundle::{Tree, assert_is_what_its_record_says_of};
use super::{Outcome, Yard, carried};
use crate::fixtures::Content;
use crate::fixtures::image::image;
use crate::fixtures::layer::noise;

/// A layout of images of one layer each: tag, and the seed of the layer.
fn layout(yard: &Yard, images: &[(&str, u64)]) -> Content {
    let mut content = Content::default();
    for (tag, seed) in images {
        let image = image("amd64").plain_layer(noise(*seed, 100_000)).add(&mut content);
        content.tag(&format!("quay.io/lab/app:{tag}"), &image);
    }
    let directory = yard.path().join("layout");
    fs::remove_dir_all(&directory).ok();
    content.write_layout(&directory);
    content
}

fn record(bundle: &Path) -> Record {
    Record::parse(&Tree::of(bundle).read("shipperd/imageset.json")).unwrap()
}

/// Makes the next bundle, which must be sequence `sequence`.
async fn next(yard: &Yard, sequence: u64, options: &[&str]) -> PathBuf {
    let Outcome { code, stderr, .. } =
        yard.create("fleet", &[options, &["oci:layout"]].concat()).await;
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let path = yard.path().join(format!("out/fleet-{sequence}.sqfs"));
    assert_is_what_its_record_says_of(&path, sequence);
    path
}

fn state(yard: &Yard) -> Value {
    let file = yard.path().join("state/shipperd/imagesets/fleet.json");
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

#[tokio::test]
async fn each_carries_what_is_new_and_names_the_one_before() {
    let yard = Yard::new();
    layout(&yard, &[("v1", 1), ("v2", 2)]);
    let first = next(&yard, 1, &[]).await;
    let content = layout(&yard, &[("v1", 1), ("v2", 2), ("v3", 3)]);
    let second = next(&yard, 2, &[]).await;
    let (first, second_record) = (record(&first), record(&second));
    assert_eq!(second_record.id, first.id);
    assert_eq!(first.blobs.len(), 6, "two manifests, configurations and layers");
    assert_eq!(second_record.blobs.len(), 3, "a manifest, a configuration and a layer");
    let mut needs = second_record.needs.clone();
    needs.retain(|need| !first.blobs.contains(need));
    assert_eq!((second_record.needs.len(), needs), (6, vec![]));
    let previous = second_record.previous.unwrap();
    let text = Tree::of(&yard.path().join("out/fleet-1.sqfs")).read("shipperd/imageset.json");
    assert_eq!(previous.digest, shipperd::oci::Digest::of(&text));
    let names: Vec<_> = carried(&second).into_iter().map(|(name, _)| name).collect();
    let expected: Vec<_> = content.references().map(|(name, _)| name.to_owned()).collect();
    assert_eq!(names, expected, "all of the edition");
    let state = state(&yard);
    assert_eq!(state["editions"][1]["blobs"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn without_anything_new_there_is_no_bundle() {
    let yard = Yard::new();
    layout(&yard, &[("v1", 1)]);
    next(&yard, 1, &[]).await;
    let before = state(&yard);
    let mut command = yard.shipperd(&["create", "-o", "out", "--name", "fleet", "oci:layout"]);
    let output = command.stdout(std::process::Stdio::piped()).output().await.unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(output.stdout, b"");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.ends_with("nothing is new since sequence 1 of fleet: no bundle was made\n"),
        "{said}"
    );
    assert_eq!((yard.left(), state(&yard)), (vec!["fleet-1.sqfs".to_owned()], before));
    // A tag that moves to what is there already is news, of a few bytes.
    layout(&yard, &[("v2", 1)]);
    let second = record(&next(&yard, 2, &[]).await);
    assert_eq!((second.blobs.len(), second.needs.len()), (0, 3));
}

#[tokio::test]
async fn an_imageset_can_begin_again_and_go_on_from_an_earlier_sequence() {
    let yard = Yard::new();
    layout(&yard, &[("v1", 1)]);
    let first = record(&next(&yard, 1, &[]).await);
    layout(&yard, &[("v1", 1), ("v2", 2)]);
    let lost = next(&yard, 2, &[]).await;
    layout(&yard, &[("v1", 1), ("v2", 2), ("v3", 3)]);
    // The second never arrived: one is made that stands for it and for what is new since.
    fs::remove_file(lost).unwrap();
    let second = record(&next(&yard, 2, &["--since", "1"]).await);
    assert_eq!((second.id, second.blobs.len()), (first.id, 6));
    let outcome = yard.create("fleet", &["--since", "3", "oci:layout"]).await;
    assert_eq!(outcome.code, Some(2));
    assert!(outcome.stderr.contains("no sequence 3 to go on from"), "{}", outcome.stderr);
    let outcome = yard.create("fleet", &["--since", "0", "oci:layout"]).await;
    assert!(outcome.stderr.contains("no sequence 0 to go on from"), "{}", outcome.stderr);

    let taken = yard.create("fleet", &["--full", "oci:layout"]).await;
    assert_eq!(taken.code, Some(2), "{}", taken.stderr);
    assert!(taken.stderr.contains("exists already"), "{}", taken.stderr);
    assert_eq!(state(&yard)["editions"].as_array().unwrap().len(), 2, "nothing is lost");
    fs::remove_file(yard.path().join("out/fleet-1.sqfs")).unwrap();
    let again = record(&next(&yard, 1, &["--full"]).await);
    assert_ne!(again.id, first.id);
    assert_eq!((again.blobs.len(), again.previous), (9, None));
    assert_eq!(state(&yard)["editions"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn two_runs_at_once_are_one_too_many() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = silent.local_addr().unwrap().to_string();
    let yard = Yard::new().with(&["--plain-http", &host]);
    let mut first = yard.creating("fleet", &[&format!("{host}/a/b:v1")]).spawn().unwrap();
    let _asked = silent.accept().await.unwrap();
    let second = yard.create("fleet", &[&format!("{host}/a/b:v1")]).await;
    assert_eq!(second.code, Some(2));
    assert!(second.stderr.contains("another process works on imageset fleet"), "{}", second.stderr);
    first.kill().await.unwrap();
}

#[tokio::test]
async fn a_bundle_whose_state_was_not_saved_is_taken_up() {
    let yard = Yard::new();
    layout(&yard, &[("v1", 1)]);
    let first = next(&yard, 1, &[]).await;
    let states = yard.path().join("state/shipperd/imagesets");
    let saved = fs::read(states.join("fleet.json")).unwrap();
    // As a run leaves it that dies between the bundle and the state.
    let journal = first.with_extension("sqfs.journal");
    for (state, editions) in [(None, 1), (Some(saved), 2)] {
        fs::remove_file(states.join("fleet.json")).unwrap();
        if let Some(saved) = &state {
            fs::write(states.join("fleet.json"), saved).unwrap();
        }
        let left = yard.path().join(format!("out/fleet-{editions}.sqfs.journal"));
        fs::write(&left, "shipperd journal 1\n").unwrap();
        let tag = format!("v{}", editions + 1);
        let images: Vec<_> = (1..=editions + 1).map(|it| (format!("v{it}"), it as u64)).collect();
        let images: Vec<_> = images.iter().map(|(tag, seed)| (tag.as_str(), *seed)).collect();
        layout(&yard, &images);
        let made = next(&yard, editions as u64 + 1, &[]).await;
        assert!(carried(&made).iter().any(|(name, _)| name.ends_with(&tag)));
        assert!(!left.exists());
        let known = self::state(&yard);
        assert_eq!(known["editions"].as_array().unwrap().len(), editions + 1);
    }
    assert!(!journal.exists());
    let third = record(&yard.path().join("out/fleet-3.sqfs"));
    assert_eq!(third.blobs.len(), 3, "the one that was taken up counts");
    assert!(bundle::open(&first, true).is_ok());
}

#[tokio::test]
async fn the_same_state_and_content_give_the_same_bytes() {
    let make = async || {
        let yard = Yard::new();
        layout(&yard, &[("v1", 1)]);
        next(&yard, 1, &[]).await;
        layout(&yard, &[("v1", 1), ("v2", 2)]);
        fs::read(next(&yard, 2, &[]).await).unwrap()
    };
    assert!(make().await == make().await);
}
