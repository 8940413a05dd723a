//! Directories that skopeo wrote (`dir:`), one or many in a tree.
//!
//! ```text
//! [REGISTRY/]PATH/TAG/version       "Directory Transport Version: 1.1"
//!                     manifest.json
//!                     <hex>.manifest.json    the manifests of an index
//!                     <hex>                  configurations and layers
//! ```
//!
//! No file says what an image is called: its directory's path does, and for a directory alone
//! the name of the file or directory that it was opened by.
//! <https://github.com/containers/image/blob/main/docs/containers-transports.5.md>

use super::index::Root;
use super::tree::{Stored, Tree};
use super::{Error, Meaning, Problem, Understood, loose};
use crate::oci::{self, Digest, Name};

/// The file that says that a directory is one.
pub(super) const VERSION_FILE: &str = "version";
const MANIFEST_FILE: &str = "manifest.json";
const CHILD: &str = ".manifest.json";
/// What the version begins with.
const VERSION: &[u8] = b"Directory Transport Version: 1.";

/// Whether there is such a directory in a tree.
#[must_use]
pub fn recognise(tree: &Tree) -> bool {
    directories(tree).any(|(_, is_known)| is_known)
}

/// Reads the images and which blobs there are.
///
/// # Errors
///
/// When a manifest cannot be read.
pub(super) fn understand(tree: &Tree, stem: Option<&oci::Repository>) -> Result<Understood, Error> {
    let (mut blobs, mut roots, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    let mut reader = loose::Reader::new();
    for (directory, is_known) in directories(tree) {
        if !is_known {
            let path = format!("{directory}{VERSION_FILE}");
            let reason = "it is not of version 1 of skopeo's directories";
            problems.push(Problem::Omitted { path, reason });
            continue;
        }
        let path = format!("{directory}{MANIFEST_FILE}");
        let Some(stored) = tree.get(&path) else { continue };
        match reader.read(&path, stored, None)? {
            Err(problem) => problems.push(problem),
            Ok(descriptor) => {
                let digest = descriptor.digest.clone();
                blobs.push((digest.clone(), stored.clone()));
                match root(directory, stem, descriptor) {
                    Some(root) => roots.push(root),
                    None => problems.push(Problem::Nameless { digest }),
                }
            }
        }
        blobs.extend(held(tree, directory));
    }
    Ok(Understood { meaning: Meaning::Skopeo, blobs, roots, problems })
}

/// The directories, each with a slash at its end, or empty for the root; and whether its version
/// is one that we know.
fn directories(tree: &Tree) -> impl Iterator<Item = (&str, bool)> {
    tree.below("").filter_map(|(path, stored)| {
        let directory = path.strip_suffix(VERSION_FILE)?;
        let is_whole = directory.is_empty() || directory.ends_with('/');
        let is_one = is_whole && tree.get(&format!("{directory}{MANIFEST_FILE}")).is_some();
        is_one.then(|| (directory, says_so(stored)))
    })
}

fn says_so(version: &Stored) -> bool {
    let mut beginning = [0; VERSION.len()];
    let read = version.open().and_then(|content| content.read_at(&mut beginning, 0));
    read.is_ok() && beginning == VERSION
}

fn root(
    directory: &str,
    stem: Option<&oci::Repository>,
    descriptor: oci::Descriptor,
) -> Option<Root> {
    let path = directory.trim_end_matches('/');
    if let Some((name, tag)) = path.rsplit_once('/') {
        return loose::root(name, &tag.parse().ok()?, descriptor);
    }
    let name = Name { registry: None, repository: stem?.clone() };
    let tag = if path.is_empty() { None } else { path.parse().ok() };
    Some(Root { name, tag, descriptor })
}

/// The blobs and the manifests of an index in a directory, by the digests in their names.
fn held<'t>(tree: &'t Tree, directory: &'t str) -> impl Iterator<Item = (Digest, Stored)> + 't {
    tree.below(directory).filter_map(move |(path, stored)| {
        let file = path.strip_prefix(directory)?;
        let hex = file.strip_suffix(CHILD).unwrap_or(file);
        let digest = if hex.contains(':') { hex.parse() } else { format!("sha256:{hex}").parse() };
        Some((digest.ok()?, stored.clone()))
    })
}
