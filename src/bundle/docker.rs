//! A docker-archive, as `docker save`, `podman save`, skopeo and crane write it.
//!
//! ```text
//! manifest.json            [{"Config": path, "RepoTags": [names], "Layers": [paths]}]
//! <config>.json            the image configuration; its `rootfs.diff_ids` name the layers
//! <id>/layer.tar, <diffid>.tar, <digest>.tar.gz
//! ```
//!
//! It has no registry manifest: one of docker's schema 2 is made, the same at every opening.
//! <https://github.com/moby/docker-image-spec/blob/v1.3.1/README.md>

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::index::Root;
use super::tree::{Stored, Tree};
use super::{Error, Meaning, Problem, Understood, read};
use crate::extent::{Content, InMemory};
use crate::oci::{self, Algorithm, Descriptor, Digest, Hasher, MediaType, Name, Reference};

const MANIFEST_FILE: &str = "manifest.json";
const MAX_MANIFEST_SIZE: u64 = 16 << 20;
const MAX_CONFIG_SIZE: u64 = oci::MAX_MANIFEST_SIZE;
/// How much of a compressed layer is hashed at a time, in bytes.
const PIECE: usize = 1 << 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

#[derive(Deserialize)]
struct Config {
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<Digest>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SchemaTwo {
    schema_version: u32,
    media_type: MediaType,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

type Blobs = Vec<(Digest, Stored)>;

/// Whether a tree is a docker-archive.
#[must_use]
pub fn recognise(tree: &Tree) -> bool {
    tree.get(MANIFEST_FILE).is_some()
}

/// Reads the images of a docker-archive.
///
/// An uncompressed layer is taken to have the digest that the configuration says; that is
/// verified when it is first read. Only compressed layers without a digest as their name
/// are hashed here.
///
/// # Errors
///
/// When a document or a layer is missing or broken.
pub(super) fn understand(tree: &Tree, stem: Option<&oci::Repository>) -> Result<Understood, Error> {
    let bytes = read(tree, MANIFEST_FILE, MAX_MANIFEST_SIZE)?;
    let images: Vec<Image> = parse(MANIFEST_FILE, &bytes)?;
    let (mut blobs, mut roots, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for image in images {
        let descriptor = add(tree, &image, &mut blobs)?;
        let names = names(&image, stem);
        if names.is_empty() {
            problems.push(Problem::Nameless { digest: descriptor.digest.clone() });
        }
        roots.extend(names.into_iter().map(|(name, tag)| Root {
            name,
            tag,
            descriptor: descriptor.clone(),
        }));
    }
    Ok(Understood { meaning: Meaning::Docker, blobs, roots, problems })
}

fn names(image: &Image, stem: Option<&oci::Repository>) -> Vec<(Name, Option<oci::Tag>)> {
    let tags = image.repo_tags.iter().flatten();
    let references = tags.filter_map(|text| text.parse::<Reference>().ok());
    let mut names: Vec<_> = references.map(|it| (it.name(), it.tag)).collect();
    if let (true, Some(stem)) = (names.is_empty(), stem) {
        names.push((Name { registry: None, repository: stem.clone() }, None));
    }
    names
}

fn add(tree: &Tree, image: &Image, blobs: &mut Blobs) -> Result<Descriptor, Error> {
    let bytes = read(tree, &image.config, MAX_CONFIG_SIZE)?;
    let config: Config = parse(&image.config, &bytes)?;
    let config_type = MediaType::DOCKER_CONFIG.parse()?;
    let config_size = bytes.len() as u64;
    let config_descriptor = Descriptor::new(config_type, Digest::of(&bytes), config_size);
    blobs.push((config_descriptor.digest.clone(), packed(bytes)));
    let mut layers = Vec::with_capacity(image.layers.len());
    if config.rootfs.diff_ids.len() != image.layers.len() {
        return Err(Error::Altered {
            path: image.config.clone(),
            expected: format!("{} layers", image.layers.len()),
            found: format!("{} layers", config.rootfs.diff_ids.len()),
        });
    }
    for (path, diff_id) in image.layers.iter().zip(config.rootfs.diff_ids) {
        let stored = tree.get(path).ok_or_else(|| Error::NoFile(path.clone()))?;
        let descriptor = layer(path, stored, diff_id)?;
        blobs.push((descriptor.digest.clone(), stored.clone()));
        layers.push(descriptor);
    }
    let media_type: MediaType = MediaType::DOCKER_MANIFEST.parse()?;
    let document = SchemaTwo {
        schema_version: 2,
        media_type: media_type.clone(),
        config: config_descriptor,
        layers,
    };
    let fault = |source| Error::Docker { path: MANIFEST_FILE.to_owned(), source };
    let bytes = serde_json::to_vec(&document).map_err(fault)?;
    let descriptor = Descriptor::new(media_type, Digest::of(&bytes), bytes.len() as u64);
    blobs.push((descriptor.digest.clone(), packed(bytes)));
    Ok(descriptor)
}

fn layer(path: &str, stored: &Stored, diff_id: Digest) -> Result<Descriptor, Error> {
    let fault = |source| Error::File { path: path.to_owned(), source };
    let content = stored.open().map_err(fault)?;
    let mut magic = [0; 2];
    if content.length() >= 2 {
        content.read_at(&mut magic, 0).map_err(fault)?;
    }
    if magic != [0x1f, 0x8b] {
        let media_type = MediaType::DOCKER_LAYER_TAR.parse()?;
        return Ok(Descriptor::new(media_type, diff_id, content.length()));
    }
    let file = path.rsplit('/').next().unwrap_or(path);
    let named = file.strip_suffix(".tar.gz").and_then(|hex| format!("sha256:{hex}").parse().ok());
    let digest = match named {
        Some(digest) => digest,
        None => hash(&content).map_err(fault)?,
    };
    Ok(Descriptor::new(MediaType::DOCKER_LAYER_GZIP.parse()?, digest, content.length()))
}

/// The digest of all of a content.
pub(super) fn hash(content: &Content) -> std::io::Result<Digest> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    content.read_through(&mut vec![0; PIECE], |piece| piece.map(|piece| hasher.update(piece)))?;
    Ok(hasher.finish())
}

/// Bytes that were made while a bundle was opened.
pub(super) fn packed(bytes: Vec<u8>) -> Stored {
    Stored::Packed(Arc::new(InMemory(bytes)))
}

fn parse<'a, T: Deserialize<'a>>(path: &str, bytes: &'a [u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|source| Error::Docker { path: path.to_owned(), source })
}
