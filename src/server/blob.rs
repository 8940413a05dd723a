//! Blobs: which bytes are asked for, and the headers that say so.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-blobs>,
//! <https://www.rfc-editor.org/rfc/rfc9110#section-14>

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, IF_RANGE, RANGE,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use bytes::Bytes;

use super::error::Error;
use super::pieces::{Part, Pieces};
use super::range::{self, Wanted};
use super::reader::{PIECE, Reader};
use super::registry::{etag_matches, identify, not_modified};
use crate::extent::Content;
use crate::oci::{Digest, Name};
use crate::source::{self, Source, Stored};
use crate::verification::{Verdict, Verification};

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");
const BYTES: HeaderValue = HeaderValue::from_static("bytes");

/// What separates the parts of an answer to many ranges; cannot be foreseen by who made the blob.
const BOUNDARY: &str = "shipperd-5f0c1a52e0b94f0c9d3c";
const MULTIPART: HeaderValue =
    HeaderValue::from_static("multipart/byteranges; boundary=shipperd-5f0c1a52e0b94f0c9d3c");

/// How many copies of a blob are tried, if one after the other turns out to be damaged.
const MAX_COPIES: usize = 16;

/// Answers HEAD.
pub(super) async fn head<S: Source>(
    source: &S,
    name: &Name,
    digest: &Digest,
    headers: &HeaderMap,
) -> Result<Response, Error> {
    let size = source.stat(name, digest).await?;
    if not_modified(headers, digest) {
        return Ok(unchanged(digest));
    }
    Ok(respond(StatusCode::OK, digest, size, Body::empty()))
}

/// Answers GET.
pub(super) async fn get<S: Source>(
    source: &S,
    reader: &Arc<Reader>,
    (name, digest): (&Name, &Digest),
    headers: &HeaderMap,
) -> Result<Response, Error> {
    if not_modified(headers, digest) {
        source.stat(name, digest).await?;
        return Ok(unchanged(digest));
    }
    let wanted = match range_header(headers, digest) {
        Some(header) => range::parse(header, source.stat(name, digest).await?),
        None => Wanted::Whole,
    };
    let open = Open { source, reader, name, digest };
    match wanted {
        Wanted::Whole => {
            let (size, body) = open.run(0..u64::MAX).await?;
            Ok(respond(StatusCode::OK, digest, size, body))
        }
        Wanted::One(range) => {
            let (size, body) = open.run(range.clone()).await?;
            let mut response =
                respond(StatusCode::PARTIAL_CONTENT, digest, range.end - range.start, body);
            let value = HeaderValue::try_from(content_range(&range, size));
            response.headers_mut().extend(value.ok().map(|value| (CONTENT_RANGE, value)));
            Ok(response)
        }
        Wanted::Many(ranges) => open.runs(&ranges).await,
        Wanted::Unsatisfiable => {
            let size = source.stat(name, digest).await?;
            Err(Error::Range { size })
        }
    }
}

/// The `Range` header, if it counts: `If-Range` must name this very content.
fn range_header<'a>(headers: &'a HeaderMap, digest: &Digest) -> Option<&'a str> {
    let counts = headers.get(IF_RANGE).is_none_or(|value| {
        value.to_str().is_ok_and(|value| !value.starts_with("W/") && etag_matches(value, digest))
    });
    let header = headers.get(RANGE).filter(|_| counts)?;
    // What is not even text is malformed, like other junk.
    Some(header.to_str().unwrap_or_default())
}

/// A blob that is to be opened.
struct Open<'a, S> {
    source: &'a S,
    reader: &'a Arc<Reader>,
    name: &'a Name,
    digest: &'a Digest,
}

