//! Tars of imgpkg: one packed after its code, and content of ours packed the same way.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::harm::Whole;
use super::{Members, compare, expected, notes, pack, resolve, serve, storage::inspect};
use crate::fixtures::image::image;
use crate::fixtures::imgpkg::entry;
use crate::fixtures::layer::{files, noise};
use crate::fixtures::{Content, digest, media};
use crate::program::attempt;
use crate::spec::wire;

#[test]
fn a_tar_holds_what_its_source_had() {
    let Some((archive, expected)) = expected("foreign/imgpkg-hand-made") else { return };
    let site = serve(&[&archive]);
    compare(&site, &expected);
    for image in expected["images"].as_array().unwrap() {
        let upstream = image["upstream"].as_str().unwrap();
        // What has a tag is found by it, too.
        let Some((name, tag)) = upstream.rsplit_once(':').filter(|_| !upstream.contains('@'))
        else {
            continue;
        };
        let target = super::address(name, &format!("manifests/{tag}"));
        let answer = wire::get(site.address(), &target);
        assert_eq!(digest(&answer.body), image["digest"].as_str().unwrap(), "{upstream}");
    }
    assert_eq!(notes(&site, &archive), [""; 0]);
    assert!(inspect(&[&archive]).contains(": imgpkg archive (tar)\n"));
}

/// Writes such a tar; `without` says which layers are left out.
fn write(file: &Path, content: &Content, list: &[Value], without: &[&str]) {
    let manifest = ("manifest.json".to_owned(), json!(list).to_string().into_bytes());
    let blobs = content.blobs().filter(|(digest, _)| !without.contains(digest));
    let layers = blobs
        .map(|(digest, bytes)| (format!("{}.tar.gz", digest.replace(':', "-")), bytes.to_vec()));
    let members: Members = std::iter::once(manifest).chain(layers).collect();
    pack(file, &members);
}

/// A nested index, a single image, and an image with a layer that may not be distributed.
fn content() -> (Content, [String; 3]) {
    let mut content = Content::default();
    let single = image("amd64").docker().layer(files(&[("single", b"1")])).add(&mut content);
    let other = image("arm64").layer(noise(1, 9_000)).add(&mut content);
    let inner = content.index(&[other]);
    let nested = content.index(&[inner, single.clone()]);
    let layer =
        content.blob("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", "foreign");
    let config = content.parsed(&single.digest).unwrap()["config"].clone();
    let mut layer = layer.json();
    layer["urls"] = json!(["https://example.com/layer"]);
    let windows = content.manifest(&json!({
        "schemaVersion": 2, "mediaType": media::DOCKER_MANIFEST, "config": config, "layers": [layer],
    }));
    (content, [nested.digest, single.digest, windows.digest])
}

#[test]
fn indexes_tags_and_layers_that_are_left_out() {
    let work = tempfile::tempdir().unwrap();
    let (content, [nested, single, windows]) = content();
    let file = work.path().join("images.tar");
    let named = |repository: &str, digest: &str| format!("{repository}@{digest}");
    let by_bundle = named("registry.example:5000/bundle", &single);
    let mut image = entry(&content, &single, &[&by_bundle], "");
    // What the bundle calls an image that was copied from beside it.
    image["Image"]["OrigRef"] = json!("index.docker.io/library/single:v2");
    let list = [
        entry(&content, &nested, &[&named("quay.io/lab/nested", &nested)], "v1"),
        image,
        entry(&content, &windows, &[&named("quay.io/lab/windows", &windows)], "v1"),
    ];
    let foreign = digest(b"foreign");
    write(&file, &content, &list, &[&foreign]);
    let site = serve(&[&file]);
    assert_eq!(notes(&site, &file), [""; 0]);
    assert_eq!(resolve(&site, "lab/nested", "v1"), Some(nested.clone()));
    assert_eq!(resolve(&site, "lab/windows", "v1"), Some(windows));
    assert_eq!(resolve(&site, "bundle", &single), Some(single.clone()));
    assert_eq!(resolve(&site, "docker.io/library/single", "v2"), Some(single.clone()));
    for digest in content.closure(&nested).iter().chain(&content.closure(&single)) {
        let answer = wire::get(site.address(), &format!("/v2/lab/nested/blobs/{digest}"));
        assert!(answer.status == 200 && answer.body == content.bytes(digest), "{digest}");
    }
    // The child of an index repeats its tag, and is not what the tag means.
    assert!(!inspect(&[&file]).contains("problem"));
}

