//! Remote registries as a source: Debian's docker-registry, token servers, and servers that misbehave.

mod connections;
pub mod distribution;
mod hostile;
mod lists;
mod patience;
mod push;
mod ranges;
mod redirects;
pub mod scripted;
mod tokens;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use shipperd::client::{Credentials, Environment, Remote, Retries, Settings, Trust};
use shipperd::oci::{Registry, TagOrDigest};
use shipperd::source::{Blob, Body, ByteStream, Error, Name, Source as _};

use crate::source::contract;
use distribution::{Distribution, Setup, USER};

/// Gives up soon: what fails here is meant to.
const RETRIES: Retries = Retries {
    attempts: 4,
    first_wait: Duration::from_millis(2),
    longest_wait: Duration::from_secs(5),
};

/// How a test reaches a registry.
#[derive(Debug, Default)]
pub struct Reach {
    pub plain_http: Vec<Registry>,
    pub tls_skip_verify: Vec<Registry>,
    pub certificates: Vec<PathBuf>,
    /// Keys and users of an auth file.
    pub users: Vec<(String, &'static str, &'static str)>,
}

impl Reach {
    pub fn plain(registry: &Registry) -> Self {
        Self { plain_http: vec![registry.clone()], ..Self::default() }
    }

    pub fn user(
        mut self,
        key: &impl ToString,
        username: &'static str,
        password: &'static str,
    ) -> Self {
        self.users.push((key.to_string(), username, password));
        self
    }

    pub fn remote(&self) -> Remote {
        let entries = self.users.iter().map(|(key, username, password)| {
            let entry = serde_json::json!({"username": username, "password": password});
            (key.clone(), entry)
        });
        let auths: serde_json::Map<_, _> = entries.collect();
        let directory = tempfile::tempdir().unwrap();
        let authfile = directory.path().join("auth.json");
        std::fs::write(&authfile, serde_json::json!({"auths": auths}).to_string()).unwrap();
        let credentials = Credentials::load(Some(&authfile), &Environment::default()).unwrap();
        let trust = Trust::load(&self.plain_http, &self.tls_skip_verify, &self.certificates);
        Remote::new(Settings { credentials, trust: trust.unwrap(), retries: RETRIES })
    }
}

fn app(registry: &Registry) -> Name {
    Name { registry: Some(registry.clone()), repository: "lab/app".parse().unwrap() }
}

fn tag() -> TagOrDigest {
    "v1".parse().unwrap()
}

fn stream_of(blob: Blob) -> ByteStream {
    match blob.body {
        Body::Stream(stream) => stream,
        Body::Stored(stored) => panic!("{stored:?}"),
    }
}

async fn read(blob: Blob) -> Result<Vec<u8>, Error> {
    let pieces: Vec<Bytes> = stream_of(blob).try_collect().await?;
    Ok(pieces.concat())
}

fn whole() -> std::ops::Range<u64> {
    0..u64::MAX
}

/// An error and all its causes, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        text += &format!(": {error}");
        next = error.source();
    }
    text
}

#[tokio::test]
async fn the_contract_over_plain_http() {
    let Some(distribution) = Distribution::start(Setup::default()).await else { return };
    let registry = distribution.registry();
    let remote = Reach::plain(registry).remote();
    contract(&remote.at(registry.clone()), Some(registry.clone())).await;
    // A name without a registry means the one that was set.
    contract(&remote.at(registry.clone()), None).await;
}

#[tokio::test]
async fn the_contract_over_tls_with_a_password() {
    let setup = Setup { tls: true, password: true, ..Setup::default() };
    let Some(distribution) = Distribution::start(setup).await else { return };
    let registry = distribution.registry();
    let reach = Reach { certificates: vec![distribution.certificates()], ..Reach::default() };
    let remote = reach.user(registry, USER.0, USER.1).remote();
    contract(&remote.at(registry.clone()), Some(registry.clone())).await;
}

#[tokio::test]
async fn the_contract_over_tls_with_certificates_on_both_sides() {
    let setup = Setup { tls: true, mutual: true, ..Setup::default() };
    let Some(distribution) = Distribution::start(setup).await else { return };
    let registry = distribution.registry();
    let reach = Reach { certificates: vec![distribution.certificates()], ..Reach::default() };
    contract(&reach.remote().at(registry.clone()), Some(registry.clone())).await;
    let reach = Reach { tls_skip_verify: vec![registry.clone()], ..Reach::default() };
    assert!(reach.remote().resolve(&app(registry), &"v1".parse().unwrap()).await.is_err());
}

#[tokio::test]
async fn certificates_are_verified_unless_told_otherwise() {
    let Some(distribution) = Distribution::start(Setup { tls: true, ..Setup::default() }).await
    else {
        return;
    };
    let registry = distribution.registry();
    let target = "v1".parse().unwrap();
    let error = Reach::default().remote().resolve(&app(registry), &target).await.unwrap_err();
    let text = chain(&error);
    let expected = format!(
        "resolving {registry}/lab/app:v1 failed: {registry} has no certificate that can be trusted"
    );
    assert!(text.starts_with(&expected) && text.contains("UnknownIssuer"), "{text}");
    let reach = Reach { tls_skip_verify: vec![registry.clone()], ..Reach::default() };
    assert!(reach.remote().resolve(&app(registry), &target).await.is_ok());
}

#[tokio::test]
async fn plain_http_where_tls_is_due_is_named() {
    let Some(distribution) = Distribution::start(Setup::default()).await else { return };
    let registry = distribution.registry();
    let target = "v1".parse().unwrap();
    let error = Reach::default().remote().resolve(&app(registry), &target).await.unwrap_err();
    assert!(chain(&error).contains(&format!("{registry} does not speak TLS")), "{}", chain(&error));
}

#[tokio::test]
async fn wrong_and_missing_passwords_are_told_apart_from_failures() {
    let Some(distribution) =
        Distribution::start(Setup { password: true, ..Setup::default() }).await
    else {
        return;
    };
    let registry = distribution.registry();
    let target = "v1".parse().unwrap();
    for reach in [Reach::plain(registry), Reach::plain(registry).user(registry, "user", "wrong")] {
        let error = reach.remote().manifest(&app(registry), &target).await.unwrap_err();
        assert!(matches!(&error, Error::Unauthorized(name) if *name == app(registry)), "{error:?}");
    }
    let reach = Reach::plain(registry).user(&format!("{registry}/lab/app"), USER.0, USER.1);
    assert!(reach.remote().manifest(&app(registry), &target).await.is_ok());
}
