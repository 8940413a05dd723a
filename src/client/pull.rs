//! The read half of the distribution specification, spoken as a client.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pull>

use std::collections::HashSet;
use std::ops::Range;

use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};

use super::answer::Answer;
use super::list::{List, MAX_PAGE, following};
use super::remote::{Object, Question, Remote};
use super::{Error, blob};
use crate::oci::{
    Descriptor, Digest, Hasher, MAX_MANIFEST_SIZE, Manifest, MediaType, Repository, Role, Tag,
    TagOrDigest,
};
use crate::source::{self, Blob, Document, Name, Source};

/// The header in which registries say which manifest they answer with.
const DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// How many pages of referrers are read.
const MAX_REFERRER_PAGES: usize = 1000;

impl Source for Remote {
    async fn resolve(
        &self,
        name: &Name,
        target: &TagOrDigest,
    ) -> Result<Descriptor, source::Error> {
        let attempted = format!("resolving {}", reference(name, target));
        let question = Question { attempted, name: Some(name), object: Object::Manifest(target) };
        let answer = self.ask_manifest(&question, Method::HEAD, target).await?;
        match answer.status() {
            StatusCode::OK => {
                if let Some(descriptor) = described(&answer, target) {
                    return Ok(descriptor);
                }
            }
            StatusCode::NOT_FOUND => return Err(question.refused(answer).await),
            _ => {}
        }
        // Not every registry answers HEAD, or in full.
        let document = self.manifest(name, target).await?;
        let size = document.bytes.len() as u64;
        Ok(Descriptor::new(document.media_type, document.digest, size))
    }

    async fn manifest(&self, name: &Name, target: &TagOrDigest) -> Result<Document, source::Error> {
        let attempted = format!("fetching manifest {}", reference(name, target));
        let question = Question { attempted, name: Some(name), object: Object::Manifest(target) };
        let answer = self.ask_manifest(&question, Method::GET, target).await?;
        if answer.status() != StatusCode::OK {
            return Err(question.refused(answer).await);
        }
        let fault = |error| question.failed(error);
        let declared = media_type(&answer);
        let promised = match (target, answer.header(&DIGEST)) {
            (TagOrDigest::Digest(digest), _) => Some(digest.clone()),
            (TagOrDigest::Tag(_), None) => None,
            (TagOrDigest::Tag(_), Some(found)) => {
                let wrong = |_| fault(answer.wrong("Docker-Content-Digest", found));
                Some(found.parse().map_err(wrong)?)
            }
        };
        let host = answer.host().to_owned();
        let bytes = answer.bytes(MAX_MANIFEST_SIZE).await.map_err(fault)?;
        let digest = match promised {
            Some(digest) => verified(digest, &bytes)?,
            None => Digest::of(&bytes),
        };
        let parsed = Manifest::parse(&bytes, declared.as_ref());
        let media_type =
            parsed.map_err(|source| fault(Error::Manifest { host, source }))?.media_type;
        Ok(Document { media_type, digest, bytes })
    }

    async fn stat(&self, name: &Name, digest: &Digest) -> Result<u64, source::Error> {
        blob::size(self, name, digest).await
    }

    async fn blob(
        &self,
        name: &Name,
        digest: &Digest,
        range: Range<u64>,
    ) -> Result<Blob, source::Error> {
        blob::open(self, name, digest, range).await
    }

