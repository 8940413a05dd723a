//! The one table from what went wrong to what the client and the log are told.

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;

use super::request;
use crate::oci::{self, ErrorBody, ErrorCode};
use crate::source;

/// Why a request is not answered with what it asks for.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// It is no request of the specification.
    #[error(transparent)]
    Request(#[from] request::Error),
    /// The source does not have it, or is at fault.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// None of the bytes asked for are there.
    #[error("the blob has {size} bytes, none of those asked for")]
    Range {
        /// The size of the blob, in bytes.
        size: u64,
    },
    /// Stored bytes cannot be read.
    #[error("cannot read blob {digest}")]
    Read {
        /// The blob.
        digest: oci::Digest,
        /// Why not.
        source: std::io::Error,
    },
    /// An address longer than any of ours.
    #[error("the address is too long")]
    TooLong,
    /// HTTP/1.1 without a `Host`.
    #[error("the request has no Host header")]
    NoHost,
}

impl Error {
    /// The status, the code of the specification, and whether we are at fault.
    fn row(&self) -> (StatusCode, ErrorCode, bool) {
        match self {
            Self::Request(error) => {
                let (status, code) = request_row(error);
                (status, code, false)
            }
            Self::Source(error) => source_row(error),
            Self::Range { .. } => {
                (StatusCode::RANGE_NOT_SATISFIABLE, ErrorCode::Unsupported, false)
            }
            Self::Read { .. } => (StatusCode::INTERNAL_SERVER_ERROR, ErrorCode::Unknown, true),
            Self::TooLong => (StatusCode::URI_TOO_LONG, ErrorCode::NameInvalid, false),
            Self::NoHost => (StatusCode::BAD_REQUEST, ErrorCode::Unsupported, false),
        }
    }

    /// The header that belongs to this answer.
    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::Request(request::Error::ReadOnly) => {
                Some((ALLOW, HeaderValue::from_static("GET, HEAD")))
            }
            Self::Source(source::Error::Unavailable { .. }) => {
                Some((RETRY_AFTER, HeaderValue::from_static("5")))
            }
            Self::Source(source::Error::Unauthorized(_)) => {
                Some((WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"shipperd\"")))
            }
            Self::Range { size } => {
                let value = HeaderValue::try_from(format!("bytes */{size}")).ok()?;
                Some((CONTENT_RANGE, value))
            }
            _ => None,
        }
    }

    /// The answer; what is our fault is logged, here and once, and not told to the client.
    pub(super) fn into_response(self, method: &str, path: &str) -> Response {
        let (status, code, ours) = self.row();
        let message = if ours {
            tracing::error!(method, path, "{method} {path}: {}", source::chain(&self));
            "the registry is at fault, see its log".to_owned()
        } else {
            self.to_string()
        };
        // A body of checked words always has a JSON form.
        let body = serde_json::to_vec(&ErrorBody::new(code, message)).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.extend(self.header());
        response
    }
}

fn request_row(error: &request::Error) -> (StatusCode, ErrorCode) {
    match error {
        request::Error::NotFound => (StatusCode::NOT_FOUND, ErrorCode::Unsupported),
        request::Error::ReadOnly => (StatusCode::METHOD_NOT_ALLOWED, ErrorCode::Unsupported),
        request::Error::Encoding => (StatusCode::BAD_REQUEST, ErrorCode::NameInvalid),
        request::Error::PageLength => (StatusCode::BAD_REQUEST, ErrorCode::Unsupported),
        request::Error::Word(word) => {
            let code = match word {
                oci::Error::Digest(_) => ErrorCode::DigestInvalid,
                oci::Error::Tag(_) => ErrorCode::ManifestInvalid,
                _ => ErrorCode::NameInvalid,
            };
            (StatusCode::BAD_REQUEST, code)
        }
    }
}

fn source_row(error: &source::Error) -> (StatusCode, ErrorCode, bool) {
    match error {
        source::Error::NameUnknown(_) => (StatusCode::NOT_FOUND, ErrorCode::NameUnknown, false),
        source::Error::ManifestUnknown(_) | source::Error::LeftOut { .. } => {
            (StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown, false)
        }
        source::Error::BlobUnknown(_) => (StatusCode::NOT_FOUND, ErrorCode::BlobUnknown, false),
        source::Error::Unauthorized(_) => {
            (StatusCode::UNAUTHORIZED, ErrorCode::Unauthorized, false)
        }
        source::Error::Denied(_) => (StatusCode::FORBIDDEN, ErrorCode::Denied, false),
        // Like what is not here, so that the client goes to its next mirror.
        source::Error::Damaged { .. } => (StatusCode::NOT_FOUND, ErrorCode::ManifestUnknown, true),
        source::Error::Unavailable { .. } => {
            (StatusCode::SERVICE_UNAVAILABLE, ErrorCode::Unknown, true)
        }
    }
}
