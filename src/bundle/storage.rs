//! The storage of distribution's registry, wherever in a container it lies.
//!
//! ```text
//! …/docker/registry/v2/blobs/<algorithm>/<xx>/<hex>/data
//! …/docker/registry/v2/repositories/<name>/_manifests/tags/<tag>/current/link
//! …/docker/registry/v2/repositories/<name>/_manifests/revisions/<algorithm>/<hex>/link
//! ```
//!
//! A tag's `link` holds the digest of its manifest. What else is there (`_layers`, `_uploads`,
//! the history of a tag) says nothing that is needed, and is passed over.
//! <https://github.com/distribution/distribution/blob/v3.0.0/registry/storage/paths.go>

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::index::{Root, UNTYPED};
use super::tree::{Stored, Tree};
use super::{Error, Meaning, Problem, Understood};
use crate::oci::{Algorithm, Descriptor, Digest, MediaType, Name, Repository, Tag};

/// Where the tree begins.
pub(super) const TREE: &str = "docker/registry/v2/";
/// The largest link read, in bytes: a digest has 71 or 135.
const MAX_LINK_SIZE: u64 = 256;

/// Whether a storage tree lies somewhere in a container.
#[must_use]
pub fn recognise(tree: &Tree) -> bool {
    tree.below("").any(|(path, _)| within(path).is_some())
}

/// Reads which blobs there are, and the names in all storage trees of a container.
///
/// # Errors
///
/// Never by what it holds: what cannot be used is a problem.
pub(super) fn understand(tree: &Tree) -> Result<Understood, Error> {
    let mut storage = Storage::default();
    for (path, stored) in tree.below("") {
        storage.add(path, stored)?;
    }
    let Storage { blobs, roots, problems, .. } = storage;
    Ok(Understood { meaning: Meaning::Storage, blobs, roots, problems })
}

/// What of the storage in a directory changes when a blob or a tag comes, goes or moves.
pub(super) fn telltales(root: &Path) -> io::Result<Vec<PathBuf>> {
    let root = root.join(TREE);
    let mut found = vec![root.clone()];
    for algorithm in Algorithm::ALL {
        let blobs = root.join("blobs").join(algorithm.name());
        found.extend(entries(&blobs)?);
        found.push(blobs);
    }
    let mut repositories = vec![root.join("repositories")];
    while let Some(path) = repositories.pop() {
        let tags = path.join("_manifests/tags");
        for tag in entries(&tags)? {
            found.push(tag.join("current/link"));
        }
        found.push(tags);
        found.extend(Algorithm::ALL.map(|it| path.join("_manifests/revisions").join(it.name())));
        // Beside what a repository keeps for itself lie those whose names begin with its own.
        repositories.extend(entries(&path)?.into_iter().filter(|path| {
            let own = path.file_name().is_some_and(|it| it.as_encoded_bytes().starts_with(b"_"));
            !own && !path.is_symlink()
        }));
        found.push(path);
    }
    // While it is being copied there, a part of it may not be there yet.
    found.retain(|path| path.exists());
    Ok(found)
}

/// What lies in a directory; nothing if it is none.
fn entries(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path())).collect(),
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(error),
    }
}

/// What is found in storage trees, file by file.
#[derive(Default)]
pub(super) struct Storage {
    pub(super) blobs: Vec<(Digest, Stored)>,
    /// Tags, and each manifest of each repository.
    pub(super) roots: Vec<Root>,
    pub(super) problems: Vec<Problem>,
    /// The repositories that were reported for their names.
    nameless: BTreeSet<Box<str>>,
}

impl Storage {
    /// Takes a file of a container.
    pub(super) fn add(&mut self, path: &str, stored: &Stored) -> Result<(), Error> {
        match within(path).and_then(Entry::of) {
            None => {}
            Some(Entry::Blob(digest)) => self.blobs.push((digest, stored.clone())),
            Some(Entry::Tag { repository, tag }) => {
                let Some(name) = self.name(path, repository) else { return Ok(()) };
                match tag.parse().map_err(|_| "its tag is none").and_then(|tag: Tag| {
                    let digest = link(stored).ok_or("it holds no digest")?;
                    Ok((tag, digest))
                }) {
                    Ok((tag, digest)) => self.roots.push(root(name, Some(tag), digest)?),
                    Err(reason) => self.omit(path, reason),
                }
            }
            // Its path says what its text says: a manifest is found by its own digest only.
            Some(Entry::Revision { repository, digest }) => {
                if let Some(name) = self.name(path, repository) {
                    self.roots.push(root(name, None, digest)?);
                }
            }
        }
        Ok(())
    }

    /// The name of a repository, or a report that it is none.
    fn name(&mut self, path: &str, repository: &str) -> Option<Name> {
        if let Ok(repository) = repository.parse::<Repository>() {
            return Some(Name { registry: None, repository });
        }
        if self.nameless.insert(repository.into()) {
            self.omit(path, "its repository has no name that can be asked for");
        }
        None
    }

    fn omit(&mut self, path: &str, reason: &'static str) {
        self.problems.push(Problem::Omitted { path: path.to_owned(), reason });
    }
}

/// A manifest of this digest that is carried for `name`.
pub(super) fn root(name: Name, tag: Option<Tag>, digest: Digest) -> Result<Root, Error> {
    Ok(Root { name, tag, descriptor: Descriptor::new(UNTYPED.parse::<MediaType>()?, digest, 0) })
}

/// A file of a storage tree that counts.
enum Entry<'a> {
    Blob(Digest),
    Tag { repository: &'a str, tag: &'a str },
    Revision { repository: &'a str, digest: Digest },
}

