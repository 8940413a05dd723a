//! Local files that images are taken from: layouts and archives.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use crate::bundle;
use crate::content::overlay::Overlay;
use crate::content::snapshot::{Snapshot, Verify};
use crate::oci::{Digest, Name, Reference, Registry, Role, Tag};
use crate::plan::image::Referrers;

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
