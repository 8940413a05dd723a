//! Names as docs/architecture.md resolves them, closure, and what damage takes away.

use std::fs;
use std::sync::Arc;

use shipperd::bundle;
use shipperd::content::overlay::Overlay;
use shipperd::content::snapshot::{Snapshot, Verify};
use shipperd::oci::{Digest, Name, TagOrDigest};
use shipperd::source::{Body, Error, Source};
use shipperd::verification::Verdict;

use super::layout::Layout;
use super::overlay;

fn name(text: &str) -> Name {
    let (path, registry) = match text.split_once("?ns=") {
        Some((path, registry)) => (path, registry.parse().ok()),
        None => (text, None),
    };
    Name { registry, repository: path.parse().unwrap() }
}

async fn found(overlay: &Overlay, path: &str, target: &str) -> Option<Digest> {
    match overlay.resolve(&name(path), &target.parse().unwrap()).await {
        Ok(descriptor) => Some(descriptor.digest),
        Err(Error::NameUnknown(_) | Error::ManifestUnknown(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_path_means_one_registry_or_the_one_named() {
    let directory = tempfile::tempdir().unwrap();
    let mut layout = Layout::default();
    let quay = layout.image("quay.io/ns/app:v1", b"quay");
    let ghcr = layout.image("ghcr.io/ns/app:v1", b"ghcr");
    let only = layout.image("ghcr.io/ns/only:v1", b"only");
    let port = layout.image("registry:5000/ns/port:v1", b"port");
    let busybox = layout.image("docker.io/library/busybox:1", b"busybox");
    let nowhere = layout.image("ns/nowhere:v1", b"nowhere");
    layout.write(directory.path());
    let overlay = overlay(directory.path());
    for (path, tag, expected) in [
        ("ns/app?ns=quay.io", "v1", Some(&quay)),
        ("ns/app?ns=ghcr.io", "v1", Some(&ghcr)),
        ("quay.io/ns/app", "v1", Some(&quay)),
        ("ghcr.io/ns/app", "v1", Some(&ghcr)),
        ("quay.io/ns/app?ns=quay.io", "v1", Some(&quay)),
        ("ns/only", "v1", Some(&only)),
        ("ns/only?ns=quay.io", "v1", None),
        ("ns/only?ns=mirror.example:5000", "v1", Some(&only)),
        ("ns/port?ns=registry:5000", "v1", Some(&port)),
        ("ns/port", "v1", Some(&port)),
        ("library/busybox", "1", Some(&busybox)),
        ("busybox", "1", Some(&busybox)),
        ("busybox?ns=docker.io", "1", Some(&busybox)),
        ("library/busybox?ns=registry-1.docker.io", "1", Some(&busybox)),
        ("docker.io/busybox", "1", Some(&busybox)),
        ("ns/nowhere", "v1", Some(&nowhere)),
        ("ns/nowhere?ns=quay.io", "v1", Some(&nowhere)),
        ("ns/nowhere?ns=mirror.example:5000", "v1", Some(&nowhere)),
        ("quay.io/ns/nowhere", "v1", None),
        ("ns/app", "v2", None),
        ("other", "v1", None),
    ] {
        assert_eq!(found(&overlay, path, tag).await.as_ref(), expected, "{path}:{tag}");
    }
    assert!(found(&overlay, "ns/app", "v1").await.is_some(), "the uppermost wins");
    let ambiguous: Vec<_> = overlay.ambiguous().iter().map(ToString::to_string).collect();
    let served =
        "ns/app:v1 means different images in different registries; that of ghcr.io is served";
    assert_eq!(ambiguous, [served]);
    assert_eq!(overlay.image_count(), 6);
    let anywhere = found(&overlay, "any/prefix", &port.to_string()).await;
    assert_eq!(anywhere, Some(port), "by digest under any name");
}

#[tokio::test]
async fn strict_repositories_hold_what_they_answer() {
    let directory = tempfile::tempdir().unwrap();
    let mut layout = Layout::default();
    let app = layout.image("quay.io/ns/app:v1", b"app");
    layout.image("quay.io/ns/other:v1", b"other");
    layout.write(directory.path());
    let bundle = bundle::open(directory.path(), true).unwrap();
    let overlay = Overlay::new(vec![Arc::new(Snapshot::new(bundle, Verify::FirstRead))], true);
    let (layer, app) = (Digest::of(b"app"), app.to_string());
    assert!(found(&overlay, "ns/app", &app).await.is_some());
    assert!(found(&overlay, "ns/other", &app).await.is_none());
    assert!(overlay.blob(&name("quay.io/ns/app"), &layer, 0..1).await.is_ok());
    assert!(overlay.blob(&name("ns/other"), &layer, 0..1).await.is_err());
    assert!(overlay.stat(&name("ns/other"), &layer).await.is_err());
}

#[tokio::test]
async fn what_lacks_something_is_not_answered() {
    let directory = tempfile::tempdir().unwrap();
    let mut layout = Layout::default();
    let whole = layout.image("h.io/a:whole", b"whole");
    let lacking = layout.image("h.io/a:lacking", b"lacking");
    layout.alter(&Digest::of(b"lacking"), |_| None);
    layout.write(directory.path());
    let overlay = overlay(directory.path());
    assert_eq!(found(&overlay, "a", "whole").await, Some(whole));
    assert_eq!(found(&overlay, "a", "lacking").await, None);
    assert_eq!(found(&overlay, "a", &lacking.to_string()).await, None);
    let tags = overlay.tags(&name("a"), "", 9).await.unwrap();
    assert_eq!(tags.iter().map(ToString::to_string).collect::<Vec<_>>(), ["whole"]);
}

#[tokio::test]
async fn damage_takes_the_blob_and_all_that_need_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut layout = Layout::default();
    let good = layout.image("h.io/a:good", b"good");
    layout.image("h.io/a:bad", b"bad");
    layout.alter(&Digest::of(b"bad"), |_| Some(b"BAD".to_vec()));
    layout.write(directory.path());
    let overlay = overlay(directory.path());
    assert!(found(&overlay, "a", "bad").await.is_some(), "not read yet");
    let blob = overlay.blob(&name("a"), &Digest::of(b"bad"), 0..u64::MAX).await.unwrap();
    let Body::Stored(stored) = blob.body else { panic!("not stored") };
    let verification = stored.verification.unwrap();
    assert_eq!(verification.observe(0, b"BAD"), Some(Verdict::Damaged));
    assert!(overlay.blob(&name("a"), &Digest::of(b"bad"), 0..1).await.is_err());
    assert_eq!(found(&overlay, "a", "bad").await, None);
    assert_eq!(found(&overlay, "a", "good").await, Some(good));
    // Another bundle that has it intact brings it back.
    let second = tempfile::tempdir().unwrap();
    let mut layout = Layout::default();
    layout.image("h.io/a:bad", b"bad");
    layout.write(second.path());
    let bundle = bundle::open(second.path(), true).unwrap();
    let mut snapshots = overlay.snapshots().to_vec();
    snapshots.push(Arc::new(Snapshot::new(bundle, Verify::FirstRead)));
    let overlay = Overlay::new(snapshots, false);
    assert!(found(&overlay, "a", "bad").await.is_some());
    assert!(overlay.blob(&name("a"), &Digest::of(b"bad"), 0..1).await.is_ok());
}

#[tokio::test]
async fn a_damaged_manifest_is_named_and_not_answered() {
    let directory = tempfile::tempdir().unwrap();
    let mut layout = Layout::default();
    let bad = layout.image("h.io/a:bad", b"bad");
    layout.alter(&bad, |mut bytes| {
        bytes.push(b' ');
        Some(bytes)
    });
    layout.write(directory.path());
    let bundle = bundle::open(directory.path(), true).unwrap();
    let problem = bundle.problems.first().unwrap().to_string();
    assert!(problem.contains(&bad.to_string()) && problem.contains("damaged"), "{problem}");
    let overlay = Overlay::new(vec![Arc::new(Snapshot::new(bundle, Verify::FirstRead))], false);
    assert_eq!(found(&overlay, "a", "bad").await, None);
    let target = TagOrDigest::Digest(bad.clone());
    assert!(overlay.manifest(&name("a"), &target).await.is_err());
    assert!(overlay.blob(&name("a"), &bad, 0..1).await.is_err());
    assert!(fs::metadata(directory.path()).is_ok());
}
