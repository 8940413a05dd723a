//! A tar that `imgpkg copy --to-tar` wrote: images and bundles with what they refer to.
//!
//! ```text
//! manifest.json                 [{"Image": …} or {"ImageIndex": …}]: manifests and
//!                               configurations within, as they are, under the names at the source
//! sha256-<hex>.tar.gz           layers, however they are compressed
//! ```
//!
//! Everything is named by its digest, with the tag beside it; what is in an index repeats the tag
//! of the index. Layers that may not be distributed can be left out.
//! <https://github.com/carvel-dev/imgpkg/blob/develop/pkg/imgpkg/imagedesc/types.go>

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde::Deserialize;

use super::index::Root;
use super::tree::{Stored, Tree};
use super::{Error, Meaning, Problem, Understood, docker, read, tell};
use crate::oci::{Descriptor, Digest, Reference, Tag};

const MANIFEST_FILE: &str = "manifest.json";
/// The longest `manifest.json` read, in bytes: some thousand images.
const MAX_MANIFEST_SIZE: u64 = 32 << 20;
/// How much of it tells what it is, in bytes.
const HEAD: usize = 256;
/// How it begins, white space apart.
const BEGINNINGS: [&[u8]; 2] = [b"[{\"ImageIndex\":", b"[{\"Image\":"];
/// What the type of a manifest is said to be where nobody says it but the manifest itself.
const UNTYPED: &str = "application/octet-stream";
const LAYER: &str = ".tar.gz";
/// The longest name shown in a message, in characters.
const MAX_SHOWN: usize = 300;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    #[serde(default)]
    image_index: Option<Index>,
    #[serde(default)]
    image: Option<Image>,
}

// Flattening would gather what is not wanted, too: these fields are written out.

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Index {
    #[serde(default)]
    refs: Option<Vec<String>>,
    #[serde(default)]
    tag: Option<String>,
    #[serde(default)]
    orig_ref: Option<String>,
    #[serde(default)]
    media_type: Option<String>,
    digest: Digest,
    raw: String,
    #[serde(default)]
    images: Option<Vec<Image>>,
    #[serde(default)]
    indexes: Option<Vec<Self>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    #[serde(default)]
    refs: Option<Vec<String>>,
    #[serde(default)]
    tag: Option<String>,
    #[serde(default)]
    orig_ref: Option<String>,
    config: Document,
    manifest: Document,
}

/// A document within the document.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Document {
    #[serde(default)]
    media_type: Option<String>,
    digest: Digest,
    raw: String,
}

/// What something is called.
struct Named {
    /// Where it was copied from, by digest.
    refs: Option<Vec<String>>,
    tag: Option<String>,
    /// What the bundle that refers to it calls it.
    orig_ref: Option<String>,
}

/// Whether a tree is such a tar: its `manifest.json` begins otherwise than that of docker.
#[must_use]
pub fn recognise(tree: &Tree) -> bool {
    let Some(stored) = tree.get(MANIFEST_FILE) else { return false };
    let mut head = [0; HEAD];
    let length = HEAD.min(usize::try_from(stored.length()).unwrap_or(HEAD));
    let head = head.get_mut(..length).unwrap_or_default();
    if stored.open().and_then(|content| content.read_at(head, 0)).is_err() {
        return false;
    }
    let dense: Vec<u8> = head.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BEGINNINGS.iter().any(|beginning| dense.starts_with(beginning))
}

/// Reads the images and which blobs there are.
///
/// # Errors
///
/// When `manifest.json` is broken.
pub(super) fn understand(tree: &Tree) -> Result<Understood, Error> {
    let bytes = read(tree, MANIFEST_FILE, MAX_MANIFEST_SIZE)?;
    let entries: Vec<Listed> = serde_json::from_slice(&bytes)
        .map_err(|source| Error::Imgpkg { path: MANIFEST_FILE.to_owned(), source })?;
    drop(bytes);
    let mut gathered = Gathered { blobs: layers(tree), ..Gathered::default() };
    for Listed { image_index, image } in entries {
        if let Some(index) = image_index {
            let Index { refs, tag, orig_ref, media_type, digest, raw, images, indexes } = index;
            gathered.named(&Named { refs, tag, orig_ref }, Document { media_type, digest, raw });
            gathered.below(images, indexes);
        }
        if let Some(Image { refs, tag, orig_ref, config, manifest }) = image {
            gathered.named(&Named { refs, tag, orig_ref }, manifest);
            gathered.document(config, true);
        }
    }
    Ok(gathered.finish())
}

