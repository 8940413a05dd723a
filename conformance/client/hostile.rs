//! Registries that lie, leave out, and never end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use shipperd::oci::{Digest, MediaType, TagOrDigest};
use shipperd::source::{self, Error, Source as _};

use super::scripted::{MANIFEST, Scripted, Seen, chunked, status, typed, with};
use super::{Reach, app, chain, tag};

#[tokio::test]
async fn wrong_bytes_are_never_a_manifest() {
    let other = Digest::of(b"other").to_string();
    let promised = other.clone();
    let registry = Scripted::start(move |_| {
        let headers =
            [("content-type", MediaType::OCI_INDEX), ("docker-content-digest", &promised)];
        with(200, &headers, MANIFEST)
    })
    .await;
    let remote = Reach::plain(registry.registry()).remote();
    let name = app(registry.registry());
    for target in [tag(), other.parse().unwrap()] {
        let error = remote.manifest(&name, &target).await.unwrap_err();
        let Error::Damaged { digest, found } = error else { panic!("{error:?}") };
        assert_eq!(digest.to_string(), other);
        assert_eq!(found, Digest::of(MANIFEST.as_bytes()).to_string());
    }
    // The digest asked for decides, whatever else is said.
    let right = TagOrDigest::Digest(Digest::of(MANIFEST.as_bytes()));
    assert!(remote.manifest(&name, &right).await.is_ok());
    assert_eq!(remote.resolve(&name, &right).await.unwrap().size, MANIFEST.len() as u64);
}

#[tokio::test]
async fn what_is_no_manifest() {
    for (media_type, body, expected) in [
        ("text/html", "<html>", "unusable manifest: not a manifest"),
        (MediaType::OCI_INDEX, "", "unusable manifest: not a manifest"),
        (MediaType::OCI_INDEX, r#"{"schemaVersion":1}"#, "schema 1"),
        (MediaType::OCI_INDEX, r#"{"manifests":[{"digest":"sha256:0"}]}"#, "not a digest"),
    ] {
        let registry = Scripted::start(move |_| typed(media_type, body)).await;
        let remote = Reach::plain(registry.registry()).remote();
        let error = remote.manifest(&app(registry.registry()), &tag()).await.unwrap_err();
        assert!(chain(&error).contains(expected), "{}", chain(&error));
    }
}

#[tokio::test]
async fn headers_that_are_missing_are_made_up_for() {
    type Answers = fn(&Seen) -> super::scripted::Answer;
    let index = MediaType::OCI_INDEX;
    let answers: [Answers; 6] = [
        // No digest.
        |_| typed(MediaType::OCI_INDEX, MANIFEST),
        // No HEAD.
        |seen| match seen.method.as_str() {
            "HEAD" => status(405),
            _ => typed(MediaType::OCI_INDEX, MANIFEST),
        },
        // No type, and a wrong one.
        |_| with(200, &[], MANIFEST),
        |_| typed("application/octet-stream", MANIFEST),
        // A type with more than a type.
        |_| typed("application/vnd.oci.image.index.v1+json; charset=utf-8", MANIFEST),
        // No length.
        |_| chunked(typed(MediaType::OCI_INDEX, ""), &Bytes::from(MANIFEST)),
    ];
    for answer in answers {
        let registry = Scripted::start(answer).await;
        let remote = Reach::plain(registry.registry()).remote();
        let descriptor = remote.resolve(&app(registry.registry()), &tag()).await.unwrap();
        assert_eq!(descriptor.digest, Digest::of(MANIFEST.as_bytes()));
        assert_eq!(descriptor.size, MANIFEST.len() as u64);
        assert_eq!(descriptor.media_type.as_str(), index);
    }
}

#[tokio::test]
async fn what_never_ends_is_not_read_to_its_end() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&sent);
    let registry = Scripted::start(move |seen| {
        let counter = Arc::clone(&counter);
        let endless = stream::repeat_with(move || {
            counter.fetch_add(1 << 16, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 1 << 16]))
        });
        let (mut parts, _) = typed(MediaType::OCI_INDEX, "").into_parts();
        parts.headers.remove("content-length");
        if seen.path().ends_with("claimed") {
            parts.headers.insert("content-length", "10000000000".parse().unwrap());
        }
        axum::http::Response::from_parts(parts, Body::from_stream(endless))
    })
    .await;
    let remote = Reach::plain(registry.registry()).remote();
    let name = app(registry.registry());
    for target in ["v1", "claimed"] {
        let error = remote.manifest(&name, &target.parse().unwrap()).await.unwrap_err();
        assert!(chain(&error).contains("longer than 4194304 bytes"), "{}", chain(&error));
    }
    let error = remote.tags(&name, "", 10).await.unwrap_err();
    assert!(chain(&error).contains("longer than 16777216 bytes"), "{}", chain(&error));
    // What lies in the buffers of the connections comes on top.
    assert!(sent.load(Ordering::Relaxed) < 64 << 20, "{}", sent.load(Ordering::Relaxed));
}

#[tokio::test]
async fn refusals_in_the_words_of_the_registry() {
    let body = |code: &str, message: &str| {
        serde_json::json!({"errors": [{"code": code, "message": message}]}).to_string()
    };
    for (status, body, expected) in [
        (403, body("DENIED", "no"), "access denied to HOST/lab/app"),
        (404, body("NAME_UNKNOWN", ""), "repository not known: HOST/lab/app"),
        (404, body("MANIFEST_UNKNOWN", ""), "manifest not known: v1"),
        (404, "<html>".to_owned(), "manifest not known: v1"),
        (
            400,
            body("ODD", "red \u{1b}[31m\nand\u{202e} back"),
            "fetching manifest HOST/lab/app:v1 failed: HOST answered 400: red  [31m and  back",
        ),
        (418, "x".repeat(1 << 20), "fetching manifest HOST/lab/app:v1 failed: HOST answered 418"),
        (204, String::new(), "fetching manifest HOST/lab/app:v1 failed: HOST answered 204"),
    ] {
        let registry = Scripted::start(move |_| with(status, &[], body.clone())).await;
        let remote = Reach::plain(registry.registry()).remote();
        let error = remote.manifest(&app(registry.registry()), &tag()).await.unwrap_err();
        let text = chain(&error).replace(registry.registry().as_str(), "HOST");
        assert_eq!(text, expected);
    }
}

#[tokio::test]
async fn a_name_needs_a_registry() {
    let remote = Reach::default().remote();
    let name = source::Name { registry: None, repository: "lab/app".parse().unwrap() };
    let error = remote.manifest(&name, &tag()).await.unwrap_err();
    assert_eq!(chain(&error), "fetching manifest lab/app:v1 failed: no registry was named");
    assert!(remote.repositories("", 1).await.is_err());
}
