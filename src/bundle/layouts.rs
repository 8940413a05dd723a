//! OCI layouts below one another's names, one for each repository: the storage of zot and olareg.
//!
//! ```text
//! [HOST/]PATH/oci-layout
//! [HOST/]PATH/index.json
//! [HOST/]PATH/blobs/<algorithm>/<hex>
//! ```
//!
//! What an entry of an index says only by a tag belongs to the repository that its path names. What
//! lies beside (`cache.db`, `.uploads`) is passed over.
//! <https://github.com/project-zot/zot/blob/main/pkg/storage/imagestore/imagestore.go>

use std::io;

use super::tree::Tree;
use super::{Error, Meaning, Problem, Understood, layout, loose};
use crate::oci::INDEX_FILE;

/// How many bytes of indexes are read of one bundle: a container may name one file many times.
const MAX_BYTES: u64 = 2 * layout::MAX_INDEX_SIZE;

/// Whether there is such a layout in a tree.
#[must_use]
pub fn recognise(tree: &Tree) -> bool {
    directories(tree).next().is_some()
}

/// Reads the names in each index and which blobs there are.
///
/// # Errors
///
/// When there are too many; an index that cannot be read is a problem of its own.
pub(super) fn understand(tree: &Tree) -> Result<Understood, Error> {
    let (mut blobs, mut roots, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    let mut left = MAX_BYTES;
    for directory in directories(tree) {
        blobs.extend(layout::blobs(tree, directory));
        let path = format!("{directory}{INDEX_FILE}");
        let length = tree.get(&path).map_or(0, super::tree::Stored::length);
        let too_many = || {
            let source = io::Error::new(io::ErrorKind::FileTooLarge, "there are too many indexes");
            Error::File { path: path.clone(), source }
        };
        left = left.checked_sub(length).ok_or_else(too_many)?;
        let bytes = super::read(tree, &path, layout::MAX_INDEX_SIZE)?;
        let Ok(index) = layout::entries(&bytes) else {
            let reason = "it is no index of an OCI layout";
            problems.push(Problem::Omitted { path, reason });
            continue;
        };
        let own = loose::named(directory.trim_end_matches('/'), None);
        layout::name(index, own.as_ref(), &mut roots, &mut problems);
    }
    Ok(Understood { meaning: Meaning::Layouts, blobs, roots, problems })
}

/// The directories of layouts, each with a slash at its end.
fn directories(tree: &Tree) -> impl Iterator<Item = &str> {
    tree.below("").filter_map(|(path, _)| {
        let directory = path.strip_suffix(INDEX_FILE).filter(|it| it.ends_with('/'))?;
        layout::is_at(tree, directory).then_some(directory)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::bundle::tree::Stored;
    use crate::extent::InMemory;

    const INDEX: &str = r#"{"schemaVersion":2,"manifests":[
        {"mediaType":"application/vnd.oci.image.manifest.v1+json","size":0,
         "digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
         "annotations":{"org.opencontainers.image.ref.name":"v1"}}]}"#;

    #[test]
    fn the_path_is_the_name() {
        let mut tree = Tree::default();
        for (directory, text) in [
            ("app/one", INDEX),
            ("quay.io/lab/app", INDEX),
            ("Upper/case", INDEX),
            ("broken", "{"),
            ("none/x", INDEX),
        ] {
            let file = |text: &str| Stored::Packed(Arc::new(InMemory(text.as_bytes().to_vec())));
            tree.insert(&format!("{directory}/index.json"), file(text));
            if directory != "none/x" {
                tree.insert(&format!("{directory}/oci-layout"), file("{}"));
            }
        }
        let understood = understand(&tree).unwrap();
        let names: Vec<_> = understood.roots.iter().map(|it| it.name.to_string()).collect();
        assert_eq!(names, ["app/one", "quay.io/lab/app"]);
        assert_eq!(understood.problems.len(), 2, "{:?}", understood.problems);
    }
}