    async fn tags(
        &self,
        name: &Name,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Tag>, source::Error> {
        let attempted = format!("listing the tags of {name}");
        let question = Question { attempted, name: Some(name), object: Object::Repository };
        let scope = self.scope(Some(name)).map_err(|error| question.failed(error))?;
        let list = List { remote: self, scope: &scope, question: &question, path: "tags/list" };
        list.read(after, limit).await
    }

    async fn repositories(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Repository>, source::Error> {
        let attempted = "listing repositories".to_owned();
        let mut question = Question { attempted, name: None, object: Object::Repository };
        let scope = self.scope(None).map_err(|error| question.failed(error))?;
        question.attempted = format!("listing the repositories of {}", scope.registry);
        let list = List { remote: self, scope: &scope, question: &question, path: "_catalog" };
        list.read(after, limit).await
    }

    async fn referrers(
        &self,
        name: &Name,
        digest: &Digest,
    ) -> Result<Vec<Descriptor>, source::Error> {
        if let Some(referrers) = self.referrers_listed(name, digest).await? {
            return Ok(referrers);
        }
        // The specification cuts what is longer than a SHA-256.
        let hex: String = digest.hex().chars().take(64).collect();
        let tag = format!("{}-{hex}", digest.algorithm().name());
        let Ok(tag) = tag.parse() else { return Ok(Vec::new()) };
        match self.manifest(name, &TagOrDigest::Tag(tag)).await {
            Ok(document) => Ok(manifests(&document.bytes).unwrap_or_default()),
            Err(source::Error::ManifestUnknown(_)) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

impl Remote {
    async fn ask_manifest(
        &self,
        question: &Question<'_>,
        method: Method,
        target: &TagOrDigest,
    ) -> Result<Answer, source::Error> {
        let accept = MediaType::MANIFESTS.map(|text| (ACCEPT, HeaderValue::from_static(text)));
        let ask = async {
            let scope = self.scope(question.name)?;
            let url = self.url(&scope, &format!("manifests/{target}"))?;
            self.send(&scope, method, url, accept.into_iter().collect()).await
        };
        ask.await.map_err(|error| question.failed(error))
    }

    /// The referrers as the registry lists them; nothing when it has no such list.
    async fn referrers_listed(
        &self,
        name: &Name,
        digest: &Digest,
    ) -> Result<Option<Vec<Descriptor>>, source::Error> {
        let attempted = format!("listing the referrers of {name}@{digest}");
        let question = Question { attempted, name: Some(name), object: Object::Repository };
        let fault = |error| question.failed(error);
        let scope = self.scope(Some(name)).map_err(fault)?;
        if self.without_referrers().contains(&scope) {
            return Ok(None);
        }
        let mut url = self.url(&scope, &format!("referrers/{digest}")).map_err(fault)?;
        let mut referrers = Vec::new();
        let mut seen = HashSet::new();
        while seen.len() < MAX_REFERRER_PAGES && seen.insert(url.clone()) {
            let headers = HeaderMap::new();
            let answer =
                self.send(&scope, Method::GET, url.clone(), headers).await.map_err(fault)?;
            let status = answer.status();
            if status == StatusCode::FORBIDDEN || status.is_server_error() {
                return Err(question.refused(answer).await);
            }
            let is_index =
                media_type(&answer).is_some_and(|it| it.as_str() == MediaType::OCI_INDEX);
            if status != StatusCode::OK || !is_index {
                self.without_referrers().insert(scope);
                return Ok(None);
            }
            let next = following(&answer, &url);
            let host = answer.host().to_owned();
            let body = answer.bytes(MAX_PAGE).await.map_err(fault)?;
            let page = manifests(&body);
            referrers.extend(page.map_err(|source| fault(Error::Manifest { host, source }))?);
            let Some(next) = next else { return Ok(Some(referrers)) };
            url = next;
        }
        let host = scope.registry.to_string();
        Err(fault(Error::Answer { host, what: "Link", found: "endless".to_owned() }))
    }
}

fn reference(name: &Name, target: &TagOrDigest) -> String {
    match target {
        TagOrDigest::Tag(tag) => format!("{name}:{tag}"),
        TagOrDigest::Digest(digest) => format!("{name}@{digest}"),
    }
}

/// What the headers of an answer say of a manifest, if they say enough.
fn described(answer: &Answer, target: &TagOrDigest) -> Option<Descriptor> {
    let media_type = media_type(answer).filter(MediaType::is_manifest)?;
    let size = answer.header(&CONTENT_LENGTH)?.parse().ok()?;
    let found: Digest = answer.header(&DIGEST)?.parse().ok()?;
    match target {
        TagOrDigest::Tag(_) => Some(Descriptor::new(media_type, found, size)),
        TagOrDigest::Digest(digest) => {
            (*digest == found).then(|| Descriptor::new(media_type, found, size))
        }
    }
}

fn media_type(answer: &Answer) -> Option<MediaType> {
    let header = answer.header(&CONTENT_TYPE)?;
    let (media_type, _) = header.split_once(';').unwrap_or((header, ""));
    media_type.trim().to_ascii_lowercase().parse().ok()
}

fn verified(digest: Digest, bytes: &[u8]) -> Result<Digest, source::Error> {
    let mut hasher = Hasher::new(digest.algorithm());
    hasher.update(bytes);
    let found = hasher.finish();
    if found == digest {
        return Ok(digest);
    }
    Err(source::Error::Damaged { digest, found: found.to_string() })
}

/// The manifests that an index lists.
fn manifests(index: &[u8]) -> Result<Vec<Descriptor>, crate::oci::Error> {
    let children = Manifest::parse(index, None)?.children.into_iter();
    Ok(children
        .filter(|child| child.role == Role::Manifest)
        .map(|child| child.descriptor)
        .collect())
}
