//! Archives of oc-mirror v1: under both names, in sequence, and with the images that oc-mirror makes
//! only when it pushes.

mod catalog;
mod graph;
mod hostile;
mod sequences;

use std::fs;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};

use super::mirror::{digests, walk};
use super::storage::inspect;
use super::{notes, pack, resolve, serve, tags};
use crate::fixtures::Content;
use crate::fixtures::layout::split;
use crate::fixtures::real::real;
use crate::spec::wire;

const FIRST: &str = "oc-mirror/v1/mirror_seq1_000000.tar";
const SECOND: &str = "oc-mirror/v1/mirror_seq2_000000.tar";
const OPERATORS: &str = "oc-mirror/v1-operators/mirror_seq1_000000.tar";
const METADATA: &str = "publish/.metadata.json";
const UID: &str = "75e0ae15-9009-4711-896c-d88065c49165";
/// The registry of the sources.
const SOURCE: &str = "127.0.0.1:5701";

type Members = Vec<(String, Vec<u8>)>;

/// Copies an archive, each member as `change` makes it; without what it answers nothing for.
fn copy(
    from: &Path,
    to: &Path,
    mut change: impl FnMut(&str, Vec<u8>) -> Option<(String, Vec<u8>)>,
) {
    let mut archive = tar::Archive::new(fs::File::open(from).unwrap());
    let mut copy = tar::Builder::new(fs::File::create(to).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut header = entry.header().clone();
        let link = entry.link_name().unwrap().map(|it| it.to_path_buf());
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        let Some((path, bytes)) = change(&path, bytes) else { continue };
        header.set_size(bytes.len() as u64);
        match link {
            Some(link) => copy.append_link(&mut header, path, link).unwrap(),
            None => copy.append_data(&mut header, path, &bytes[..]).unwrap(),
        }
    }
    copy.finish().unwrap();
}

/// Metadata of an archive that lists all references of a content.
fn metadata(content: &Content, uid: &str, sequence: u64) -> Value {
    let image = |(reference, descriptor): (&str, &crate::fixtures::Descriptor)| {
        let (path, tag) = split(reference);
        let (name, _) = reference.rsplit_once(':').unwrap();
        let digest = &descriptor.digest;
        let parts: Vec<String> = content.closure(digest).into_iter().collect();
        json!({"name": format!("{name}@{digest}"), "path": path, "id": digest,
            "tagSymlink": tag.unwrap(), "type": "generic", "layerDigests": parts})
    };
    let images: Vec<Value> = content.references().map(image).collect();
    json!({"kind": "Metadata", "apiVersion": "mirror.openshift.io/v1alpha2", "uid": uid,
        "singleUse": false, "pastMirror": {"timestamp": 1, "sequence": sequence, "mirror": {},
        "associations": images}, "pastAssociations": []})
}

/// The blobs and manifests of an archive, without those that are `elsewhere`.
fn blobs(content: &Content, elsewhere: &[&str]) -> Members {
    let mut members = Vec::new();
    let is_here = |digest: &str| !elsewhere.contains(&digest);
    for (digest, bytes) in content.blobs().filter(|(digest, _)| is_here(digest)) {
        members.push((format!("blobs/{digest}"), bytes.to_vec()));
    }
    for (reference, descriptor) in content.references().filter(|(_, it)| is_here(&it.digest)) {
        let (path, _) = split(reference);
        let digest = &descriptor.digest;
        members.push((format!("v2/{path}/manifests/{digest}"), content.bytes(digest).to_vec()));
    }
    members
}

/// An archive of these members with this metadata.
fn archive(file: &Path, metadata: &Value, members: Members) {
    let first = (METADATA.to_owned(), serde_json::to_vec(metadata).unwrap());
    pack(file, &[vec![first], members].concat());
}

/// What the first archive is to answer.
fn first(small: &Value) -> [(&'static str, &'static str, &str); 5] {
    let digest = |name: &str| small[name].as_str().unwrap();
    [
        ("team/app1", "v1", digest("app1")),
        ("team/app2", "v1", digest("app2")),
        ("team/app3", "latest", digest("app3")),
        ("team/single", "v1", digest("single")),
        ("deep/er/path/app3", "v1", digest("app3")),
    ]
}

#[test]
fn images_have_the_names_that_oc_mirror_gives_and_those_of_their_sources() {
    let Some(file) = real(FIRST) else { return };
    let small = digests("small-digests").unwrap();
    let site = serve(&[&file]);
    for (repository, tag, digest) in first(&small) {
        assert_eq!(walk(&site, repository, tag), digest, "{repository}:{tag}");
        assert!(tags(&site, repository).contains(tag), "{repository}:{tag}");
        // Of an image that was asked for by digest the source has no such tag.
        let at_source = resolve(&site, repository, &format!("{tag}?ns={SOURCE}"));
        assert_eq!(at_source.as_deref(), (tag != "latest").then_some(digest), "{repository}");
        let at_source = resolve(&site, repository, &format!("{digest}?ns={SOURCE}"));
        assert_eq!(at_source.as_deref(), Some(digest), "{repository}");
    }
    assert_eq!(notes(&site, &file), [""; 0]);
    let ready = wire::get(site.address(), "/readyz").json();
    let edition = json!({"id": UID, "name": "oc-mirror", "sequence": 1});
    assert_eq!(ready["bundles"][0]["imageset"], edition);
    let inspected = inspect(&[&file]);
    for line in [
        "mirror_seq1_000000.tar: oc-mirror v1 archive (tar)\n".to_owned(),
        format!("  archive    {UID}, sequence 1\n"),
    ] {
        assert!(inspected.contains(&line), "{line} in {inspected}");
    }
    assert!(!inspected.contains("problem") && !inspected.contains("missing"), "{inspected}");
}

