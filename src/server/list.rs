//! Lists: tags and repositories, page by page, and referrers.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#content-discovery>

use std::fmt;

use axum::http::header::{CONTENT_TYPE, LINK};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use serde::Serialize;

use super::error::Error;
use super::registry::json;
use super::request::Page;
use crate::oci::{Descriptor, Digest, MediaType, Name, Repository, Tag};
use crate::source::Source;

/// The header that says that referrers were filtered.
const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");

#[derive(Serialize)]
struct Tags<'a> {
    name: &'a str,
    tags: Vec<&'a str>,
}

#[derive(Serialize)]
struct Repositories<'a> {
    repositories: Vec<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Referrers {
    schema_version: u32,
    media_type: &'static str,
    manifests: Vec<Descriptor>,
}

/// Answers end-8.
pub(super) async fn tags<S: Source>(
    source: &S,
    name: &Name,
    page: Page,
) -> Result<Response, Error> {
    let mut tags = source.tags(name, &page.last, page.fetched()).await?;
    let next = page.cut(&mut tags);
    let repository = name.repository.as_str();
    let tags = tags.iter().map(Tag::as_str).collect();
    let mut response = document(&Tags { name: repository, tags })?;
    if let Some((limit, last)) = next {
        let ns = name.registry.as_ref().map(|registry| format!("&ns={registry}"));
        let ns = ns.unwrap_or_default();
        link(&mut response, &format!("/v2/{repository}/tags/list?n={limit}&last={last}{ns}"));
    }
    Ok(response)
}

/// Answers `_catalog`.
pub(super) async fn repositories<S: Source>(source: &S, page: Page) -> Result<Response, Error> {
    let mut repositories = source.repositories(&page.last, page.fetched()).await?;
    let next = page.cut(&mut repositories);
    let names = repositories.iter().map(Repository::as_str).collect();
    let mut response = document(&Repositories { repositories: names })?;
    if let Some((limit, last)) = next {
        link(&mut response, &format!("/v2/_catalog?n={limit}&last={last}"));
    }
    Ok(response)
}

/// Answers end-12: always with an index, an empty one when nothing is known.
pub(super) async fn referrers<S: Source>(
    source: &S,
    name: &Name,
    digest: &Digest,
    artifact_type: Option<&str>,
) -> Result<Response, Error> {
    let mut manifests = match source.referrers(name, digest).await {
        Err(crate::source::Error::NameUnknown(_)) => Vec::new(),
        found => found?,
    };
    if let Some(wanted) = artifact_type {
        manifests.retain(|found| found.artifact_type.as_deref() == Some(wanted));
    }
    let media_type = MediaType::OCI_INDEX;
    let mut response = document(&Referrers { schema_version: 2, media_type, manifests })?;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MediaType::OCI_INDEX));
    if artifact_type.is_some() {
        headers.insert(FILTERS_APPLIED, HeaderValue::from_static("artifactType"));
    }
    Ok(response)
}

impl Page {
    /// How many entries to ask for: one more than are wanted tells whether more follow.
    fn fetched(&self) -> usize {
        match self.limit {
            None => usize::MAX,
            Some(0) => 0,
            Some(limit) => limit.saturating_add(1),
        }
    }

    /// Cuts what was fetched down to the page; answers limit and last of the next, if any.
    fn cut<T: fmt::Display>(&self, fetched: &mut Vec<T>) -> Option<(usize, String)> {
        let limit = self.limit.filter(|limit| *limit > 0 && fetched.len() > *limit)?;
        fetched.truncate(limit);
        Some((limit, fetched.last()?.to_string()))
    }
}

fn document(value: &impl Serialize) -> Result<Response, Error> {
    let unavailable = |source: serde_json::Error| crate::source::Error::Unavailable {
        attempted: "writing a list".to_owned(),
        source: source.into(),
    };
    Ok(json(serde_json::to_vec(value).map_err(unavailable)?))
}

fn link(response: &mut Response, target: &str) {
    // Names and tags have no byte that an address or a header could not hold.
    let value = HeaderValue::try_from(format!("<{target}>; rel=\"next\""));
    response.headers_mut().extend(value.map(|value| (LINK, value)));
}