impl<'a> Entry<'a> {
    /// What the path of a file in a storage tree says that it is.
    fn of(path: &'a str) -> Option<Self> {
        if let Some(blob) = path.strip_prefix("blobs/") {
            let mut parts = blob.split('/');
            let (algorithm, fan, hex) = (parts.next()?, parts.next()?, parts.next()?);
            let ends = parts.next() == Some("data") && parts.next().is_none();
            return (ends && fan.len() == 2 && hex.starts_with(fan))
                .then(|| digest(algorithm, hex).map(Self::Blob))?;
        }
        let (repository, link) = path.strip_prefix("repositories/")?.split_once("/_manifests/")?;
        let link = link.strip_suffix("/link")?;
        if let Some(revision) = link.strip_prefix("revisions/") {
            let (algorithm, hex) = revision.split_once('/')?;
            let digest = digest(algorithm, hex)?;
            return Some(Self::Revision { repository, digest });
        }
        let tag = link.strip_prefix("tags/")?.strip_suffix("/current")?;
        Some(Self::Tag { repository, tag })
    }
}

fn digest(algorithm: &str, hex: &str) -> Option<Digest> {
    format!("{algorithm}:{hex}").parse().ok()
}

/// The part of a path within the first storage tree that it leads into.
fn within(path: &str) -> Option<&str> {
    path.match_indices(TREE).find_map(|(at, _)| {
        let begins = path.get(..at)?;
        let rest = path.get(at..)?.strip_prefix(TREE)?;
        let begins = begins.is_empty() || begins.ends_with('/');
        let known = rest.starts_with("blobs/") || rest.starts_with("repositories/");
        (begins && known).then_some(rest)
    })
}

/// The digest that a link holds.
fn link(stored: &Stored) -> Option<Digest> {
    let bytes = stored.open().and_then(|content| content.read_all(MAX_LINK_SIZE)).ok()?;
    std::str::from_utf8(&bytes).ok()?.trim_ascii_end().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::extent::InMemory;

    const HEX: &str = "3ab2af8cd94bff7a0a35990eaf8bc23f92bf29f1da0631fc9aceb7345d2fe3be";

    fn understood(files: &[(String, &str)]) -> Understood {
        let mut tree = Tree::default();
        for (path, text) in files {
            let bytes = text.as_bytes().to_vec();
            tree.insert(path, Stored::Packed(Arc::new(InMemory(bytes))));
        }
        assert!(recognise(&tree));
        understand(&tree).unwrap()
    }

    #[test]
    fn the_tree_is_found_wherever_it_lies() {
        for (path, expected) in [
            ("docker/registry/v2/blobs/sha256/a/b", Some("blobs/sha256/a/b")),
            ("platform/mirror/docker/registry/v2/repositories/a/b", Some("repositories/a/b")),
            ("docker/registry/v2/docker/registry/v2/blobs/x", Some("blobs/x")),
            ("a-docker/registry/v2/blobs/x", None),
            ("docker/registry/v2", None),
            ("docker/registry/v2/other/x", None),
            ("docker/registry/v2/blobs", None),
        ] {
            assert_eq!(within(path), expected, "{path}");
        }
        let tree = Tree::default();
        assert!(!recognise(&tree));
    }

    #[test]
    fn only_what_counts_is_read() {
        let text = format!("sha256:{HEX}");
        let at = |path: &str| format!("docker/registry/v2/{path}");
        let files = [
            (at(&format!("blobs/sha256/3a/{HEX}/data")), "manifest"),
            (at(&format!("blobs/sha256/00/{HEX}/data")), "in the wrong place"),
            (at("blobs/sha256/3a/3a/data"), "no digest"),
            (at("repositories/a/b/_manifests/tags/v1/current/link"), text.as_str()),
            (at(&format!("repositories/a/b/_manifests/tags/v1/index/sha256/{HEX}/link")), &text),
            (at(&format!("repositories/a/b/_manifests/revisions/sha256/{HEX}/link")), &text),
            (at(&format!("repositories/a/b/_layers/sha256/{HEX}/link")), &text),
            (at("repositories/a/b/_uploads/1/data"), "half of it"),
            (at("repositories/a/b/_uploads/1/startedat"), "2026-11-21T06:45:59Z"),
        ];
        let understood = understood(&files);
        let blobs: Vec<_> = understood.blobs.iter().map(|(digest, _)| digest.hex()).collect();
        assert_eq!(blobs, [HEX]);
        let roots: Vec<_> =
            understood.roots.iter().map(|it| (it.name.to_string(), it.tag.is_some())).collect();
        let named = |tagged| ("a/b".to_owned(), tagged);
        assert_eq!(roots, [named(false), named(true)]);
        assert_eq!(understood.problems, []);
    }

    #[test]
    fn links_and_names_are_not_believed() {
        let long = "x".repeat(300);
        let upper = format!("sha256:{}", HEX.to_uppercase());
        let at = |path: &str| format!("x/docker/registry/v2/repositories/{path}/current/link");
        let files = [
            (at("a/_manifests/tags/empty"), ""),
            (at("a/_manifests/tags/long"), &long),
            (at("a/_manifests/tags/upper"), &upper),
            (at("a/_manifests/tags/.bad"), "sha256:"),
            (at("A/_manifests/tags/v1"), "sha256:"),
            (at("A/_manifests/tags/v2"), "sha256:"),
        ];
        let understood = understood(&files);
        assert_eq!(understood.roots.len(), 0);
        assert_eq!(understood.problems.len(), 5, "{:?}", understood.problems);
    }
}