impl<S: Source> Open<'_, S> {
    /// Opens one run of bytes; answers the size of the whole, too.
    async fn run(&self, range: Range<u64>) -> Result<(u64, Body), Error> {
        let (size, body) = self.verified(range, true).await?;
        Ok(match body {
            source::Body::Stream(stream) => (size, Body::from_stream(stream)),
            source::Body::Stored(Stored { content, range, verification }) => {
                let pieces = if range.end - range.start == size {
                    Pieces::whole(self.reader, self.digest, content, verification)
                } else {
                    Pieces::parts(self.reader, self.digest, content, [Part::Stored(range)].into())
                };
                (size, Body::new(pieces))
            }
        })
    }

    /// Answers many runs, as multipart/byteranges.
    async fn runs(&self, ranges: &[Range<u64>]) -> Result<Response, Error> {
        let (size, content) = match self.verified(0..u64::MAX, false).await? {
            (size, source::Body::Stored(stored)) => (size, stored.content),
            // What comes from elsewhere comes in order: the client gets it all.
            (size, source::Body::Stream(stream)) => {
                let body = Body::from_stream(stream);
                return Ok(respond(StatusCode::OK, self.digest, size, body));
            }
        };
        let mut parts = VecDeque::with_capacity(ranges.len() * 2 + 1);
        let mut length = 0;
        let mut text = |parts: &mut VecDeque<Part>, text: String| {
            length += text.len() as u64;
            parts.push_back(Part::Text(Bytes::from(text)));
        };
        for (count, range) in ranges.iter().enumerate() {
            let begin = if count == 0 { "" } else { "\r\n" };
            let range_header = content_range(range, size);
            text(
                &mut parts,
                format!(
                    "{begin}--{BOUNDARY}\r\nContent-Type: application/octet-stream\r\n\
                     Content-Range: {range_header}\r\n\r\n"
                ),
            );
            parts.push_back(Part::Stored(range.clone()));
        }
        text(&mut parts, format!("\r\n--{BOUNDARY}--\r\n"));
        length += ranges.iter().map(|range| range.end - range.start).sum::<u64>();
        let body = Body::new(Pieces::parts(self.reader, self.digest, content, parts));
        let mut response = respond(StatusCode::PARTIAL_CONTENT, self.digest, length, body);
        response.headers_mut().insert(CONTENT_TYPE, MULTIPART);
        Ok(response)
    }

    /// Opens a blob of which a reader can only see good bytes.
    ///
    /// A part is verified before it is read, and so is a blob of one piece, which costs
    /// nothing more and lets the client go elsewhere at once. Only the whole of a larger
    /// blob may be verified `in_passing`. When a copy turns out to be damaged, the source
    /// knows and is asked for another.
    async fn verified(
        &self,
        range: Range<u64>,
        in_passing: bool,
    ) -> Result<(u64, source::Body), Error> {
        for _ in 0..MAX_COPIES {
            let blob = self.source.blob(self.name, self.digest, range.clone()).await?;
            let source::Body::Stored(mut stored) = blob.body else {
                return Ok((blob.size, blob.body));
            };
            let is_whole = stored.range.end - stored.range.start == blob.size;
            let in_passing = in_passing && is_whole && blob.size > PIECE as u64;
            let verdict = match &stored.verification {
                None => Some(Verdict::Good),
                Some(verification) if in_passing => verification.verdict(),
                Some(verification) => {
                    Some(self.complete(Arc::clone(verification), &stored.content).await?)
                }
            };
            match verdict {
                Some(Verdict::Good) => stored.verification = None,
                Some(Verdict::Damaged) => continue,
                None => {}
            }
            return Ok((blob.size, source::Body::Stored(stored)));
        }
        Err(source::Error::BlobUnknown(self.digest.clone()).into())
    }

    async fn complete(
        &self,
        verification: Arc<Verification>,
        content: &Content,
    ) -> Result<Verdict, Error> {
        let outcome = self.reader.complete(verification, content).await;
        outcome.map_err(|source| Error::Read { digest: self.digest.clone(), source })
    }
}

fn content_range(range: &Range<u64>, size: u64) -> String {
    format!("bytes {}-{}/{size}", range.start, range.end - 1)
}

fn respond(status: StatusCode, digest: &Digest, length: u64, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, OCTETS);
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(ACCEPT_RANGES, BYTES);
    identify(headers, digest);
    response
}

fn unchanged(digest: &Digest) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    identify(response.headers_mut(), digest);
    response
}
