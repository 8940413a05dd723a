//! Filtered catalogs: images that oc-mirror makes when it pushes, pulled by real clients.

use std::fs;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};

use super::{OPERATORS, SOURCE, UID, archive, copy, metadata, notes, real, resolve, serve, walk};
use crate::bundle::small;
use crate::fixtures::image::{docker_list, image};
use crate::fixtures::layer::{files, unpacked};
use crate::fixtures::{Content, digest, media};
use crate::program::{is_root, program, run};
use crate::site::Site;
use crate::spec::wire;

const CATALOG: &str = "redhat/lab-operator-index";
const PLACE: &str = "catalogs/127.0.0.1:5701/redhat/lab-operator-index/v4.99";
const LABEL: &str = "operators.operatorframework.io.index.configs.v1";

/// A member of an archive.
fn member(archive: &Path, wanted: &str) -> Vec<u8> {
    let mut archive = tar::Archive::new(fs::File::open(archive).unwrap());
    let mut entries = archive.entries().unwrap().map(Result::unwrap);
    let mut entry = entries.find(|it| it.path().unwrap().to_str() == Some(wanted)).unwrap();
    let mut bytes = Vec::new();
    entry.read_to_end(&mut bytes).unwrap();
    bytes
}

fn manifest(site: &Site, repository: &str, target: &str) -> Value {
    wire::get(site.address(), &format!("/v2/{repository}/manifests/{target}")).json()
}

fn blob(site: &Site, repository: &str, descriptor: &Value) -> Vec<u8> {
    let expected = descriptor["digest"].as_str().unwrap();
    let answer = wire::get(site.address(), &format!("/v2/{repository}/blobs/{expected}"));
    assert_eq!((answer.status, digest(&answer.body)), (200, expected.to_owned()));
    assert_eq!(answer.body.len() as u64, descriptor["size"].as_u64().unwrap());
    answer.body
}

/// Checks a platform of a catalog: its configuration, and the layers on top of `below` others.
#[track_caller]
fn check(site: &Site, repository: &str, manifest: &Value, content: &[u8], below: usize) {
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), below + 2);
    let config = blob(site, repository, &manifest["config"]);
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["config"]["Cmd"], json!(["serve", "/configs"]));
    assert_eq!(config["config"]["Labels"][LABEL], "/configs");
    let diff_ids = config["rootfs"]["diff_ids"].as_array().unwrap();
    assert_eq!(diff_ids.len(), layers.len());
    let (whiteout, added) = (&layers[below], &layers[below + 1]);
    assert_eq!([&diff_ids[below], &diff_ids[below + 1]], [&whiteout["digest"], &added["digest"]]);
    let whiteout = unpacked(&blob(site, repository, whiteout));
    assert_eq!(whiteout.keys().collect::<Vec<_>>(), [".wh.configs"]);
    let added = unpacked(&blob(site, repository, added));
    assert_eq!(added["configs/index.json"], digest(content));
}

#[test]
fn a_filtered_catalog_is_an_image_of_all_its_platforms() {
    let Some(file) = real(OPERATORS) else { return };
    let content = member(&file, &format!("{PLACE}/index/index.json"));
    let site = serve(&[&file]);
    let made = walk(&site, CATALOG, "v4.99");
    let at_source = resolve(&site, CATALOG, &format!("v4.99?ns={SOURCE}"));
    assert_eq!(at_source.as_ref(), Some(&made));
    let index = manifest(&site, CATALOG, "v4.99");
    assert_eq!(index["mediaType"], media::INDEX);
    let platforms = index["manifests"].as_array().unwrap();
    let architectures: Vec<_> =
        platforms.iter().map(|it| &it["platform"]["architecture"]).collect();
    assert_eq!(architectures, ["amd64", "arm64"]);
    for platform in platforms {
        let platform = manifest(&site, CATALOG, platform["digest"].as_str().unwrap());
        check(&site, CATALOG, &platform, &content, 2);
    }
    // Anywhere, and at every opening, it is the same.
    let work = tempfile::tempdir().unwrap();
    let elsewhere = work.path().join("elsewhere.tar");
    copy(&file, &elsewhere, |path, bytes| Some((path.to_owned(), bytes)));
    assert_eq!(resolve(&serve(&[&elsewhere]), CATALOG, "v4.99"), Some(made));
    assert_eq!(notes(&site, &file), [""; 0]);
}

