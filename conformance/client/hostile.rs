//! Registries that redirect, fail, break off, lie and never end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use shipperd::oci::{Digest, MediaType, Registry, TagOrDigest};
use shipperd::source::{self, Blob, Body as BlobBody, Error, Source as _};

use super::scripted::{Scripted, Seen, challenge, chunked, cut, redirect, status, typed, with};
use super::{Reach, app, chain};

const USER: &str = "user";
const PASSWORD: &str = "hunter2";
const MANIFEST: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

fn layer() -> Bytes {
    (0..100_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

fn tag() -> TagOrDigest {
    "v1".parse().unwrap()
}

fn stream_of(blob: Blob) -> source::ByteStream {
    match blob.body {
        BlobBody::Stream(stream) => stream,
        BlobBody::Stored(stored) => panic!("{stored:?}"),
    }
}

async fn read(blob: Blob) -> Result<Vec<u8>, Error> {
    let pieces: Vec<Bytes> = stream_of(blob).try_collect().await?;
    Ok(pieces.concat())
}

fn whole() -> std::ops::Range<u64> {
    0..u64::MAX
}

#[tokio::test]
async fn credentials_stay_where_they_belong() {
    let storage = Scripted::start(|seen| match seen.start() {
        None => with(200, &[], layer()),
        Some(start) => {
            let range = format!("bytes {start}-{}/{}", layer().len() - 1, layer().len());
            with(206, &[("content-range", &range)], layer().slice(start..))
        }
    })
    .await;
    let to = format!("http://{}/bucket/key?signature=s", storage.registry());
    let registry = Scripted::start(move |seen| match seen.header("authorization") {
        None => challenge("Basic realm=lab"),
        Some(_) if seen.before == 1 => redirect("/v2/lab/app/elsewhere"),
        Some(_) => redirect(&to),
    })
    .await;
    let hosts = vec![registry.registry().clone(), storage.registry().clone()];
    let reach = Reach { plain_http: hosts, ..Reach::default() };
    let remote = reach.user(registry.registry(), USER, PASSWORD).remote();
    let name = app(registry.registry());
    let digest = Digest::of(&layer());
    assert_eq!(read(remote.blob(&name, &digest, whole()).await.unwrap()).await.unwrap(), layer());
    let part = remote.blob(&name, &digest, 5..u64::MAX).await.unwrap();
    assert_eq!(read(part).await.unwrap(), layer()[5..]);
    let authorized = |server: &Scripted| -> Vec<bool> {
        server.seen().iter().map(|seen| seen.header("authorization").is_some()).collect()
    };
    // Challenged; redirected on the same host; redirected away; known from then on.
    assert_eq!(authorized(&registry), [false, true, true, true]);
    assert_eq!(authorized(&storage), [false, false]);
}

#[tokio::test]
async fn storage_cannot_ask_who_asks() {
    let thief = Scripted::start(|_| challenge("Basic realm=lab")).await;
    let to = format!("http://{}/", thief.registry());
    let registry = Scripted::start(move |seen| match seen.header("authorization") {
        None => challenge("Basic realm=lab"),
        Some(_) => redirect(&to),
    })
    .await;
    let hosts = vec![registry.registry().clone(), thief.registry().clone()];
    let reach = Reach { plain_http: hosts, ..Reach::default() };
    let remote = reach.user(registry.registry(), USER, PASSWORD).remote();
    let outcome = remote.blob(&app(registry.registry()), &Digest::of(b"a"), whole()).await;
    let error = outcome.unwrap_err();
    assert!(chain(&error).ends_with(&format!("{} answered 401", thief.registry())), "{error:?}");
    assert!(thief.seen().iter().all(|seen| seen.header("authorization").is_none()));
}

#[tokio::test]
async fn redirects_end_and_lead_to_no_plain_http() {
    let elsewhere = Scripted::start(|_| with(200, &[], "x")).await;
    let elsewhere_url = format!("http://{}/?signature=hunter2", elsewhere.registry());
    for (to, expected) in [
        (elsewhere_url.clone(), format!("plain HTTP is not allowed for {}", elsewhere.registry())),
        ("/v2/again".to_owned(), "redirected too often".to_owned()),
        ("http://".to_owned(), "redirected to what is no URL".to_owned()),
        ("https://user:p@127.0.0.1/".to_owned(), "to a URL with credentials".to_owned()),
        ("file:///etc/passwd".to_owned(), "plain HTTP is not allowed for ".to_owned()),
    ] {
        let registry = Scripted::start(move |_| redirect(&to)).await;
        let remote = Reach::plain(registry.registry()).remote();
        let outcome = remote.blob(&app(registry.registry()), &Digest::of(b"a"), whole()).await;
        let text = chain(&outcome.unwrap_err());
        assert!(text.contains(&expected) && !text.contains("hunter2"), "{text}");
        assert!(registry.seen().len() < 12);
    }
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn passing_failures_are_waited_out() {
    for failure in [429, 500, 502, 503, 504] {
        let registry = Scripted::start(move |seen| match seen.before {
            0..3 => status(failure),
            _ => typed(MediaType::OCI_INDEX, MANIFEST),
        })
        .await;
        let remote = Reach::plain(registry.registry()).remote();
        remote.manifest(&app(registry.registry()), &tag()).await.unwrap();
        assert_eq!(registry.seen().len(), 4);
    }
    let registry = Scripted::start(|_| status(503)).await;
    let remote = Reach::plain(registry.registry()).remote();
    let error = remote.manifest(&app(registry.registry()), &tag()).await.unwrap_err();
    assert!(error.retryable(), "{error:?}");
    assert_eq!(registry.seen().len(), 4, "patience ends");
}

#[tokio::test]
async fn a_registry_says_when_to_come_back() {
    let registry = Scripted::start(|seen| match seen.before {
        0 => with(429, &[("retry-after", "1")], ""),
        _ => typed(MediaType::OCI_INDEX, MANIFEST),
    })
    .await;
    let remote = Reach::plain(registry.registry()).remote();
    let begun = Instant::now();
    remote.manifest(&app(registry.registry()), &tag()).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
    // Nobody waits for an hour: that is a failure, and said so.
    let registry = Scripted::start(|_| {
        let body = r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"pull rate limit"}]}"#;
        with(429, &[("retry-after", "3600")], body)
    })
    .await;
    let remote = Reach::plain(registry.registry()).remote();
    let error = remote.manifest(&app(registry.registry()), &tag()).await.unwrap_err();
    assert!(chain(&error).ends_with("answered 429: pull rate limit"), "{}", chain(&error));
    assert_eq!(registry.seen().len(), 1);
}

