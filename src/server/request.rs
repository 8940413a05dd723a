//! Turns a method, a path and a query into a [`Request`], and nothing else.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#endpoints>

use std::borrow::Cow;

use axum::http::Method;

use crate::oci::{self, Digest, Name, Registry, TagOrDigest};

/// A request of the distribution specification, one variant per endpoint served.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Request {
    /// end-1: `GET /v2/`
    Ping,
    /// end-2: `GET|HEAD /v2/<name>/blobs/<digest>`
    Blob(Name, Digest),
    /// end-3: `GET|HEAD /v2/<name>/manifests/<reference>`
    Manifest(Name, TagOrDigest),
    /// end-8a, end-8b: `GET /v2/<name>/tags/list?n=<integer>&last=<tag>`
    Tags(Name, Page),
    /// end-12a, end-12b: `GET /v2/<name>/referrers/<digest>?artifactType=<type>`
    Referrers(Name, Digest, Option<String>),
    /// `GET /v2/_catalog?n=<integer>&last=<name>`, of docker's registry API
    Repositories(Page),
}

/// Which part of a list is asked for.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Page {
    /// At most so many entries; all if not said.
    pub limit: Option<usize>,
    /// Only entries that sort after this.
    pub last: String,
}

/// Why there is no [`Request`].
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// No endpoint has this shape.
    #[error("no such endpoint")]
    NotFound,
    /// The method would write.
    #[error("this registry is read-only")]
    ReadOnly,
    /// A `%` without two hexadecimal digits, or bytes that are not UTF-8.
    #[error("the address is not properly percent-encoded")]
    Encoding,
    /// The length of a page is not a number.
    #[error("n is not a number of entries")]
    PageLength,
    /// The shape is right, a word in it is not.
    #[error(transparent)]
    Word(#[from] oci::Error),
}

/// Whether a path is one of the registry's, whatever comes of it.
#[must_use]
pub fn is_registry_path(path: &str) -> bool {
    path.strip_prefix("/v2").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Reads a request under `/v2`.
///
/// A repository name may hold slashes, so the path is read from its end.
///
/// # Errors
///
/// When the method is not GET or HEAD, no endpoint has this shape, or a name, tag,
/// digest or number is malformed.
pub fn parse(method: &Method, path: &str, query: Option<&str>) -> Result<Request, Error> {
    if method != Method::GET && method != Method::HEAD {
        return Err(Error::ReadOnly);
    }
    let path = decode(path)?;
    let query = Query::parse(query.unwrap_or_default())?;
    let rest = path.strip_prefix("/v2").ok_or(Error::NotFound)?;
    match rest {
        "" | "/" => return Ok(Request::Ping),
        "/_catalog" => return Ok(Request::Repositories(query.page()?)),
        _ => {}
    }
    let rest = rest.strip_prefix('/').ok_or(Error::NotFound)?;
    let (rest, last) = rest.rsplit_once('/').ok_or(Error::NotFound)?;
    let (name, kind) = rest.rsplit_once('/').ok_or(Error::NotFound)?;
    let name = || -> Result<Name, Error> {
        Ok(Name { registry: query.registry(), repository: name.parse()? })
    };
    Ok(match (kind, last) {
        ("blobs", digest) => Request::Blob(name()?, digest.parse()?),
        ("manifests", reference) => Request::Manifest(name()?, reference.parse()?),
        ("tags", "list") => Request::Tags(name()?, query.page()?),
        ("referrers", digest) => {
            let artifact_type = query.artifact_type.as_deref().map(str::to_owned);
            Request::Referrers(name()?, digest.parse()?, artifact_type)
        }
        _ => return Err(Error::NotFound),
    })
}

/// The parameters that mean something here; others are ignored.
#[derive(Default)]
struct Query<'a> {
    ns: Option<Cow<'a, str>>,
    n: Option<Cow<'a, str>>,
    last: Option<Cow<'a, str>>,
    artifact_type: Option<Cow<'a, str>>,
}

impl<'a> Query<'a> {
    fn parse(text: &'a str) -> Result<Self, Error> {
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let place = match key {
                "ns" => &mut query.ns,
                "n" => &mut query.n,
                "last" => &mut query.last,
                "artifactType" => &mut query.artifact_type,
                _ => continue,
            };
            *place = Some(decode(value)?);
        }
        Ok(query)
    }

    /// The registry that a mirror is asked for; junk is ignored, as a mirror must not refuse it.
    fn registry(&self) -> Option<Registry> {
        self.ns.as_deref()?.to_ascii_lowercase().parse::<Registry>().ok().map(Registry::canonical)
    }

    fn page(&self) -> Result<Page, Error> {
        let limit = match self.n.as_deref() {
            None => None,
            Some(text) if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) => {
                return Err(Error::PageLength);
            }
            // More than can be counted is more than there is.
            Some(text) => Some(text.parse().unwrap_or(usize::MAX)),
        };
        Ok(Page { limit, last: self.last.as_deref().unwrap_or_default().to_owned() })
    }
}

