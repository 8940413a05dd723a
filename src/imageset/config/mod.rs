//! The configuration of an imageset: an ImageSetConfiguration of oc-mirror, read as it is.
//!
//! ```text
//! yaml      text → a tree that knows where each value stands
//! shape     the tree against the schema: unknown, missing and misshapen fields
//! file      the fields as they are written; the schema is made from these types
//! images, blocked, release, operators, helm    the rules of each, and the values that come of it
//! ```
//!
//! Pure: no I/O. Everything that is wrong is told at once, with its place.
//! docs/guide/configuration.md tells users about it.

pub mod blocked;
mod file;
pub mod helm;
pub mod images;
pub mod operators;
mod problem;
pub mod release;
mod schema;
mod shape;
pub mod version;
mod yaml;

use std::path::PathBuf;

use serde::Deserialize as _;

pub use blocked::Blocked;
pub use images::{AdditionalImage, ImageName, Platform};
pub use problem::{Error, Location, Problem};
pub use schema::schema;

use self::problem::{Path, Problems};
use self::yaml::Node;
use super::name::Name;
use crate::oci::Reference;

/// The kind of document that is read.
const KIND: &str = "ImageSetConfiguration";

/// What an imageset holds.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which version of oc-mirror's format the file has.
    pub api: ApiVersion,
    /// The largest size of one file of the imageset, in bytes.
    pub archive_size: Option<u64>,
    /// Where the state is kept; only v1alpha2 can say it.
    pub storage: Option<Storage>,
    /// What to carry.
    pub mirror: Mirror,
    /// Settings of shipperd's own.
    pub shipperd: Extension,
}

/// A version of the format.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ApiVersion {
    /// That of oc-mirror v1.
    V1Alpha2,
    /// That of oc-mirror v2.
    V2Alpha1,
}

impl ApiVersion {
    /// What `apiVersion` says.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1Alpha2 => "mirror.openshift.io/v1alpha2",
            Self::V2Alpha1 => "mirror.openshift.io/v2alpha1",
        }
    }

    /// The version without its group.
    fn word(self) -> &'static str {
        match self {
            Self::V1Alpha2 => "v1alpha2",
            Self::V2Alpha1 => "v2alpha1",
        }
    }
}

/// Where the state is kept between runs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Storage {
    /// A directory.
    Local {
        /// Where it is.
        path: PathBuf,
    },
    /// An image in a registry.
    Registry {
        /// Its reference; it has a tag or a digest.
        image: Reference,
        /// Whether any certificate of that registry is taken, and plain HTTP.
        skip_tls: bool,
    },
}

/// What to carry.
#[derive(Clone, Debug)]
pub struct Mirror {
    /// Releases of OpenShift or OKD.
    pub platform: Option<release::Releases>,
    /// Operator catalogs.
    pub operators: Vec<operators::Catalog>,
    /// Single images.
    pub additional_images: Vec<AdditionalImage>,
    /// Helm charts and the images in them.
    pub helm: Option<helm::Helm>,
    /// Images to leave out.
    pub blocked_images: Vec<Blocked>,
    /// How many samples are listed; nobody ever implemented them.
    pub samples: usize,
}

/// Settings of shipperd's own, under the key `shipperd`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Extension {
    /// The name of the imageset.
    pub name: Option<Name>,
    /// Whether signatures, attestations and other referrers are carried along.
    pub referrers: bool,
}

impl Config {
    /// Reads a configuration.
    ///
    /// # Errors
    ///
    /// When the text is not one, with all that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let root = yaml::parse(text)?;
        let api = version_of(&root)?;
        let mut problems = Problems::new(&root);
        let json = shape::read(&root, api, &mut problems);
        let file = file::File::deserialize(json)
            .map_err(|error| Error::from(Problem::of_file(&format!("not an {KIND}: {error}"))))?;
        let config = Self::read(file, api, &mut problems);
        problems.end().map(|()| config)
    }

    fn read(file: file::File, api: ApiVersion, problems: &mut Problems<'_>) -> Self {
        let own = Path::Root.field("shipperd");
        Self {
            api,
            archive_size: file.archive_size.checked_mul(1 << 30).filter(|size| *size > 0),
            storage: file.storage_config.and_then(|storage| Storage::read(storage, problems)),
            mirror: Mirror::read(file.mirror, api, problems),
            shipperd: Extension {
                name: problems.word(&own.field("name"), &file.shipperd.name),
                referrers: file.shipperd.referrers.unwrap_or(true),
            },
        }
    }

    /// What is asked for and cannot be carried yet, by the paths of the file.
    #[must_use]
    pub fn unsupported(&self) -> Vec<String> {
        let Mirror { platform, operators, helm, samples, .. } = &self.mirror;
        let asked = [
            ("mirror.platform", platform.is_some()),
            ("mirror.operators", !operators.is_empty()),
            ("mirror.helm", helm.is_some()),
            ("mirror.samples", *samples > 0),
        ];
        asked.into_iter().filter(|(_, asked)| *asked).map(|(path, _)| path.to_owned()).collect()
    }
}

