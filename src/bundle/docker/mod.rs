//! A docker-archive, as `docker save`, `podman save`, skopeo, buildah and crane write it.
//!
//! ```text
//! manifest.json            [{"Config": path, "RepoTags": [names], "Layers": [paths]}]
//! <config>.json            the image configuration; its `rootfs.diff_ids` name the layers
//! <id>/layer.tar, <diffid>.tar, <digest>.tar.gz, blobs/sha256/<hex>
//! ```
//!
//! It has no registry manifests: one is made for each image, the same at every opening.
//! An image that cannot be served is a problem; the others are served.
//! <https://github.com/moby/docker-image-spec/blob/v1.3.1/README.md>

pub(super) mod beside;
mod image;
mod layer;

use std::io;
use std::sync::Arc;

use serde::Deserialize;

use super::index::Root;
use super::tree::{Stored, Tree};
use super::{Error, Meaning, Problem, Understood, read, tell};
use crate::extent::{Content, InMemory};
use crate::oci::{self, Algorithm, Descriptor, Digest, Hasher, Name, Reference, Tag};
use image::Maker;

const MANIFEST_FILE: &str = "manifest.json";
const MAX_MANIFEST_SIZE: u64 = 16 << 20;
/// The list of names of docker before 1.10, which later ones wrote, too.
const REPOSITORIES_FILE: &str = "repositories";

/// How much of a compressed layer is hashed at a time, in bytes.
const PIECE: usize = 1 << 20;

/// What `manifest.json` says of an image.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

impl Image {
    /// What it is called in messages.
    fn shown(&self) -> String {
        let tags = self.repo_tags.iter().flatten();
        let name = tags.map(String::as_str).find(|it| !it.is_empty()).unwrap_or(&self.config);
        shown(name)
    }
}

/// The beginning of a word that may be endless.
fn shown(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}

/// The longest name shown in a message, in characters.
const MAX_SHOWN: usize = 300;

/// Whether a tree is a docker-archive.
#[must_use]
pub fn recognise(tree: &Tree) -> bool {
    tree.get(MANIFEST_FILE).is_some()
}

/// Whether a tree is an archive of docker before 1.10, which has names and no images.
#[must_use]
pub fn is_ancient(tree: &Tree) -> bool {
    tree.get(REPOSITORIES_FILE).is_some()
        && tree.below("").any(|(path, _)| path.ends_with("/layer.tar"))
}

/// Reads the images of a docker-archive.
///
/// An uncompressed layer is taken to have the digest that the configuration says; that is
/// verified when it is first read. Only compressed layers without a digest as their name
/// are hashed here.
///
/// # Errors
///
/// When `manifest.json` is broken.
pub(super) fn understand(tree: &Tree, stem: Option<&oci::Repository>) -> Result<Understood, Error> {
    let bytes = read(tree, MANIFEST_FILE, MAX_MANIFEST_SIZE)?;
    let mut maker = Maker::new(tree);
    let (mut roots, mut problems) = (Vec::new(), Vec::new());
    for image in images(&bytes)? {
        let descriptor = match maker.make(&image) {
            Ok(descriptor) => descriptor,
            Err(fault) => {
                let reason = fault.to_string();
                tell(&mut problems, Problem::Unserved { image: image.shown(), reason });
                continue;
            }
        };
        let mut names = names(&image, &mut problems);
        if let (true, Some(stem)) = (names.is_empty(), stem) {
            names.push((Name { registry: None, repository: stem.clone() }, None));
        }
        if names.is_empty() {
            tell(&mut problems, Problem::Nameless { digest: descriptor.digest.clone() });
        }
        roots.extend(names.into_iter().map(|(name, tag)| root(name, tag, &descriptor)));
    }
    let (blobs, damaged) = maker.finish();
    problems.extend(damaged);
    Ok(Understood { meaning: Meaning::Docker, blobs, roots, problems })
}

fn images(bytes: &[u8]) -> Result<Vec<Image>, Error> {
    let images: Result<Option<Vec<Image>>, _> = serde_json::from_slice(bytes);
    let images =
        images.map_err(|source| Error::Docker { path: MANIFEST_FILE.to_owned(), source })?;
    Ok(images.unwrap_or_default())
}

fn root(name: Name, tag: Option<Tag>, descriptor: &Descriptor) -> Root {
    Root { name, tag, descriptor: descriptor.clone() }
}

/// The names of an image; what is none is a problem.
fn names(image: &Image, problems: &mut Vec<Problem>) -> Vec<(Name, Option<Tag>)> {
    let mut names = Vec::new();
    for text in image.repo_tags.iter().flatten() {
        match text.parse::<Reference>() {
            Ok(reference) => names.push((reference.name(), reference.tag)),
            Err(error) => {
                let [name, image] = [text, &image.config].map(|it| shown(it));
                tell(problems, Problem::Misnamed { name, image, reason: error.to_string() });
            }
        }
    }
    names
}

/// The digest of all of a content.
pub(super) fn hash(content: &Content) -> io::Result<Digest> {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    content.read_through(&mut vec![0; PIECE], |piece| piece.map(|piece| hasher.update(piece)))?;
    Ok(hasher.finish())
}

/// Bytes that were made while a bundle was opened.
pub(super) fn packed(bytes: Vec<u8>) -> Stored {
    Stored::Packed(Arc::new(InMemory(bytes)))
}
