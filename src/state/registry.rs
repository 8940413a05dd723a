//! States in a registry: an OCI artifact under a tag, whose one layer is the document.
//!
//! A registry has no conditional write. What the tag names is compared before it is set and looked
//! at again afterwards: two that save within the same moment may still both believe that they did,
//! and the next sequence of one of them is then refused where it arrives, as a fork.

use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;

use super::{DocumentError, Fault, MAX_SIZE, Stored, Version};
use crate::client::Remote;
use crate::oci::{Descriptor, Digest, Manifest, MediaType, Name, Reference, Role, TagOrDigest};
use crate::source::{self, Body, Source as _};

/// What the artifact is.
const ARTIFACT_TYPE: &str = "application/vnd.shipperd.state.v1";
/// What its layer is.
const LAYER_TYPE: &str = "application/vnd.shipperd.state.v1+json";
/// The configuration of an artifact that needs none, and the layer of one that holds none.
const EMPTY: &[u8] = b"{}";

/// The state of one imageset in a registry.
#[derive(Clone, Debug)]
pub(super) struct Registry {
    remote: Remote,
    name: Name,
    target: TagOrDigest,
    imageset: String,
}

/// The tag names something else.
#[derive(Debug, thiserror::Error)]
#[error("the tag holds {0}, not the state of an imageset")]
struct Otherwise(String);

impl Registry {
    /// The state under the tag of `reference`, else under the name of the imageset.
    pub(super) fn new(remote: &Remote, reference: &Reference, imageset: &str) -> Option<Self> {
        let tag = reference.tag.clone().or_else(|| imageset.parse().ok())?;
        Some(Self {
            remote: remote.clone(),
            name: reference.name(),
            target: TagOrDigest::Tag(tag),
            imageset: imageset.to_owned(),
        })
    }

    pub(super) async fn read(&self) -> Result<Option<Stored>, Fault> {
        let document = match self.remote.manifest(&self.name, &self.target).await {
            Err(error) if is_absent(&error) => return Ok(None),
            document => document.map_err(Fault::of)?,
        };
        if document.digest == Digest::of(&artifact(removed()).map_err(Fault::of)?) {
            return Ok(None);
        }
        let manifest = Manifest::parse(&document.bytes, Some(&document.media_type));
        let manifest = manifest.map_err(Fault::of)?;
        let kind = manifest.artifact_type.unwrap_or_else(|| manifest.media_type.to_string());
        if kind != ARTIFACT_TYPE {
            return Err(Fault::of(Otherwise(kind)));
        }
        let version = Version(document.digest.to_string());
        let mut layers = manifest.children.into_iter().filter(|it| it.role == Role::Layer);
        let (Some(layer), None) = (layers.next(), layers.next()) else {
            let found = DocumentError::Content("is not one layer");
            return Err(Fault::Damaged(version, found));
        };
        self.layer(layer.descriptor, version).await.map(Some)
    }

    async fn layer(&self, layer: Descriptor, version: Version) -> Result<Stored, Fault> {
        if layer.size > MAX_SIZE {
            return Err(Fault::TooLong);
        }
        let blob = match self.remote.blob(&self.name, &layer.digest, 0..u64::MAX).await {
            Err(source::Error::BlobUnknown(_)) => {
                return Err(Fault::Damaged(version, DocumentError::Content("is gone")));
            }
            blob => blob.map_err(Fault::of)?,
        };
        let Body::Stream(mut stream) = blob.body else {
            return Err(Fault::of(Otherwise("a file".to_owned())));
        };
        let mut bytes = BytesMut::new();
        while let Some(piece) = stream.try_next().await.map_err(Fault::of)? {
            if bytes.len() as u64 + piece.len() as u64 > layer.size {
                return Err(Fault::Damaged(version, DocumentError::Content("is too long")));
            }
            bytes.extend_from_slice(&piece);
        }
        if !layer.digest.matches(&bytes) {
            let found = DocumentError::Content("is not what its digest says");
            return Err(Fault::Damaged(version, found));
        }
        Ok(Stored { bytes: bytes.into(), version })
    }

    pub(super) async fn write(
        &self,
        bytes: Vec<u8>,
        expected: Option<&Version>,
    ) -> Result<Version, Fault> {
        // Known before much is sent, and once more when it counts.
        self.compare(expected).await?;
        let mut layer = descriptor(LAYER_TYPE, &bytes).map_err(Fault::of)?;
        let title = "org.opencontainers.image.title".to_owned();
        layer.annotations.insert(title, format!("{}.json", self.imageset));
        self.push(&layer.digest, bytes.into()).await?;
        self.set(layer, expected).await
    }

    /// Not every registry lets tags be removed: what is left says that nothing is here.
    pub(super) async fn remove(&self, expected: &Version) -> Result<(), Fault> {
        self.set(removed().map_err(Fault::of)?, Some(expected)).await.map(drop)
    }

    async fn set(&self, layer: Descriptor, expected: Option<&Version>) -> Result<Version, Fault> {
        self.push(&Digest::of(EMPTY), Bytes::from_static(EMPTY)).await?;
        let manifest = artifact(Ok(layer)).map_err(Fault::of)?;
        let digest = Digest::of(&manifest);
        let media_type = MediaType::OCI_MANIFEST.parse().map_err(Fault::of)?;
        self.compare(expected).await?;
        let pushed =
            self.remote.push_manifest(&self.name, &self.target, &media_type, manifest.into());
        pushed.await.map_err(Fault::of)?;
        let found = self.remote.resolve(&self.name, &self.target).await.map_err(Fault::of)?.digest;
        if found == digest { Ok(Version(digest.to_string())) } else { Err(Fault::Conflict) }
    }

    async fn push(&self, digest: &Digest, bytes: Bytes) -> Result<(), Fault> {
        self.remote.push_blob(&self.name, digest, bytes).await.map_err(Fault::of)
    }

    async fn compare(&self, expected: Option<&Version>) -> Result<(), Fault> {
        let found = match self.remote.resolve(&self.name, &self.target).await {
            Ok(found) => Some(found.digest),
            Err(error) if is_absent(&error) => None,
            Err(error) => return Err(Fault::of(error)),
        };
        let removed = Digest::of(&artifact(removed()).map_err(Fault::of)?);
        let found = found.filter(|found| *found != removed);
        let found = found.map(|digest| Version(digest.to_string()));
        if found.as_ref() == expected { Ok(()) } else { Err(Fault::Conflict) }
    }
}

fn is_absent(error: &source::Error) -> bool {
    matches!(error, source::Error::ManifestUnknown(_) | source::Error::NameUnknown(_))
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Result<Descriptor, crate::oci::Error> {
    Ok(Descriptor::new(media_type.parse()?, Digest::of(bytes), bytes.len() as u64))
}

/// The layer of the artifact that says that there is no state.
fn removed() -> Result<Descriptor, crate::oci::Error> {
    descriptor(MediaType::OCI_EMPTY, EMPTY)
}

/// The manifest of the artifact with this layer.
fn artifact(layer: Result<Descriptor, crate::oci::Error>) -> Result<Vec<u8>, crate::oci::Error> {
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "artifactType": ARTIFACT_TYPE,
        "config": descriptor(MediaType::OCI_EMPTY, EMPTY)?,
        "layers": [layer?],
    });
    Ok(manifest.to_string().into_bytes())
}
