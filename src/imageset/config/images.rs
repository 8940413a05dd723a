//! Images to carry.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::problem::{Path, Problems};
use super::{ApiVersion, file};
use crate::oci::{Reference, Repository, Tag};

/// Where an image or a catalog comes from.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum ImageName {
    /// A registry.
    Remote(Reference),
    /// An OCI layout on disk, which the file names by `oci://`.
    Layout(PathBuf),
}

impl FromStr for ImageName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("oci:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() {
                Err(format!("{text:?} has no path"))
            } else {
                Ok(Self::Layout(path.into()))
            };
        }
        let reference = text.strip_prefix("docker://").unwrap_or(text);
        match reference.split_once("://") {
            Some((transport, _)) => Err(format!(
                "images cannot be read by the transport {transport:?}: write a reference, or \
                 oci:// and the path of a layout"
            )),
            None => reference.parse().map(Self::Remote).map_err(|error| format!("{error}")),
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote(reference) => reference.fmt(f),
            Self::Layout(path) => write!(f, "oci://{}", path.display()),
        }
    }
}

/// A platform, in Go's words.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Platform {
    /// The operating system.
    pub os: String,
    /// The processor.
    pub architecture: String,
    /// The variant of the processor; any, if none is said.
    pub variant: Option<String>,
}

impl Platform {
    /// Reads a list of platforms.
    pub(super) fn list(
        platforms: Vec<file::Platform>,
        at: &Path<'_>,
        problems: &mut Problems<'_>,
    ) -> Vec<Self> {
        let mut seen = HashSet::new();
        let mut read = Vec::new();
        for (number, platform) in platforms.into_iter().enumerate() {
            let file::Platform { os, architecture, variant } = platform;
            let variant = Some(variant).filter(|it| !it.is_empty());
            let platform = Self { os, architecture, variant };
            if !seen.insert(platform.clone()) {
                problems.add(&at.item(number), "this platform is here twice");
            }
            read.push(platform);
        }
        read
    }
}

/// An image to carry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AdditionalImage {
    /// Where it comes from. A reference has a tag, a digest or both.
    pub name: ImageName,
    /// The repository that it is carried as, if that is another one.
    pub target_repo: Option<Repository>,
    /// The tag that it is carried with, if that is another one.
    pub target_tag: Option<Tag>,
    /// The platforms to carry; all, if none is listed.
    pub platforms: Vec<Platform>,
}

impl AdditionalImage {
    /// The reference that it is carried under; none for a layout that is given no repository.
    #[must_use]
    pub fn target(&self) -> Option<Reference> {
        let ImageName::Remote(from) = &self.name else { return None };
        let mut target = from.clone();
        if let Some(repository) = &self.target_repo {
            target.repository = repository.clone();
        }
        if let Some(tag) = &self.target_tag {
            target.tag = Some(tag.clone());
        }
        Some(target)
    }

    pub(super) fn list(
        images: Vec<file::AdditionalImage>,
        version: ApiVersion,
        at: &Path<'_>,
        problems: &mut Problems<'_>,
    ) -> Vec<Self> {
        let mut read = Vec::new();
        let mut targets = HashMap::new();
        for (number, image) in images.into_iter().enumerate() {
            let at = at.item(number);
            let Some(image) = Self::read(image, version, &at, problems) else { continue };
            if let Some(target) = image.target() {
                // Two digests may share a name, two tags may not.
                let key = (target.name(), target.tag.clone(), target.digest.clone());
                let before = targets.insert(key, image.name.clone());
                if before.is_some_and(|before| before != image.name) {
                    problems.add(&at, format!("another image is carried as {target}, too"));
                }
            }
            read.push(image);
        }
        read
    }

    fn read(
        image: file::AdditionalImage,
        version: ApiVersion,
        at: &Path<'_>,
        problems: &mut Problems<'_>,
    ) -> Option<Self> {
        let target_repo = problems.word(&at.field("targetRepo"), &image.target_repo);
        let target_tag = problems.word(&at.field("targetTag"), &image.target_tag);
        let platforms = Platform::list(image.platforms, &at.field("platforms"), problems);
        let mut name = problems.word(&at.field("name"), &image.name)?;
        if let ImageName::Remote(reference) = &mut name
            && reference.tag.is_none()
            && reference.digest.is_none()
        {
            if version == ApiVersion::V2Alpha1 {
                let message = format!("{:?} has neither a tag nor a digest", image.name);
                problems.add(&at.field("name"), message);
            }
            reference.tag = "latest".parse().ok();
        }
        Some(Self { name, target_repo, target_tag, platforms })
    }
}
