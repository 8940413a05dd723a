//! States in a registry: distribution's, and some that misbehave.

use bytes::Bytes;
use serde_json::json;
use shipperd::client::Remote;
use shipperd::oci::{Digest, MediaType, Name, Registry, TagOrDigest};
use shipperd::state::{Access, Aws, Error, Location, Store};

use super::{Place, assert_is_conflict, state};
use crate::client::distribution::{Distribution, Setup, USER};
use crate::client::scripted::{Scripted, status, typed, with};
use crate::client::{Reach, chain};

const ARTIFACT_TYPE: &str = "application/vnd.shipperd.state.v1";

fn through(remote: Remote) -> Access {
    Access { remote, aws: Aws::default() }
}

fn location(registry: &Registry, rest: &str) -> Location {
    format!("docker://{registry}/{rest}").parse().unwrap()
}

/// The artifact whose layer is this, which may be called something else.
fn artifact(layer: &[u8], digest: &Digest, artifact_type: &str) -> Bytes {
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "artifactType": artifact_type,
        "config": {"mediaType": MediaType::OCI_EMPTY, "digest": Digest::of(b"{}"), "size": 2},
        "layers": [{"mediaType": "application/json", "digest": digest, "size": layer.len()}],
    });
    manifest.to_string().into()
}

/// Puts these bytes under a tag of `lab/state`, as a state.
async fn put(remote: &Remote, registry: &Registry, tag: &str, bytes: &[u8]) {
    let name = Name { registry: Some(registry.clone()), repository: "lab/state".parse().unwrap() };
    let digest = Digest::of(bytes);
    for blob in [&b"{}"[..], bytes] {
        let blob = Bytes::copy_from_slice(blob);
        remote.push_blob(&name, &Digest::of(&blob), blob).await.unwrap();
    }
    let target: TagOrDigest = tag.parse().unwrap();
    let media_type = MediaType::OCI_MANIFEST.parse().unwrap();
    let manifest = artifact(bytes, &digest, ARTIFACT_TYPE);
    remote.push_manifest(&name, &target, &media_type, manifest).await.unwrap();
}

#[tokio::test]
async fn a_registry_keeps_the_contract() {
    let Some(distribution) = Distribution::start(Setup::default()).await else { return };
    let registry = distribution.registry();
    let remote = Reach::plain(registry).remote();
    let place = Place {
        location: location(registry, "lab/state"),
        access: through(remote.clone()),
        damage: async |imageset: &str, bytes: &[u8]| {
            put(&remote, registry, imageset, bytes).await;
        },
    };
    place.keeps_the_contract().await;
    // It knows no conditional write: most who lose are told so, and nobody is told wrong about
    // what is there in the end.
    assert!(place.race("race").await >= 1);
}

#[tokio::test]
async fn a_tag_of_ones_own() {
    let setup = Setup { password: true, tls: true, ..Setup::default() };
    let Some(distribution) = Distribution::start(setup).await else { return };
    let registry = &distribution.registry().clone();
    let reach = || Reach { certificates: vec![distribution.certificates()], ..Reach::default() };
    let access = through(reach().user(registry, USER.0, USER.1).remote());
    let open = |rest, imageset| Store::open(&location(registry, rest), imageset, &access).unwrap();
    let store = open("lab/state:prod", "demo");
    store.save(&state("demo", 1, 1), None).await.unwrap();
    assert!(open("lab/state", "demo").load().await.unwrap().is_none());
    assert!(open("lab/state:prod", "demo").load().await.unwrap().is_some());
    let error = open("lab/state:prod", "other").load().await.unwrap_err();
    assert!(matches!(&error, Error::Foreign { found, .. } if found == "demo"), "{error}");
    store.lock().await.unwrap();
    // Somebody's image is no state, and is never replaced.
    let image = open("lab/app:v1", "demo");
    let text = chain(&image.load().await.unwrap_err());
    let expected = format!(
        "cannot load the state of imageset demo in docker://{registry}/lab/app:v1: the tag holds "
    );
    assert!(text.starts_with(&expected), "{text}");
    assert_is_conflict(&image.save(&state("demo", 1, 1), None).await);

    let access = through(reach().remote());
    let store = Store::open(&location(registry, "lab/state"), "demo", &access).unwrap();
    let text = chain(&store.load().await.unwrap_err());
    let expected = format!(
        "cannot load the state of imageset demo in docker://{registry}/lab/state: \
         credentials needed for {registry}/lab/state"
    );
    assert_eq!(text, expected);
    drop(distribution);
    let text = chain(&store.save(&state("demo", 1, 1), None).await.unwrap_err());
    let expected = format!("cannot save the state of imageset demo in {}", store.place());
    assert!(text.starts_with(&expected), "{text}");
    assert!(text.contains(&format!("no answer from {registry}: ")), "{text}");
}

#[tokio::test]
async fn a_registry_that_gives_other_bytes_is_not_believed() {
    let bytes = state("demo", 1, 1).to_bytes().unwrap();
    for (given, expected) in [
        (Some(bytes.clone()), ""),
        (Some([&bytes[..bytes.len() - 1], b" "].concat()), "is not what its digest says"),
        (Some([&bytes[..], b"more"].concat()), "is too long"),
        (None, "is gone"),
    ] {
        let manifest = artifact(&bytes, &Digest::of(&bytes), ARTIFACT_TYPE);
        let registry = Scripted::start(move |seen| match &given {
            _ if seen.path().ends_with("/manifests/demo") => {
                typed(MediaType::OCI_MANIFEST, manifest.clone())
            }
            Some(given) => with(200, &[], given.clone()),
            // The blob, and a manifest of the same digest.
            None => status(404),
        })
        .await;
        let registry = registry.registry();
        let access = through(Reach::plain(registry).remote());
        let store = Store::open(&location(registry, "lab/state"), "demo", &access).unwrap();
        match store.load().await {
            Ok(loaded) => assert_eq!((loaded.is_some(), expected), (true, "")),
            Err(error) => {
                assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
                assert!(chain(&error).contains(&format!("its content {expected}")), "{error:?}");
            }
        }
    }
}
