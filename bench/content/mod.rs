//! What is served: real images of made-up bytes, the same for every run and every server.
//!
//! Any client may pull them. They are made once and kept between runs.

use std::net::SocketAddr;

use serde_json::json;

use crate::load::Wanted;

pub(crate) mod archives;
mod make;
pub(crate) mod shape;
pub(crate) mod store;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// The registry that the images pretend to come from.
pub(crate) const REGISTRY: &str = "registry.example";

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

    /// Its manifest, by tag.
    pub(crate) fn wanted(&self) -> Wanted {
        (self.path(), self.manifest.size)
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

/// The descriptor of an image in a layout's index.
pub(crate) fn index_entry(image: &Image) -> serde_json::Value {
    let name = format!("{REGISTRY}/{}:{}", image.repository, image.tag);
    json!({
        "mediaType": MANIFEST, "digest": format!("sha256:{}", image.manifest.hex), "size": image.manifest.size,
        "annotations": {"org.opencontainers.image.ref.name": name, "io.containerd.image.name": name},
    })
}
