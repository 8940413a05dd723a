//! What a host answered: read with limits, believed only when checked.

use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Response, StatusCode};

use super::{Error, shown};
use crate::oci::{ErrorBody, ErrorCode};

/// How much of the body of an error is read, in bytes.
const MAX_FAULT: u64 = 64 << 10;
/// How many of a registry's messages are shown.
const MAX_MESSAGES: usize = 3;

/// The answer to a request, its body yet to be read.
#[derive(Debug)]
pub(super) struct Answer {
    host: String,
    response: Response,
    redirected: bool,
}

/// What a registry says is wrong.
#[derive(Debug)]
pub(super) struct Fault {
    /// The first code of the specification's table, if it gave one.
    pub(super) code: Option<ErrorCode>,
    /// All of it, as an error.
    pub(super) error: Error,
}

impl Answer {
    pub(super) fn new(host: String, response: Response, redirected: bool) -> Self {
        Self { host, response, redirected }
    }

    /// Who answered.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Whether another host answered than the one that was asked.
    pub(super) fn redirected(&self) -> bool {
        self.redirected
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// A header, if it is there and is text.
    pub(super) fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// An error that says which part of this answer is wrong.
    pub(super) fn wrong(&self, what: &'static str, found: &str) -> Error {
        Error::Answer { host: self.host.clone(), what, found: shown(found) }
    }

    /// The next piece of the body; nothing at its end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let fault = |source: reqwest::Error| Error::Broken {
            host: self.host.clone(),
            source: source.without_url(),
        };
        self.response.chunk().await.map_err(fault)
    }

    /// The whole body, if it has at most `limit` bytes.
    pub(super) async fn bytes(mut self, limit: u64) -> Result<Bytes, Error> {
        let too_long = |host: &str| Error::TooLong { host: host.to_owned(), limit };
        if self.response.content_length().is_some_and(|length| length > limit) {
            return Err(too_long(&self.host));
        }
        let mut body = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() as u64 + chunk.len() as u64 > limit {
                return Err(too_long(&self.host));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body.freeze())
    }

    /// Reads what an answer that is no success says.
    pub(super) async fn fault(self) -> Fault {
        let (host, status) = (self.host.clone(), self.status().as_u16());
        // Without its body the status is all there is to say.
        let body = self.bytes(MAX_FAULT).await.unwrap_or_default();
        let errors = serde_json::from_slice::<ErrorBody>(&body).map(|body| body.errors);
        let errors = errors.unwrap_or_default();
        let messages: Vec<&str> =
            errors.iter().take(MAX_MESSAGES).map(|entry| entry.message.as_str()).collect();
        let message = shown(&messages.join("; "));
        let code = errors.first().map(|entry| entry.code);
        Fault { code, error: Error::Status { host, status, message } }
    }
}
