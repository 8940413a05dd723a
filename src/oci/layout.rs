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
use serde::de::DeserializeOwned;
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

/// An `index.json`, of whose entries `E` is kept: of one that is long not all is needed.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Index<E = Descriptor> {
    schema_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<MediaType>,
    /// What the layout carries.
    pub manifests: Vec<E>,
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

    /// The bytes of the document: the same for the same descriptors.
    ///
    /// # Errors
    ///
    /// Never for checked words.
    pub fn to_bytes(&self) -> Result<Vec<u8>, Error> {
        serde_json::to_vec(self).map_err(|error| Error::Layout(error.to_string()))
    }
}

impl<E: DeserializeOwned> Index<E> {
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
}

impl Root {
    /// Reads the name of an entry, as every tool that writes layouts puts it.
    ///
    /// What names a registry comes first: containerd's and hauler's annotations, then `ref.name`
    /// (podman, buildkit), then `base.name` (zarf; elsewhere it is what an image was built on, so
    /// it comes behind the name of the image itself). Of the others a path and a tag (hauler)
    /// says more than a bare tag (skopeo).
    #[must_use]
    pub fn of(descriptor: &Descriptor) -> Self {
        let text = |key: &str| descriptor.annotations.get(key).map(String::as_str);
        let names = [CONTAINERD_NAME, HAULER_NAME, REF_NAME].map(text);
        let base_name = text(BASE_NAME);
        let with_base = names.into_iter().chain([base_name]).flatten();
        if let Some(reference) = with_base.clone().find_map(full) {
            return Self::Full(reference);
        }
        if let Some(path) = names.into_iter().flatten().find_map(path) {
            return path;
        }
        let reference = || base_name.and_then(|name| name.parse().ok());
        match text(REF_NAME).and_then(|name| name.parse().ok()) {
            Some(tag) => Self::Tag(tag),
            // Early zarf left Docker Hub's host out.
            None => reference().map_or(Self::Nameless, Self::Full),
        }
    }
}

/// A reference whose first part can only be a registry.
fn full(text: &str) -> Option<Reference> {
    let (first, _) = text.split_once('/')?;
    let is_host = first.contains(['.', ':']) || first == "localhost";
    if is_host { text.parse().ok() } else { None }
}

/// `path:tag`, `path@digest` or a path of several parts; a single word is a tag.
fn path(text: &str) -> Option<Root> {
    let (name, is_by_digest) = match text.split_once('@') {
        Some((name, digest)) => (name, digest.parse::<Digest>().is_ok()),
        None => (text, false),
    };
    let (repository, tag) = match name.rsplit_once(':') {
        Some((repository, tag)) => (repository, Some(tag.parse().ok()?)),
        None => (name, None),
    };
    if tag.is_none() && !is_by_digest && !name.contains('/') {
        return None;
    }
    Some(Root::Path(repository.parse().ok()?, tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_every_dialect() {
        let full = |text: &str| Root::Full(text.parse().unwrap());
        let path =
            |repository: &str, tag: &str| Root::Path(repository.parse().unwrap(), tag.parse().ok());
        let digest = Digest::of(b"").to_string();
        let (by_digest, short) = (format!("quay.io/a/b@{digest}"), format!("a/b:v1@{digest}"));
        let untagged = format!("a/b@{digest}");
        for (annotations, expected) in [
            (&[][..], Root::Nameless),
            // skopeo, buildah, and docker beside containerd's.
            (&[(REF_NAME, "v1.3")], Root::Tag("v1.3".parse().unwrap())),
            // podman save, buildkit.
            (&[(REF_NAME, "127.0.0.1:5994/a/b:v1")], full("127.0.0.1:5994/a/b:v1")),
            (&[(REF_NAME, "localhost/b:v1")], full("localhost/b:v1")),
            (&[(REF_NAME, &by_digest)], full(&by_digest)),
            // hauler, with and without the name that was asked for.
            (&[(REF_NAME, "apps/app3:v1.3")], path("apps/app3", "v1.3")),
            (&[(REF_NAME, "app3:v1.3")], path("app3", "v1.3")),
            (&[(REF_NAME, &short)], path("a/b", "v1")),
            (&[(REF_NAME, &untagged)], Root::Path("a/b".parse().unwrap(), None)),
            (
                &[(REF_NAME, "apps/x:v1"), (HAULER_NAME, "quay.io/apps/x:v1")],
                full("quay.io/apps/x:v1"),
            ),
            (
                &[(REF_NAME, "hauler/hello.txt:latest"), (HAULER_NAME, "/srv/hello.txt")],
                path("hauler/hello.txt", "latest"),
            ),
            // containerd, docker; a name in containerd need not have a registry.
            (
                &[(REF_NAME, "v1"), (CONTAINERD_NAME, "docker.io/library/x:v1")],
                full("docker.io/library/x:v1"),
            ),
            (
                &[(HAULER_NAME, "quay.io/other/x:v1"), (CONTAINERD_NAME, "quay.io/x:v1")],
                full("quay.io/x:v1"),
            ),
            (&[(REF_NAME, "v1"), (CONTAINERD_NAME, "x:v1")], path("x", "v1")),
            // zarf: both, only the one, and without Docker Hub's host.
            (
                &[(REF_NAME, "ghcr.io/a/b:v1"), (BASE_NAME, "ghcr.io/a/b:v1")],
                full("ghcr.io/a/b:v1"),
            ),
            (&[(BASE_NAME, "ghcr.io/a/b:v1")], full("ghcr.io/a/b:v1")),
            (&[(BASE_NAME, "alpine:3.18")], full("docker.io/library/alpine:3.18")),
            // What an image was built on is not its name.
            (
                &[(REF_NAME, "quay.io/a/b:v1"), (BASE_NAME, "docker.io/library/alpine:3")],
                full("quay.io/a/b:v1"),
            ),
            (&[(REF_NAME, "v1"), (BASE_NAME, "alpine:3")], Root::Tag("v1".parse().unwrap())),
            (&[(REF_NAME, "../../etc")], Root::Nameless),
            (&[(REF_NAME, "a/b:v 1")], Root::Nameless),
            (&[(REF_NAME, "")], Root::Nameless),
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
        assert_eq!(Index::<Descriptor>::parse(&bytes).unwrap().manifests, index.manifests);
        assert!(Index::<Descriptor>::parse(br#"{"schemaVersion":1,"manifests":[]}"#).is_err());
        assert!(Index::<Descriptor>::parse(b"{}").is_err());
    }
}
