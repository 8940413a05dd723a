//! Local files that images are taken from: layouts and archives.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::bundle::zstd::Indexes;
use crate::bundle::{self, Bundle, Problem};
use crate::content::acceptance::{self, Accepted, Fate};
use crate::content::adoption::adopt;
use crate::content::live::State;
use crate::content::overlay::Overlay;
use crate::content::shelf::{candidates, operands};
use crate::content::snapshot::{Snapshot, Verify};
use crate::oci::{Digest, Name, Reference, Registry, Role, Tag};
use crate::plan::image::Referrers;

/// Opened local files that hold images together.
pub(super) struct Local {
    pub(super) overlay: Overlay,
    /// The manifests that their indexes name and they do not hold: platforms left out.
    pub(super) left_out: HashSet<Digest>,
    /// The files of which nothing can be taken, and why.
    pub(super) unfit: Vec<(PathBuf, String)>,
    /// The images of archives that cannot be taken, as these call them, and why.
    pub(super) unserved: Vec<(String, String)>,
}

/// A file that cannot be opened, and why.
pub(super) type Unopened = (PathBuf, bundle::Error);

/// A name in a local file, and the reference that it is carried under.
type Found = (Name, Reference);

impl Local {
    /// Opens files, and what lies in directories of them; sequences and parts are stacked.
    ///
    /// What has to be decoded of them on the way is kept in `scratch`, without a name.
    pub(super) fn open(paths: &[PathBuf], scratch: &Path) -> Result<Self, Unopened> {
        let indexes = Indexes::Temporary(scratch.to_owned());
        let refused = |error| (paths.first().cloned().unwrap_or_default(), error);
        let operands = operands(paths).map_err(|error| refused(bundle::Error::Io(error)))?;
        let mut open = Vec::new();
        for path in &operands {
            open.extend(bundles(path, &indexes)?);
        }
        let held: HashSet<Digest> =
            open.iter().flat_map(|it| it.index.blobs()).map(|(it, _)| it.clone()).collect();
        let absent = open.iter().flat_map(|it| it.index.absent());
        let absent = absent.filter(|it| it.role == Role::Manifest && !held.contains(&it.digest));
        let left_out = absent.map(|it| it.digest.clone()).collect();
        let problems = open.iter().flat_map(|it| &it.problems);
        let unserved = problems.filter_map(|problem| match problem {
            Problem::Unserved { image, reason } => Some((image.clone(), reason.clone())),
            _ => None,
        });
        let unserved = unserved.collect();
        // Copying verifies every byte.
        let snapshots = open.into_iter().map(|it| Arc::new(Snapshot::new(it, Verify::Never)));
        let snapshots = adopt(snapshots.collect());
        let Accepted { stacked, fates } = acceptance::accept(&snapshots, &HashSet::new());
        let unfit = snapshots.iter().zip(fates).filter_map(|(snapshot, fate)| {
            let Fate { state: State::Waiting | State::Refused, reason } = fate else { return None };
            Some((snapshot.bundle().path.clone(), reason.unwrap_or_default()))
        });
        let (unfit, overlay) = (unfit.collect(), Overlay::new(stacked, false));
        Ok(Self { overlay, left_out, unfit, unserved })
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
        // A later sequence names again what an earlier one carries.
        let mut seen = HashSet::new();
        found.retain(|it| seen.insert(it.clone()));
        if let Some(wanted) = wanted {
            found.retain(|(name, reference)| means(wanted, name, reference));
        }
        found
    }
}

/// The bundles that a path means: itself, or those in the directory that it is.
fn bundles(path: &Path, indexes: &Indexes) -> Result<Vec<Bundle>, Unopened> {
    let refused = |error| (path.to_owned(), error);
    let unseen = |error| refused(bundle::Error::Io(error));
    if !path.is_dir() || bundle::is_bundle_directory(path).map_err(unseen)? {
        return bundle::open_with(path, true, indexes).map(|it| vec![it]).map_err(refused);
    }
    let entries = candidates(path).map_err(unseen)?;
    let mut bundles = Vec::new();
    for entry in entries {
        match bundle::open_with(&entry, true, indexes) {
            // Nobody asked for it: it lies beside what was meant.
            Err(bundle::Error::UnknownContainer(_) | bundle::Error::UnknownMeaning(_)) => {
                tracing::warn!("passing over {}: not a bundle", entry.display());
            }
            Err(error) => return Err((entry, error)),
            Ok(bundle) => bundles.push(bundle),
        }
    }
    if bundles.is_empty() {
        // Images may lie deeper in it than names lead.
        return bundle::open(path, true).map(|it| vec![it]).map_err(refused);
    }
    Ok(bundles)
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
