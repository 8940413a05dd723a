//! The names of images: registry, repository, tag, and the reference made of them.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#pulling-manifests>
//! and, for what a user may leave out, <https://pkg.go.dev/github.com/distribution/reference>.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::text::parsed;
use super::{Digest, Error, shown};

/// A word that is checked when it is made.
macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub struct $name(Box<str>);

        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self, Error> {
                let check: fn(&str) -> bool = $check;
                if check(text) { Ok(Self(text.into())) } else { Err(Error::$name(shown(text))) }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

word! {
    /// The host of a registry with its port, if it has one: `quay.io`, `registry:5000`.
    Registry, |text| registry_is_valid(text)
}

word! {
    /// The name of a repository, without its registry: `library/busybox`.
    Repository, |text| {
        text.len() <= 255 && !text.is_empty() && text.split('/').all(component_is_valid)
    }
}

word! {
    /// A tag: `v1.2`.
    Tag, |text| {
        let mut bytes = text.bytes();
        let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let rest = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
        first && text.len() <= 128 && bytes.all(rest)
    }
}

fn registry_is_valid(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (text, None),
    };
    let port_is_valid = port.is_none_or(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok()
    });
    let host_is_valid = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => host.split('.').all(|label| {
            let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            !label.is_empty()
                && label.bytes().all(inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        }),
    };
    text.len() <= 255 && port_is_valid && host_is_valid
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn component_is_valid(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let separators = text.split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let separator_is_valid = |separator: &str| {
        matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
    };
    text.bytes().next().is_some_and(alphanumeric)
        && text.bytes().next_back().is_some_and(alphanumeric)
        && separators.into_iter().all(separator_is_valid)
}

impl Registry {
    /// The registry that a name without a host means.
    pub const DOCKER: &str = "docker.io";

    /// Whether this is Docker Hub, where `x` and `library/x` are the same.
    #[must_use]
    pub fn is_docker(&self) -> bool {
        self.as_str() == Self::DOCKER
    }

    /// The same registry under the one name we use for it.
    #[must_use]
    pub fn canonical(self) -> Self {
        match self.as_str() {
            "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => {
                Self(Self::DOCKER.into())
            }
            _ => self,
        }
    }
}

/// A repository as somebody names it: the path, and the registry if they say which.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Name {
    /// The registry meant: the host of a reference, or a mirror request's `?ns=`.
    pub registry: Option<Registry>,
    /// The path.
    pub repository: Repository,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.registry {
            Some(registry) => write!(f, "{registry}/{}", self.repository),
            None => write!(f, "{}", self.repository),
        }
    }
}

/// What a request names in a repository.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum TagOrDigest {
    /// A manifest by its tag.
    Tag(Tag),
    /// A manifest by its digest.
    Digest(Digest),
}

impl TagOrDigest {
    /// The digest, if it is one.
    #[must_use]
    pub fn digest(&self) -> Option<&Digest> {
        match self {
            Self::Tag(_) => None,
            Self::Digest(digest) => Some(digest),
        }
    }
}

impl FromStr for TagOrDigest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.contains(':') {
            return text.parse().map(Self::Digest);
        }
        text.parse().map(Self::Tag)
    }
}

impl fmt::Display for TagOrDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// The full name of an image: `registry/repository`, and a tag or a digest or both.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Reference {
    /// Where it comes from; never left out.
    pub registry: Registry,
    /// Its repository there.
    pub repository: Repository,
    /// Its tag.
    pub tag: Option<Tag>,
    /// Its digest, which wins over the tag.
    pub digest: Option<Digest>,
}

impl Reference {
    /// The repository with its registry.
    #[must_use]
    pub fn name(&self) -> Name {
        Name { registry: Some(self.registry.clone()), repository: self.repository.clone() }
    }

    /// What to ask a registry for: the digest if there is one, else the tag, else `latest`.
    #[must_use]
    pub fn target(&self) -> TagOrDigest {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => TagOrDigest::Digest(digest.clone()),
            (None, Some(tag)) => TagOrDigest::Tag(tag.clone()),
            (None, None) => TagOrDigest::Tag(Tag("latest".into())),
        }
    }
}

impl FromStr for Reference {
    type Err = Error;

    /// Reads a reference as docker and podman do: a name without a host is Docker Hub's.
    fn from_str(text: &str) -> Result<Self, Error> {
        let fault = |why| Error::Reference(shown(text), why);
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.parse()?)),
            None => (text, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.parse()?)),
            _ => (name, None),
        };
        let is_host = |first: &str| first.contains(['.', ':']) || first == "localhost";
        let (registry, repository) = match name.split_once('/') {
            Some((first, rest)) if is_host(first) => {
                (first.to_ascii_lowercase().parse::<Registry>()?.canonical(), rest)
            }
            _ => (Registry(Registry::DOCKER.into()), name),
        };
        let repository: Repository = if repository.is_empty() {
            return Err(fault("the repository is missing"));
        } else if registry.is_docker() && !repository.contains('/') {
            format!("library/{repository}").parse()?
        } else {
            repository.parse()?
        };
        Ok(Self { registry, repository, tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references() {
        let digest = format!("sha256:{}", "a".repeat(64));
        for (text, expected) in [
            ("busybox", "docker.io/library/busybox"),
            ("busybox:1", "docker.io/library/busybox:1"),
            ("docker.io/busybox:1", "docker.io/library/busybox:1"),
            ("index.docker.io/a/b", "docker.io/a/b"),
            ("quay.io/ns/name:tag", "quay.io/ns/name:tag"),
            ("registry:5000/name", "registry:5000/name"),
            ("localhost/name:v1", "localhost/name:v1"),
            ("[::1]:5000/a/b:c", "[::1]:5000/a/b:c"),
            (&format!("h:1/a/b@{digest}"), &format!("h:1/a/b@{digest}")),
            (&format!("h:1/a/b:t@{digest}"), &format!("h:1/a/b:t@{digest}")),
        ] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_reference() {
        for text in [
            "",
            "quay.io/",
            "quay.io",
            "/a",
            "a//b",
            "A/b",
            "quay.io/a:",
            "quay.io/a@sha256:00",
            "quay.io/../a",
            "quay.io/a b",
            "quay.io:port/a",
            "quay.io:99999/a",
            "-h.io/a",
            "quay.io/a:b:c",
            "quay.io/a_-b",
            "quay.io/a..b",
            "quay.io/.a",
            "quay.io/a/",
        ] {
            // A bare host without a slash is a Docker Hub name with dots: allowed by the grammar.
            assert_eq!(text.parse::<Reference>().is_ok(), text == "quay.io", "{text}");
        }
    }

    #[test]
    fn separators_within_a_component() {
        for good in ["a.b", "a_b", "a__b", "a-b", "a---b", "a/b/c", "0"] {
            assert!(good.parse::<Repository>().is_ok(), "{good}");
        }
        for bad in ["a...b", "a___b", "a._b", "_a", "a-", "a/-b", "a\0b", "é"] {
            assert!(bad.parse::<Repository>().is_err(), "{bad}");
        }
        assert!("a".repeat(255).parse::<Repository>().is_ok());
        assert!("a".repeat(256).parse::<Repository>().is_err());
        assert!("t".repeat(128).parse::<Tag>().is_ok());
        assert!("t".repeat(129).parse::<Tag>().is_err());
        assert!(".a".parse::<Tag>().is_err());
    }
}