#[tokio::test]
async fn connections_that_break_before_an_answer_are_tried_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let registry: Registry = listener.local_addr().unwrap().to_string().parse().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let task = tokio::spawn(async move {
        loop {
            drop(listener.accept().await.unwrap());
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    let error = Reach::plain(&registry).remote().stat(&app(&registry), &Digest::of(b"a")).await;
    let error = error.unwrap_err();
    assert!(chain(&error).contains(&format!("no answer from {registry}")), "{}", chain(&error));
    assert_eq!(count.load(Ordering::Relaxed), 4);
    task.abort();
}

#[tokio::test]
async fn what_breaks_off_is_resumed_by_range() {
    const PIECE: usize = 30_000;
    let registry = Scripted::start(|seen| {
        let size = layer().len();
        match seen.start() {
            None => cut(200, &[], size, layer().slice(..PIECE)),
            Some(start) => {
                let range = format!("bytes {start}-{}/{size}", size - 1);
                let part = layer().slice(start..size.min(start + PIECE));
                cut(206, &[("content-range", &range)], size - start, part)
            }
        }
    })
    .await;
    let remote = Reach::plain(registry.registry()).remote();
    let name = app(registry.registry());
    let digest = Digest::of(&layer());
    let mut bytes = Vec::new();
    let mut failures = 0;
    while bytes.len() < layer().len() {
        let start = bytes.len() as u64;
        let blob = remote.blob(&name, &digest, start..u64::MAX).await.unwrap();
        assert_eq!(blob.size, layer().len() as u64);
        let mut stream = stream_of(blob);
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(error) => {
                    assert!(error.retryable(), "{error:?}");
                    assert!(error.to_string().starts_with("fetching blob "), "{error}");
                    failures += 1;
                    break;
                }
            }
        }
    }
    assert_eq!(bytes, layer());
    assert_eq!(failures, 3);
}