/// The layers, by the digests that their names say.
fn layers(tree: &Tree) -> Vec<(Digest, Stored)> {
    let layer = |(path, stored): (&str, &Stored)| {
        let name = path.strip_suffix(LAYER)?.replacen('-', ":", 1);
        Some((name.parse().ok()?, stored.clone()))
    };
    tree.below("").filter_map(layer).collect()
}

/// What is found entry by entry.
#[derive(Default)]
struct Gathered {
    blobs: Vec<(Digest, Stored)>,
    /// Manifests and configurations: many images may have the same one.
    documents: BTreeMap<Digest, Kept>,
    roots: Vec<Root>,
    problems: Vec<Problem>,
}

/// A document that is kept.
struct Kept {
    stored: Stored,
    /// Whether it is what its digest says.
    is_whole: bool,
    is_config: bool,
}

impl Gathered {
    /// Keeps a document; of several the one that is what its digest says.
    fn document(&mut self, document: Document, is_config: bool) {
        let Document { digest, raw, .. } = document;
        let is_whole = digest.matches(raw.as_bytes());
        let stored = docker::packed(raw.into_bytes());
        let kept = Kept { stored, is_whole, is_config };
        match self.documents.entry(digest) {
            Entry::Occupied(mut known) if is_whole => drop(known.insert(kept)),
            Entry::Occupied(_) => {}
            Entry::Vacant(place) => drop(place.insert(kept)),
        }
    }

    /// Keeps a manifest under its names.
    fn named(&mut self, named: &Named, manifest: Document) {
        let (digest, size) = (manifest.digest.clone(), manifest.raw.len() as u64);
        let said = manifest.media_type.as_deref().unwrap_or(UNTYPED);
        let descriptor = match said.parse() {
            Ok(media_type) => Descriptor::new(media_type, digest.clone(), size),
            Err(error) => {
                let reason = error.to_string();
                return tell(&mut self.problems, Problem::Unreadable { digest, reason });
            }
        };
        self.document(manifest, false);
        let before = self.roots.len();
        let tag = named.tag.as_deref().filter(|tag| !tag.is_empty());
        let refs = named.refs.iter().flatten().map(|name| (name, tag));
        let original = named.orig_ref.iter().filter(|name| !name.is_empty());
        for (name, tag) in refs.chain(original.map(|name| (name, None))) {
            match root(name, tag, &descriptor) {
                Ok(root) => self.roots.push(root),
                Err(error) => {
                    let name = name.chars().take(MAX_SHOWN).collect();
                    let (image, reason) = (digest.to_string(), error.to_string());
                    tell(&mut self.problems, Problem::Misnamed { name, image, reason });
                }
            }
        }
        if self.roots.len() == before {
            tell(&mut self.problems, Problem::Nameless { digest });
        }
    }

    /// The blobs, the roots and the problems.
    fn finish(self) -> Understood {
        let Self { mut blobs, documents, roots, mut problems } = self;
        for (digest, Kept { stored, is_whole, is_config }) in documents {
            // Manifests are read, and told if they are damaged.
            if is_config && !is_whole {
                tell(&mut problems, Problem::Damaged { digest: digest.clone(), offset: None });
            }
            blobs.push((digest, stored));
        }
        Understood { meaning: Meaning::Imgpkg, blobs, roots, problems }
    }

