//! Registry manifests made for the images of a docker-archive.
//!
//! Docker's schema 2, or the OCI one for an image with a zstd layer: schema 2 knows none.

use std::collections::HashSet;
use std::io;

use serde::{Deserialize, Serialize};

use super::super::tree::{self, Stored, Tree};
use super::super::{Problem, tell};
use super::layer::{self, Layer, Layers, Packing};
use super::{Image, packed};
use crate::oci::{self, Descriptor, Digest, MediaType};

/// The longest configuration read, in bytes: no client takes a longer one.
const MAX_CONFIG_SIZE: u64 = oci::MAX_MANIFEST_SIZE;
/// How many bytes of configurations are read of one archive: it may name one a million times.
const MAX_READ: u64 = 1 << 30;
/// How many bytes of manifests are made for one archive; they stay in memory.
const MAX_MADE: usize = 64 << 20;
/// How many layers fit in the largest manifest that registries must accept.
const MAX_LAYERS: usize = 20_000;

/// Why an image of a docker-archive cannot be served.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("its {0:?} points out of the archive")]
    Outside(String),
    #[error("the archive has no {0:?}")]
    Absent(String),
    #[error("cannot read its {0:?}: {1}")]
    Unread(String, io::Error),
    #[error("its layer {0:?} is compressed with {1}, which no registry carries")]
    Packed(String, &'static str),
    #[error("its configuration {path:?} has {size} bytes, more than {MAX_CONFIG_SIZE}")]
    LongConfig { path: String, size: u64 },
    #[error("its configuration {0:?} is none: {1}")]
    Config(String, serde_json::Error),
    #[error("its configuration {0:?} is damaged: it does not have the digest in its name")]
    DamagedConfig(String),
    #[error("it has {layers} layers, its configuration {path:?} says {diff_ids}")]
    Count { path: String, layers: usize, diff_ids: usize },
    #[error("it has {0} layers, more than {MAX_LAYERS}")]
    ManyLayers(usize),
    #[error("the archive has too many images")]
    ManyImages,
    #[error("its manifest cannot be made: {0}")]
    Unmade(#[from] oci::Error),
    #[error("its manifest cannot be written: {0}")]
    Unwritten(#[from] serde_json::Error),
}

#[derive(Deserialize)]
struct Config {
    #[serde(default)]
    rootfs: Option<RootFs>,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Option<Vec<Digest>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u32,
    media_type: &'a MediaType,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// The media types of a family of manifests.
struct Family {
    manifest: &'static str,
    config: &'static str,
    plain: &'static str,
    gzip: &'static str,
    zstd: &'static str,
}

const DOCKER: Family = Family {
    manifest: MediaType::DOCKER_MANIFEST,
    config: MediaType::DOCKER_CONFIG,
    plain: MediaType::DOCKER_LAYER_TAR,
    gzip: MediaType::DOCKER_LAYER_GZIP,
    zstd: MediaType::OCI_LAYER_ZSTD,
};

const OCI: Family = Family {
    manifest: MediaType::OCI_MANIFEST,
    config: MediaType::OCI_CONFIG,
    plain: MediaType::OCI_LAYER_TAR,
    gzip: MediaType::OCI_LAYER_GZIP,
    zstd: MediaType::OCI_LAYER_ZSTD,
};

impl Family {
    /// The oldest that knows these layers: old clients know it, too.
    fn of(layers: &[(Layer, Digest)]) -> &'static Self {
        let has_zstd = layers.iter().any(|(layer, _)| layer.packing == Packing::Zstd);
        if has_zstd { &OCI } else { &DOCKER }
    }

    fn layer(&self, packing: Packing) -> &'static str {
        match packing {
            Packing::Plain => self.plain,
            Packing::Gzip => self.gzip,
            Packing::Zstd => self.zstd,
        }
    }
}

/// Makes the manifests of an archive, and gathers what they need.
#[derive(Debug)]
pub(super) struct Maker<'t> {
    tree: &'t Tree,
    layers: Layers<'t>,
    blobs: Vec<(Digest, Stored)>,
    /// Configurations that do not have the digests in their names.
    damaged: Vec<(Digest, Stored)>,
    /// How many bytes may still be read and made.
    readable: u64,
    makeable: usize,
}

