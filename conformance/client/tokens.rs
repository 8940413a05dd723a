//! Bearer tokens: how they are asked for, shared, renewed and kept from others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use shipperd::client::{Credentials, Environment, Remote, Settings, Trust};
use shipperd::oci::{MediaType, Registry, TagOrDigest};
use shipperd::source::{Error, Name, Source as _};

use super::scripted::{Scripted, Seen, challenge, redirect, status, typed, with};
use super::{RETRIES, Reach, app, chain};

const USER: &str = "user";
/// In no error and in no log.
const PASSWORD: &str = "hunter2+&=% é";
const INDEX: &str = r#"{"schemaVersion":2,"manifests":[]}"#;

/// A token server, and a registry that takes the tokens it makes.
struct Lab {
    tokens: Scripted,
    registry: Scripted,
    /// Tokens below this number are not taken any more.
    oldest: Arc<AtomicUsize>,
}

impl Lab {
    /// Both; the server gives a token where it answers 200.
    async fn start(grants: fn(&Seen) -> u16) -> Self {
        let tokens = Scripted::start(move |seen| match grants(seen) {
            200 => with(200, &[], format!(r#"{{"access_token":"token-{}"}}"#, seen.before)),
            refusal => status(refusal),
        })
        .await;
        let realm = format!("http://{}/token?own=1", tokens.registry());
        let oldest = Arc::new(AtomicUsize::new(0));
        let limit = Arc::clone(&oldest);
        let registry = Scripted::start(move |seen| {
            let number =
                seen.header("authorization").and_then(|it| it.strip_prefix("Bearer token-"));
            let number = number.and_then(|number| number.parse::<usize>().ok());
            if number.is_some_and(|number| number >= limit.load(Ordering::Relaxed)) {
                return typed(MediaType::OCI_INDEX, INDEX);
            }
            let name = seen.path().trim_start_matches("/v2/").split("/manifests").next().unwrap();
            challenge(&format!(
                r#"Bearer realm="{realm}",service="lab",scope="repository:{name}:pull""#
            ))
        })
        .await;
        Self { tokens, registry, oldest }
    }

    fn reach(&self) -> Reach {
        let plain_http = vec![self.registry.registry().clone(), self.tokens.registry().clone()];
        Reach { plain_http, ..Reach::default() }
    }

    fn user(&self) -> Remote {
        self.reach().user(self.registry.registry(), USER, PASSWORD).remote()
    }

    async fn pull(&self, remote: &Remote) -> Result<(), Error> {
        remote.manifest(&app(self.registry.registry()), &tag("v1")).await.map(drop)
    }
}

fn tag(text: &str) -> TagOrDigest {
    text.parse().unwrap()
}

fn is_user(seen: &Seen) -> bool {
    let expected = format!("Basic {}", STANDARD.encode(format!("{USER}:{PASSWORD}")));
    seen.header("authorization") == Some(&expected)
}

fn only_get(seen: &Seen) -> u16 {
    if seen.method == "GET" && is_user(seen) { 200 } else { 401 }
}

fn anybody(_: &Seen) -> u16 {
    200
}

#[tokio::test]
async fn by_get_with_the_password() {
    let lab = Lab::start(only_get).await;
    lab.pull(&lab.user()).await.unwrap();
    let query = "own=1&service=lab&scope=repository%3Alab%2Fapp%3Apull&account=user";
    assert_eq!(lab.tokens.asked(), [format!("GET /token?{query}")]);
}

#[tokio::test]
async fn by_get_without_a_password() {
    let lab = Lab::start(|seen| match seen.header("authorization") {
        None => 200,
        Some(_) => 401,
    })
    .await;
    lab.pull(&lab.reach().remote()).await.unwrap();
    assert_eq!(lab.tokens.seen().len(), 1);
}

#[tokio::test]
async fn by_post_where_get_is_refused() {
    for refusal in [401, 404, 405] {
        let grants: fn(&Seen) -> u16 = match refusal {
            401 => |seen| if seen.method == "POST" { 200 } else { 401 },
            404 => |seen| if seen.method == "POST" { 200 } else { 404 },
            _ => |seen| if seen.method == "POST" { 200 } else { 405 },
        };
        let lab = Lab::start(grants).await;
        lab.pull(&lab.user()).await.unwrap();
        let seen = lab.tokens.seen();
        assert_eq!(seen.len(), 2, "{refusal}");
        assert_eq!(seen[1].target, "/token?own=1");
        assert_eq!(seen[1].header("authorization"), None);
        assert_eq!(seen[1].header("content-type"), Some("application/x-www-form-urlencoded"));
        assert_eq!(
            seen[1].body,
            "grant_type=password&username=user&password=hunter2%2B%26%3D%25+%C3%A9\
             &service=lab&scope=repository%3Alab%2Fapp%3Apull&client_id=shipperd"
        );
    }
}

#[tokio::test]
async fn by_post_with_an_identity_token() {
    let lab = Lab::start(|seen| {
        let good = seen.method == "POST"
            && seen.body.starts_with("grant_type=refresh_token&refresh_token=identity%2F1&");
        if good { 200 } else { 401 }
    })
    .await;
    let directory = tempfile::tempdir().unwrap();
    let authfile = directory.path().join("auth.json");
    let entry = serde_json::json!({"identitytoken": "identity/1"});
    let auths = serde_json::json!({"auths": {lab.registry.registry().as_str(): entry}});
    std::fs::write(&authfile, auths.to_string()).unwrap();
    let credentials = Credentials::load(Some(&authfile), &Environment::default()).unwrap();
    let trust = Trust::load(&lab.reach().plain_http, &[], &[]).unwrap();
    let remote = Remote::new(Settings { credentials, trust, retries: RETRIES });
    lab.pull(&remote).await.unwrap();
    assert_eq!(lab.tokens.seen().len(), 1);
}

#[tokio::test]
async fn one_for_many_at_once() {
    let lab = Lab::start(only_get).await;
    let remote = lab.user();
    for outcome in join_all((0..8).map(|_| lab.pull(&remote))).await {
        outcome.unwrap();
    }
    assert_eq!(lab.tokens.seen().len(), 1, "{:?}", lab.tokens.asked());
    let before = lab.registry.seen().len();
    lab.pull(&remote).await.unwrap();
    assert_eq!(lab.registry.seen().len(), before + 1, "known without being challenged");
}

#[tokio::test]
async fn one_for_each_repository() {
    let lab = Lab::start(anybody).await;
    let remote = lab.reach().remote();
    for repository in ["lab/app", "lab/other", "lab/app"] {
        let registry = Some(lab.registry.registry().clone());
        let name = Name { registry, repository: repository.parse().unwrap() };
        remote.manifest(&name, &tag("v1")).await.unwrap();
    }
    let scopes: Vec<String> = lab.tokens.asked();
    assert_eq!(scopes.len(), 2, "{scopes:?}");
    assert!(scopes[1].contains("lab%2Fother"), "{scopes:?}");
}

#[tokio::test]
async fn a_token_that_is_no_longer_taken_is_renewed_once() {
    let lab = Lab::start(only_get).await;
    let remote = lab.user();
    lab.pull(&remote).await.unwrap();
    lab.oldest.store(1, Ordering::Relaxed);
    for outcome in join_all((0..8).map(|_| lab.pull(&remote))).await {
        outcome.unwrap();
    }
    assert_eq!(lab.tokens.seen().len(), 2);
    // Not even a new one helps.
    lab.oldest.store(100, Ordering::Relaxed);
    assert!(matches!(lab.pull(&remote).await, Err(Error::Unauthorized(_))));
    assert_eq!(lab.tokens.seen().len(), 3);
}

#[tokio::test]
async fn a_refusal_is_not_repeated() {
    let lab = Lab::start(|_| 401).await;
    let remote = lab.user();
    for outcome in join_all((0..8).map(|_| lab.pull(&remote))).await {
        assert!(matches!(outcome, Err(Error::Unauthorized(_))), "{outcome:?}");
    }
    let methods: Vec<_> = lab.tokens.seen().iter().map(|seen| seen.method.to_string()).collect();
    assert_eq!(methods, ["GET", "POST"], "a wrong password is not tried again");
}

#[tokio::test]
async fn a_token_server_at_fault_is_no_refusal() {
    let lab = Lab::start(|seen| if seen.before < 2 { 503 } else { 200 }).await;
    lab.pull(&lab.reach().remote()).await.unwrap();
    let lab = Lab::start(|_| 503).await;
    let error = lab.pull(&lab.reach().remote()).await.unwrap_err();
    assert!(error.retryable(), "{error:?}");
    assert!(chain(&error).contains("answered 503"), "{}", chain(&error));
}

#[tokio::test]
async fn passwords_stay_off_plain_http() {
    let lab = Lab::start(anybody).await;
    let reach = Reach::plain(lab.registry.registry()).user(lab.registry.registry(), USER, PASSWORD);
    let error = lab.pull(&reach.remote()).await.unwrap_err();
    let host = lab.tokens.registry();
    assert!(chain(&error).ends_with(&format!("plain HTTP is not allowed for {host}")));
    assert!(lab.tokens.seen().is_empty());
}

#[tokio::test]
async fn passwords_are_not_sent_where_a_token_server_redirects() {
    let thief = Scripted::start(|_| with(200, &[], r#"{"token":"token-0"}"#)).await;
    let to = format!("http://{}/token", thief.registry());
    let tokens = Scripted::start(move |_| redirect(&to)).await;
    let realm = format!("http://{}/token", tokens.registry());
    let registry = Scripted::start(move |seen| match seen.header("authorization") {
        Some(_) => typed(MediaType::OCI_INDEX, INDEX),
        None => challenge(&format!(r#"Bearer realm="{realm}""#)),
    })
    .await;
    let hosts = [registry.registry(), tokens.registry(), thief.registry()];
    let reach = Reach { plain_http: hosts.map(Registry::clone).to_vec(), ..Reach::default() };
    let remote = reach.user(registry.registry(), USER, PASSWORD).remote();
    remote.manifest(&app(registry.registry()), &tag("v1")).await.unwrap();
    let seen = thief.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("authorization"), None);
    assert!(tokens.seen()[0].header("authorization").is_some());
}

#[tokio::test]
async fn what_is_no_token() {
    for answer in ["", "{}", r#"{"token":""}"#, r#"{"token":"a\nb"}"#, r#"{"token":7}"#, "hunter2"]
    {
        let tokens = Scripted::start(move |_| with(200, &[], answer)).await;
        let realm = format!("http://{}/", tokens.registry());
        let registry =
            Scripted::start(move |_| challenge(&format!(r#"Bearer realm="{realm}""#))).await;
        let hosts = [registry.registry(), tokens.registry()];
        let reach = Reach { plain_http: hosts.map(Registry::clone).to_vec(), ..Reach::default() };
        let outcome = reach.remote().manifest(&app(registry.registry()), &tag("v1")).await;
        let text = chain(&outcome.unwrap_err());
        assert!(text.contains("wrong token") && !text.contains("hunter2"), "{text}");
    }
}

#[tokio::test]
async fn what_is_no_challenge() {
    for (text, expected) in [
        ("Negotiate", "wrong WWW-Authenticate: \"Negotiate\""),
        ("", "wrong WWW-Authenticate: \"\""),
        (r#"Bearer realm="not a URL""#, "wrong realm: \"not a URL\""),
        (r#"Bearer realm="file:///etc/passwd""#, "plain HTTP is not allowed"),
    ] {
        let registry = Scripted::start(move |_| challenge(text)).await;
        let remote = Reach::plain(registry.registry()).remote();
        let error = remote.manifest(&app(registry.registry()), &tag("v1")).await.unwrap_err();
        assert!(chain(&error).contains(expected), "{text}: {}", chain(&error));
    }
}

#[tokio::test]
async fn secrets_are_in_no_log() {
    #[derive(Clone, Default)]
    struct Log(Arc<std::sync::Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);
    // The test's own server logs nothing here of what it got.
    let lab = Lab::start(only_get).await;
    lab.pull(&lab.user()).await.unwrap();
    let lab = Lab::start(|_| 403).await;
    lab.pull(&lab.user()).await.unwrap_err();
    drop(guard);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(text.contains("no token"), "the log was kept: {text}");
    let encoded = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    for secret in ["hunter2", "token-0", &encoded] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
