//! Images of made-up bytes: layers are gzip'd tars of one file that does not compress.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::content::shape::Shape;
use crate::content::{Blob, CONFIG, Image, LAYER, MANIFEST};

/// Makes the images of a shape; `put` is given each blob once, manifests too.
pub(super) fn images(
    shape: &Shape,
    mut put: impl FnMut(&Blob, &[u8]) -> Result<()>,
) -> Result<Vec<Image>> {
    let mut store = |bytes: &[u8]| -> Result<Blob> {
        let blob = Blob { hex: hex::encode(Sha256::digest(bytes)), size: bytes.len() as u64 };
        put(&blob, bytes)?;
        Ok(blob)
    };
    let mut layers = Vec::new();
    for (seed, size) in (1..).zip(&shape.layers) {
        let tar = tar_of_noise(seed, *size)?;
        let diff_id = hex::encode(Sha256::digest(&tar));
        layers.push((store(&gzip(&tar)?)?, diff_id));
    }
    let commons = layers.len().saturating_sub(shape.images * shape.own);
    let mut images = Vec::new();
    for number in 0..shape.images {
        let shared = (0..shape.shared.min(commons)).map(|n| (number + n * shape.stride) % commons);
        let own = (0..shape.own).map(|n| commons + number * shape.own + n);
        let held: Vec<_> = shared.chain(own).filter_map(|n| layers.get(n)).collect();
        let diff_ids: Vec<_> = held.iter().map(|(_, id)| format!("sha256:{id}")).collect();
        let config = json!({
            "architecture": "amd64", "os": "linux", "author": format!("image {number}"),
            "config": {"Entrypoint": ["/noise"]},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = store(&serde_json::to_vec(&config)?)?;
        let blobs: Vec<_> =
            [config].into_iter().chain(held.iter().map(|(blob, _)| blob.clone())).collect();
        let manifest = store(&manifest(&blobs)?)?;
        images.push(Image {
            repository: format!("bench/{}-{}", shape.name, number / shape.repository),
            tag: format!("component-{number}"),
            manifest,
            blobs,
        });
    }
    Ok(images)
}

fn manifest(blobs: &[Blob]) -> Result<Vec<u8>> {
    let descriptor = |kind: &str, blob: &Blob| json!({"mediaType": kind, "digest": format!("sha256:{}", blob.hex), "size": blob.size});
    let (config, layers) = blobs.split_first().context("an image has a config")?;
    Ok(serde_json::to_vec(&json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, config),
        "layers": layers.iter().map(|layer| descriptor(LAYER, layer)).collect::<Vec<_>>(),
    }))?)
}

fn tar_of_noise(seed: u64, size: u64) -> Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_size(size);
    header.set_mode(0o644);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, "noise", Noise::new(seed).take(size))?;
    Ok(builder.into_inner()?)
}

fn gzip(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut gzip = GzBuilder::new()
        .mtime(0)
        .write(Vec::with_capacity(bytes.len() + 4096), Compression::none());
    gzip.write_all(bytes)?;
    Ok(gzip.finish()?)
}

/// Bytes of a splitmix64 generator: cheap, and no compressor finds anything in them.
struct Noise(u64);

impl Noise {
    fn new(seed: u64) -> Self {
        Self(seed << 32)
    }

    fn take(self, size: u64) -> std::io::Take<Self> {
        std::io::Read::take(self, size)
    }
}

impl std::io::Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        for word in buffer.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            for (byte, noise) in word.iter_mut().zip((mixed ^ (mixed >> 31)).to_le_bytes()) {
                *byte = noise;
            }
        }
        Ok(buffer.len())
    }
}