impl<'t> Maker<'t> {
    pub(super) fn new(tree: &'t Tree) -> Self {
        let layers = Layers::new(tree);
        let (blobs, damaged) = (Vec::new(), Vec::new());
        Self { tree, layers, blobs, damaged, readable: MAX_READ, makeable: MAX_MADE }
    }

    /// The blobs of the images made, and what is damaged: who verifies the archive is to find it.
    pub(super) fn finish(self) -> (Vec<(Digest, Stored)>, Vec<Problem>) {
        let Self { mut blobs, mut damaged, .. } = self;
        let whole: HashSet<Digest> = blobs.iter().map(|(digest, _)| digest.clone()).collect();
        damaged.retain(|(digest, _)| !whole.contains(digest));
        let mut problems = Vec::new();
        for (digest, stored) in &damaged {
            let (digest, offset) = (digest.clone(), stored.offset());
            tell(&mut problems, Problem::Damaged { digest, offset });
        }
        blobs.append(&mut damaged);
        (blobs, problems)
    }

    /// Makes the manifest of an image.
    ///
    /// # Errors
    ///
    /// When something of it is missing, broken or too long; then it is not kept.
    pub(super) fn make(&mut self, image: &Image) -> Result<Descriptor, Fault> {
        let paths = image.layers.as_deref().unwrap_or_default();
        if paths.len() > MAX_LAYERS {
            return Err(Fault::ManyLayers(paths.len()));
        }
        let (stored, bytes) = self.config(&image.config)?;
        let digest = Digest::of(&bytes);
        if let Some(named) = layer::named(&image.config).filter(|named| *named != digest) {
            self.damaged.push((named, stored));
            return Err(Fault::DamagedConfig(image.config.clone()));
        }
        let config: Config = serde_json::from_slice(&bytes)
            .map_err(|error| Fault::Config(image.config.clone(), error))?;
        let diff_ids = config.rootfs.and_then(|it| it.diff_ids).unwrap_or_default();
        if diff_ids.len() != paths.len() {
            let path = image.config.clone();
            return Err(Fault::Count { path, layers: paths.len(), diff_ids: diff_ids.len() });
        }
        let mut layers = Vec::with_capacity(paths.len());
        for (path, diff_id) in paths.iter().zip(diff_ids) {
            layers.push((self.layers.find(path, &diff_id)?, diff_id));
        }
        let family = Family::of(&layers);
        let config = Descriptor::new(family.config.parse()?, digest.clone(), bytes.len() as u64);
        let mut blobs = vec![(digest, stored)];
        let mut descriptors = Vec::with_capacity(layers.len());
        for (Layer { packing, digest, stored }, diff_id) in layers {
            let digest = digest.unwrap_or(diff_id);
            let media_type = family.layer(packing).parse()?;
            descriptors.push(Descriptor::new(media_type, digest.clone(), stored.length()));
            blobs.push((digest, stored));
        }
        let media_type: MediaType = family.manifest.parse()?;
        let manifest =
            Manifest { schema_version: 2, media_type: &media_type, config, layers: descriptors };
        let bytes = serde_json::to_vec(&manifest)?;
        self.makeable = self.makeable.checked_sub(bytes.len()).ok_or(Fault::ManyImages)?;
        let descriptor = Descriptor::new(media_type, Digest::of(&bytes), bytes.len() as u64);
        blobs.push((descriptor.digest.clone(), packed(bytes)));
        self.blobs.append(&mut blobs);
        Ok(descriptor)
    }

    /// A configuration, where it lies and its bytes.
    fn config(&mut self, path: &str) -> Result<(Stored, Vec<u8>), Fault> {
        let clean = tree::clean(path.as_bytes()).ok_or_else(|| Fault::Outside(path.to_owned()))?;
        let stored = self.tree.get(&clean).ok_or_else(|| Fault::Absent(path.to_owned()))?;
        let size = stored.length();
        if size > MAX_CONFIG_SIZE {
            return Err(Fault::LongConfig { path: path.to_owned(), size });
        }
        self.readable = self.readable.checked_sub(size).ok_or(Fault::ManyImages)?;
        let content = stored.open().and_then(|content| content.read_all(MAX_CONFIG_SIZE));
        let bytes = content.map_err(|source| Fault::Unread(path.to_owned(), source))?;
        Ok((stored.clone(), bytes))
    }
}
