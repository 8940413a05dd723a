//! An image cache of Talos in its flat layout.
//!
//! ```text
//! blob/sha256-<hex>
//! manifests/<registry>/<path>/reference/<tag>
//! manifests/<registry>/<path>/digest/sha256-<hex>
//! ```
//!
//! A registry with a port is written `host_port_`. Indexes are sparse: one platform is there.
//! <https://github.com/siderolabs/talos/blob/main/pkg/imager/cache/cache.go>

use super::tree::{Stored, Tree};
use super::{Error, Meaning, Understood, loose};
use crate::oci::{Digest, TagOrDigest};

const BLOBS: &str = "blob/sha256-";
const MANIFESTS: &str = "manifests/";

/// Whether a tree is such a cache.
#[must_use]
pub fn recognise(tree: &Tree) -> bool {
    tree.below(BLOBS).next().is_some() && tree.below(MANIFESTS).next().is_some()
}

/// Reads the images and which blobs there are.
///
/// # Errors
///
/// When a manifest cannot be read.
pub(super) fn understand(tree: &Tree) -> Result<Understood, Error> {
    let (mut found, mut problems) = (Vec::new(), Vec::new());
    let mut reader = loose::Reader::new();
    let mut blobs: Vec<(Digest, Stored)> = tree
        .below(BLOBS)
        .filter_map(|(path, stored)| Some((digest(path.strip_prefix("blob/")?)?, stored.clone())))
        .collect();
    for (path, stored) in tree.below(MANIFESTS) {
        let place = path.strip_prefix(MANIFESTS).unwrap_or_default();
        let Some((rest, last)) = place.rsplit_once('/') else { continue };
        let (name, target) = if let Some(name) = rest.strip_suffix("/reference") {
            (name, last.parse().ok().map(TagOrDigest::Tag))
        } else if let Some(name) = rest.strip_suffix("/digest") {
            (name, digest(last).map(TagOrDigest::Digest))
        } else {
            continue;
        };
        let Some(target) = target else { continue };
        match reader.read(path, stored, target.digest())? {
            Err(problem) => problems.push(problem),
            Ok(descriptor) => {
                blobs.push((descriptor.digest.clone(), stored.clone()));
                let root = loose::root(&rewritten(name), &target, descriptor);
                found.extend(root.map(|root| (path, root)));
            }
        }
    }
    let roots = reader.roots(found, &mut problems);
    Ok(Understood { meaning: Meaning::Talos, blobs, roots, problems })
}

/// `sha256-<hex>` as a digest.
fn digest(name: &str) -> Option<Digest> {
    name.replacen('-', ":", 1).parse().ok()
}

/// The name with the port of its registry written as everywhere else.
fn rewritten(name: &str) -> String {
    let port = || {
        let (registry, path) = name.split_once('/')?;
        let (host, port) = registry.strip_suffix('_')?.rsplit_once('_')?;
        let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        is_port.then(|| format!("{host}:{port}/{path}"))
    };
    port().unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_rewritten() {
        for (name, expected) in [
            ("registry.k8s.io/pause", "registry.k8s.io/pause"),
            ("localhost_5000_/a/b", "localhost:5000/a/b"),
            ("a_b_/c", "a_b_/c"),
            ("_5000_/c", ":5000/c"),
            ("x_5000/c", "x_5000/c"),
        ] {
            assert_eq!(rewritten(name), expected);
        }
    }
}
