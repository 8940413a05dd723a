//! What is served: real images of made-up bytes, the same for every run and every server.
//!
//! Layers are gzip'd tars of one file that does not compress, so any client may pull them.
//! `release` has the shape of an OpenShift release (191 images, 440 blobs, sizes from
//! release-layers.txt divided by a scale); `versions` has few large images that are changed by
//! half, `carried` has as many that are not; `index` and `many` have many tiny images (50,000 blobs, 1,000 images).

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use flate2::{Compression, GzBuilder};
use serde_json::json;
use sha2::{Digest as _, Sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The registry that the images pretend to come from.
pub(crate) const REGISTRY: &str = "registry.example";

/// The shape of some content; equal shapes give equal bytes.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    /// Images to a repository.
    pub(crate) repository: usize,
    pub(crate) images: usize,
    /// Sizes of the layers before compression: the first are shared, the last belong to one image each.
    pub(crate) layers: Vec<u64>,
    /// Shared layers that each image holds, `stride` apart.
    pub(crate) shared: usize,
    pub(crate) stride: usize,
    /// Layers that each image holds alone.
    pub(crate) own: usize,
}

/// How many images there are in [`Shape::carried`], and of each version in [`Shape::versions`].
pub(crate) const IMAGES: usize = 8;

impl Shape {
    /// 191 images, 191 configs and 249 layers, of real sizes divided by `scale`.
    pub(crate) fn release(scale: u64) -> Result<Self> {
        let mut sizes = Vec::new();
        for line in include_str!("release-layers.txt").lines().filter(|line| !line.starts_with('#'))
        {
            sizes.push(line.parse::<u64>()? / scale);
        }
        // Spread by a stride coprime to their number, so that shared layers are of every size.
        let layers =
            (0..sizes.len()).filter_map(|n| sizes.get(n * 101 % sizes.len()).copied()).collect();
        let (repository, images) = (usize::MAX, 191);
        Ok(Self { name: "release", repository, images, layers, shared: 4, stride: 7, own: 1 })
    }

    /// Eight images, then eight that follow them: each of four layers of `layer` bytes, two of
    /// which it has in common with its other version and with nothing else.
    pub(crate) fn versions(layer: u64) -> Self {
        Self {
            name: "versions",
            repository: usize::MAX,
            images: 2 * IMAGES,
            layers: vec![layer; 6 * IMAGES],
            shared: 2,
            stride: IMAGES,
            own: 2,
        }
    }

    /// Eight images of four layers of `layer` bytes, with nothing in common.
    pub(crate) fn carried(layer: u64) -> Self {
        Self {
            name: "carried",
            repository: usize::MAX,
            images: IMAGES,
            layers: vec![layer; 4 * IMAGES],
            shared: 0,
            stride: 1,
            own: 4,
        }
    }

    /// `images` tiny images of four layers, ten to a repository.
    pub(crate) fn many(images: usize) -> Self {
        let layers = vec![200; 2 * images];
        Self { name: "many", repository: 10, images, layers, shared: 3, stride: 7, own: 1 }
    }

    /// `blobs` blobs, manifests among them: a manifest, a config and a layer for each image, and shared layers.
    pub(crate) fn index(blobs: usize) -> Self {
        let images = blobs * 8 / 25;
        Self {
            name: "index",
            repository: 100,
            images,
            layers: vec![200; blobs - 2 * images],
            shared: 1,
            stride: 7,
            own: 1,
        }
    }

    /// What tells content made from another shape.
    pub(crate) fn key(&self) -> String {
        format!(
            "5 {} {} {} {} {} {}",
            self.images,
            self.shared,
            self.stride,
            self.own,
            self.layers.len(),
            self.layers.iter().sum::<u64>()
        )
    }
}

/// A blob's digest without its algorithm, and size.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Blob {
    pub(crate) hex: String,
    pub(crate) size: u64,
}

/// One image.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub(crate) struct Image {
    pub(crate) repository: String,
    pub(crate) tag: String,
    pub(crate) manifest: Blob,
    /// The config, then the layers.
    pub(crate) blobs: Vec<Blob>,
}

impl Image {
    /// What a registry at an address calls it.
    pub(crate) fn reference(&self, registry: SocketAddr) -> String {
        format!("{registry}/{}:{}", self.repository, self.tag)
    }

    /// The path of its manifest, by tag.
    pub(crate) fn path(&self) -> String {
        format!("/v2/{}/manifests/{}", self.repository, self.tag)
    }

    /// The path of one of its blobs.
    pub(crate) fn blob_path(&self, blob: &Blob) -> String {
        format!("/v2/{}/blobs/sha256:{}", self.repository, blob.hex)
    }
}

/// Each blob of some images once, with an image that holds it, largest first; manifests apart.
pub(crate) fn blobs(images: &[Image]) -> Vec<(&Image, &Blob)> {
    let mut blobs: Vec<_> =
        images.iter().flat_map(|image| image.blobs.iter().map(move |blob| (image, blob))).collect();
    blobs.sort_by(|(_, a), (_, b)| b.size.cmp(&a.size).then_with(|| a.hex.cmp(&b.hex)));
    blobs.dedup_by(|(_, a), (_, b)| a.hex == b.hex);
    blobs
}

/// Bytes of some images: every blob once, manifests too.
pub(crate) fn size(images: &[Image]) -> u64 {
    let manifests = images.iter().map(|image| image.manifest.size);
    blobs(images).iter().map(|(_, blob)| blob.size).chain(manifests).sum()
}

/// Makes the images of a shape; `put` is given each blob once, manifests too.
pub(crate) fn make(
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

/// The descriptor of an image in a layout's index.
pub(crate) fn index_entry(image: &Image) -> serde_json::Value {
    let name = format!("{REGISTRY}/{}:{}", image.repository, image.tag);
    json!({
        "mediaType": MANIFEST, "digest": format!("sha256:{}", image.manifest.hex), "size": image.manifest.size,
        "annotations": {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name},
    })
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