#[tokio::test]
async fn a_range_that_is_ignored_is_cut_out_here() {
    let registry = Scripted::start(|_| with(200, &[], layer())).await;
    let remote = Reach::plain(registry.registry()).remote();
    let name = app(registry.registry());
    let digest = Digest::of(&layer());
    for range in [1..u64::MAX, 50_000..50_001, 99_999..200_000, 100_000..100_001, 7..7] {
        let blob = remote.blob(&name, &digest, range.clone()).await.unwrap();
        assert_eq!(blob.size, 100_000);
        let place = |place: u64| usize::try_from(place.min(100_000)).unwrap();
        let expected = &layer()[place(range.start)..place(range.end)];
        assert_eq!(read(blob).await.unwrap(), expected, "{range:?}");
    }
}

#[tokio::test]
async fn wrong_ranges_are_refused() {
    for header in [
        "bytes 4-99999/100000",
        "bytes 5-99998/100000",
        "bytes 5-100000/100001",
        "bytes 0-99994/99995",
        "bytes 5-4/100000",
        "bytes 5-18446744073709551615/*",
        "bytes */100000",
        "nonsense",
        "",
    ] {
        let registry = Scripted::start(move |seen| match seen.method.as_str() {
            "HEAD" => with(200, &[], layer()),
            _ => with(206, &[("content-range", header)], layer().slice(5..)),
        })
        .await;
        let remote = Reach::plain(registry.registry()).remote();
        let digest = Digest::of(&layer());
        let outcome = remote.blob(&app(registry.registry()), &digest, 5..u64::MAX).await;
        match outcome {
            Err(error) => assert!(chain(&error).contains("wrong Content-Range"), "{header}"),
            // A size that is wrong in itself can only show in the bytes that do not come.
            Ok(blob) => assert!(read(blob).await.unwrap_err().retryable(), "{header}"),
        }
    }
    // Nothing there, it says, of what is there.
    let registry = Scripted::start(|_| with(416, &[("content-range", "bytes */100000")], "")).await;
    let remote = Reach::plain(registry.registry()).remote();
    let name = app(registry.registry());
    assert!(remote.blob(&name, &Digest::of(b"a"), 5..u64::MAX).await.is_err());
    let past = remote.blob(&name, &Digest::of(b"a"), 100_000..u64::MAX).await.unwrap();
    assert_eq!((past.size, read(past).await.unwrap().len()), (100_000, 0));
}

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
async fn blobs_without_a_length() {
    for knows in ["HEAD", "range", "nothing"] {
        let registry = Scripted::start(move |seen| match (seen.method.as_str(), knows) {
            ("HEAD", "HEAD") => with(200, &[], layer()),
            ("HEAD", _) => status(405),
            (_, "range") if seen.header("range") == Some("bytes=0-0") => {
                with(206, &[("content-range", "bytes 0-0/100000")], layer().slice(..1))
            }
            _ => chunked(status(200), &layer()),
        })
        .await;
        let remote = Reach::plain(registry.registry()).remote();
        let name = app(registry.registry());
        let outcome = remote.blob(&name, &Digest::of(&layer()), whole()).await;
        if knows == "nothing" {
            assert!(chain(&outcome.unwrap_err()).contains("wrong length"));
            continue;
        }
        let blob = outcome.unwrap();
        assert_eq!(blob.size, 100_000, "{knows}");
        assert_eq!(read(blob).await.unwrap(), layer());
    }
}

