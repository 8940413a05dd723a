//! The same bytes laid out for each server: an OCI layout, distribution's tree, static files.
//!
//! Blobs are written once, into the layout; the others are hard links to them.
//! Made once for each shape and kept between runs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::content::shape::Shape;
use crate::content::{self, Blob, Image};
use crate::load::Wanted;

/// Content on disk.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) name: &'static str,
    pub(crate) directory: PathBuf,
    pub(crate) images: Vec<Image>,
}

impl Store {
    /// Opens the content of a shape under `parent`, or makes it.
    pub(crate) fn open(parent: &Path, shape: &Shape) -> Result<Self> {
        let directory = parent.join(shape.name);
        let (key, list) = (directory.join("key"), directory.join("images.json"));
        if fs::read_to_string(&key).is_ok_and(|key| key == shape.key()) {
            let images = serde_json::from_slice(&fs::read(list)?)?;
            return Ok(Self { name: shape.name, directory, images });
        }
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        let blobs = directory.join("layout/blobs/sha256");
        fs::create_dir_all(&blobs)?;
        let images = content::make::images(shape, |blob, bytes| {
            Ok(fs::write(blobs.join(&blob.hex), bytes)?)
        })?;
        let store = Self { name: shape.name, directory, images };
        store.write_layout()?;
        store.write_static()?;
        store.write_tree()?;
        store.squash_tree()?;
        fs::write(list, serde_json::to_vec(&store.images)?)?;
        fs::write(key, shape.key())?;
        Ok(store)
    }

    /// The OCI layout.
    pub(crate) fn layout(&self) -> PathBuf {
        self.directory.join("layout")
    }

    /// distribution's storage, as a directory.
    pub(crate) fn tree(&self) -> PathBuf {
        self.directory.join("tree")
    }

    /// distribution's storage, as a squashfs image.
    pub(crate) fn squashed_tree(&self) -> PathBuf {
        self.directory.join("tree.sqfs")
    }

    /// Files at the paths that a registry answers.
    pub(crate) fn static_files(&self) -> PathBuf {
        self.directory.join("static")
    }

    /// Bytes of all blobs, manifests apart.
    pub(crate) fn size(&self) -> u64 {
        self.blobs().iter().map(|(_, blob)| blob.size).sum()
    }

    /// Each blob once, with an image that holds it, largest first.
    pub(crate) fn blobs(&self) -> Vec<(&Image, &Blob)> {
        content::blobs(&self.images)
    }

    /// How each blob is asked for, largest first.
    pub(crate) fn wanted(&self) -> Vec<Wanted> {
        self.blobs().into_iter().map(|(image, blob)| (image.blob_path(blob), blob.size)).collect()
    }

    fn stored(&self, blob: &Blob) -> PathBuf {
        self.layout().join("blobs/sha256").join(&blob.hex)
    }

    fn write_layout(&self) -> Result<()> {
        let entries: Vec<_> = self.images.iter().map(content::index_entry).collect();
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": entries});
        fs::write(self.layout().join("index.json"), serde_json::to_vec(&index)?)?;
        Ok(fs::write(self.layout().join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?)
    }

    fn write_static(&self) -> Result<()> {
        for image in &self.images {
            let repository = self.static_files().join("v2").join(&image.repository);
            link(&self.stored(&image.manifest), &repository.join("manifests").join(&image.tag))?;
            for blob in &image.blobs {
                link(
                    &self.stored(blob),
                    &repository.join("blobs").join(format!("sha256:{}", blob.hex)),
                )?;
            }
        }
        Ok(())
    }

    fn write_tree(&self) -> Result<()> {
        let root = self.tree().join("docker/registry/v2");
        for image in &self.images {
            let repository = root.join("repositories").join(&image.repository);
            let point =
                |place: PathBuf, blob: &Blob| write(&place, &format!("sha256:{}", blob.hex));
            let manifests = repository.join("_manifests");
            point(manifests.join("tags").join(&image.tag).join("current/link"), &image.manifest)?;
            point(
                manifests.join("revisions/sha256").join(&image.manifest.hex).join("link"),
                &image.manifest,
            )?;
            for blob in &image.blobs {
                point(repository.join("_layers/sha256").join(&blob.hex).join("link"), blob)?;
            }
            for blob in image.blobs.iter().chain([&image.manifest]) {
                let fan = blob.hex.get(..2).context("a digest has two digits")?;
                link(
                    &self.stored(blob),
                    &root.join("blobs/sha256").join(fan).join(&blob.hex).join("data"),
                )?;
            }
        }
        Ok(())
    }

    /// As one would for serving: nothing compressed, no fragments, the largest blocks.
    fn squash_tree(&self) -> Result<()> {
        let log = File::create(self.directory.join("mksquashfs.log"))?;
        let status = Command::new("mksquashfs")
            .args([self.tree(), self.squashed_tree()])
            .args(["-noI", "-noD", "-noF", "-noX", "-no-fragments", "-b", "1M", "-no-progress"])
            .stdout(log)
            .stderr(Stdio::inherit())
            .status()
            .context("cannot run mksquashfs")?;
        ensure!(status.success(), "mksquashfs failed: {status}");
        Ok(())
    }
}

fn link(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::hard_link(from, to) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot link {}", to.display()))
        }
        _ => Ok(()),
    }
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    Ok(fs::write(path, text)?)
}
