//! Where content is read from.
//!
//! Everything that serves, copies or plans does it through [`Source`]: a bundle,
//! a stack of bundles, a remote registry and a test fixture look alike.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;

use crate::extent::Content;
pub use crate::oci::Name;
use crate::oci::{Descriptor, Digest, MediaType, Repository, Tag, TagOrDigest};
use crate::verification::Verification;

/// The bytes of a manifest or index, exactly as its author wrote them.
#[derive(Clone, Debug)]
pub struct Document {
    /// The type to serve it with.
    pub media_type: MediaType,
    /// Their digest.
    pub digest: Digest,
    /// The bytes.
    pub bytes: Bytes,
}

/// A part of a blob, opened for reading.
#[derive(Debug)]
pub struct Blob {
    /// The size of the whole blob, in bytes.
    pub size: u64,
    /// The bytes asked for.
    pub body: Body,
}

/// The bytes of a part of a blob.
pub enum Body {
    /// They lie in a bundle.
    Stored(Stored),
    /// They come from elsewhere, in order, and are not verified.
    Stream(ByteStream),
}

/// Bytes that come piece by piece.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send>>;

/// A part of a stored blob.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The whole blob.
    pub content: Content,
    /// Which bytes of it were asked for.
    pub range: Range<u64>,
    /// The verification that readers must take part in; nothing once the bytes are known good.
    ///
    /// A reader of the whole shows what it reads and withholds its last piece until
    /// the verdict. A reader of a part has it completed first.
    pub verification: Option<Arc<Verification>>,
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored(stored) => stored.fmt(f),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

/// A read-only registry.
///
/// Every method that takes a name fails with [`Error::NameUnknown`] when no such
/// repository is here, and with [`Error::Unavailable`] when the source is out of reach.
pub trait Source: Send + Sync + 'static {
    /// Finds a manifest without reading it.
    ///
    /// # Errors
    ///
    /// [`Error::ManifestUnknown`] when it, or something it needs, is not here;
    /// [`Error::LeftOut`] when that is on purpose.
    fn resolve(
        &self,
        name: &Name,
        target: &TagOrDigest,
    ) -> impl Future<Output = Result<Descriptor, Error>> + Send;

    /// Reads a manifest; its bytes have the digest that is answered.
    ///
    /// # Errors
    ///
    /// [`Error::ManifestUnknown`] as [`Source::resolve`]; [`Error::Damaged`] when the
    /// bytes are not what was asked for.
    fn manifest(
        &self,
        name: &Name,
        target: &TagOrDigest,
    ) -> impl Future<Output = Result<Document, Error>> + Send;

    /// The size of a blob, in bytes. A manifest is a blob, too.
    ///
    /// # Errors
    ///
    /// [`Error::BlobUnknown`] when it is not here.
    fn stat(&self, name: &Name, digest: &Digest)
    -> impl Future<Output = Result<u64, Error>> + Send;

    /// Opens a blob from the byte `range.start` up to, not including, `range.end`.
    ///
    /// A range past the end is cut; `0..u64::MAX` is the whole.
    ///
    /// # Errors
    ///
    /// [`Error::BlobUnknown`] when it is not here.
    fn blob(
        &self,
        name: &Name,
        digest: &Digest,
        range: Range<u64>,
    ) -> impl Future<Output = Result<Blob, Error>> + Send;

    /// Lists at most `limit` tags, in byte order, that sort after `after`.
    ///
    /// # Errors
    ///
    /// Those of every method.
    fn tags(
        &self,
        name: &Name,
        after: &str,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Tag>, Error>> + Send;

    /// Lists at most `limit` repositories, in byte order, that sort after `after`.
    ///
    /// # Errors
    ///
    /// Those of every method.
    fn repositories(
        &self,
        after: &str,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Repository>, Error>> + Send;

    /// Lists the manifests whose subject is `digest`; none when it is not known.
    ///
    /// # Errors
    ///
    /// Those of every method.
    fn referrers(
        &self,
        name: &Name,
        digest: &Digest,
    ) -> impl Future<Output = Result<Vec<Descriptor>, Error>> + Send;
}

/// Why a [`Source`] could not answer, in the words of the distribution specification.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The repository is not here.
    #[error("repository not known: {0}")]
    NameUnknown(Name),
    /// The repository is here, the manifest is not.
    #[error("manifest not known: {0}")]
    ManifestUnknown(TagOrDigest),
    /// The manifest is not here on purpose: an index names it for a platform nobody asked for.
    #[error(
        "manifest {digest} was left out of imageset {imageset} on purpose: its platform was not asked for"
    )]
    LeftOut {
        /// The manifest.
        digest: Digest,
        /// The imageset, by its name.
        imageset: String,
    },
    /// The repository is here, the blob is not.
    #[error("blob not known: {0}")]
    BlobUnknown(Digest),
    /// Who asks must say who they are, or is nobody the source knows.
    #[error("credentials needed for {0}")]
    Unauthorized(Name),
    /// Who asks may not read this.
    #[error("access denied to {0}")]
    Denied(Name),
    /// The bytes are not what was asked for.
    #[error("the bytes of {digest} do not match their digest: {found}")]
    Damaged {
        /// What was asked for.
        digest: Digest,
        /// What the bytes are instead.
        found: String,
    },
    /// The source is out of reach or at fault; asking again later may work.
    #[error("{attempted} failed")]
    Unavailable {
        /// What was attempted, on which object.
        attempted: String,
        /// Why it failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// Whether the same request may succeed later.
    #[must_use]
    pub fn retryable(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::NameUnknown(_)
            | Self::ManifestUnknown(_)
            | Self::LeftOut { .. }
            | Self::BlobUnknown(_)
            | Self::Unauthorized(_)
            | Self::Denied(_)
            | Self::Damaged { .. } => false,
        }
    }
}

/// An error and its causes in one line, for logs and reports.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
