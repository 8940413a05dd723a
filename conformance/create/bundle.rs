//! A bundle through the eyes of the kernel and of other tools.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use shipperd::oci::{Digest, Registry};
use tempfile::TempDir;

use super::fleet::{self, APP, CHART, LIST, fleet};
use super::stand_in::{self, digest};
use super::{Yard, carried, say};
use crate::client::scripted::Scripted;

/// The files of a bundle as `unsquashfs` extracts them.
pub struct Tree {
    directory: TempDir,
}

impl Tree {
    pub fn of(bundle: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("unsquashfs");
        command.args(["-no-progress", "-dest"]).arg(directory.path().join("tree")).arg(bundle);
        let output = command.output().expect("squashfs-tools are installed");
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{}", bundle.display());
        Self { directory }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("tree")
    }

    pub fn read(&self, path: &str) -> Vec<u8> {
        fs::read(self.path().join(path)).unwrap()
    }

    /// The digest and size of every file, by path.
    pub fn files(&self) -> BTreeMap<String, (Digest, u64)> {
        let (mut files, mut directories) = (BTreeMap::new(), vec![self.path()]);
        while let Some(directory) = directories.pop() {
            for entry in fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                    continue;
                }
                let bytes = fs::read(&path).unwrap();
                let name = path.strip_prefix(self.path()).unwrap().to_str().unwrap().to_owned();
                files.insert(name, (Digest::of(&bytes), bytes.len() as u64));
            }
        }
        files
    }
}

/// Hashes every file again and compares it with the record of the bundle, a first sequence.
pub fn assert_is_what_its_record_says(bundle: &Path) {
    assert_is_what_its_record_says_of(bundle, 1);
}

/// The same of any sequence.
pub fn assert_is_what_its_record_says_of(bundle: &Path, sequence: u64) {
    let tree = Tree::of(bundle);
    let record: Value = serde_json::from_slice(&tree.read("shipperd/imageset.json")).unwrap();
    let mut files = tree.files();
    assert!(files.remove("shipperd/imageset.json").is_some());
    let (blobs, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
        files.into_iter().partition(|(path, _)| path.starts_with("blobs/"));
    for (path, (digest, _)) in &blobs {
        assert_eq!(*path, format!("blobs/sha256/{}", digest.hex()));
    }
    let mut blobs: Vec<_> = blobs.into_values().collect();
    blobs.sort();
    let blobs: Vec<_> =
        blobs.iter().map(|(digest, size)| json!({"digest": digest, "size": size})).collect();
    assert_eq!(record["blobs"], json!(blobs));
    let mut listed = record["files"].as_array().unwrap().clone();
    listed.sort_by_key(|file| file["path"].to_string());
    let others: Vec<_> = others
        .iter()
        .map(|(path, (digest, size))| json!({"path": path, "digest": digest, "size": size}))
        .collect();
    assert_eq!(listed, others);
    for (key, value) in [("sequence", json!(sequence)), ("created", json!("2026-11-21T07:00:00Z"))]
    {
        assert_eq!(record[key], value);
    }
}

/// A bundle mounted by the kernel until it is dropped.
pub struct Mount {
    at: TempDir,
}

impl Mount {
    pub fn new(bundle: &Path) -> Option<Self> {
        // podman makes the name of an image of the path, which has to be in lower case then.
        static MOUNTS: AtomicUsize = AtomicUsize::new(0);
        let number = MOUNTS.fetch_add(1, Ordering::Relaxed);
        let name = format!("shipperd-{}-{number}", std::process::id());
        let at = tempfile::Builder::new().prefix(&name).rand_bytes(0).tempdir().unwrap();
        let mut command = Command::new("mount");
        let output = command.args(["-t", "squashfs", "-o", "loop,ro"]).arg(bundle).arg(at.path());
        let output = output.output().unwrap();
        if !output.status.success() {
            say(&format!("skipped: cannot mount: {}", String::from_utf8_lossy(&output.stderr)));
            return None;
        }
        Some(Self { at })
    }

    pub fn path(&self) -> &Path {
        self.at.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg(self.path()).status().unwrap().success());
    }
}

