//! What a configuration file says: images, platforms, names, what is blocked, where the state is.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;

use serde_json::json;
use shipperd::imageset::record::Record;

use super::bundle::{Tree, assert_is_what_its_record_says_of};
use super::{Yard, carried};
use crate::fixtures::image::image;
use crate::fixtures::layer::noise;
use crate::fixtures::{Content, Descriptor};
use crate::site::{Site, Transport};

const HOST: &str = "registry.example";

/// An image for three platforms, with an attestation of one of them; and a second image.
fn content() -> Content {
    let mut content = Content::default();
    let children: Vec<_> = (1..)
        .zip(["amd64", "arm64", "s390x"])
        .map(|(seed, architecture)| {
            image(architecture).plain_layer(noise(seed, 100_000)).add(&mut content)
        })
        .collect();
    let attestation = image("unknown").plain_layer(noise(9, 1000)).add(&mut content);
    let mut listed: Vec<_> = children.iter().map(Descriptor::json).collect();
    let mut entry = attestation.json();
    entry["platform"] = json!({"os": "unknown", "architecture": "unknown"});
    entry["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": children[1].digest});
    listed.push(entry);
    let index = content.manifest(&json!({"schemaVersion": 2,
        "mediaType": crate::fixtures::media::INDEX, "manifests": listed}));
    content.tag(&format!("{HOST}/lab/app:v1"), &index);
    let other = image("amd64").plain_layer(noise(5, 1000)).add(&mut content);
    content.tag(&format!("{HOST}/lab/other:v1"), &other);
    content
}

/// Runs it with this configuration; its exit code and what it says.
async fn create(yard: &Yard, configuration: &str, options: &[&str]) -> (Option<i32>, String) {
    fs::write(yard.path().join("isc.yaml"), configuration).unwrap();
    let mut command = yard.shipperd(&["create", "-o", "out", "-c", "isc.yaml"]);
    let output = command.args(options).stdout(Stdio::null()).output().await.unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

fn record(yard: &Yard, name: &str) -> Record {
    let bundle = yard.path().join("out").join(name);
    Record::parse(&Tree::of(&bundle).read("shipperd/imageset.json")).unwrap()
}

#[tokio::test]
async fn the_images_of_a_file_are_carried_as_it_says() {
    let content = content();
    let Some(site) = Site::distribution(&content, HOST, Transport::Http) else { return };
    let (yard, registry) = (Yard::new(), site.address());
    let configuration = |platforms: &str| {
        format!(
            "kind: ImageSetConfiguration\n\
             apiVersion: mirror.openshift.io/v1alpha2\n\
             storageConfig:\n  local:\n    path: ./oc-state\n\
             archiveSize: 4\n\
             shipperd:\n  name: prod\n\
             mirror:\n  \
               additionalImages:\n  \
               - name: {registry}/lab/other:v1\n    \
               {platforms}\n  \
               - name: {registry}/lab/blocked:v1\n  \
               blockedImages:\n  \
               - name: 'bl.cked'\n"
        )
    };
    let options = ["--plain-http", registry];
    let text = configuration("");
    let (code, said) = create(&yard, &text, &options).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains(&format!("{registry}/lab/blocked:v1 is blocked by \"bl.cked\"\n")),
        "{said}"
    );
    let bundle = yard.path().join("out/prod-1.sqfs");
    assert_eq!(Tree::of(&bundle).read("shipperd/config.yaml"), text.as_bytes());
    assert_is_what_its_record_says_of(&bundle, 1);
    assert!(yard.path().join("oc-state/prod.json").exists());
}