#[tokio::test]
async fn a_chunked_blob_that_ends_early() {
    let registry = Scripted::start(|seen| match seen.method.as_str() {
        "HEAD" => with(200, &[], layer()),
        _ => chunked(status(200), &layer().slice(..10)),
    })
    .await;
    let remote = Reach::plain(registry.registry()).remote();
    let blob = remote.blob(&app(registry.registry()), &Digest::of(&layer()), whole()).await;
    let error = read(blob.unwrap()).await.unwrap_err();
    assert!(error.retryable() && chain(&error).contains("99990 bytes early"), "{}", chain(&error));
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
async fn requests_say_who_asks_and_for_what() {
    let registry = Scripted::start(|_| typed(MediaType::OCI_INDEX, MANIFEST)).await;
    let remote = Reach::plain(registry.registry()).remote();
    remote.manifest(&app(registry.registry()), &tag()).await.unwrap();
    let seen = &registry.seen()[0];
    let accepted: Vec<&str> =
        seen.headers.get_all("accept").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(accepted, MediaType::MANIFESTS);
    assert!(seen.header("user-agent").unwrap().starts_with("shipperd/"));
    // Compressed on the way, a blob would not have its digest.
    assert_eq!(seen.header("accept-encoding"), None);
    assert_eq!(seen.header("authorization"), None);
}

#[tokio::test]
async fn connections_are_kept() {
    let registry = Scripted::start(|seen| match (seen.header("authorization"), seen.start()) {
        (None, _) => challenge("Basic realm=lab"),
        (Some(_), None) if seen.path().contains("/manifests/") => status(404),
        (Some(_), None) => with(200, &[], layer()),
        (Some(_), Some(start)) => {
            let range = format!("bytes {start}-{}/{}", layer().len() - 1, layer().len());
            with(206, &[("content-range", &range)], layer().slice(start..))
        }
    })
    .await;
    let remote =
        Reach::plain(registry.registry()).user(registry.registry(), USER, PASSWORD).remote();
    let name = app(registry.registry());
    for start in 0..20 {
        let blob = remote.blob(&name, &Digest::of(&layer()), start..u64::MAX).await.unwrap();
        read(blob).await.unwrap();
        remote.stat(&name, &Digest::of(&layer())).await.unwrap();
        remote.manifest(&name, &tag()).await.unwrap_err();
    }
    let seen = registry.seen();
    let peers: BTreeSet<_> = seen.iter().map(|seen| seen.peer).collect();
    assert!(
        seen.len() > 60 && peers.len() <= 2,
        "{} requests, {} connections",
        seen.len(),
        peers.len()
    );
}

#[tokio::test]
async fn proxies_of_the_environment_are_used() {
    let proxy = Scripted::start(|_| status(404)).await;
    let directory = tempfile::tempdir().unwrap();
    // Variables are a process's own, so this takes one.
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_shipperd"));
    command.args(["create", "--name", "t", "--plain-http", "registry.invalid:5000", "--output"]);
    command.arg(directory.path()).arg("registry.invalid:5000/lab/app:v1");
    command.env("XDG_STATE_HOME", directory.path());
    for other in ["http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"] {
        command.env_remove(other);
    }
    command.env("HTTP_PROXY", format!("http://{}", proxy.registry())).env("HOME", directory.path());
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let expected = "GET http://registry.invalid:5000/v2/lab/app/manifests/v1";
    assert!(proxy.asked().iter().any(|asked| asked == expected), "{:?}", proxy.asked());
}

#[tokio::test]
async fn a_name_needs_a_registry() {
    let remote = Reach::default().remote();
    let name = source::Name { registry: None, repository: "lab/app".parse().unwrap() };
    let error = remote.manifest(&name, &tag()).await.unwrap_err();
    assert_eq!(chain(&error), "fetching manifest lab/app:v1 failed: no registry was named");
    assert!(remote.repositories("", 1).await.is_err());
}
