//! How often and over which connections a registry is asked, and what it is told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use shipperd::oci::{Digest, MediaType, Registry};
use shipperd::source::Source as _;

use super::scripted::{MANIFEST, PASSWORD, Scripted, USER, challenge, layer, status, typed, with};
use super::{Reach, app, chain, read, tag};

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
