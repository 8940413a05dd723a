//! The write half of the distribution specification, spoken as a client.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#push>

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};

use super::Error;
use super::answer::Answer;
use super::auth::Scope;
use super::remote::{Object, Question, Remote};
use crate::oci::{Digest, MediaType, TagOrDigest};
use crate::source::{self, Name};

/// What the bytes of a blob are sent as.
const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

impl Remote {
    /// Stores a blob in a repository, unless it is there already.
    ///
    /// # Errors
    ///
    /// [`source::Error::Denied`] and [`source::Error::Unauthorized`] when who asks may not write
    /// there; [`source::Error::Unavailable`] when the registry does not take it.
    pub async fn push_blob(
        &self,
        name: &Name,
        digest: &Digest,
        bytes: Bytes,
    ) -> Result<(), source::Error> {
        let attempted = format!("pushing blob {name}@{digest}");
        let question = Question { attempted, name: Some(name), object: Object::Repository };
        let fault = |error| question.failed(error);
        let scope = self.scope_to_write(name).map_err(fault)?;
        let url = self.url(&scope, &format!("blobs/{digest}")).map_err(fault)?;
        let there = self.send(&scope, Method::HEAD, url, HeaderMap::new()).await.map_err(fault)?;
        if there.status() == StatusCode::OK {
            return Ok(());
        }
        let url = self.url(&scope, "blobs/uploads/").map_err(fault)?;
        let begun = self.put(&scope, Method::POST, url.clone(), OCTETS, Bytes::new()).await;
        let begun = begun.map_err(fault)?;
        if begun.status() != StatusCode::ACCEPTED {
            return Err(question.refused(begun).await);
        }
        let mut place = upload(&begun, &url).map_err(fault)?;
        place.query_pairs_mut().append_pair("digest", &digest.to_string());
        let done = self.put(&scope, Method::PUT, place, OCTETS, bytes).await.map_err(fault)?;
        if done.status() != StatusCode::CREATED {
            return Err(question.refused(done).await);
        }
        Ok(())
    }

    /// Stores a manifest in a repository under a tag or its digest.
    ///
    /// # Errors
    ///
    /// Those of [`Remote::push_blob`]; a registry does not take a manifest before its blobs.
    pub async fn push_manifest(
        &self,
        name: &Name,
        target: &TagOrDigest,
        media_type: &MediaType,
        bytes: Bytes,
    ) -> Result<(), source::Error> {
        let separator = if matches!(target, TagOrDigest::Tag(_)) { ':' } else { '@' };
        let attempted = format!("pushing manifest {name}{separator}{target}");
        let question = Question { attempted, name: Some(name), object: Object::Repository };
        let fault = |error| question.failed(error);
        let scope = self.scope_to_write(name).map_err(fault)?;
        let url = self.url(&scope, &format!("manifests/{target}")).map_err(fault)?;
        let wrong = |_| fault(Error::Host { host: scope.registry.to_string() });
        let media_type = HeaderValue::from_str(media_type.as_str()).map_err(wrong)?;
        let done = self.put(&scope, Method::PUT, url, media_type, bytes).await.map_err(fault)?;
        if done.status() != StatusCode::CREATED {
            return Err(question.refused(done).await);
        }
        Ok(())
    }

    async fn put(
        &self,
        scope: &Scope,
        method: Method,
        url: Url,
        media_type: HeaderValue,
        bytes: Bytes,
    ) -> Result<Answer, Error> {
        let headers = [(CONTENT_TYPE, media_type)].into_iter().collect();
        self.send_body(scope, method, url, headers, bytes).await
    }
}

/// Where a registry wants the bytes of a blob, which may be another host.
fn upload(begun: &Answer, asked: &Url) -> Result<Url, Error> {
    let location = begun.header(&LOCATION).unwrap_or_default();
    let place = asked.join(location).ok().filter(|place| {
        // A user name in a URL would become a credential of its own.
        !location.is_empty() && place.username().is_empty() && place.password().is_none()
    });
    place.ok_or_else(|| begun.wrong("Location", location))
}
