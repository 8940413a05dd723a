//! From layouts and archives, as skopeo and podman write them.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use shipperd::oci::Digest;

use super::bundle::{Mount, Tree, copied_by_skopeo, tool};
use super::{Yard, carried};
use crate::content::layout::Layout;

/// A layer that tools can unpack.
fn layer(name: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let content = name.repeat(10_000);
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder.append_data(&mut header, name, content.as_bytes()).unwrap();
    builder.into_inner().unwrap()
}

/// A layout of two images under full names; answers the digests of their manifests.
fn layout(at: &Path) -> [Digest; 2] {
    let mut layout = Layout::default();
    let one = layout.image("quay.io/lab/one:v1", &layer("one"));
    let two = layout.image("quay.io/lab/two:v1", &layer("two"));
    layout.write(at);
    [one, two]
}

fn names(carried: &[(String, Digest)]) -> Vec<&str> {
    carried.iter().map(|(name, _)| name.as_str()).collect()
}

#[tokio::test]
async fn a_layout_whole_and_by_name() {
    let yard = Yard::new();
    let [one, two] = layout(&yard.path().join("layout"));
    let name = |name: &str| format!("quay.io/lab/{name}:v1");
    let whole = yard.bundle("whole", &["oci:layout"]).await;
    assert_eq!(carried(&whole), [(name("one"), one.clone()), (name("two"), two)]);
    let by_name = yard.bundle("one", &["oci:layout:quay.io/lab/one:v1"]).await;
    assert_eq!(carried(&by_name), [(name("one"), one.clone())]);
    assert!(fs::metadata(&by_name).unwrap().len() < fs::metadata(&whole).unwrap().len());
    let Some(mount) = Mount::new(&whole) else { return };
    let copied = copied_by_skopeo(mount.path(), &name("one"));
    assert!(copied.is_none_or(|copied| copied == one.to_string()));
}

#[tokio::test]
async fn archives_that_skopeo_wrote() {
    let yard = Yard::new();
    let [one, _] = layout(&yard.path().join("layout"));
    let name = "quay.io/lab/one:v1";
    let copy = |to: &str, options: &[&str]| {
        let mut skopeo = Command::new("skopeo");
        skopeo.current_dir(yard.path()).args(["--insecure-policy", "copy", "--quiet"]);
        tool(skopeo.args(options).arg(format!("oci:layout:{name}")).arg(to))
    };
    if copy(&format!("oci-archive:oci.tar:{name}"), &["--preserve-digests"]).is_none() {
        return;
    }
    copy(&format!("docker-archive:docker.tar:{name}"), &[]);
    for images in [vec!["oci-archive:oci.tar"], vec!["oci-archive:oci.tar:quay.io/lab/one:v1"]] {
        let bundle = yard.bundle(&format!("oci{}", images[0].len()), &images).await;
        assert_eq!(carried(&bundle), [(name.to_owned(), one.clone())]);
    }
    for images in [vec!["docker-archive:docker.tar"], vec!["docker-archive:docker.tar:v1"]] {
        let bundle = yard.bundle(&format!("docker{}", images[0].len()), &images).await;
        assert_eq!(names(&carried(&bundle)), [name]);
        let blob = Digest::of(&layer("one"));
        let held = Tree::of(&bundle).read(&format!("blobs/sha256/{}", blob.hex()));
        assert!(held == layer("one"));
    }
    // Both at once: the layer is the same, the manifests differ, and the name is one.
    let both = ["oci-archive:oci.tar", "docker-archive:docker.tar"];
    let said = yard.create("both", &both).await;
    assert_eq!(said.code, Some(1), "{}", said.stderr);
    assert!(said.stderr.contains("two different images"), "{}", said.stderr);
}

