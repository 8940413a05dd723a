//! The nouns of the OCI specifications, checked when they are made.
//!
//! The only user of the oci-spec crate. No I/O, no other module of ours.

mod descriptor;
mod digest;
mod layout;
mod manifest;
mod media_type;
mod reference;
mod text;
mod wire;

pub use descriptor::{Descriptor, Platform};
pub use digest::{Algorithm, Digest, Hasher};
pub use layout::{
    CONTAINERD_NAME, INDEX_FILE, Index, LAYOUT_FILE, LAYOUT_TEXT, REF_NAME, Root, blob_path,
};
pub use manifest::{Child, MAX_MANIFEST_SIZE, Manifest, Role};
pub use media_type::MediaType;
pub use reference::{Name, Reference, Registry, Repository, Tag, TagOrDigest};
pub use wire::{ErrorBody, ErrorCode, ErrorEntry};

/// Why a word is not what it should be.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// Not `sha256:` or `sha512:` and as many lower-case hexadecimal digits as that has.
    #[error("not a digest: {0:?}")]
    Digest(Box<str>),
    /// Not a host name or address with an optional port.
    #[error("not a registry host: {0:?}")]
    Registry(Box<str>),
    /// Not a repository name of the distribution specification.
    #[error("not a repository name: {0:?}")]
    Repository(Box<str>),
    /// Not a tag of the distribution specification.
    #[error("not a tag: {0:?}")]
    Tag(Box<str>),
    /// Not `registry/repository:tag` or `registry/repository@digest`.
    #[error("not an image reference: {0:?}: {1}")]
    Reference(Box<str>, &'static str),
    /// Not a media type that can stand in a header.
    #[error("not a media type: {0:?}")]
    MediaType(Box<str>),
    /// Not a manifest or index.
    #[error("not a manifest: {0}")]
    Manifest(String),
    /// A docker schema 1 manifest, which names no sizes.
    #[error("a docker schema 1 manifest, which no current client pulls")]
    Schema1,
    /// Not an OCI layout's document.
    #[error("not an OCI layout: {0}")]
    Layout(String),
}

/// The beginning of a word that does not belong, short enough for a message.
fn shown(text: &str) -> Box<str> {
    text.chars().take(80).collect::<String>().into()
}
