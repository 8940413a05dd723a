//! The formats of other tools, served where they lie: real archives against what their source
//! registry had, and content of ours packed as they do it.

mod damage;
mod decoded;
mod docker;
mod harm;
mod imgpkg;
mod layouts;
mod made;
mod mirror;
mod mirror_v1;
mod refusals;
mod parts;
mod storage;
mod table;
mod tools;
mod trees;
mod zarf;
mod zstd;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::fixtures::Content;
use crate::fixtures::layout::split;
use crate::fixtures::real::real;
use crate::fixtures::{digest, media};
use crate::site::{Site, Transport};
use crate::spec::wire;

/// An archive that another tool made, and what its `expected.json` says; nothing if it is not here.
fn expected(directory: &str) -> Option<(PathBuf, Value)> {
    let directory = real(directory)?;
    let text = fs::read_to_string(directory.join("expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&text).unwrap();
    Some((directory.join(expected["archive"].as_str().unwrap()), expected))
}

/// Serves these files.
fn serve(paths: &[&Path]) -> Site {
    Site::serve(paths, Transport::Http)
}

/// Compares everything that `expected.json` lists with what is answered.
#[track_caller]
fn compare(site: &Site, expected: &Value) {
    for image in expected["images"].as_array().unwrap() {
        let reference = text(image, "reference");
        let (repository, target) = reference
            .split_once('@')
            .or_else(|| reference.rsplit_once(':'))
            .unwrap_or_else(|| panic!("{reference}"));
        manifest(site, repository, target, image);
        for child in image["children"].as_array().unwrap() {
            manifest(site, repository, text(child, "digest"), child);
        }
        for absent in image["absent_children"].as_array().unwrap() {
            let target = address(repository, &format!("manifests/{}", text(absent, "digest")));
            assert_eq!(wire::get(site.address(), &target).status, 404, "{target}");
        }
        for blob in image["blobs"].as_array().unwrap() {
            let target = address(repository, &format!("blobs/{}", text(blob, "digest")));
            let answer = wire::get(site.address(), &target);
            assert_eq!(answer.status, 200, "{target}");
            assert_eq!(digest(&answer.body), text(blob, "digest"), "{target}");
            assert_eq!(answer.body.len() as u64, blob["size"].as_u64().unwrap(), "{target}");
        }
        if !target.contains(':') {
            assert!(tags(site, repository).contains(target), "{reference}");
        }
    }
}

/// The address of something of a repository; a registry with a port makes no path.
fn address(repository: &str, rest: &str) -> String {
    match repository.split_once('/') {
        Some((host, path)) if host.contains(':') => format!("/v2/{path}/{rest}?ns={host}"),
        _ => format!("/v2/{repository}/{rest}"),
    }
}

/// Compares a manifest with what is answered for it.
#[track_caller]
fn manifest(site: &Site, repository: &str, target: &str, expected: &Value) {
    let target = address(repository, &format!("manifests/{target}"));
    let answer = wire::get(site.address(), &target);
    assert_eq!(answer.status, 200, "{target}");
    assert_eq!(digest(&answer.body), text(expected, "digest"), "{target}");
    assert_eq!(answer.header("content-type"), expected["media_type"].as_str(), "{target}");
}

/// Compares every reference of a content, and all that it needs, with what is answered.
#[track_caller]
fn compare_all(site: &Site, content: &Content) {
    for (reference, descriptor) in content.references() {
        let (repository, tag) = split(reference);
        let target = tag.unwrap_or(&descriptor.digest);
        let target = format!("/v2/{repository}/manifests/{target}");
        let answer = wire::get(site.address(), &target);
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(digest(&answer.body), descriptor.digest, "{target}");
        assert_eq!(answer.header("content-type"), Some(descriptor.media_type.as_str()));
        for digest in content.closure(&descriptor.digest) {
            let target = format!("/v2/{repository}/blobs/{digest}");
            let answer = wire::get(site.address(), &target);
            assert!(answer.status == 200 && answer.body == content.bytes(&digest), "{target}");
        }
    }
}

/// The tags of a repository.
fn tags(site: &Site, repository: &str) -> BTreeSet<String> {
    let answer = wire::get(site.address(), &address(repository, "tags/list"));
    let tags = answer.json()["tags"].as_array().cloned().unwrap_or_default();
    tags.iter().map(|tag| tag.as_str().unwrap().to_owned()).collect()
}

/// The digest that a tag is answered with; nothing if it is not.
fn resolve(site: &Site, repository: &str, target: &str) -> Option<String> {
    let answer = wire::get(site.address(), &format!("/v2/{repository}/manifests/{target}"));
    (answer.status == 200).then(|| digest(&answer.body))
}

/// Files of an archive: names and bytes.
type Members = Vec<(String, Vec<u8>)>;

/// What `/readyz` says about a file.
fn notes(site: &Site, file: &Path) -> Vec<String> {
    let report = wire::get(site.address(), "/readyz").json();
    let bundles = report["bundles"].as_array().unwrap().iter();
    let mut found = bundles.filter(|it| it["path"].as_str() == file.to_str());
    let notes = found.next().unwrap()["notes"].as_array().cloned().unwrap_or_default();
    notes.iter().map(|note| note.as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no {key} in {value}"))
}

/// A storage tree as the members of a tar archive.
fn members(content: &Content, root: &Path) -> Vec<(String, Vec<u8>)> {
    content.write_registry("quay.io", root);
    walk(root)
}

/// The files of a tree, links followed, by their names.
pub fn walk(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut members = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                members.push((name, fs::read(path).unwrap()));
            }
        }
    }
    members.sort();
    members
}

/// A tar archive of these members, whatever their names.
fn pack<'a>(path: &Path, members: impl IntoIterator<Item = &'a (String, Vec<u8>)>) {
    let mut builder = tar::Builder::new(fs::File::create(path).unwrap());
    for (name, bytes) in members {
        // The builder would refuse the hostile names that are wanted here: each is a long one.
        let mut long = tar::Header::new_gnu();
        long.set_entry_type(tar::EntryType::GNULongName);
        long.set_size(name.len() as u64 + 1);
        long.set_cksum();
        builder.append(&long, &[name.as_bytes(), b"\0"].concat()[..]).unwrap();
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        builder.append(&header, &bytes[..]).unwrap();
    }
    builder.finish().unwrap();
}

/// An image of one layer under a name.
fn small(content: &mut Content, reference: &str, layer: &[u8]) -> String {
    let layer = crate::fixtures::layer::files(&[("file", layer)]);
    let image = crate::fixtures::image::image("amd64").layer(layer).add(content);
    assert_eq!(image.media_type, media::MANIFEST);
    content.tag(reference, &image);
    image.digest
}
