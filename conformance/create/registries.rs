//! From registries: anonymous, with a password, with a token; in clear text and over TLS.

use std::collections::BTreeMap;

use serde_json::json;
use shipperd::oci::{Digest, MediaType, Registry};

use super::fleet::{self, APP, CHART, LIST, fleet};
use super::stand_in::{self, digest};
use super::{Yard, carried};
use crate::client::distribution::{Distribution, Setup, USER};
use crate::client::scripted::{Scripted, challenge, typed};
use crate::content::overlay;
use crate::source::{self, contract};

/// Makes a bundle of all of [`source::sample`] and checks that it serves what the registry does.
async fn carries_the_contract(yard: &Yard, registry: &Registry) {
    let mut images = vec![format!("{registry}/lab/other:v1")];
    let sample = source::sample();
    let (_, tags) = &sample.index().places[0];
    images.extend(tags.iter().map(|tag| format!("{registry}/lab/app:{tag}")));
    let images: Vec<_> = images.iter().map(String::as_str).collect();
    let bundle = yard.bundle("contract", &images).await;
    contract(&overlay(&bundle), Some(registry.clone())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_bundle_serves_is_what_the_registry_served() {
    let Some(distribution) = Distribution::start(Setup::default()).await else { return };
    carries_the_contract(&Yard::plain(distribution.registry()), distribution.registry()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_over_tls_with_an_own_authority_and_a_password() {
    let setup = Setup { tls: true, password: true, ..Setup::default() };
    let Some(distribution) = Distribution::start(setup).await else { return };
    let registry = distribution.registry();
    let image = format!("{registry}/lab/other:v1");
    let said = Yard::new().no_bundle(1, &[&image]).await;
    assert!(said.contains("certificate"), "{said}");
    let said = Yard::new().trusting(&distribution).no_bundle(1, &[&image]).await;
    assert!(said.contains("credentials needed"), "{said}");
    let yard = Yard::new().trusting(&distribution).logged_in(registry, USER);
    carries_the_contract(&yard, registry).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_asked_for_once() {
    let sample = fleet();
    let stand_in = Scripted::start(move |seen| {
        if seen.path() == "/token" {
            return typed("application/json", json!({"token": "open"}).to_string());
        }
        if seen.header("authorization") != Some("Bearer open") {
            let host = seen.header("host").unwrap();
            return challenge(&format!(r#"Bearer realm="http://{host}/token",service="lab""#));
        }
        stand_in::answer(&sample, seen)
    })
    .await;
    let registry = stand_in.registry();
    let image = format!("{registry}/{APP}:v1");
    Yard::plain(registry).bundle("app", &[&image]).await;
    let tokens = stand_in.asked().iter().filter(|it| it.starts_with("GET /token")).count();
    assert_eq!(tokens, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_image_and_what_refers_to_it() {
    let sample = fleet();
    let held = sample.clone();
    let stand_in = Scripted::start(move |seen| stand_in::answer(&held, seen)).await;
    let registry = stand_in.registry();
    let images = [APP, LIST, CHART].map(|repository| format!("{registry}/{repository}:v1"));
    let images = images.each_ref().map(String::as_str);

    let yard = Yard::plain(registry);
    let bundle = yard.bundle("fleet", &images).await;
    let mut expected = Vec::new();
    for manifest in &sample.manifests {
        let (repository, tags) = &manifest.places[0];
        let digest = Digest::of(&manifest.bytes);
        let named = tags.iter().map(|tag| format!("{registry}/{repository}:{tag}"));
        expected.extend(named.map(|name| (name, digest.clone())));
        if manifest.bytes.windows(9).any(|it| it == b"\"subject\"") {
            expected.push((format!("{registry}/{repository}@{digest}"), digest));
        }
    }
    expected.sort();
    assert_eq!(carried(&bundle), expected);

    let yard = Yard::plain(registry).with(&["--no-referrers"]);
    let bundle = yard.bundle("fleet", &images).await;
    expected.retain(|(name, _)| images.contains(&name.as_str()));
    assert_eq!(carried(&bundle), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_blob_is_fetched_once() {
    let sample = fleet();
    let held = sample.clone();
    let stand_in = Scripted::start(move |seen| stand_in::answer(&held, seen)).await;
    let registry = stand_in.registry();
    let app = format!("{registry}/{APP}");
    let digest = digest(&fleet::tagged(&sample, APP, "v1").bytes);
    let images = [
        format!("{app}:v1"),
        format!("{app}:v1"),
        format!("{app}@{digest}"),
        format!("{app}:v1@{digest}"),
        format!("{registry}/{CHART}:v1"),
    ];
    let images = images.each_ref().map(String::as_str);
    let yard = Yard::plain(registry);
    let bundle = yard.bundle("apps", &images).await;
    let names: Vec<String> = carried(&bundle).into_iter().map(|(name, _)| name).collect();
    for image in images {
        assert!(names.iter().any(|name| name == image), "{image}: {names:?}");
    }
    let mut fetched = BTreeMap::<String, usize>::new();
    for asked in stand_in.asked().iter().filter(|asked| asked.contains("/blobs/")) {
        let (_, digest) = asked.rsplit_once('/').unwrap();
        *fetched.entry(digest.to_owned()).or_default() += 1;
    }
    assert!(fetched.len() > 5 && fetched.values().all(|count| *count == 1), "{fetched:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_without_a_list_of_referrers_is_asked_for_it_once() {
    let sample = fleet();
    let held = sample.clone();
    let index = &fleet::tagged(&sample, APP, "v1").bytes;
    let fallback = digest(index).replace(':', "-");
    let about = sample.manifests.iter().find(|it| {
        it.bytes.windows(7).any(|word| word == b"subject")
            && it.bytes.windows(4).any(|word| word == b"sbom")
    });
    let about = about.unwrap();
    let listed = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [
        {"mediaType": about.media_type, "digest": digest(&about.bytes), "size": about.bytes.len()}]});
    let (tag, listed) = (fallback.clone(), listed.to_string());
    let stand_in = Scripted::start(move |seen| {
        if seen.path().contains("/referrers/") {
            return crate::client::scripted::status(404);
        }
        if seen.path().ends_with(&tag) {
            return typed(MediaType::OCI_INDEX, listed.clone());
        }
        stand_in::answer(&held, seen)
    })
    .await;
    let registry = stand_in.registry();
    let image = format!("{registry}/{APP}:v1");
    let yard = Yard::plain(registry).with(&["--parallel", "1"]);
    let bundle = yard.bundle("app", &[&image]).await;
    let asked = stand_in.asked();
    assert_eq!(asked.iter().filter(|it| it.contains("/referrers/")).count(), 1, "{asked:?}");
    let sbom = format!("{registry}/{APP}@{}", digest(&about.bytes));
    assert!(carried(&bundle).iter().any(|(name, _)| *name == sbom));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_tag_is_said_of_is_the_latest() {
    let mut sample = fleet();
    for manifest in &mut sample.manifests {
        manifest.places[0].1.iter_mut().for_each(|tag| *tag = tag.replace("v1", "latest").leak());
    }
    let stand_in = Scripted::start(move |seen| stand_in::answer(&sample, seen)).await;
    let name = format!("{}/{CHART}", stand_in.registry());
    let yard = Yard::plain(stand_in.registry());
    let bundle = yard.bundle("chart", &[&name]).await;
    assert_eq!(carried(&bundle)[0].0, format!("{name}:latest"));
}