/// Runs a tool that must succeed; nothing where it is not installed.
pub fn tool(command: &mut Command) -> Option<String> {
    let name = command.get_program().to_owned();
    let Ok(output) = command.output() else {
        say(&format!("skipped: {} is not installed", name.display()));
        return None;
    };
    let (stdout, stderr) = (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "{command:?}: {stderr}");
    Some(String::from_utf8(stdout).unwrap())
}

/// Copies an image out of a layout with skopeo; answers the digest of its manifest.
pub fn copied_by_skopeo(layout: &Path, reference: &str) -> Option<String> {
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("copy");
    let mut command = Command::new("skopeo");
    command.args(["--insecure-policy", "copy", "--quiet", "--all", "--preserve-digests"]);
    command.arg(format!("oci:{}:{reference}", layout.display()));
    command.arg(format!("dir:{}", target.display()));
    tool(&mut command)?;
    Some(digest(&fs::read(target.join("manifest.json")).unwrap()))
}

/// A bundle of the whole fleet, from a registry.
async fn bundle_of_fleet(yard: &Yard, registry: &Registry) -> PathBuf {
    let images = [APP, LIST, CHART].map(|repository| format!("{registry}/{repository}:v1"));
    yard.bundle("fleet", &images.each_ref().map(String::as_str)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn other_tools_read_it_where_the_kernel_mounts_it() {
    let sample = fleet();
    let held = sample.clone();
    let stand_in = Scripted::start(move |seen| stand_in::answer(&held, seen)).await;
    let registry = stand_in.registry();
    let yard = Yard::plain(registry);
    let bundle = bundle_of_fleet(&yard, registry).await;
    let Some(mount) = Mount::new(&bundle) else { return };
    let chart = format!("{registry}/{CHART}:v1");
    let Some(copied) = copied_by_skopeo(mount.path(), &chart) else { return };
    assert_eq!(copied, digest(&fleet::tagged(&sample, CHART, "v1").bytes));
    let layout = format!("oci:{}:{registry}/{APP}:v1", mount.path().display());
    let raw = tool(Command::new("skopeo").args(["inspect", "--raw", &layout])).unwrap();
    assert_eq!(raw.as_bytes(), fleet::tagged(&sample, APP, "v1").bytes);
    // In a layout skopeo knows no docker types, so the list is looked at as it lies.
    let list = &fleet::tagged(&sample, LIST, "v1").bytes;
    let path = mount.path().join("blobs/sha256").join(Digest::of(list).hex());
    assert!(fs::read(path).unwrap() == *list, "every space is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_content_gives_the_same_bytes() {
    let sample = fleet();
    let stand_in = Scripted::start(move |seen| stand_in::answer(&sample, seen)).await;
    let registry = stand_in.registry();
    let (one, two) = (Yard::plain(registry), Yard::plain(registry).with(&["--parallel", "1"]));
    let one = bundle_of_fleet(&one, registry).await;
    let two = bundle_of_fleet(&two, registry).await;
    assert!(fs::read(one).unwrap() == fs::read(two).unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bundle_of_a_bundle_carries_the_same() {
    let sample = fleet();
    let stand_in = Scripted::start(move |seen| stand_in::answer(&sample, seen)).await;
    let yard = Yard::plain(stand_in.registry());
    let first = bundle_of_fleet(&yard, stand_in.registry()).await;
    let again = yard.bundle("again", &[&format!("oci:{}", first.display())]).await;
    assert_eq!(carried(&again), carried(&first));
    let extracted = yard.path().join("extracted");
    let arguments = ["extract", again.to_str().unwrap(), "-o", extracted.to_str().unwrap()];
    let output = yard.shipperd(&arguments).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let from_layout = yard.bundle("third", &["oci:extracted"]).await;
    assert_eq!(carried(&from_layout), carried(&first));
}
