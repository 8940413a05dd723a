//! What a user wants to carry, as they write it on the command line.
//!
//! ```text
//! quay.io/ns/name:tag               an image of a registry
//! oci:DIR[:REF]                     an OCI layout, or one image of it
//! oci-archive:FILE[:REF]            the same in a tar file
//! docker-archive:FILE[:REF]         what `docker save` wrote
//! ```

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use crate::bundle;
use crate::content::overlay::Overlay;
use crate::content::snapshot::{Snapshot, Verify};
use crate::oci::{self, Digest, Name, Reference, Registry, Role, Tag};
use crate::plan::image::Referrers;

/// The transports of local files. What the file is, its content says.
const TRANSPORTS: [&str; 3] = ["oci:", "oci-archive:", "docker-archive:"];

/// Something to carry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Wanted {
    /// An image of a registry.
    Remote(Reference),
    /// What a local file holds.
    Local {
        /// The file or directory.
        path: PathBuf,
        /// A tag or a reference in it; everything, if none.
        reference: Option<String>,
    },
}

impl Wanted {
    /// The local file it is in.
    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Remote(_) => None,
            Self::Local { path, .. } => Some(path),
        }
    }
}

impl FromStr for Wanted {
    type Err = oci::Error;

    fn from_str(text: &str) -> Result<Self, oci::Error> {
        let local = TRANSPORTS.iter().find_map(|transport| text.strip_prefix(transport));
        let Some(local) = local else { return text.parse().map(Self::Remote) };
        if Path::new(local).exists() {
            return Ok(Self::Local { path: local.into(), reference: None });
        }
        // The longest beginning that is a file: both paths and references may hold colons.
        let colons = local.match_indices(':').map(|(at, _)| at).collect::<Vec<_>>();
        for at in colons.into_iter().rev() {
            let Some((path, reference)) = local.split_at_checked(at) else { continue };
            if Path::new(path).exists() {
                let reference = reference.strip_prefix(':').unwrap_or(reference).to_owned();
                return Ok(Self::Local { path: path.into(), reference: Some(reference) });
            }
        }
        Ok(Self::Local { path: local.into(), reference: None })
    }
}

/// An opened local file.
pub(super) struct Local {
    pub(super) overlay: Overlay,
    /// The manifests that its indexes name and it does not hold: platforms left out.
    pub(super) left_out: HashSet<Digest>,
}

/// A name in a local file, and the reference that it is carried under.
type Found = (Name, Reference);

impl Local {
    pub(super) fn open(path: &Path) -> Result<Self, bundle::Error> {
        let bundle = bundle::open(path, true)?;
        let absent = bundle.index.absent().iter().filter(|it| it.role == Role::Manifest);
        let left_out = absent.map(|it| it.digest.clone()).collect();
        // Copying verifies every byte.
        let snapshot = Snapshot::new(bundle, Verify::Never);
        Ok(Self { overlay: Overlay::new(vec![Arc::new(snapshot)], false), left_out })
    }

    /// The images that `wanted`, a tag or a reference, means; all, if none is said.
    pub(super) fn select(&self, wanted: Option<&str>, referrers: Referrers) -> Vec<Found> {
        let mut found = Vec::new();
        for snapshot in self.overlay.snapshots() {
            let index = &snapshot.bundle().index;
            let digest_of = |blob| index.blob(blob).map(|(digest, _)| digest.clone());
            for (name, repository) in index.names() {
                let mut tagged = Vec::new();
                for (tag, blob) in &repository.tags {
                    tagged.push(*blob);
                    found.extend(self::found(name, Some(tag.clone()), None));
                }
                let untagged = repository.roots.iter().filter(|blob| !tagged.contains(blob));
                for digest in untagged.filter_map(|blob| digest_of(*blob)) {
                    let refers = index.is_referrer(&digest);
                    if !(refers && referrers == Referrers::LeaveOut) {
                        found.extend(self::found(name, None, Some(digest)));
                    }
                }
            }
        }
        if let Some(wanted) = wanted {
            found.retain(|(name, reference)| means(wanted, name, reference));
        }
        found
    }
}

fn found(name: &Name, tag: Option<Tag>, digest: Option<Digest>) -> Option<Found> {
    // A name without a registry gets podman's for what is local.
    let registry: Option<Registry> = name.registry.clone().or_else(|| "localhost".parse().ok());
    let repository = name.repository.clone();
    Some((name.clone(), Reference { registry: registry?, repository, tag, digest }))
}

fn means(wanted: &str, name: &Name, reference: &Reference) -> bool {
    let tag = reference.tag.as_ref().map(Tag::as_str);
    let full = wanted.parse::<Reference>().is_ok_and(|it| {
        it == *reference
            || (it.name() == reference.name()
                && it.digest == reference.digest
                && it.tag == reference.tag)
    });
    let local = match wanted.rsplit_once(':') {
        Some((repository, wanted_tag)) => {
            name.repository.as_str() == repository && tag == Some(wanted_tag)
        }
        None => name.repository.as_str() == wanted,
    };
    tag == Some(wanted) || full || local
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
        let local = |path: &str, reference: Option<&str>| Wanted::Local {
            path: path.into(),
            reference: reference.map(Into::into),
        };
        for (text, expected) in [
            ("quay.io/a/b:c".to_owned(), Wanted::Remote("quay.io/a/b:c".parse().unwrap())),
            (format!("oci:{odd}"), local(odd, None)),
            (format!("oci:{odd}:v1"), local(odd, Some("v1"))),
            (format!("oci-archive:{odd}:h:1/a/b:v1"), local(odd, Some("h:1/a/b:v1"))),
            ("docker-archive:/none/x.tar".to_owned(), local("/none/x.tar", None)),
        ] {
            assert_eq!(text.parse::<Wanted>().unwrap(), expected, "{text}");
        }
        assert!("oci".parse::<Wanted>().is_ok(), "a Docker Hub image");
        assert!("Quay.io/A".parse::<Wanted>().is_err());
    }
}