#[test]
fn a_layer_that_is_absent_is_named() {
    let work = tempfile::tempdir().unwrap();
    let mut content = Content::default();
    let [one, two] = [b"one", b"two"]
        .map(|text| image("amd64").layer(files(&[("file", text)])).add(&mut content).digest);
    let layer = content.parsed(&one).unwrap()["layers"][0]["digest"].clone();
    let layer = layer.as_str().unwrap();
    let list = [
        entry(&content, &one, &[&format!("quay.io/lab/one@{one}")], "v1"),
        entry(&content, &two, &[&format!("quay.io/lab/two@{two}")], "v1"),
    ];
    let file = work.path().join("images.tar");
    write(&file, &content, &list, &[layer]);
    let site = serve(&[&file]);
    assert_eq!(resolve(&site, "lab/one", "v1"), None);
    assert_eq!(resolve(&site, "lab/two", "v1"), Some(two));
    assert!(inspect(&[&file]).contains(layer));
}

#[test]
fn a_document_that_is_not_what_its_digest_says_is_named() {
    let work = tempfile::tempdir().unwrap();
    let mut content = Content::default();
    let [one, two] = [b"one", b"two"]
        .map(|text| image("amd64").layer(files(&[("file", text)])).add(&mut content).digest);
    let file = work.path().join("images.tar");
    // The same once more, and whole, makes up for it.
    let whole = entry(&content, &one, &[&format!("quay.io/lab/again@{one}")], "v1");
    for key in ["Manifest", "Config"] {
        let mut list = [
            entry(&content, &one, &[&format!("quay.io/lab/one@{one}")], "v1"),
            entry(&content, &two, &[&format!("quay.io/lab/two@{two}")], "v1"),
        ];
        let damaged = list[0]["Image"][key]["Digest"].as_str().unwrap().to_owned();
        let raw = list[0]["Image"][key]["Raw"].as_str().unwrap().replace("linux", "linus");
        list[0]["Image"][key]["Raw"] = json!(raw.replace("schemaVersion", "schemaversion"));
        write(&file, &content, &list, &[&damaged]);
        let site = serve(&[&file]);
        assert_eq!(resolve(&site, "lab/one", "v1"), None, "{key}");
        assert_eq!(resolve(&site, "lab/two", "v1"), Some(two.clone()), "{key}");
        let said = notes(&site, &file).join("\n");
        assert!(said.contains(&format!("{damaged} is damaged")), "{key}: {said}");
        let mut verify = Command::new(env!("CARGO_BIN_EXE_shipperd"));
        let verified = attempt(verify.env("SHIPPERD_CONFIG", "/dev/null").arg("verify").arg(&file));
        let printed = String::from_utf8(verified.stdout).unwrap();
        assert_eq!(verified.status.code(), Some(1), "{key}: {printed}");
        assert!(printed.contains(&damaged[7..]), "{key}: {printed}");
        for list in [[list[0].clone(), whole.clone()], [whole.clone(), list[0].clone()]] {
            write(&file, &content, &list, &[&damaged]);
            let site = serve(&[&file]);
            for repository in ["lab/one", "lab/again"] {
                assert_eq!(resolve(&site, repository, "v1").as_ref(), Some(&one), "{key}");
            }
            assert_eq!(notes(&site, &file), [""; 0], "{key}");
        }
    }
}

#[test]
fn cut_or_with_a_flipped_byte_it_gives_no_wrong_byte() {
    let work = tempfile::tempdir().unwrap();
    let mut content = Content::default();
    let one = image("amd64").layer(files(&[("file", &noise(1, 3_000))])).add(&mut content).digest;
    let child = image("arm64").layer(noise(2, 3_000)).add(&mut content);
    let index = content.index(&[child]).digest;
    let list = [
        entry(&content, &one, &[&format!("quay.io/lab/one@{one}")], "v1"),
        entry(&content, &index, &[&format!("quay.io/lab/index@{index}")], "v1"),
    ];
    let file = work.path().join("site/images.tar");
    fs::create_dir(file.parent().unwrap()).unwrap();
    write(&file, &content, &list, &[]);
    let whole = Whole::of(&file, &["lab/one:v1", "lab/index:v1"]);
    whole.survives_cuts(&file, 20);
    whole.survives_flips(&file, 97);
}