#[tokio::test]
async fn only_the_platforms_that_are_wanted_are_carried() {
    let content = content();
    let Some(site) = Site::distribution(&content, HOST, Transport::Http) else { return };
    let (yard, registry) = (Yard::new(), site.address());
    let configuration = |platforms: &str| {
        format!(
            "kind: ImageSetConfiguration\n\
             apiVersion: mirror.openshift.io/v2alpha1\n\
             mirror:\n  \
               additionalImages:\n  \
               - name: {registry}/lab/app:v1\n    \
                 targetRepo: mirror/app\n    \
                 targetTag: one\n    \
                 platforms: [{platforms}]\n"
        )
    };
    let options = ["--plain-http", registry, "--name", "apps"];
    let (code, said) =
        create(&yard, &configuration("{os: linux, architecture: arm64}"), &options).await;
    assert_eq!(code, Some(0), "{said}");
    let index = content.named(&format!("{HOST}/lab/app:v1"));
    let names: Vec<_> = carried(&yard.path().join("out/apps-1.sqfs"));
    let expected = ["lab/app:v1", "mirror/app:one"].map(|it| format!("{registry}/{it}"));
    assert_eq!(names.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), expected);
    assert!(names.iter().all(|(_, digest)| digest.to_string() == index.digest));
    let first = record(&yard, "apps-1.sqfs");
    let children = content.parsed(&index.digest).unwrap()["manifests"].clone();
    let digest = |at: usize| children[at]["digest"].as_str().unwrap().to_owned();
    let sparse: BTreeSet<_> = first.sparse.iter().map(ToString::to_string).collect();
    assert_eq!(sparse, [digest(0), digest(2)].into(), "the attestation of arm64 stays with it");
    let mut whole = content.closure(&index.digest);
    for left_out in &sparse {
        whole = &whole - &content.closure(left_out);
    }
    let blobs: BTreeSet<_> = first.blobs.iter().map(|it| it.digest.to_string()).collect();
    assert_eq!(blobs, whole);

    // One more platform comes with the next sequence, and nothing but it.
    let more = "{os: linux, architecture: arm64}, {os: linux, architecture: s390x}";
    let (code, said) = create(&yard, &configuration(more), &options).await;
    assert_eq!(code, Some(0), "{said}");
    let second = record(&yard, "apps-2.sqfs");
    let blobs: BTreeSet<_> = second.blobs.iter().map(|it| it.digest.to_string()).collect();
    assert_eq!(blobs, content.closure(&digest(2)));
    assert_eq!(second.sparse.len(), 1);

    let (code, said) =
        create(&yard, &configuration("{os: windows, architecture: amd64}"), &options).await;
    assert_eq!(code, Some(1), "{said}");
    let expected =
        "it is not made for windows/amd64, but for linux/amd64, linux/arm64, linux/s390x";
    assert!(said.contains(expected), "{said}");
}

#[tokio::test]
async fn what_is_wrong_or_not_built_yet_is_said_at_once() {
    let yard = Yard::new();
    let (code, said) = create(
        &yard,
        "kind: ImageSetConfiguration\n\
         apiVersion: mirror.openshift.io/v2alpha1\n\
         mirror:\n  additionalImage:\n  - name: quay.io/a/b:v1\n  blockedImages:\n  - name: '('\n",
        &[],
    )
    .await;
    assert_eq!(code, Some(2));
    for part in [
        "error: cannot use the configuration \"isc.yaml\"\n  caused by: 2 problems:\n",
        "line 4, column 3: ",
        "additionalImages",
        "line 7, column 11: ",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (code, said) = create(
        &yard,
        "kind: ImageSetConfiguration\n\
         apiVersion: mirror.openshift.io/v2alpha1\n\
         mirror:\n  platform:\n    channels:\n    - name: stable-4.18\n  additionalImages:\n  \
         - name: quay.io/a/b:v1\n",
        &[],
    )
    .await;
    assert_eq!(code, Some(2));
    assert!(said.contains("asks for what is not built yet: mirror.platform\n"), "{said}");
    assert_eq!(yard.left(), [""; 0]);
    let (code, said) = create(&yard, "kind: [", &[]).await;
    assert_eq!(code, Some(2));
    assert!(said.contains("line 1"), "{said}");
}
