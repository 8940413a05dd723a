//! The `manifest.json` that docker and containerd write beside an OCI layout's `index.json`.
//!
//! Its images are those of the layout, and the layout's names count. Only a name that the
//! layout lacks is taken from here, for the manifest that the layout has for the same
//! configuration; if it has none, one is made.

use std::collections::{HashMap, HashSet, VecDeque};

use super::super::index::Root;
use super::super::tree::{Stored, Tree};
use super::super::{Problem, read, tell};
use super::{Image, MANIFEST_FILE, MAX_MANIFEST_SIZE, Maker, images, layer, names, root};
use crate::oci::{self, Descriptor, Digest, MAX_MANIFEST_SIZE as MAX_DOCUMENT, Manifest, Role};

/// How many bytes of manifests are read to find their configurations.
const MAX_READ: u64 = 256 << 20;

/// What such a document adds to a layout.
#[derive(Debug, Default)]
pub(in super::super) struct Beside {
    pub(in super::super) blobs: Vec<(Digest, Stored)>,
    pub(in super::super) roots: Vec<Root>,
    pub(in super::super) problems: Vec<Problem>,
}

/// Reads the names that a layout with these names lacks.
///
/// What is no such document, or none that can be read, adds nothing: the layout is whole
/// without it.
pub(in super::super) fn understand(tree: &Tree, named: &[Root]) -> Beside {
    let mut beside = Beside::default();
    let Some(images) = read_images(tree) else { return beside };
    let known = Known::of(named);
    let lacking = |image: &Image| {
        let texts = image.repo_tags.iter().flatten();
        texts.filter(|text| !known.has(text)).cloned().collect::<Vec<_>>()
    };
    let images = images.into_iter().filter_map(|image| {
        let lacking = lacking(&image);
        (!lacking.is_empty()).then_some(Image { repo_tags: Some(lacking), ..image })
    });
    let images: Vec<Image> = images.collect();
    if images.is_empty() {
        return beside;
    }
    let by_config = by_config(tree, named);
    let mut maker = Maker::new(tree);
    for image in &images {
        let found = layer::named(&image.config).and_then(|config| by_config.get(&config));
        let descriptor = match found.map_or_else(|| maker.make(image), |it| Ok(it.clone())) {
            Ok(descriptor) => descriptor,
            Err(fault) => {
                let (image, reason) = (image.shown(), fault.to_string());
                tell(&mut beside.problems, Problem::Unserved { image, reason });
                continue;
            }
        };
        let names = names(image, &mut beside.problems).into_iter();
        beside.roots.extend(names.map(|(name, tag)| root(name, tag, &descriptor)));
    }
    let (blobs, damaged) = maker.finish();
    beside.blobs = blobs;
    beside.problems.extend(damaged);
    beside
}

fn read_images(tree: &Tree) -> Option<Vec<Image>> {
    tree.get(MANIFEST_FILE)?;
    images(&read(tree, MANIFEST_FILE, MAX_MANIFEST_SIZE).ok()?).ok()
}

/// The names that a layout has.
struct Known<'a> {
    names: HashSet<(Option<&'a str>, &'a str, Option<&'a str>)>,
    /// What is named by its digest.
    digests: HashSet<(&'a str, &'a Digest)>,
}

impl<'a> Known<'a> {
    fn of(roots: &'a [Root]) -> Self {
        let mut known = Self { names: HashSet::new(), digests: HashSet::new() };
        for Root { name, tag, descriptor } in roots {
            let repository = name.repository.as_str();
            let tag = tag.as_ref().map(oci::Tag::as_str);
            let registry = name.registry.as_ref().map(oci::Registry::as_str);
            known.names.insert((registry, repository, tag));
            // Of any registry, for a name that says none.
            known.names.insert((None, repository, tag));
            known.digests.insert((repository, &descriptor.digest));
        }
        known
    }

    /// Whether a name of `manifest.json` is one of them.
    fn has(&self, text: &str) -> bool {
        let Ok(reference) = text.parse::<oci::Reference>() else { return false };
        let tag = reference.tag.as_ref().map(oci::Tag::as_str);
        let repository = reference.repository.as_str();
        let registry = Some(reference.registry.as_str());
        let (path, _) = text.rsplit_once(':').unwrap_or((text, ""));
        // hauler writes the digest of what has no tag as one.
        let digest = tag.and_then(|tag| tag.replacen('-', ":", 1).parse::<Digest>().ok());
        self.names.contains(&(registry, repository, tag))
            || self.names.contains(&(None, path, tag))
            || digest.is_some_and(|digest| self.digests.contains(&(repository, &digest)))
    }
}

/// The manifests below these roots that the layout has, by the digests of their configurations.
fn by_config(tree: &Tree, roots: &[Root]) -> HashMap<Digest, Descriptor> {
    let mut queue: VecDeque<Descriptor> = roots.iter().map(|it| it.descriptor.clone()).collect();
    let (mut seen, mut found) = (HashSet::new(), HashMap::new());
    let mut left = MAX_READ;
    while let Some(descriptor) = queue.pop_front() {
        let path = oci::blob_path(&descriptor.digest);
        let Some(stored) = tree.get(&path) else { continue };
        if !seen.insert(descriptor.digest.clone()) {
            continue;
        }
        let Some(rest) = left.checked_sub(stored.length()) else { break };
        left = rest;
        let Ok(bytes) = read(tree, &path, MAX_DOCUMENT) else { continue };
        let Ok(manifest) = Manifest::parse(&bytes, Some(&descriptor.media_type)) else { continue };
        for child in manifest.children {
            match child.role {
                Role::Manifest => queue.push_back(child.descriptor),
                Role::Config => {
                    let itself = || {
                        let (media_type, digest) =
                            (manifest.media_type.clone(), &descriptor.digest);
                        Descriptor::new(media_type, digest.clone(), bytes.len() as u64)
                    };
                    found.entry(child.descriptor.digest).or_insert_with(itself);
                }
                Role::Layer => {}
            }
        }
    }
    found
}
