//! Opens a blob, whole or from a byte on, whatever the registry makes of ranges.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-blobs>

use std::ops::Range;

use bytes::Buf;
use futures_util::stream;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, StatusCode};

use super::Error;
use super::answer::Answer;
use super::auth::Scope;
use super::remote::{Object, Question, Remote};
use crate::oci::{Digest, TagOrDigest};
use crate::source::{self, Blob, Body, ByteStream, Name, Source};

/// Opens the bytes `range` of a blob.
pub(super) async fn open(
    remote: &Remote,
    name: &Name,
    digest: &Digest,
    range: Range<u64>,
) -> Result<Blob, source::Error> {
    let question = question(name, digest);
    let empty = || Body::Stream(Box::pin(stream::empty()));
    if range.is_empty() {
        return Ok(Blob { size: size(remote, name, digest).await?, body: empty() });
    }
    let answer = get(remote, &question, digest, &range).await?;
    let fault = |error| question.failed(error);
    match answer.status() {
        StatusCode::OK => {
            let size = match length(&answer) {
                Some(size) => size,
                None => size(remote, name, digest).await?,
            };
            let body = body(
                answer,
                range.start,
                range.end.min(size).saturating_sub(range.start),
                &question.attempted,
            );
            Ok(Blob { size, body: Body::Stream(body) })
        }
        StatusCode::PARTIAL_CONTENT => {
            let wrong =
                answer.wrong("Content-Range", answer.header(&CONTENT_RANGE).unwrap_or_default());
            let Some((Some(given), size)) = content_range(&answer) else {
                return Err(fault(wrong));
            };
            let size = match size {
                Some(size) => size,
                None => self::size(remote, name, digest).await?,
            };
            if given != (range.start..range.end.min(size)) {
                return Err(fault(wrong));
            }
            let body = body(answer, 0, given.end - given.start, &question.attempted);
            Ok(Blob { size, body: Body::Stream(body) })
        }
        StatusCode::RANGE_NOT_SATISFIABLE => {
            let wrong =
                answer.wrong("Content-Range", answer.header(&CONTENT_RANGE).unwrap_or_default());
            let size = match content_range(&answer) {
                Some((_, Some(size))) => size,
                _ => size(remote, name, digest).await?,
            };
            if range.start < size { Err(fault(wrong)) } else { Ok(Blob { size, body: empty() }) }
        }
        StatusCode::NOT_FOUND => {
            let unknown = question.refused(answer).await;
            let bytes = manifest(remote, name, digest, unknown).await?;
            let size = bytes.len() as u64;
            let at = |place: u64| usize::try_from(place.min(size)).unwrap_or(bytes.len());
            let part = bytes.slice(at(range.start)..at(range.end));
            let body = Body::Stream(Box::pin(stream::iter([Ok(part)])));
            Ok(Blob { size, body })
        }
        _ => Err(question.refused(answer).await),
    }
}

/// The size of a blob.
pub(super) async fn size(
    remote: &Remote,
    name: &Name,
    digest: &Digest,
) -> Result<u64, source::Error> {
    let question = question(name, digest);
    let (scope, url) = place(remote, &question, digest)?;
    let answer = remote.send(&scope, Method::HEAD, url, HeaderMap::new()).await;
    let answer = answer.map_err(|error| question.failed(error))?;
    match (answer.status(), length(&answer)) {
        (StatusCode::OK, Some(size)) => return Ok(size),
        (StatusCode::NOT_FOUND, _) if !answer.redirected() => {
            let unknown = question.refused(answer).await;
            return manifest(remote, name, digest, unknown).await.map(|bytes| bytes.len() as u64);
        }
        _ => {}
    }
    // A registry that refuses HEAD or gives no length says it with the first byte.
    let answer = get(remote, &question, digest, &(0..1)).await?;
    let size = match answer.status() {
        StatusCode::OK => length(&answer),
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
            content_range(&answer).and_then(|(_, size)| size)
        }
        _ => return Err(question.refused(answer).await),
    };
    size.ok_or_else(|| question.failed(answer.wrong("length", "")))
}

fn question<'a>(name: &'a Name, digest: &'a Digest) -> Question<'a> {
    let attempted = format!("fetching blob {name}@{digest}");
    Question { attempted, name: Some(name), object: Object::Blob(digest) }
}

