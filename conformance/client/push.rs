//! What is pushed to a registry, how, and who is told who pushes it.

use bytes::Bytes;
use serde_json::json;
use shipperd::client::Remote;
use shipperd::oci::{Digest, MediaType, Registry, TagOrDigest};
use shipperd::source::{Error, Name, Source as _};

use super::distribution::{Distribution, Setup, USER};
use super::scripted::{Scripted, Seen, challenge, redirect, status, with};
use super::{Reach, chain};

const EMPTY: &[u8] = b"{}";

fn name(registry: &Registry) -> Name {
    Name { registry: Some(registry.clone()), repository: "lab/pushed".parse().unwrap() }
}

fn tag() -> TagOrDigest {
    "v1".parse().unwrap()
}

/// A manifest that needs [`EMPTY`] and this layer.
fn manifest(layer: &[u8]) -> Bytes {
    let descriptor = |media_type: &str, bytes: &[u8]| json!({"mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len()});
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": descriptor(MediaType::OCI_EMPTY, EMPTY),
        "layers": [descriptor("application/octet-stream", layer)],
    });
    manifest.to_string().into()
}

async fn push_blob(remote: &Remote, registry: &Registry, bytes: &[u8]) -> Result<(), Error> {
    let (digest, bytes) = (Digest::of(bytes), Bytes::copy_from_slice(bytes));
    remote.push_blob(&name(registry), &digest, bytes).await
}

async fn push_manifest(remote: &Remote, registry: &Registry, bytes: Bytes) -> Result<(), Error> {
    let media_type = MediaType::OCI_MANIFEST.parse().unwrap();
    remote.push_manifest(&name(registry), &tag(), &media_type, bytes).await
}

#[tokio::test]
async fn what_is_pushed_can_be_pulled() {
    let setup = Setup { tls: true, password: true, ..Setup::default() };
    let Some(distribution) = Distribution::start(setup).await else { return };
    let registry = distribution.registry();
    let reach = || Reach { certificates: vec![distribution.certificates()], ..Reach::default() };
    let remote = reach().user(registry, USER.0, USER.1).remote();
    let layer = vec![7; 3 << 20];
    let bytes = manifest(&layer);
    let error = push_manifest(&remote, registry, bytes.clone()).await.unwrap_err();
    let text = chain(&error);
    let expected = format!("pushing manifest {registry}/lab/pushed:v1 failed: {registry} answered");
    assert!(text.starts_with(&expected) && text.contains("blob unknown"), "{text}");
    for blob in [EMPTY, &layer, &layer, b""] {
        push_blob(&remote, registry, blob).await.unwrap();
        let size = remote.stat(&name(registry), &Digest::of(blob)).await.unwrap();
        assert_eq!(size, blob.len() as u64);
    }
    push_manifest(&remote, registry, bytes.clone()).await.unwrap();
    let document = remote.manifest(&name(registry), &tag()).await.unwrap();
    assert_eq!((document.digest, &document.bytes), (Digest::of(&bytes), &bytes));
    for stranger in [reach().remote(), reach().user(registry, USER.0, "wrong").remote()] {
        let error = push_blob(&stranger, registry, b"new").await.unwrap_err();
        assert!(matches!(error, Error::Unauthorized(_)), "{error:?}");
    }
}

#[tokio::test]
async fn leave_to_write_is_asked_for() {
    let tokens = Scripted::start(|_| with(200, &[], r#"{"token":"t"}"#)).await;
    let realm = format!("http://{}/token", tokens.registry());
    let registry = Scripted::start(move |seen| match seen.header("authorization") {
        None => challenge(&format!(r#"Bearer realm="{realm}",service="lab""#)),
        Some(_) => answer(seen, "/v2/lab/pushed/blobs/uploads/1?state=s"),
    })
    .await;
    let plain_http = vec![tokens.registry().clone(), registry.registry().clone()];
    let remote = Reach { plain_http, ..Reach::default() }.remote();
    push_blob(&remote, registry.registry(), b"layer").await.unwrap();
    assert_eq!(
        tokens.asked(),
        ["GET /token?service=lab&scope=repository%3Alab%2Fpushed%3Apull%2Cpush"]
    );
    let digest = Digest::of(b"layer").to_string().replace(':', "%3A");
    let put = format!("PUT /v2/lab/pushed/blobs/uploads/1?state=s&digest={digest}");
    assert_eq!(registry.asked().last(), Some(&put));
    let last = registry.seen().pop().unwrap();
    assert_eq!((last.body.as_str(), last.header("authorization")), ("layer", Some("Bearer t")));
}

/// Takes one blob: by an upload at this place.
fn answer(seen: &Seen, place: &str) -> super::scripted::Answer {
    match seen.method.as_str() {
        "HEAD" => status(404),
        "POST" => with(202, &[("location", place)], ""),
        _ => status(201),
    }
}

#[tokio::test]
async fn an_upload_elsewhere_is_not_told_who_asks() {
    let storage = Scripted::start(|seen| match seen.path() {
        "/moved" => redirect("/there"),
        _ => status(201),
    })
    .await;
    let place = format!("http://{}/moved?signature=s", storage.registry());
    let registry = Scripted::start(move |seen| match seen.header("authorization") {
        None => challenge("Basic realm=lab"),
        Some(_) => answer(seen, &place),
    })
    .await;
    let plain_http = vec![storage.registry().clone(), registry.registry().clone()];
    let reach = Reach { plain_http, ..Reach::default() };
    let remote = reach.user(registry.registry(), "user", "hunter2").remote();
    push_blob(&remote, registry.registry(), b"layer").await.unwrap();
    let seen = storage.seen();
    assert_eq!(seen.len(), 2, "{seen:?}");
    for request in seen {
        assert_eq!((request.method.as_str(), request.body.as_str()), ("PUT", "layer"));
        assert_eq!(request.header("authorization"), None);
    }
}

#[tokio::test]
async fn places_of_uploads_that_cannot_be_are_refused() {
    for (place, expected) in [
        ("", "has a wrong Location: \"\""),
        ("http://user:hunter2@127.0.0.1:1/x", "has a wrong Location"),
        ("http://192.0.2.1:1/x", "plain HTTP is not allowed for 192.0.2.1:1"),
        ("ftp://127.0.0.1/x", "plain HTTP is not allowed"),
    ] {
        let registry = Scripted::start(move |seen| answer(seen, place)).await;
        let remote = Reach::plain(registry.registry()).remote();
        let error = push_blob(&remote, registry.registry(), b"layer").await.unwrap_err();
        assert!(chain(&error).contains(expected), "{place}: {}", chain(&error));
    }
}