#[test]
fn skopeo_copies_a_filtered_catalog() {
    let (Some(file), Some(mut skopeo)) = (real(OPERATORS), program("skopeo")) else { return };
    let site = serve(&[&file]);
    let work = tempfile::tempdir().unwrap();
    skopeo.args(["--insecure-policy", "copy", "--all", "--preserve-digests"]);
    skopeo.args(["--src-tls-verify=false", "--quiet"]);
    skopeo.arg(format!("docker://{}/{CATALOG}:v4.99", site.address()));
    run(skopeo.arg(format!("oci:{}:it", work.path().join("layout").display())));
    let index = fs::read_to_string(work.path().join("layout/index.json")).unwrap();
    let made = resolve(&site, CATALOG, "v4.99").unwrap();
    assert!(index.contains(&made), "{made} in {index}");
}

#[test]
fn podman_runs_what_is_in_a_filtered_catalog() {
    let Some(file) = real(OPERATORS) else { return };
    let podman = |directory: &Path| {
        let mut podman = program("podman").filter(|_| is_root("podman"))?;
        podman
            .arg("--root")
            .arg(directory.join("root"))
            .arg("--runroot")
            .arg(directory.join("run"));
        podman.arg("--tmpdir").arg(directory.join("tmp")).args(["--storage-driver", "vfs"]);
        podman.args(["--events-backend", "none", "--cgroup-manager", "cgroupfs"]);
        Some(podman)
    };
    let work = tempfile::tempdir().unwrap();
    let Some(mut pull) = podman(work.path()) else { return };
    let site = serve(&[&file]);
    let reference = format!("{}/{CATALOG}:v4.99", site.address());
    let id = run(pull.args(["pull", "--quiet", "--tls-verify=false"]).arg(&reference));
    // With vfs every layer is a directory of all that the image shows.
    let images = fs::read_to_string(work.path().join("root/vfs-images/images.json")).unwrap();
    let images: Value = serde_json::from_str(&images).unwrap();
    let mut images = images.as_array().unwrap().iter();
    let image = images.find(|it| it["id"] == id.trim()).unwrap();
    let root = work.path().join("root/vfs/dir").join(image["layer"].as_str().unwrap());
    let content = member(&file, &format!("{PLACE}/index/index.json"));
    let configs: Vec<_> = fs::read_dir(root.join("configs")).unwrap().map(Result::unwrap).collect();
    assert_eq!(configs.len(), 1, "{configs:?}: what the original had is gone");
    assert_eq!(fs::read(root.join("configs/index.json")).unwrap(), content);
    assert!(root.join("bin/opm").exists());
    let mut inspect = podman(work.path()).unwrap();
    let command =
        run(inspect.args(["image", "inspect", "--format", "{{.Config.Cmd}}"]).arg(&id[..12]));
    assert_eq!(command.trim(), "[serve /configs]");
}

/// The members of a catalog whose original is this content.
fn members(place: &str, content: &Content, filtered: &str) -> Vec<(String, Vec<u8>)> {
    let index = json!({"schemaVersion": 2, "manifests":
        content.references().map(|(_, it)| it.json()).collect::<Vec<Value>>()});
    let mut members =
        vec![(format!("catalogs/{place}/layout/index.json"), index.to_string().into_bytes())];
    for (digest, bytes) in content.blobs() {
        let hex = digest.strip_prefix("sha256:").unwrap();
        members.push((format!("catalogs/{place}/layout/blobs/sha256/{hex}"), bytes.to_vec()));
    }
    let filtered = filtered.as_bytes().to_vec();
    members.push((format!("catalogs/{place}/index/index.json"), filtered));
    members
}

#[test]
fn catalogs_of_every_kind_and_name() {
    let plain = || image("amd64").layer(files(&[("configs/old.json", b"{}")]));
    let mut one = Content::default();
    let amd64 = plain().docker().add(&mut one);
    one.tag("quay.io/x/y:v1", &amd64);
    let mut list = Content::default();
    let amd64 = plain().docker().add(&mut list);
    let list_of_one = docker_list(&mut list, &[amd64]);
    list.tag("quay.io/x/y:v1", &list_of_one);
    let original = digest(b"the original");
    let mut metadata = metadata(&Content::default(), UID, 1);
    metadata["pastMirror"]["mirror"]["operators"] =
        json!([{"catalog": "quay.io/src/two:v2", "targetCatalog": "my/two", "targetTag": "v9"}]);
    let by_digest = format!("quay.io/src/three/{original}");
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("mirror_seq1_000000.tar");
    let all = [
        members("quay.io/src/one/v1", &one, "one"),
        members("quay.io/my/two/v9", &list, "two"),
        members(&by_digest, &one, "three"),
    ];
    archive(&file, &metadata, all.concat());
    let site = serve(&[&file]);
    assert_eq!(notes(&site, &file), [""; 0]);
    let three = &original.strip_prefix("sha256:").unwrap()[..6];
    for (repository, tag, content) in [
        ("src/one", "v1", "one"),
        ("quay.io/src/one", "v1", "one"),
        ("my/two", "v9", "two"),
        ("quay.io/src/two", "v2", "two"),
        ("src/three", three, "three"),
    ] {
        walk(&site, repository, tag);
        let mut found = manifest(&site, repository, tag);
        if found["mediaType"] == media::DOCKER_LIST {
            found = manifest(&site, repository, found["manifests"][0]["digest"].as_str().unwrap());
        }
        check(&site, repository, &found, content.as_bytes(), 1);
        let layer = found["layers"][2]["mediaType"].as_str().unwrap();
        assert_eq!(layer, "application/vnd.docker.image.rootfs.diff.tar", "{repository}");
    }
}

