//! A directory that `oc image mirror --dir` or `oc adm release mirror --to-dir` wrote.
//!
//! ```text
//! v2/<path>/manifests/<tag>          a link to the next, or a copy of it
//! v2/<path>/manifests/<digest>
//! v2/<path>/blobs/<digest>
//! ```
//!
//! Registries are not said: the paths are what `oc image serve` serves.
//! <https://github.com/openshift/oc/blob/main/pkg/cli/image/imagesource/file.go>

use super::tree::{Stored, Tree};
use super::{Error, Meaning, Understood, loose};
use crate::oci::{Digest, TagOrDigest};

const ROOT: &str = "v2/";
const MANIFESTS: &str = "/manifests/";
const BLOBS: &str = "/blobs/";

/// Whether a tree is such a directory.
#[must_use]
pub fn recognise(tree: &Tree) -> bool {
    tree.below(ROOT).any(|(path, _)| {
        path.rsplit_once(BLOBS).is_some_and(|(_, digest)| digest.parse::<Digest>().is_ok())
    })
}

/// Reads the images and which blobs there are.
///
/// # Errors
///
/// When a manifest cannot be read.
pub(super) fn understand(tree: &Tree) -> Result<Understood, Error> {
    let mut blobs: Vec<(Digest, Stored)> = Vec::new();
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    let mut reader = loose::Reader::new();
    for (path, stored) in tree.below(ROOT) {
        let place = path.strip_prefix(ROOT).unwrap_or_default();
        if let Some((_, digest)) = place.rsplit_once(BLOBS) {
            blobs.extend(digest.parse().ok().map(|digest| (digest, stored.clone())));
        } else if let Some((name, target)) = place.rsplit_once(MANIFESTS) {
            let Ok(target) = target.parse::<TagOrDigest>() else { continue };
            match reader.read(path, stored, target.digest())? {
                Err(problem) => problems.push(problem),
                Ok(descriptor) => {
                    blobs.push((descriptor.digest.clone(), stored.clone()));
                    let root = loose::root(name, &target, descriptor);
                    found.extend(root.map(|root| (path, root)));
                }
            }
        }
    }
    let roots = reader.roots(found, &mut problems);
    Ok(Understood { meaning: Meaning::ImageMirror, blobs, roots, problems })
}
