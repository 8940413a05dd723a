//! What the files of a container mean: asked of each format in turn, the surest first.

use std::fmt;
use std::path::Path;

use super::format::Container;
use super::index::{Root, Roots};
use super::tree::{Stored, Tree};
use super::{
    Error, Problem, docker, edition, image_mirror, imgpkg, layout, layouts, mirror, parts, skopeo,
    storage, talos,
};
use crate::oci::{self, Digest};

/// How many files are shown of what is no bundle, and how much of their names.
const SHOWN: usize = 3;
const SHOWN_LENGTH: usize = 60;

/// What a bundle was recognised as.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Format {
    /// How its files are kept.
    pub container: Container,
    /// What they mean.
    pub meaning: Meaning,
}

/// What the files of a container mean.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Meaning {
    /// A bundle of ours: an OCI image layout with an imageset record.
    Bundle,
    /// An OCI image layout.
    Layout,
    /// The storage of distribution's registry.
    Storage,
    /// A file of an archive of oc-mirror v2.
    Mirror,
    /// A file of an archive of oc-mirror v1.
    MirrorV1,
    /// A docker-archive.
    Docker,
    /// A tar of imgpkg.
    Imgpkg,
    /// Directories that skopeo wrote.
    Skopeo,
    /// An image cache of Talos.
    Talos,
    /// A directory that `oc image mirror` wrote.
    ImageMirror,
    /// OCI image layouts, one for each repository.
    Layouts,
}

impl Meaning {
    /// Whether what it names may be held by other bundles.
    pub(super) fn roots(self) -> Roots {
        match self {
            // Of a registry's storage, too, a part may be carried.
            Self::Bundle | Self::Storage | Self::Mirror | Self::MirrorV1 => Roots::Elsewhere,
            Self::Layout
            | Self::Docker
            | Self::Imgpkg
            | Self::Skopeo
            | Self::Talos
            | Self::ImageMirror
            | Self::Layouts => Roots::Here,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let container = match self.container {
            Container::Directory => "directory",
            Container::Squashfs => "squashfs",
            Container::Tar => "tar",
            Container::Zstd => "tar in zstd",
            Container::Compressed(_) | Container::Blank | Container::Unknown => "file",
        };
        let meaning = match self.meaning {
            Meaning::Bundle => "bundle",
            Meaning::Layout => "OCI layout",
            Meaning::Storage => "registry storage",
            Meaning::Mirror => "oc-mirror v2 archive",
            Meaning::MirrorV1 => "oc-mirror v1 archive",
            Meaning::Docker => "docker-archive",
            Meaning::Imgpkg => "imgpkg archive",
            Meaning::Skopeo => "skopeo directories",
            Meaning::Talos => "Talos image cache",
            Meaning::ImageMirror => "oc image mirror directory",
            Meaning::Layouts => "OCI layouts",
        };
        write!(f, "{meaning} ({container})")
    }
}

/// What the files of a container were understood as.
pub(super) struct Understood {
    pub(super) meaning: Meaning,
    pub(super) blobs: Vec<(Digest, Stored)>,
    pub(super) roots: Vec<Root>,
    pub(super) problems: Vec<Problem>,
}

/// Finds out what a tree is.
pub(super) fn understand(tree: &Tree, path: &Path) -> Result<Understood, Error> {
    let stem = stem(path);
    if layout::recognise(tree) {
        let mut layout = layout::understand(tree, stem.as_ref())?;
        if edition::is_there(tree) {
            layout.meaning = Meaning::Bundle;
        }
        return Ok(layout);
    }
    if mirror::recognise(tree, path) {
        return mirror::understand(tree);
    }
    if storage::recognise(tree) {
        return storage::understand(tree);
    }
    if skopeo::recognise(tree) {
        return skopeo::understand(tree, stem.as_ref());
    }
    if imgpkg::recognise(tree) {
        return imgpkg::understand(tree);
    }
    if docker::recognise(tree) {
        return docker::understand(tree, stem.as_ref());
    }
    if talos::recognise(tree) {
        return talos::understand(tree);
    }
    if image_mirror::recognise(tree) {
        return image_mirror::understand(tree);
    }
    if layouts::recognise(tree) {
        return layouts::understand(tree);
    }
    if docker::is_ancient(tree) {
        return Err(Error::Ancient);
    }
    Err(Error::UnknownMeaning(shown(tree)))
}

/// How many files there are, and the first of them.
fn shown(tree: &Tree) -> String {
    let mut text = tree.len().to_string();
    for (number, (path, _)) in tree.below("").take(SHOWN).enumerate() {
        let short: String = path.chars().take(SHOWN_LENGTH).collect();
        let before = if number == 0 { ": " } else { ", " };
        text.push_str(&format!("{before}{short:?}"));
    }
    if tree.len() > SHOWN { text + ", …" } else { text }
}

/// The repository that nameless content of a file belongs to: the file's own name.
fn stem(path: &Path) -> Option<oci::Repository> {
    let name = parts::whole(path.file_name()?.to_str()?).to_ascii_lowercase();
    let name = name.strip_suffix(".zst").unwrap_or(&name);
    let endings = [".sqfs", ".squashfs", ".tar", ".oci"];
    let stem = endings.iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    stem.parse().ok()
}