impl Mirror {
    fn read(mirror: file::Mirror, api: ApiVersion, problems: &mut Problems<'_>) -> Self {
        let at = Path::Root.field("mirror");
        Self {
            platform: mirror
                .platform
                .map(|it| release::Releases::read(it, &at.field("platform"), problems))
                .filter(release::Releases::asks),
            operators: operators::list(mirror.operators, api, &at.field("operators"), problems),
            additional_images: AdditionalImage::list(
                mirror.additional_images,
                api,
                &at.field("additionalImages"),
                problems,
            ),
            helm: mirror
                .helm
                .map(|it| helm::Helm::read(it, &at.field("helm"), problems))
                .filter(helm::Helm::asks),
            blocked_images: Blocked::list(
                &mirror.blocked_images,
                &at.field("blockedImages"),
                problems,
            ),
            samples: mirror.samples.len(),
        }
    }

    /// The regular expression that keeps an image out, if there is one.
    #[must_use]
    pub fn blocked_by(&self, reference: &Reference) -> Option<&Blocked> {
        self.blocked_images.iter().find(|blocked| blocked.matches(reference))
    }
}

impl Storage {
    fn read(storage: file::StorageConfig, problems: &mut Problems<'_>) -> Option<Self> {
        let at = Path::Root.field("storageConfig");
        match (storage.local, storage.registry) {
            (Some(_), Some(_)) => {
                problems.add(&at, "`local` or `registry`, not both");
                None
            }
            (Some(local), None) => Some(Self::Local { path: local.path.into() }),
            (None, Some(registry)) => {
                let at = at.field("registry");
                let text = registry.image_url.trim_start_matches("docker://");
                let mut image: Reference = problems.word(&at.field("imageURL"), text)?;
                if image.tag.is_none() && image.digest.is_none() {
                    image.tag = "latest".parse().ok();
                }
                Some(Self::Registry { image, skip_tls: registry.skip_tls })
            }
            (None, None) => None,
        }
    }
}

/// Which version the document has, if it is a configuration at all.
fn version_of(root: &Node) -> Result<ApiVersion, Error> {
    let yaml::Value::Mapping(_) = &root.value else {
        return Err(Problem::at(root.location, &format!("not an {KIND}: not a mapping")).into());
    };
    let mut problems = Problems::new(root);
    let kind = word(root, "kind");
    if kind != Some(KIND) {
        let message = match kind {
            None => format!("`kind` is missing: it must be {KIND}"),
            Some("DeleteImageSetConfiguration") => {
                "this lists images to delete from a registry; shipperd deletes nothing: a bundle \
                 is taken back by removing its file"
                    .into()
            }
            Some(other) => format!("{other:?} is not read: it must be {KIND}"),
        };
        problems.add(&Path::Root.field("kind"), message);
    }
    let (one, two) = (ApiVersion::V2Alpha1, ApiVersion::V1Alpha2);
    let (found, needed) =
        (word(root, "apiVersion"), format!("{} or {}", one.as_str(), two.as_str()));
    let version = [one, two].into_iter().find(|version| found == Some(version.as_str()));
    if version.is_none() {
        let message = match found {
            None => format!("`apiVersion` is missing: it must be {needed}"),
            Some("mirror.openshift.io/v1alpha1") => {
                format!("v1alpha1 is not read, by oc-mirror neither: move the file to {needed}")
            }
            Some(other) => format!("{other:?} is not read: it must be {needed}"),
        };
        problems.add(&Path::Root.field("apiVersion"), message);
    }
    problems.end()?;
    version.ok_or_else(|| Problem::at(root.location, &format!("not an {KIND}")).into())
}

/// The word that a field of the document holds.
fn word<'n>(root: &'n Node, name: &str) -> Option<&'n str> {
    match &root.get(name)?.value {
        yaml::Value::Scalar { text, .. } if !text.is_empty() => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