    /// Keeps what is in an index, to any depth.
    fn below(&mut self, images: Option<Vec<Image>>, indexes: Option<Vec<Index>>) {
        let mut indexes = indexes.unwrap_or_default();
        let mut images = images.unwrap_or_default();
        loop {
            for Image { config, manifest, .. } in std::mem::take(&mut images) {
                self.document(config, true);
                self.document(manifest, false);
            }
            let Some(index) = indexes.pop() else { return };
            let Index { media_type, digest, raw, images: within, indexes: below, .. } = index;
            self.document(Document { media_type, digest, raw }, false);
            images = within.unwrap_or_default();
            indexes.extend(below.unwrap_or_default());
        }
    }
}

/// The root that a manifest is under a name, and under its tag there.
fn root(name: &str, tag: Option<&str>, descriptor: &Descriptor) -> Result<Root, crate::oci::Error> {
    let reference: Reference = name.parse()?;
    let tag: Option<Tag> = tag.map(str::parse).transpose()?;
    let tag = tag.or_else(|| reference.tag.clone());
    Ok(Root { name: reference.name(), tag, descriptor: descriptor.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::MediaType;

    fn tree(manifest: &str) -> Tree {
        let mut tree = Tree::default();
        let stored = docker::packed(manifest.as_bytes().to_vec());
        tree.insert(MANIFEST_FILE, stored);
        tree
    }

    #[test]
    fn told_from_docker_by_its_beginning() {
        for (text, is_imgpkg) in [
            (r#"[{"ImageIndex":null,"Image":{}}]"#, true),
            ("[\n  {\n    \"Image\": {}}]", true),
            (r#"[{"Config":"a","Layers":[]}]"#, false),
            ("[]", false),
            ("", false),
            (r#"{"Image":1}"#, false),
        ] {
            assert_eq!(recognise(&tree(text)), is_imgpkg, "{text}");
        }
        assert!(!recognise(&Tree::default()));
    }

    #[test]
    fn names_tags_and_what_is_damaged() {
        let config = "{}";
        let digest = Digest::of(config.as_bytes());
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"{}","digest":"{digest}","size":2}}}}"#,
            MediaType::OCI_CONFIG
        );
        let named = Digest::of(manifest.as_bytes());
        let raw = serde_json::to_string(&manifest).unwrap();
        let image = |refs: &str, tag: &str, original: &str, config: &str| {
            format!(
                r#"{{"Image":{{"Refs":{refs},"Tag":"{tag}","OrigRef":"{original}",
                "Config":{{"Digest":"{digest}","Raw":"{config}"}},
                "Manifest":{{"Digest":"{named}","Raw":{raw}}}}}}}"#
            )
        };
        let at = |tag: &str| format!("quay.io/a/b{tag}@{named}");
        let refs = format!(r#"["{}"]"#, at(""));
        for (entry, names, problems) in [
            (image(&refs, "v1", "", config), vec!["quay.io/a/b v1"], 0),
            (image(&refs, "", "", config), vec!["quay.io/a/b -"], 0),
            (
                image(&refs, "", "docker.io/x:y", config),
                vec!["quay.io/a/b -", "docker.io/library/x y"],
                0,
            ),
            (image(r#"["../x", "quay.io/a/c"]"#, "v1", "", config), vec!["quay.io/a/c v1"], 1),
            (image(&refs, ".v1", "", config), vec![], 2),
            (image("null", "v1", "", config), vec![], 1),
            (image(&refs, "v1", "", "{ }"), vec!["quay.io/a/b v1"], 1),
        ] {
            let understood = understand(&tree(&format!("[{entry}]"))).unwrap();
            let found: Vec<String> = understood
                .roots
                .iter()
                .map(|it| format!("{} {}", it.name, it.tag.as_ref().map_or("-", Tag::as_str)))
                .collect();
            assert_eq!(found, names, "{entry}");
            assert_eq!(understood.problems.len(), problems, "{entry}: {:?}", understood.problems);
        }
        assert!(understand(&tree(r#"[{"Image":1}]"#)).is_err());
    }
}