/// Takes percent-encoding away.
fn decode(text: &str) -> Result<Cow<'_, str>, Error> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let (high, low) = (digit(bytes.next()), digit(bytes.next()));
            let value = high.zip(low).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
            decoded.push(value.ok_or(Error::Encoding)?);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| Error::Encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(target: &str) -> Result<Request, Error> {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        parse(&Method::GET, path, query)
    }

    fn name(path: &str) -> Name {
        Name { registry: None, repository: path.parse().unwrap() }
    }

    fn page(limit: Option<usize>, last: &str) -> Page {
        Page { limit, last: last.to_owned() }
    }

    #[test]
    fn every_endpoint() {
        let digest = Digest::of(b"a");
        let mirrored =
            Name { registry: "registry:5000".parse().ok(), repository: "a/b".parse().unwrap() };
        let tag = |text: &str| TagOrDigest::Tag(text.parse().unwrap());
        for (target, expected) in [
            ("/v2", Request::Ping),
            ("/v2/", Request::Ping),
            ("/v2/?anything=%20", Request::Ping),
            ("/v2/a/b/c/manifests/v1", Request::Manifest(name("a/b/c"), tag("v1"))),
            ("/v2/a%2Fb/manifests/v1", Request::Manifest(name("a/b"), tag("v1"))),
            (
                "/v2/a/b/manifests/v1?ns=Registry:5000&x",
                Request::Manifest(mirrored.clone(), tag("v1")),
            ),
            ("/v2/a/b/manifests/v1?ns=registry%3A5000", Request::Manifest(mirrored, tag("v1"))),
            ("/v2/a/manifests/v1?ns=..%2F..", Request::Manifest(name("a"), tag("v1"))),
            (&format!("/v2/a/blobs/{digest}"), Request::Blob(name("a"), digest.clone())),
            (
                &format!("/v2/a/blobs/{digest}").replace(':', "%3A"),
                Request::Blob(name("a"), digest.clone()),
            ),
            (
                &format!("/v2/a/manifests/{digest}"),
                Request::Manifest(name("a"), TagOrDigest::Digest(digest.clone())),
            ),
            (
                &format!("/v2/a/referrers/{digest}?artifactType=application%2Fx%2Bjson"),
                Request::Referrers(name("a"), digest.clone(), Some("application/x+json".into())),
            ),
            ("/v2/tags/list/tags/list", Request::Tags(name("tags/list"), page(None, ""))),
            ("/v2/a/tags/list?n=2&last=v1", Request::Tags(name("a"), page(Some(2), "v1"))),
            ("/v2/a/tags/list?n=0", Request::Tags(name("a"), page(Some(0), ""))),
            (
                "/v2/a/tags/list?n=99999999999999999999999",
                Request::Tags(name("a"), page(Some(usize::MAX), "")),
            ),
            ("/v2/_catalog?last=a%2fb", Request::Repositories(page(None, "a/b"))),
        ] {
            assert_eq!(get(target), Ok(expected), "{target}");
        }
    }

    #[test]
    fn what_is_no_request() {
        let long = format!("/v2/{}/manifests/v1", "a".repeat(256));
        for (target, expected) in [
            ("/v1/", Error::NotFound),
            ("/v2x", Error::NotFound),
            ("/v2//", Error::NotFound),
            ("/v2/a", Error::NotFound),
            ("/v2/a/tags/lists", Error::NotFound),
            ("/v2/a/blobs/uploads/", Error::NotFound),
            ("/v2/a/blobs/sha256:00", Error::Word(oci::Error::Digest("sha256:00".into()))),
            ("/v2/A/tags/list", Error::Word(oci::Error::Repository("A".into()))),
            ("/v2//tags/list", Error::Word(oci::Error::Repository("".into()))),
            ("/v2/../tags/list", Error::Word(oci::Error::Repository("..".into()))),
            ("/v2/%2e%2e/etc/tags/list", Error::Word(oci::Error::Repository("../etc".into()))),
            ("/v2/a%00/tags/list", Error::Word(oci::Error::Repository("a\0".into()))),
            ("/v2/a/manifests/-v1", Error::Word(oci::Error::Tag("-v1".into()))),
            (&long, Error::Word(oci::Error::Repository("a".repeat(80).into()))),
            ("/v2/a%/tags/list", Error::Encoding),
            ("/v2/a%zz/tags/list", Error::Encoding),
            ("/v2/%ff/tags/list", Error::Encoding),
            ("/v2/a/tags/list?n=-1", Error::PageLength),
            ("/v2/a/tags/list?n=junk", Error::PageLength),
            ("/v2/a/tags/list?n=", Error::PageLength),
        ] {
            assert_eq!(get(target), Err(expected), "{target}");
        }
    }

    #[test]
    fn nothing_writes() {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS] {
            for path in ["/v2/", "/v2/a/blobs/uploads/", "/v2/a/manifests/v1"] {
                assert_eq!(parse(&method, path, None), Err(Error::ReadOnly), "{method} {path}");
            }
        }
        assert_eq!(parse(&Method::HEAD, "/v2/", None), Ok(Request::Ping));
    }
}
