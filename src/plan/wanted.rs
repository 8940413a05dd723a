//! What a user wants to carry.
//!
//! ```text
//! quay.io/ns/name:tag               an image of a registry
//! oci:DIR[:REF]                     an OCI layout, or one image of it
//! oci-archive:FILE[:REF]            the same in a tar file
//! docker-archive:FILE[:REF]         what `docker save` wrote
//! ```

use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::oci::{self, Platform, Reference, Repository, Tag};

/// The transports of local files. What the file is, its content says.
const TRANSPORTS: [&str; 3] = ["oci:", "oci-archive:", "docker-archive:"];

/// Something to carry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Wanted {
    /// Where it comes from.
    pub origin: Origin,
    /// The repository that it is to be found in as well.
    pub target_repository: Option<Repository>,
    /// The tag that it is to be found under as well.
    pub target_tag: Option<Tag>,
    /// The platforms to carry of an image that is made for several; all, if none is named.
    pub platforms: Vec<Platform>,
}

/// Where something wanted comes from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Origin {
    /// An image of a registry.
    Remote(Reference),
    /// What local files hold together.
    Local {
        /// The files, or directories of them.
        paths: Vec<PathBuf>,
        /// A tag or a reference in it; everything, if none.
        reference: Option<String>,
    },
}

impl Wanted {
    /// Wants all of it, under its own names.
    #[must_use]
    pub fn all_of(origin: Origin) -> Self {
        Self { origin, target_repository: None, target_tag: None, platforms: Vec::new() }
    }

    /// The local files it is in.
    #[must_use]
    pub fn paths(&self) -> Option<&[PathBuf]> {
        match &self.origin {
            Origin::Remote(_) => None,
            Origin::Local { paths, .. } => Some(paths),
        }
    }

    /// The names to carry an image under: its own, and the one that was asked for.
    #[must_use]
    pub fn names(&self, own: &Reference) -> Vec<Reference> {
        let mut own = own.clone();
        // What no tag is said of is carried under the one that is meant.
        if let oci::TagOrDigest::Tag(tag) = own.target() {
            own.tag = Some(tag);
        }
        let mut other = own.clone();
        if let Some(repository) = &self.target_repository {
            other.repository = repository.clone();
        }
        if let Some(tag) = &self.target_tag {
            (other.tag, other.digest) = (Some(tag.clone()), None);
        }
        if other == own { vec![own] } else { vec![own, other] }
    }
}

impl FromStr for Wanted {
    type Err = oci::Error;

    fn from_str(text: &str) -> Result<Self, oci::Error> {
        text.parse().map(Self::all_of)
    }
}

impl FromStr for Origin {
    type Err = oci::Error;

    fn from_str(text: &str) -> Result<Self, oci::Error> {
        let local = TRANSPORTS.iter().find_map(|transport| text.strip_prefix(transport));
        let Some(local) = local else { return text.parse().map(Self::Remote) };
        if Path::new(local).exists() {
            return Ok(Self::Local { paths: vec![local.into()], reference: None });
        }
        // The longest beginning that is a file: both paths and references may hold colons.
        let colons = local.match_indices(':').map(|(at, _)| at).collect::<Vec<_>>();
        for at in colons.into_iter().rev() {
            let Some((path, reference)) = local.split_at_checked(at) else { continue };
            if Path::new(path).exists() {
                let reference = reference.strip_prefix(':').unwrap_or(reference).to_owned();
                return Ok(Self::Local { paths: vec![path.into()], reference: Some(reference) });
            }
        }
        Ok(Self::Local { paths: vec![local.into()], reference: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_command_line() {
        let directory = tempfile::tempdir().unwrap();
        let odd = directory.path().join("a:b");
        std::fs::create_dir(&odd).unwrap();
        let odd = odd.to_str().unwrap();
        let local = |path: &str, reference: Option<&str>| Origin::Local {
            paths: vec![path.into()],
            reference: reference.map(Into::into),
        };
        for (text, expected) in [
            ("quay.io/a/b:c".to_owned(), Origin::Remote("quay.io/a/b:c".parse().unwrap())),
            (format!("oci:{odd}"), local(odd, None)),
            (format!("oci:{odd}:v1"), local(odd, Some("v1"))),
            (format!("oci-archive:{odd}:h:1/a/b:v1"), local(odd, Some("h:1/a/b:v1"))),
            ("docker-archive:/none/x.tar".to_owned(), local("/none/x.tar", None)),
        ] {
            assert_eq!(text.parse::<Origin>().unwrap(), expected, "{text}");
        }
        assert!("oci".parse::<Origin>().is_ok(), "a Docker Hub image");
        assert!("Quay.io/A".parse::<Origin>().is_err());
    }

    #[test]
    fn a_new_name_is_a_second_one() {
        let names = |repository: Option<&str>, tag: Option<&str>, own: &str| {
            let mut wanted = Wanted::all_of(own.parse().unwrap());
            wanted.target_repository = repository.map(|it| it.parse().unwrap());
            wanted.target_tag = tag.map(|it| it.parse().unwrap());
            let names = wanted.names(&own.parse().unwrap());
            names.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let digest = oci::Digest::of(b"");
        let by_digest = format!("quay.io/a/b@{digest}");
        for (repository, tag, own, expected) in [
            (None, None, "quay.io/a/b", vec!["quay.io/a/b:latest".to_owned()]),
            (
                Some("c"),
                None,
                "quay.io/a/b:v1",
                vec!["quay.io/a/b:v1".to_owned(), "quay.io/c:v1".to_owned()],
            ),
            (Some("c"), Some("v2"), &by_digest, vec![by_digest.clone(), "quay.io/c:v2".to_owned()]),
            (None, Some("v1"), "quay.io/a/b:v1", vec!["quay.io/a/b:v1".to_owned()]),
        ] {
            assert_eq!(names(repository, tag, own), expected, "{own}");
        }
    }
}
