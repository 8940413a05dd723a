//! Packages of zarf and layouts in hauls: an OCI layout that is not at the top, or names its
//! entries otherwise.

use std::path::Path;

use serde_json::{Value, json};

use super::{compare_all, notes, pack, resolve, serve, small, tags};
use crate::fixtures::layer::noise;
use crate::fixtures::{Content, media};

/// An OCI layout below `prefix` as the members of a tar, its entries named by `annotate`.
pub fn layout(
    content: &Content,
    prefix: &str,
    annotate: impl Fn(&str) -> Value,
) -> Vec<(String, Vec<u8>)> {
    let mut members = Vec::new();
    for (digest, bytes) in content.blobs() {
        members.push((format!("{prefix}blobs/{}", digest.replace(':', "/")), bytes.to_vec()));
    }
    let entries = content.references().map(|(reference, descriptor)| {
        let mut value = descriptor.json();
        value["annotations"] = annotate(reference);
        value
    });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": media::INDEX,
        "manifests": entries.collect::<Vec<Value>>(),
    });
    members.push((format!("{prefix}index.json"), index.to_string().into_bytes()));
    members
}

/// What zarf puts around its layout.
pub fn package(content: &Content, annotate: impl Fn(&str) -> Value) -> Vec<(String, Vec<u8>)> {
    let mut members = layout(content, "images/", annotate);
    let version = br#"{"imageLayoutVersion":"1.0.0"}"#;
    members.push(("images/oci-layout".to_owned(), version.to_vec()));
    members.push(("zarf.yaml".to_owned(), b"kind: ZarfPackageConfig\n".to_vec()));
    members.push(("checksums.txt".to_owned(), b"".to_vec()));
    members.push(("components/app.tar".to_owned(), noise(3, 3000)));
    members
}

pub fn in_full(reference: &str) -> Value {
    json!({
        "org.opencontainers.image.ref.name": reference,
        "org.opencontainers.image.base.name": reference,
    })
}

fn content() -> Content {
    let mut content = Content::default();
    small(&mut content, "quay.io/lab/app:v1", b"one");
    small(&mut content, "docker.io/library/web:v2", b"two");
    content
}

#[track_caller]
fn check(file: &Path, content: &Content) {
    let site = serve(&[file]);
    compare_all(&site, content);
    assert_eq!(tags(&site, "lab/app").into_iter().collect::<Vec<_>>(), ["v1"]);
    for (name, ns) in [("lab/app", "quay.io"), ("library/web", "docker.io")] {
        let (tag, other) = if ns == "quay.io" { ("v1", "docker.io") } else { ("v2", "quay.io") };
        assert!(resolve(&site, name, &format!("{tag}?ns={ns}")).is_some(), "{name}");
        assert!(resolve(&site, name, &format!("{tag}?ns={other}")).is_none(), "{name}");
    }
    assert_eq!(notes(&site, file), [""; 0]);
}

#[test]
fn a_package_is_served_under_the_names_of_its_images() {
    let work = tempfile::tempdir().unwrap();
    let content = content();
    let file = work.path().join("zarf-package-demo-amd64-1.0.0.tar");
    pack(&file, &package(&content, in_full));
    check(&file, &content);
    // As packages were before, and long before: without `docker.io`.
    let base = |name: &str| json!({"org.opencontainers.image.base.name": name});
    pack(&file, &package(&content, base));
    check(&file, &content);
    let short = |name: &str| base(name.strip_prefix("docker.io/").unwrap_or(name));
    pack(&file, &package(&content, short));
    check(&file, &content);
}

#[test]
fn a_layout_without_its_file_in_a_package_is_one() {
    let work = tempfile::tempdir().unwrap();
    let content = content();
    let file = work.path().join("demo.tar");
    let mut members = package(&content, in_full);
    members.retain(|(name, _)| name != "images/oci-layout");
    pack(&file, &members);
    check(&file, &content);
    // Nor does it have to be a package.
    members.retain(|(name, _)| name != "zarf.yaml");
    pack(&file, &members);
    check(&file, &content);
}

#[test]
fn what_is_attached_in_a_haul_keeps_to_its_tag() {
    let work = tempfile::tempdir().unwrap();
    let mut content = content();
    let image = content.named("quay.io/lab/app:v1").digest.replace(':', "-");
    small(&mut content, "quay.io/lab/app:sig", b"a signature");
    small(&mut content, "quay.io/lab/app:referrer", b"a referrer");
    let file = work.path().join("haul.tar");
    let annotate = |reference: &str| {
        let kind = match reference.rsplit(':').next().unwrap() {
            "sig" => "dev.hauler/sigs",
            "referrer" => "dev.hauler/referrers/0123",
            _ => "dev.hauler/image",
        };
        let reference = reference.replace(":sig", ":v1").replace(":referrer", ":v1");
        let (_, hostless) = reference.split_once('/').unwrap();
        json!({
            "kind": kind,
            "hauler.dev/original-ref": reference,
            "io.containerd.image.name": reference,
            "org.opencontainers.image.ref.name": hostless,
        })
    };
    pack(&file, &layout(&content, "", annotate));
    let site = serve(&[&file]);
    let signature = format!("{image}.sig");
    let digest = |reference: &str| Some(content.named(reference).digest.clone());
    assert_eq!(resolve(&site, "lab/app", "v1"), digest("quay.io/lab/app:v1"));
    assert_eq!(resolve(&site, "lab/app", &signature), digest("quay.io/lab/app:sig"));
    let referrer = digest("quay.io/lab/app:referrer").unwrap();
    assert_eq!(resolve(&site, "lab/app", &referrer), Some(referrer.clone()));
    assert_eq!(tags(&site, "lab/app"), ["v1".to_owned(), signature].into());
    assert_eq!(notes(&site, &file), [""; 0]);
}