#[tokio::test]
async fn podman_pulls_from_a_mounted_bundle_and_its_archive_is_carried() {
    let yard = Yard::new();
    layout(&yard.path().join("layout"));
    let bundle = yard.bundle("podman", &["oci:layout"]).await;
    let Some(mount) = Mount::new(&bundle) else { return };
    let name = "quay.io/lab/one:v1";
    let podman = |arguments: &[&str]| {
        let mut podman = Command::new("podman");
        podman.current_dir(yard.path()).args(["--root", "storage", "--runroot", "run"]);
        podman.args(["--storage-driver", "vfs"]).args(arguments);
        tool(&mut podman)
    };
    let from = format!("oci:{}:{name}", mount.path().display());
    let Some(id) = podman(&["pull", "--quiet", &from]) else { return };
    podman(&["tag", id.trim(), name]);
    podman(&["save", "--quiet", "--format", "docker-archive", "-o", "saved.tar", name]);
    podman(&["rmi", "--force", id.trim()]);
    let again = yard.bundle("again", &["docker-archive:saved.tar"]).await;
    assert_eq!(names(&carried(&again)), [name]);
    let blob = Digest::of(&layer("one"));
    assert!(Tree::of(&again).read(&format!("blobs/sha256/{}", blob.hex())) == layer("one"));
}

#[tokio::test]
async fn platforms_that_a_layout_leaves_out_are_noted() {
    let yard = Yard::new();
    let mut layout = Layout::default();
    let here = layout.image("quay.io/lab/part:amd64", b"layer");
    let absent = Digest::of(b"arm64");
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let child = |digest: &Digest| json!({"mediaType": media_type, "digest": digest, "size": 420});
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [child(&here), child(&absent)]});
    let index_type = "application/vnd.oci.image.index.v1+json";
    layout.manifest(index_type, index.to_string().as_bytes(), "quay.io/lab/part:v1");
    layout.write(&yard.path().join("layout"));
    let bundle = yard.bundle("part", &["oci:layout"]).await;
    let record = Tree::of(&bundle).read("shipperd/imageset.json");
    let record: serde_json::Value = serde_json::from_slice(&record).unwrap();
    assert_eq!(record["sparse"], json!([absent]));
}

#[tokio::test]
async fn damage_is_named_and_extracted_content_is_the_source() {
    let yard = Yard::new();
    layout(&yard.path().join("layout"));
    let bundle = yard.bundle("apps", &["oci:layout"]).await;
    for source in ["out/apps-1.sqfs", "layout"] {
        let target = format!("extracted-{}", source.len());
        let output = yard.shipperd(&["extract", source, "-o", &target]).output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
        let blobs = |of: &str| {
            let files = fs::read_dir(yard.path().join(of).join("blobs/sha256")).unwrap();
            let files = files.map(|it| it.unwrap().path());
            let read = |path: std::path::PathBuf| {
                (path.file_name().unwrap().to_owned(), fs::read(path).unwrap())
            };
            let mut files: Vec<_> = files.map(read).collect();
            files.sort();
            files
        };
        assert!(blobs(&target) == blobs("layout"), "{source}");
        for name in ["one", "two"] {
            copied_by_skopeo(&yard.path().join(&target), &format!("quay.io/lab/{name}:v1"));
        }
    }

    let mut bytes = fs::read(&bundle).unwrap();
    let layer = layer("two");
    let at = bytes.windows(layer.len()).position(|window| window == layer).unwrap();
    bytes[at + 5_000] ^= 1;
    fs::write(&bundle, bytes).unwrap();
    let output = yard.shipperd(&["verify", "--quiet", "out/apps-1.sqfs"]).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stdout).unwrap();
    let path = format!("blobs/sha256/{}", Digest::of(&layer).hex());
    let expected = format!("out/apps-1.sqfs: {path} at byte {at}, {} bytes: ", layer.len());
    assert!(said.starts_with(&expected), "{said}");
    let output =
        yard.shipperd(&["extract", "out/apps-1.sqfs", "-o", "bad"]).output().await.unwrap();
    assert!(!output.status.success() && !yard.path().join("bad").exists(), "{output:?}");
}
