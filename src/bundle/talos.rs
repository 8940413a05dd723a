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

use std::io::Read;

use flate2::read::GzDecoder;

use super::tree::{Stored, Tree};
use super::{ContentIndex, Error, Meaning, Understood, loose};
use crate::extent::Content;
use crate::oci::{Digest, MAX_MANIFEST_SIZE, Manifest, Role, TagOrDigest};

const BLOBS: &str = "blob/sha256-";
const MANIFESTS: &str = "manifests/";
/// How many manifests may be in a layout that is looked at for a packed cache.
const MAX_BESIDE: usize = 16;
/// How much of a layer is looked at, in bytes: more than a gzip and a tar header take.
const PACKED_HEAD: usize = 4 << 10;

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

/// An image whose one layer is such a cache, as `talosctl` makes it without `--layout=flat`.
///
/// Looked for only where there are few images: elsewhere it is one of many.
pub(super) fn packed(index: &ContentIndex) -> Option<Digest> {
    let few = index.manifests().len() <= MAX_BESIDE;
    let mut images = index.manifests().iter().filter(|_| few);
    images.find_map(|(image, _)| {
        let (digest, stored) = index.blob(*image)?;
        let content = stored.open().ok()?;
        let manifest = Manifest::parse(&content.read_all(MAX_MANIFEST_SIZE).ok()?, None).ok()?;
        let mut layers = manifest.children.iter().filter(|child| child.role == Role::Layer);
        let (layer, None) = (layers.next()?, layers.next()) else { return None };
        let layer = index.blob(index.find(&layer.descriptor.digest)?)?;
        is_cache(&layer.1.open().ok()?).then(|| digest.clone())
    })
}

/// Whether the first file in a compressed tar archive is one of a cache.
fn is_cache(layer: &Content) -> bool {
    let mut head = vec![0; PACKED_HEAD.min(usize::try_from(layer.length()).unwrap_or(PACKED_HEAD))];
    let mut name = [0; 32];
    let read = layer.read_at(&mut head, 0);
    let unpacked = read.and_then(|()| GzDecoder::new(head.as_slice()).read_exact(&mut name));
    let begins =
        |with: &str| name.strip_prefix(b"./").unwrap_or(&name).starts_with(with.as_bytes());
    unpacked.is_ok() && (begins("blob/") || begins(MANIFESTS))
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
