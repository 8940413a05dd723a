//! The registry's endpoints: one request, one source, one answer.

use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::Response;

use super::error::Error;
use super::reader::Reader;
use super::request::Request;
use super::{blob, list};
use crate::oci::{Digest, MediaType, Name, TagOrDigest};
use crate::source::Source;

/// The header that names the digest of what is sent.
const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");

/// Answers a request.
pub(super) async fn answer<S: Source>(
    source: &S,
    reader: &Arc<Reader>,
    request: Request,
    (method, headers): (&Method, &HeaderMap),
) -> Result<Response, Error> {
    let is_head = method == Method::HEAD;
    match request {
        Request::Ping => Ok(json(b"{}".to_vec())),
        Request::Blob(name, digest) if is_head => blob::head(source, &name, &digest, headers).await,
        Request::Blob(name, digest) => blob::get(source, reader, (&name, &digest), headers).await,
        Request::Manifest(name, target) if is_head => {
            manifest_head(source, &name, &target, headers).await
        }
        Request::Manifest(name, target) => manifest(source, &name, &target, headers).await,
        Request::Tags(name, page) => list::tags(source, &name, page).await,
        Request::Referrers(name, digest, kind) => {
            list::referrers(source, &name, &digest, kind.as_deref()).await
        }
        Request::Repositories(page) => list::repositories(source, page).await,
    }
}

/// Sends a manifest as it is stored, whatever types the client says that it accepts:
/// clients that send no `Accept`, or an old list, can read it all the same.
async fn manifest<S: Source>(
    source: &S,
    name: &Name,
    target: &TagOrDigest,
    headers: &HeaderMap,
) -> Result<Response, Error> {
    let document = source.manifest(name, target).await?;
    let length = document.bytes.len() as u64;
    let body = Body::from(document.bytes);
    Ok(describe(&document.media_type, &document.digest, length, headers, body))
}

async fn manifest_head<S: Source>(
    source: &S,
    name: &Name,
    target: &TagOrDigest,
    headers: &HeaderMap,
) -> Result<Response, Error> {
    let found = source.resolve(name, target).await?;
    Ok(describe(&found.media_type, &found.digest, found.size, headers, Body::empty()))
}

fn describe(
    media_type: &MediaType,
    digest: &Digest,
    length: u64,
    headers: &HeaderMap,
    body: Body,
) -> Response {
    let is_unchanged = not_modified(headers, digest);
    let mut response = Response::new(if is_unchanged { Body::empty() } else { body });
    let headers = response.headers_mut();
    identify(headers, digest);
    if is_unchanged {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    // A media type has no byte that a header could not hold.
    headers.extend(HeaderValue::from_str(media_type.as_str()).map(|value| (CONTENT_TYPE, value)));
    response
}

/// An answer in JSON.
pub(super) fn json(bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Says which content is sent.
pub(super) fn identify(headers: &mut HeaderMap, digest: &Digest) {
    let etag = format!("\"{digest}\"");
    let plain = etag.trim_matches('"');
    // A digest has no byte that a header could not hold.
    headers.extend(HeaderValue::from_str(plain).map(|value| (CONTENT_DIGEST, value)));
    headers.extend(HeaderValue::try_from(etag).map(|value| (ETAG, value)));
}

/// Whether the client already has this content, by its `If-None-Match`.
pub(super) fn not_modified(headers: &HeaderMap, digest: &Digest) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == "*" || etag_matches(tag, digest))
}

/// Whether an entity tag is that of this content; quotes may be missing.
pub(super) fn etag_matches(tag: &str, digest: &Digest) -> bool {
    let tag = tag.trim();
    let tag = tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"');
    tag.parse::<Digest>().is_ok_and(|named| named == *digest)
}