#[test]
fn older_archives_begin_their_names_with_a_dot_and_leave_a_tail_in_the_metadata() {
    let Some(file) = real(FIRST) else { return };
    let small = digests("small-digests").unwrap();
    let work = tempfile::tempdir().unwrap();
    let older = work.path().join("older.tar");
    copy(&file, &older, |path, mut bytes| {
        if path == METADATA {
            bytes.extend(br#""}]}} trailing"#);
        }
        Some((format!("./{path}"), bytes))
    });
    // The builder takes the dot away again: what is in the file is what tar would write.
    let mut tar = std::process::Command::new("tar");
    let unpacked = work.path().join("unpacked");
    fs::create_dir(&unpacked).unwrap();
    crate::program::run(tar.arg("-xf").arg(&older).arg("-C").arg(&unpacked));
    let mut tar = std::process::Command::new("tar");
    crate::program::run(tar.arg("-C").arg(&unpacked).arg("-cf").arg(&older).arg("."));
    let site = serve(&[&older]);
    for (repository, tag, digest) in first(&small) {
        assert_eq!(walk(&site, repository, tag), digest, "{repository}:{tag}");
    }
    assert_eq!(notes(&site, &older), [""; 0]);
}

#[test]
fn without_metadata_that_can_be_read_the_links_tell_the_names() {
    let Some(file) = real(FIRST) else { return };
    let small = digests("small-digests").unwrap();
    let work = tempfile::tempdir().unwrap();
    let broken = work.path().join("broken.tar");
    copy(&file, &broken, |path, bytes| {
        let bytes = if path == METADATA { b"{\"uid\": 1}".to_vec() } else { bytes };
        Some((path.to_owned(), bytes))
    });
    let site = serve(&[&broken]);
    for (repository, tag, digest) in first(&small) {
        assert_eq!(walk(&site, repository, tag), digest, "{repository}:{tag}");
    }
    let said = notes(&site, &broken).join("\n");
    assert!(said.contains(METADATA) && said.contains("are not known"), "{said}");
}

#[test]
fn releases_and_operators_have_the_names_of_the_metadata() {
    let mut content = Content::default();
    let mut digests = Vec::new();
    for reference in [
        "quay.io/openshift-release-dev/ocp-release:4.11.15-x86_64",
        "quay.io/openshift-release-dev/ocp-v4.0-art-dev:4.11.15-x86_64-etcd",
        "registry.redhat.io/ops/bundle:d655407e",
    ] {
        digests.push(super::small(&mut content, reference, reference.as_bytes()));
    }
    let mut metadata = metadata(&content, UID, 1);
    let images = metadata["pastMirror"]["associations"].as_array_mut().unwrap();
    for (image, (path, kind)) in images.iter_mut().zip([
        ("openshift/release-images", "ocpRelease"),
        ("openshift/release", "ocpReleaseContent"),
        ("ops/bundle", "operatorBundle"),
    ]) {
        (image["path"], image["type"]) = (path.into(), kind.into());
    }
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("mirror_seq1_000000.tar");
    // Only the blobs: the manifests are among them, too.
    let only = blobs(&content, &[]).into_iter().filter(|(path, _)| path.starts_with("blobs/"));
    archive(&file, &metadata, only.collect());
    let site = serve(&[&file]);
    let at = |repository: &str, tag: &str| resolve(&site, repository, tag);
    for (repository, tag, digest) in [
        ("openshift/release-images", "4.11.15-x86_64", &digests[0]),
        ("openshift/release", "4.11.15-x86_64-etcd", &digests[1]),
        ("ops/bundle", "d655407e", &digests[2]),
        ("quay.io/openshift-release-dev/ocp-release", "4.11.15-x86_64", &digests[0]),
        ("quay.io/openshift-release-dev/ocp-v4.0-art-dev", &digests[1], &digests[1]),
    ] {
        assert_eq!(at(repository, tag).as_ref(), Some(digest), "{repository}:{tag}");
    }
    // Tags that oc-mirror made up are not the sources'.
    let content = "quay.io/openshift-release-dev/ocp-v4.0-art-dev";
    assert_eq!(at(content, "4.11.15-x86_64-etcd"), None);
    assert_eq!(at("registry.redhat.io/ops/bundle", "d655407e"), None);
    assert_eq!(notes(&site, &file), [""; 0]);
    let ready = wire::get(site.address(), "/readyz");
    assert_eq!(ready.status, 200);
}