fn place(
    remote: &Remote,
    question: &Question<'_>,
    digest: &Digest,
) -> Result<(Scope, reqwest::Url), source::Error> {
    let place = || {
        let scope = remote.scope(question.name)?;
        let url = remote.url(&scope, &format!("blobs/{digest}"))?;
        Ok((scope, url))
    };
    place().map_err(|error| question.failed(error))
}

async fn get(
    remote: &Remote,
    question: &Question<'_>,
    digest: &Digest,
    range: &Range<u64>,
) -> Result<Answer, source::Error> {
    let (scope, url) = place(remote, question, digest)?;
    let wanted = match (range.start, range.end) {
        (0, u64::MAX) => None,
        (start, u64::MAX) => Some(format!("bytes={start}-")),
        (start, end) => Some(format!("bytes={start}-{}", end - 1)),
    };
    let wanted = wanted.and_then(|wanted| HeaderValue::from_str(&wanted).ok());
    let headers = wanted.map(|wanted| (RANGE, wanted)).into_iter().collect();
    let answer = remote.send(&scope, Method::GET, url, headers).await;
    answer.map_err(|error| question.failed(error))
}

/// The bytes of a manifest, which some registries do not show among the blobs.
async fn manifest(
    remote: &Remote,
    name: &Name,
    digest: &Digest,
    unknown: source::Error,
) -> Result<bytes::Bytes, source::Error> {
    match remote.manifest(name, &TagOrDigest::Digest(digest.clone())).await {
        Ok(document) => Ok(document.bytes),
        Err(source::Error::ManifestUnknown(_)) => Err(unknown),
        Err(error) => Err(error),
    }
}

fn length(answer: &Answer) -> Option<u64> {
    answer.header(&CONTENT_LENGTH)?.parse().ok()
}

/// Which bytes an answer has, and how many there are.
fn content_range(answer: &Answer) -> Option<(Option<Range<u64>>, Option<u64>)> {
    parse_content_range(answer.header(&CONTENT_RANGE)?)
}

fn parse_content_range(header: &str) -> Option<(Option<Range<u64>>, Option<u64>)> {
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|_| digits)
    };
    let (range, size) = header.trim().strip_prefix("bytes ")?.split_once('/')?;
    let size = if size == "*" { None } else { Some(number(size)?) };
    if range == "*" {
        return Some((None, size));
    }
    let (first, last) = range.split_once('-')?;
    let range = number(first)?..number(last)?.checked_add(1)?;
    let within = size.is_none_or(|size| range.end <= size);
    (!range.is_empty() && within).then_some((Some(range), size))
}

/// The `length` bytes after the first `skip` of an answer; fewer are an error.
fn body(answer: Answer, skip: u64, length: u64, attempted: &str) -> ByteStream {
    let cut = Cut { answer, skip, left: length, attempted: attempted.to_owned() };
    Box::pin(stream::try_unfold(cut, |mut cut| async move {
        match cut.next().await {
            Ok(bytes) => Ok(bytes.map(|bytes| (bytes, cut))),
            Err(error) => {
                let (attempted, source) = (cut.attempted, Box::new(error));
                Err(source::Error::Unavailable { attempted, source })
            }
        }
    }))
}

/// A part of a body under way.
struct Cut {
    answer: Answer,
    skip: u64,
    left: u64,
    attempted: String,
}

impl Cut {
    async fn next(&mut self) -> Result<Option<bytes::Bytes>, Error> {
        while self.left > 0 {
            let Some(mut bytes) = self.answer.chunk().await? else {
                let host = self.answer.host().to_owned();
                return Err(Error::Short { host, missing: self.left });
            };
            let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
            bytes.advance(skipped);
            self.skip -= skipped as u64;
            bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            if !bytes.is_empty() {
                self.left -= bytes.len() as u64;
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        for (header, expected) in [
            ("bytes 0-9/10", Some((Some(0..10), Some(10)))),
            ("bytes 5-5/10", Some((Some(5..6), Some(10)))),
            ("bytes 5-9/*", Some((Some(5..10), None))),
            ("bytes */10", Some((None, Some(10)))),
            ("bytes 9-5/10", None),
            ("bytes 5-10/10", None),
            ("bytes 5-/10", None),
            ("bytes -5/10", None),
            ("bytes +1-5/10", None),
            ("bytes 0-18446744073709551615/*", None),
            ("bytes 0-99999999999999999999/*", None),
            ("items 0-9/10", None),
            ("bytes", None),
            ("", None),
        ] {
            assert_eq!(parse_content_range(header), expected, "{header}");
        }
    }
}
