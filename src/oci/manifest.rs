//! Manifests and indexes, read for what they need; their bytes stay as they are.
//!
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/manifest.md>, image-index.md,
//! and docker's schema 2, which has the same shape.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::descriptor::or_default;
use super::{Descriptor, Error, MediaType};

/// The largest manifest read, in bytes: registries must accept 4 MiB
/// (distribution-spec, "Pushing Manifests"), and none accepts more.
pub const MAX_MANIFEST_SIZE: u64 = 4 << 20;

/// What a manifest or index says about itself and points to.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The type to serve it with.
    pub media_type: MediaType,
    /// What it points to, in the document's order.
    pub children: Vec<Child>,
    /// The manifest that this one is about.
    pub subject: Option<Descriptor>,
    /// What kind of artifact it is: its `artifactType`, else the type of its configuration.
    pub artifact_type: Option<String>,
    /// Notes of its author.
    pub annotations: BTreeMap<String, String>,
}

/// One thing a manifest points to.
#[derive(Clone, Debug)]
pub struct Child {
    /// What part it plays.
    pub role: Role,
    /// What it is.
    pub descriptor: Descriptor,
}

/// The part a child plays in its manifest.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Role {
    /// The configuration of an image.
    Config,
    /// A layer of an image, or a file of an artifact.
    Layer,
    /// A manifest of an index.
    Manifest,
}

impl Child {
    /// Whether a registry must have it for its parent to be usable.
    #[must_use]
    pub fn required(&self) -> bool {
        !self.descriptor.media_type.is_foreign_layer()
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: Option<u64>,
    media_type: Option<MediaType>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    #[serde(default, deserialize_with = "or_default")]
    layers: Vec<Descriptor>,
    #[serde(default, deserialize_with = "or_default")]
    blobs: Vec<Descriptor>,
    #[serde(default, deserialize_with = "or_default")]
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    #[serde(default, deserialize_with = "or_default")]
    annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// Reads a manifest or index.
    ///
    /// The type is what the document says of itself, else `declared` (what the
    /// registry or the parent said), else what its fields show.
    ///
    /// # Errors
    ///
    /// When the bytes are not a manifest, or of docker's schema 1.
    pub fn parse(bytes: &[u8], declared: Option<&MediaType>) -> Result<Self, Error> {
        let fault = |error: serde_json::Error| Error::Manifest(error.to_string());
        let document: Document = serde_json::from_slice(bytes).map_err(fault)?;
        if document.schema_version == Some(1) {
            return Err(Error::Schema1);
        }
        let declared = declared.filter(|media_type| media_type.is_manifest()).cloned();
        let media_type = match document.media_type.or(declared) {
            Some(media_type) => media_type,
            None if document.manifests.is_some() => MediaType::OCI_INDEX.parse()?,
            None if document.config.is_some() => MediaType::OCI_MANIFEST.parse()?,
            None => return Err(Error::Manifest("has neither manifests nor config".to_owned())),
        };
        let artifact_type = document
            .artifact_type
            .or_else(|| document.config.as_ref().map(|config| config.media_type.to_string()));
        let config = document.config.into_iter().map(|it| (Role::Config, it));
        let manifests = document.manifests.unwrap_or_default().into_iter();
        let children = config
            .chain(document.layers.into_iter().map(|it| (Role::Layer, it)))
            .chain(document.blobs.into_iter().map(|it| (Role::Layer, it)))
            .chain(manifests.map(|it| (Role::Manifest, it)))
            .map(|(role, descriptor)| Child { role, descriptor })
            .collect();
        let annotations = document.annotations;
        Ok(Self { media_type, children, subject: document.subject, artifact_type, annotations })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(media_type: &str) -> String {
        let digest = super::super::Digest::of(media_type.as_bytes());
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":2}}"#)
    }

    #[test]
    fn the_type_is_its_own_then_declared_then_shown() {
        let config = descriptor(MediaType::OCI_CONFIG);
        let docker: MediaType = MediaType::DOCKER_MANIFEST.parse().unwrap();
        for (text, declared, expected) in [
            (format!(r#"{{"schemaVersion":2,"config":{config}}}"#), None, MediaType::OCI_MANIFEST),
            (r#"{"manifests":[]}"#.to_owned(), None, MediaType::OCI_INDEX),
            (format!(r#"{{"config":{config}}}"#), Some(&docker), MediaType::DOCKER_MANIFEST),
            (
                format!(r#"{{"mediaType":"{}","manifests":null}}"#, MediaType::DOCKER_LIST),
                Some(&docker),
                MediaType::DOCKER_LIST,
            ),
        ] {
            let manifest = Manifest::parse(text.as_bytes(), declared).unwrap();
            assert_eq!(manifest.media_type.as_str(), expected, "{text}");
        }
    }

    #[test]
    fn children_in_order_and_foreign_layers_not_required() {
        let foreign = descriptor("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip");
        let text = format!(
            r#"{{"config":{},"layers":[{foreign},{}],"annotations":null}}"#,
            descriptor(MediaType::DOCKER_CONFIG),
            descriptor("application/vnd.oci.image.layer.v1.tar+gzip"),
        );
        let manifest = Manifest::parse(text.as_bytes(), None).unwrap();
        let seen: Vec<_> = manifest.children.iter().map(|it| (it.role, it.required())).collect();
        assert_eq!(seen, [(Role::Config, true), (Role::Layer, false), (Role::Layer, true)]);
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        assert_eq!(Manifest::parse(br#"{"schemaVersion":1}"#, None).unwrap_err(), Error::Schema1);
        for text in ["", "{}", "[]", "null", r#"{"manifests":[{"size":-1}]}"#, r#"{"layers":[]}"#] {
            assert!(Manifest::parse(text.as_bytes(), None).is_err(), "{text}");
        }
    }
}
