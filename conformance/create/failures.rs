//! Registries that lack images, break off, stall or lie; disks and names that do not fit.

use std::fs;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;

use super::fleet::{self, APP, CHART, SHARED, fleet};
use super::stand_in::{self, digest};
use super::{Yard, say};
use crate::client::scripted::{Answer, Scripted, Seen, cut, status, with};

/// A registry that holds the fleet, but answers so when the layer that is shared is asked for
/// the n-th time, from 0.
async fn odd(
    odd: impl Fn(usize, &Seen, &Bytes) -> Option<Answer> + Clone + Send + Sync + 'static,
) -> Scripted {
    let sample = fleet();
    let layer = sample.blobs.iter().find(|blob| blob.len() == SHARED).unwrap().clone();
    let path = format!("/blobs/{}", digest(&layer));
    let times = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    Scripted::start(move |seen| {
        if seen.path().ends_with(&path) {
            let time = times.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if let Some(answer) = odd(time, seen, &layer) {
                return answer;
            }
        }
        stand_in::answer(&sample, seen)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_not_to_be_had_is_named_at_once() {
    let sample = fleet();
    let stand_in = Scripted::start(move |seen| stand_in::answer(&sample, seen)).await;
    let registry = stand_in.registry();
    let image = |name: &str| format!("{registry}/{name}");
    let (good, tag, repository) = (image("lab/app:v1"), image("lab/app:v9"), image("lab/none:v1"));
    let yard = Yard::plain(registry);
    fs::write(yard.path().join("odd.tar"), "odd").unwrap();
    let images = [&good, &tag, &repository, "oci-archive:odd.tar", "oci:none", "127.0.0.1:1/a:b"];
    let said = yard.no_bundle(1, &images).await;
    assert!(said.starts_with("error: 5 of 6 images cannot be resolved\n"), "{said}");
    for (image, reason) in [
        (tag.as_str(), "manifest not known: v9"),
        (&repository, "not known"),
        ("odd.tar", "neither a squashfs image"),
        ("none", "cannot read it: "),
        ("127.0.0.1:1/a:b", "failed: no answer from 127.0.0.1:1"),
    ] {
        let line = said.lines().find(|line| line.contains(&format!("caused by: {image}: ")));
        assert!(line.is_some_and(|line| line.contains(reason)), "{image}: {said}");
    }
    assert!(stand_in.asked().iter().all(|asked| !asked.contains("/blobs/")));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_broke_off_is_continued_where_it_broke() {
    let registry = odd(|time, seen, layer| match time {
        0 => Some(cut(200, &[], layer.len(), layer.slice(..SHARED / 2))),
        1 => Some(status(429)),
        2 => Some(status(500)),
        _ => {
            assert_eq!(seen.start(), Some(SHARED / 2));
            None
        }
    })
    .await;
    let image = format!("{}/{APP}:v1", registry.registry());
    Yard::plain(registry.registry()).bundle("app", &[&image]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_are_asked_for_again_and_given_up_when_they_stay_wrong() {
    let wrong = |_: &Seen, layer: &Bytes| {
        let mut bytes = layer.to_vec();
        bytes[SHARED / 3] ^= 4;
        Some(with(200, &[], bytes))
    };
    let once = odd(move |time, seen, layer| (time == 0).then(|| wrong(seen, layer)).flatten());
    let registry = once.await;
    let image = format!("{}/{CHART}:v1", registry.registry());
    let yard = Yard::plain(registry.registry());
    let outcome = yard.create("chart", &[&image]).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    super::bundle::assert_is_what_its_record_says(&outcome.bundle);

    let registry = odd(move |_, seen, layer| wrong(seen, layer)).await;
    // The others of the image are under way when this one fails.
    let image = format!("{}/{APP}:v1", registry.registry());
    let said = Yard::plain(registry.registry()).no_bundle(2, &[&image]).await;
    assert!(said.contains(&format!("error: cannot copy what {image} needs\n")), "{said}");
    assert!(said.contains("do not match their digest"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_size_is_an_error() {
    for (length, bytes) in [(SHARED - 1, SHARED - 1), (SHARED + 1, SHARED + 1)] {
        let registry = odd(move |_, _, _| Some(with(200, &[], fleet::noise(7, bytes)))).await;
        let image = format!("{}/{CHART}:v1", registry.registry());
        let said = Yard::plain(registry.registry()).no_bundle(2, &[&image]).await;
        let expected = format!("has {length} bytes, its manifest says {SHARED}");
        assert!(said.contains(&expected), "{said}");
    }
}

/// A registry whose tag is given to another image once a layer was asked for, and whether the
/// layers of the first are gone then.
async fn moving(are_gone: bool) -> Scripted {
    let sample = fleet();
    let other = fleet::tagged(&sample, CHART, "v1").clone();
    let has_moved = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    Scripted::start(move |seen| {
        let moved = if seen.path().contains("/blobs/") {
            has_moved.store(true, std::sync::atomic::Ordering::Relaxed);
            are_gone
        } else {
            has_moved.load(std::sync::atomic::Ordering::Relaxed)
        };
        match moved {
            true if seen.path().contains("/blobs/") => status(404),
            true if seen.path().ends_with(&format!("{APP}/manifests/v1")) => {
                let digest = digest(&other.bytes);
                let headers =
                    [("content-type", other.media_type), ("docker-content-digest", &digest)];
                with(200, &headers, other.bytes.clone())
            }
            _ => stand_in::answer(&sample, seen),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_moves_meanwhile_is_told() {
    let registry = moving(false).await;
    let image = format!("{}/{APP}:v1", registry.registry());
    let yard = Yard::plain(registry.registry());
    let mut command = yard.shipperd(&["create", "-o", "out", "--name", "app", "--plain-http"]);
    let output = command.args([registry.registry().as_str(), &image]).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let sample = fleet();
    let [carried, now] = [APP, CHART].map(|it| digest(&fleet::tagged(&sample, it, "v1").bytes));
    let expected = format!(
        "warning: {image} was given to another image meanwhile: {carried} is carried, now it is {now}\n"
    );
    assert!(said.contains(&expected), "{said}");

    let registry = moving(true).await;
    let image = format!("{}/{APP}:v1", registry.registry());
    let said = Yard::plain(registry.registry()).no_bundle(2, &[&image]).await;
    let expected = format!(
        "error: {image} was given to another image meanwhile: it was {carried}, now it is {now}\n"
    );
    assert!(said.contains(&expected), "{said}");
    assert!(said.contains("\nhint: run the same command again"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_dies_is_an_error() {
    let registry = odd(|_, _, _| Some(status(403))).await;
    let image = format!("{}/{CHART}:v1", registry.registry());
    let said = Yard::plain(registry.registry()).no_bundle(2, &[&image]).await;
    assert!(said.contains("access denied"), "{said}");
}

/// A small file system, for as long as it lives.
struct Small<'a>(&'a Path);

impl<'a> Small<'a> {
    fn new(at: &'a Path) -> Option<Self> {
        fs::create_dir(at).unwrap();
        let mut command = Command::new("mount");
        let mount = command.args(["-t", "tmpfs", "-o", "size=128k", "tmpfs"]).arg(at);
        if !mount.status().unwrap().success() {
            say("skipped: cannot mount");
            return None;
        }
        Some(Self(at))
    }
}

impl Drop for Small<'_> {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg(self.0).status().unwrap().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_too_small_is_an_error_before_the_first_layer() {
    let sample = fleet();
    let stand_in = Scripted::start(move |seen| stand_in::answer(&sample, seen)).await;
    let yard = Yard::plain(stand_in.registry());
    let at = yard.path().join("out");
    let Some(_small) = Small::new(&at) else { return };
    let said = yard.no_bundle(2, &[&format!("{}/{APP}:v1", stand_in.registry())]).await;
    assert!(said.contains("131072 are free"), "{said}");
    assert!(said.contains("\nhint: make room"), "{said}");
    assert!(stand_in.asked().iter().all(|asked| !asked.contains("/blobs/")));
}

#[tokio::test]
async fn names_that_are_no_file_names_are_refused() {
    let yard = Yard::new();
    let long = "a".repeat(129);
    for name in ["", ".", "..", "a/b", "../a", "/a", "a b", "a\nb", "ä", ".a", "-a", &long] {
        let option = format!("--name={name}");
        let mut command = yard.shipperd(&["create", "-o", "out", &option, "quay.io/a/b:v1"]);
        let output = command.output().await.unwrap();
        assert_eq!(output.status.code(), Some(2), "{name:?}");
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("cannot name an imageset"), "{name:?}: {said}");
    }
}
