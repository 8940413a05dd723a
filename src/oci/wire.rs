//! The error codes of the distribution specification and the body that carries one.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes>

use serde::{Deserialize, Serialize};

/// A code of the specification's table, as far as a registry that is only read needs it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorCode {
    /// code-1
    BlobUnknown,
    /// code-4
    DigestInvalid,
    /// code-7
    ManifestUnknown,
    /// code-5
    ManifestInvalid,
    /// code-8
    NameInvalid,
    /// code-9
    NameUnknown,
    /// code-10
    SizeInvalid,
    /// code-11
    Unauthorized,
    /// code-12
    Denied,
    /// code-13
    Unsupported,
    /// code-14
    #[serde(rename = "TOOMANYREQUESTS")]
    TooManyRequests,
    /// Not of the table, but what registries answer to a tag that is none.
    TagInvalid,
    /// Not of the table, but what registries answer when they are at fault.
    #[serde(other)]
    Unknown,
}

/// The body of an answer that is an error.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ErrorBody {
    /// What is wrong, at least one entry.
    pub errors: Vec<ErrorEntry>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ErrorEntry {
    /// What kind of thing.
    pub code: ErrorCode,
    /// In words.
    #[serde(default)]
    pub message: String,
}

impl ErrorBody {
    /// A body with one entry.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { errors: vec![ErrorEntry { code, message: message.into() }] }
    }
}