#[test]
fn catalogs_that_cannot_be_made_are_told_and_the_rest_is_served() {
    let mut content = Content::default();
    small(&mut content, "quay.io/x/y:v1", b"it");
    let whole = members("quay.io/src/one/v1", &content, "one");
    let manifest = &content.named("quay.io/x/y:v1").digest;
    let hex = manifest.strip_prefix("sha256:").unwrap();
    let mut other = Content::default();
    let app = small(&mut other, "quay.io/lab/app:v1", b"app");
    type Change<'a> = &'a dyn Fn(&mut (String, Vec<u8>));
    let cases: [(&str, Change<'_>, &str); 7] = [
        (
            "damaged",
            &|(path, bytes)| {
                if path.ends_with(hex) {
                    bytes[0] ^= 1;
                }
            },
            "is damaged, at byte ",
        ),
        (
            "absent",
            &|(path, _)| {
                if path.ends_with(hex) {
                    path.push('0');
                }
            },
            "is not here",
        ),
        ("no layout", &|(path, _)| *path = path.replace("layout/index.json", "layout/x"), "has no"),
        (
            "nonsense",
            &|(path, bytes)| {
                if path.ends_with("layout/index.json") {
                    *bytes = b"[[[".to_vec();
                }
            },
            "index.json",
        ),
        (
            "no content",
            &|(path, _)| *path = path.replace("index/index.json", "index/x"),
            "its content",
        ),
        ("no image", &|(path, _)| *path = path.replace("/one/v1/", "/one/%/"), "names no image"),
        (
            "empty",
            &|(path, bytes)| {
                if path.ends_with("layout/index.json") {
                    *bytes = br#"{"schemaVersion":2,"manifests":[]}"#.to_vec();
                }
            },
            "it has no platforms",
        ),
    ];
    let work = tempfile::tempdir().unwrap();
    for (what, change, expected) in cases {
        let file = work.path().join("mirror_seq1_000000.tar");
        let mut all = [whole.clone(), super::blobs(&other, &[])].concat();
        all.iter_mut().for_each(change);
        archive(&file, &metadata(&other, UID, 1), all);
        let site = serve(&[&file]);
        let said = notes(&site, &file).join("\n");
        assert!(said.contains("no image is made of ") && said.contains(expected), "{what}: {said}");
        assert_eq!(resolve(&site, "src/one", "v1"), None, "{what}");
        assert_eq!(resolve(&site, "lab/app", "v1").as_ref(), Some(&app), "{what}");
    }
}

#[test]
fn a_catalog_may_lie_across_the_files_of_an_archive() {
    let mut content = Content::default();
    let platforms = ["amd64", "arm64"]
        .map(|it| image(it).layer(files(&[("bin/opm", it.as_bytes())])).add(&mut content));
    let index = content.index(&platforms);
    content.tag("quay.io/x/y:v1", &index);
    let metadata = metadata(&Content::default(), UID, 1);
    let members = members("quay.io/src/one/v1", &content, "filtered");
    let work = tempfile::tempdir().unwrap();
    let whole = work.path().join("whole.tar");
    archive(&whole, &metadata, members.clone());
    let expected = walk(&serve(&[&whole]), "src/one", "v1");
    let [one, two] = [0, 1].map(|it| work.path().join(format!("mirror_seq1_00000{it}.tar")));
    for cut in 0..members.len() {
        archive(&one, &metadata, members[..cut].to_vec());
        crate::bundle::pack(&two, &members[cut..]);
        for order in [[&one, &two], [&two, &one]] {
            let site = serve(&order.map(std::path::PathBuf::as_path));
            assert_eq!(walk(&site, "src/one", "v1"), expected, "{cut}");
            assert_eq!(notes(&site, &one), [""; 0], "{cut}");
        }
        if cut > 0 {
            let site = serve(&[&one]);
            assert!(notes(&site, &one).join("\n").contains("no image is made of "), "{cut}");
        }
    }
}
