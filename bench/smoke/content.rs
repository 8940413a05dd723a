//! What is served: images of made-up bytes in an OCI layout, the same on every run.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::json;
use sha2::{Digest as _, Sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
/// How many images there are, and how many to a repository.
const IMAGES: usize = 1600;
const REPOSITORY: usize = 100;
/// Bytes of a large layer; there are two, and each image has one of them.
pub(crate) const LARGE: usize = 4 << 20;
/// Bytes of the layer that an image has alone.
const SMALL: usize = 400;

/// One image.
#[derive(Debug)]
pub(crate) struct Image {
    pub(crate) repository: String,
    pub(crate) tag: String,
    /// Digests.
    pub(crate) manifest: String,
    pub(crate) large: String,
    pub(crate) small: String,
}

impl Image {
    /// The path of its manifest by tag or digest.
    pub(crate) fn manifest_path(&self, reference: &str) -> String {
        format!("/v2/{}/manifests/{reference}", self.repository)
    }

    /// The path of a blob by digest.
    pub(crate) fn blob_path(&self, digest: &str) -> String {
        format!("/v2/{}/blobs/{digest}", self.repository)
    }
}

/// A layout of some images.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) layout: PathBuf,
    pub(crate) images: Vec<Image>,
    /// What there is of it, in words.
    pub(crate) words: String,
}

impl Content {
    /// Writes the layout.
    pub(crate) fn write(layout: PathBuf) -> Result<Self> {
        let directory = layout.join("blobs/sha256");
        fs::create_dir_all(&directory)?;
        let put = |bytes: &[u8]| put(&directory, bytes);
        let large = [put(&noise(1, LARGE))?, put(&noise(2, LARGE))?];
        let (mut images, mut entries) = (Vec::new(), Vec::new());
        for (number, large) in (0..IMAGES).zip(large.iter().cycle()) {
            let small = put(&noise(3 + number as u64, SMALL))?;
            let config = serde_json::to_vec(&json!({
                "architecture": "amd64", "os": "linux", "author": format!("image {number}"),
                "rootfs": {"type": "layers", "diff_ids": [large, small]},
            }))?;
            let manifest = serde_json::to_vec(&json!({
                "schemaVersion": 2, "mediaType": MANIFEST,
                "config": descriptor(CONFIG, &put(&config)?, config.len()),
                "layers": [descriptor(LAYER, large, LARGE), descriptor(LAYER, &small, SMALL)],
            }))?;
            let repository = format!("mix/{}", number / REPOSITORY);
            let (tag, digest) = (format!("component-{number}"), put(&manifest)?);
            let name = format!("registry.example/{repository}:{tag}");
            entries.push(json!({
                "mediaType": MANIFEST, "digest": digest, "size": manifest.len(),
                "annotations": {"org.opencontainers.image.ref.name": name},
            }));
            let (large, manifest) = (large.clone(), digest);
            images.push(Image { repository, tag, manifest, large, small });
        }
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": entries});
        fs::write(layout.join("index.json"), serde_json::to_vec(&index)?)?;
        fs::write(layout.join("oci-layout"), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        let blobs = large.len() + 3 * IMAGES;
        let words = format!("{blobs} blobs, {} MiB of layers", (large.len() * LARGE) >> 20);
        Ok(Self { layout, images, words })
    }

    /// An image by its number.
    pub(crate) fn image(&self, number: usize) -> Result<&Image> {
        self.images.get(number).context("there are images")
    }
}

/// Writes a blob; answers its digest.
fn put(directory: &Path, bytes: &[u8]) -> Result<String> {
    let hex = hex::encode(Sha256::digest(bytes));
    fs::write(directory.join(&hex), bytes)?;
    Ok(format!("sha256:{hex}"))
}

fn descriptor(media_type: &str, digest: &str, size: usize) -> serde_json::Value {
    json!({"mediaType": media_type, "digest": digest, "size": size})
}

/// Bytes of a splitmix64 generator.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed << 32;
    let words = std::iter::from_fn(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some((mixed ^ (mixed >> 31)).to_le_bytes())
    });
    words.flatten().take(length).collect()
}
