//! Where states are kept, as a user writes it.
//!
//! ```text
//! file:///srv/state, /srv/state, state     a directory
//! docker://registry:5000/ns/name[:tag]     a repository of a registry
//! s3://bucket/prefix                       object storage
//! ```

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::oci::Reference;

/// Where states are kept.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Location {
    /// In a directory: one file for each imageset.
    Local(PathBuf),
    /// In a repository, under this tag; without one, under the name of the imageset.
    Registry(Reference),
    /// In a bucket: one object for each imageset.
    S3 {
        /// The bucket.
        bucket: String,
        /// What the names of the objects begin with; without slashes at its ends, may be empty.
        prefix: String,
    },
}

/// Why a text does not say where states are kept.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// Nothing was given.
    #[error("the place is empty")]
    Empty,
    /// A URL of another kind.
    #[error("{0:?} is neither a directory nor a file://, docker:// or s3:// URL")]
    Scheme(String),
    /// A `file://` URL that names no absolute path.
    #[error("a file:// URL needs an absolute path, as in file:///srv/state")]
    NotAbsolute,
    /// A `docker://` URL that names no repository of a registry.
    #[error("a docker:// URL needs a registry and a repository, as in docker://registry/ns/name")]
    NoRegistry,
    /// A `docker://` URL that is not a reference.
    #[error("it is not a docker:// URL: {0}")]
    Reference(#[source] crate::oci::Error),
    /// A `docker://` URL with a digest, which can never be changed.
    #[error("a docker:// URL with a digest cannot keep what changes")]
    Digest,
    /// An `s3://` URL without a bucket that can be one.
    #[error("an s3:// URL needs a bucket of 3 to 63 of `a-z`, `0-9`, `.` and `-`: {0:?} is none")]
    Bucket(String),
    /// An `s3://` URL with a prefix that cannot be one.
    #[error("an s3:// URL needs a prefix of letters, digits, `.`, `_`, `-` and `/`: {0:?} is none")]
    Prefix(String),
}

impl FromStr for Location {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let Some((scheme, rest)) = text.split_once("://") else {
            if text.is_empty() {
                return Err(Error::Empty);
            }
            return Ok(Self::Local(text.into()));
        };
        match scheme {
            "file" if rest.starts_with('/') => Ok(Self::Local(rest.into())),
            "file" => Err(Error::NotAbsolute),
            "docker" => registry(rest),
            "s3" => s3(rest),
            _ => Err(Error::Scheme(text.to_owned())),
        }
    }
}

fn registry(text: &str) -> Result<Location, Error> {
    // A reference without a host would be Docker Hub's: nobody keeps their state there unasked.
    let is_host = |first: &str| first.contains(['.', ':']) || first == "localhost";
    if !text.split_once('/').is_some_and(|(first, _)| is_host(first)) {
        return Err(Error::NoRegistry);
    }
    let reference: Reference = text.parse().map_err(Error::Reference)?;
    if reference.digest.is_some() {
        return Err(Error::Digest);
    }
    Ok(Location::Registry(reference))
}

fn s3(text: &str) -> Result<Location, Error> {
    let (bucket, prefix) = text.split_once('/').unwrap_or((text, ""));
    let fit = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '-');
    if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(fit) {
        return Err(Error::Bucket(bucket.to_owned()));
    }
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let segment_is_fit =
        |it: &str| !it.is_empty() && it.chars().all(fit) && !matches!(it, "." | "..");
    if !prefix.is_empty() && !prefix.split('/').all(segment_is_fit) {
        return Err(Error::Prefix(prefix.to_owned()));
    }
    Ok(Location::S3 { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) if path.is_absolute() => write!(f, "file://{}", path.display()),
            Self::Local(path) => path.display().fmt(f),
            Self::Registry(reference) => write!(f, "docker://{reference}"),
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_back() {
        for (text, shown) in [
            ("file:///srv/state", "file:///srv/state"),
            ("/srv/state", "file:///srv/state"),
            ("state/dir", "state/dir"),
            ("docker://registry:5000/ns/name", "docker://registry:5000/ns/name"),
            ("docker://quay.io/ns/name:prod", "docker://quay.io/ns/name:prod"),
            ("docker://localhost/state", "docker://localhost/state"),
            ("docker://docker.io/me/state", "docker://docker.io/me/state"),
            ("s3://bucket", "s3://bucket"),
            ("s3://bucket/", "s3://bucket"),
            ("s3://bucket/a/b.c/", "s3://bucket/a/b.c"),
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!(location.to_string(), shown, "{text}");
            assert_eq!(shown.parse::<Location>().unwrap(), location, "{text}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for (text, expected) in [
            ("", "empty"),
            ("https://x/y", "neither"),
            ("file://state", "absolute"),
            ("docker://busybox", "needs a registry"),
            ("docker://ns/name", "needs a registry"),
            ("docker://quay.io/", "not a docker:// URL"),
            ("docker://quay.io/A/b", "not a docker:// URL"),
            ("s3://", "bucket"),
            ("s3://no", "bucket"),
            ("s3://Bucket/x", "bucket"),
            ("s3://key:secret@bucket/x", "bucket"),
            ("s3://bucket//x", "prefix"),
            ("s3://bucket/../x", "prefix"),
            ("s3://bucket/x?versionId=1", "prefix"),
        ] {
            let error = text.parse::<Location>().unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let digest = crate::oci::Digest::of(b"");
        let text = format!("docker://quay.io/a/b@{digest}");
        assert_eq!(text.parse::<Location>(), Err(Error::Digest));
    }
}
