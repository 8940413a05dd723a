//! The documents of an OCI image layout.
//!
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>
//!
//! ```text
//! oci-layout               {"imageLayoutVersion": "1.0.0"}
//! index.json               the descriptors of what the layout carries, named by annotations
//! blobs/<algorithm>/<hex>
//! ```

use oci_spec::image as spec;
use serde::{Deserialize, Serialize};

use super::{Descriptor, Digest, Error, MediaType, Reference, Repository, Tag};

/// The file that says that a directory is an OCI layout.
pub const LAYOUT_FILE: &str = "oci-layout";
/// What it says.
pub const LAYOUT_TEXT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
/// The index of a layout.
pub const INDEX_FILE: &str = "index.json";
/// The annotation that names a descriptor: a full reference, or only a tag.
pub const REF_NAME: &str = spec::ANNOTATION_REF_NAME;
/// The annotation in which containerd keeps the full reference.
pub const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// The annotation in which hauler keeps the full reference.
const HAULER_NAME: &str = "hauler.dev/original-ref";
/// The annotation in which zarf keeps the full reference.
const BASE_NAME: &str = spec::ANNOTATION_BASE_IMAGE_NAME;

/// The path of a blob in a layout.
#[must_use]
pub fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// An `index.json`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    schema_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<MediaType>,
    /// What the layout carries.
    pub manifests: Vec<Descriptor>,
}

/// How an entry of an `index.json` is named.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Root {
    /// By a full reference.
    Full(Reference),
    /// By a repository and perhaps a tag, without a registry.
    Path(Repository, Option<Tag>),
    /// By a tag alone: the layout's own name is its repository.
    Tag(Tag),
    /// Not at all.
    Nameless,
}

impl Index {
    /// An index of these descriptors.
    ///
    /// # Errors
    ///
    /// Never for our own media type.
    pub fn new(manifests: Vec<Descriptor>) -> Result<Self, Error> {
        let media_type = Some(MediaType::OCI_INDEX.parse()?);
        Ok(Self { schema_version: spec::SCHEMA_VERSION, media_type, manifests })
    }

    /// Reads an `index.json`.
    ///
    /// # Errors
    ///
    /// When it is not one, or not of version 2.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let fault = |error: serde_json::Error| Error::Layout(format!("{INDEX_FILE}: {error}"));
        let index: Self = serde_json::from_slice(bytes).map_err(fault)?;
        if index.schema_version != spec::SCHEMA_VERSION {
            let found = index.schema_version;
            return Err(Error::Layout(format!("{INDEX_FILE}: schema version {found}")));
        }
        Ok(index)
    }

    /// The bytes of the document: the same for the same descriptors.
    ///
    /// # Errors
    ///
    /// Never for checked words.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(self).map_err(|error| Error::Layout(error.to_string()))
    }
}

impl Root {
    /// Reads the name of an entry, as every tool that writes layouts puts it.
    ///
    /// The annotations that hold full references come first; `ref.name` holds a
    /// full reference, a `repository:tag` (hauler), a bare tag (skopeo), or `repository@digest`.
    #[must_use]
    pub fn of(descriptor: &Descriptor) -> Self {
        let full = |key: &str| {
            let text = descriptor.annotations.get(key)?;
            let (first, _) = text.split_once('/')?;
            if !first.contains(['.', ':']) && first != "localhost" {
                return None;
            }
            text.parse().ok()
        };
        if let Some(reference) =
            [CONTAINERD_NAME, HAULER_NAME, REF_NAME, BASE_NAME].into_iter().find_map(full)
        {
            return Self::Full(reference);
        }
        let Some(name) = descriptor.annotations.get(REF_NAME) else { return Self::Nameless };
        if let Ok(tag) = name.parse() {
            return Self::Tag(tag);
        }
        let (repository, tag) = match (name.split_once('@'), name.rsplit_once(':')) {
            // What has no tag is named by its digest.
            (Some((repository, _)), _) => (repository, None),
            (None, Some((repository, tag))) => (repository, tag.parse().ok()),
            (None, None) => (name.as_str(), None),
        };
        repository.parse().map_or(Self::Nameless, |repository| Self::Path(repository, tag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_every_dialect() {
        let full = |text: &str| Root::Full(text.parse().unwrap());
        let by_digest = format!("apps/app3@{}", Digest::of(b""));
        for (annotations, expected) in [
            (&[][..], Root::Nameless),
            (&[(REF_NAME, "v1.3")], Root::Tag("v1.3".parse().unwrap())),
            (&[(REF_NAME, "127.0.0.1:5994/a/b:v1")], full("127.0.0.1:5994/a/b:v1")),
            (
                &[(REF_NAME, "apps/app3:v1.3")],
                Root::Path("apps/app3".parse().unwrap(), "v1.3".parse().ok()),
            ),
            (
                &[(REF_NAME, "v1"), (CONTAINERD_NAME, "docker.io/library/x:v1")],
                full("docker.io/library/x:v1"),
            ),
            (
                &[(REF_NAME, "apps/x:v1"), (HAULER_NAME, "quay.io/apps/x:v1")],
                full("quay.io/apps/x:v1"),
            ),
            (&[(REF_NAME, &by_digest)], Root::Path("apps/app3".parse().unwrap(), None)),
            (&[(REF_NAME, "../../etc")], Root::Nameless),
        ] {
            let mut descriptor =
                Descriptor::new(MediaType::OCI_MANIFEST.parse().unwrap(), Digest::of(b""), 0);
            descriptor.annotations =
                annotations.iter().map(|(key, text)| ((*key).into(), (*text).into())).collect();
            assert_eq!(Root::of(&descriptor), expected, "{annotations:?}");
        }
    }

    #[test]
    fn an_index_reads_back() {
        let media_type = MediaType::OCI_MANIFEST.parse().unwrap();
        let index = Index::new(vec![Descriptor::new(media_type, Digest::of(b"a"), 1)]).unwrap();
        let bytes = index.to_bytes().unwrap();
        assert_eq!(Index::parse(&bytes).unwrap().manifests, index.manifests);
        assert!(Index::parse(br#"{"schemaVersion":1,"manifests":[]}"#).is_err());
        assert!(Index::parse(b"{}").is_err());
    }
}
