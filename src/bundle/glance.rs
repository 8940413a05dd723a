//! Telling a directory that is a bundle from one that holds bundles, and when it changed, without
//! reading it.
//!
//! ```text
//! index.json, blobs/                    an OCI layout
//! docker/registry/v2/                   a registry's storage
//! manifest.json, version                an image that skopeo wrote; without: a docker-archive
//! blob/, manifests/                     an image cache of Talos
//! v2/…/{blobs,manifests}/               what `oc image mirror` wrote
//! a/b/…                                 the same further down, when nothing else lies here
//! ```
//!
//! Below a directory of the last kind the path says what an image is called. So it is the highest
//! one from which the path can be a name: no file lies there that may be a bundle, and what may be
//! a registry's name comes first.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::skopeo;
use super::storage;
use crate::oci;

/// How deep is looked: a registry, and a repository of as many parts as anybody uses.
const MAX_DEPTH: usize = 10;
/// How many directories are looked at until one is taken to hold no images.
const MAX_LOOKS: usize = 2000;
/// How many files and directories of a bundle are watched.
const MAX_TELLTALES: usize = 50_000;
/// What zot keeps beside the layouts.
const ZOT_FILE: &str = "cache.db";

/// What a directory is at its top.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// An OCI layout.
    Layout,
    /// A registry's storage.
    Storage,
    /// One image in a directory of skopeo's.
    Skopeo,
    /// Something else that needs no name of its own: a docker-archive, a cache, a mirror.
    Other,
}

/// Whether `path` is a directory that is itself a bundle, rather than one that holds bundles.
///
/// # Errors
///
/// When it cannot be looked at.
pub fn is_bundle_directory(path: &Path) -> io::Result<bool> {
    Ok(kind(path)?.is_some() || holds_images(path)?)
}

/// The files and directories that tell, by when they were changed, that what a directory holds
/// as a bundle is not what it was.
///
/// # Errors
///
/// When it cannot be looked at.
pub fn telltales(path: &Path) -> io::Result<Vec<PathBuf>> {
    match kind(path)? {
        Some(Kind::Layout) => Ok(vec![path.join(oci::INDEX_FILE)]),
        Some(Kind::Storage) => storage::telltales(path),
        Some(Kind::Skopeo | Kind::Other) => everything(path),
        None => match find(path)? {
            Some((place, Kind::Storage)) => storage::telltales(&place),
            _ => everything(path),
        },
    }
}

/// What a directory is, by what lies directly in it.
fn kind(path: &Path) -> io::Result<Option<Kind>> {
    let has = |name: &str| path.join(name).try_exists();
    if has(oci::INDEX_FILE)? && (has(oci::LAYOUT_FILE)? || has("blobs")?) {
        return Ok(Some(Kind::Layout));
    }
    if has(storage::TREE)? {
        return Ok(Some(Kind::Storage));
    }
    if has("manifest.json")? {
        if has(skopeo::VERSION_FILE)? {
            return Ok(Some(Kind::Skopeo));
        }
        if is_list(&path.join("manifest.json"))? {
            return Ok(Some(Kind::Other));
        }
    }
    let talos = has("blob")? && has("manifests")?;
    Ok((talos || has_mirror(&path.join("v2"))?).then_some(Kind::Other))
}

/// Whether a file begins as a list in JSON does.
fn is_list(path: &Path) -> io::Result<bool> {
    let mut head = [0; 16];
    let read = fs::File::open(path)?.read(&mut head)?;
    let head = head.get(..read).unwrap_or_default();
    Ok(head.trim_ascii_start().starts_with(b"["))
}

/// Whether there are repositories below as `oc image mirror` lays them out.
fn has_mirror(root: &Path) -> io::Result<bool> {
    if !root.try_exists()? {
        return Ok(false);
    }
    let found = first(root, &mut |path| {
        let both = path.join("blobs").is_dir() && path.join("manifests").is_dir();
        Ok(both.then_some(()))
    });
    Ok(found?.is_some())
}

/// Whether what lies further down makes this one bundle, not several that happen to lie here.
fn holds_images(path: &Path) -> io::Result<bool> {
    let Some(directories) = only_directories(path)? else { return Ok(false) };
    let is_zot = path.join(ZOT_FILE).try_exists()?;
    let mut is_deep = false;
    for directory in directories.into_iter().take(MAX_LOOKS) {
        // One that this user may not read holds nothing for him: `lost+found` on a medium.
        match kind(&directory).unwrap_or_default() {
            Some(Kind::Layout | Kind::Skopeo) => is_deep |= is_zot,
            Some(Kind::Storage | Kind::Other) => return Ok(false),
            None if directory.join(ZOT_FILE).exists() => return Ok(false),
            None => match find(&directory).unwrap_or_default() {
                // The names begin further down.
                Some((place, Kind::Layout | Kind::Skopeo))
                    if !may_be_registry(&directory) && begins_later(&place, &directory) =>
                {
                    return Ok(false);
                }
                found => is_deep |= found.is_some(),
            },
        }
    }
    Ok(is_deep)
}

/// Whether a directory directly below `base` on the way to `place` has the name of a registry.
fn begins_later(place: &Path, base: &Path) -> bool {
    let below = place.strip_prefix(base).ok().and_then(|below| below.iter().next());
    below.is_some_and(|name| may_be_registry(Path::new(name)))
}

/// Whether a directory's name can only be a registry's.
fn may_be_registry(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.contains(['.', ':']) || name == "localhost"
}

/// The first bundle somewhere below that is found.
fn find(path: &Path) -> io::Result<Option<(PathBuf, Kind)>> {
    first(path, &mut |path| Ok(kind(path)?.map(|kind| (path.to_owned(), kind))))
}

/// The first answer about a directory below, or about `root` itself.
fn first<T>(
    root: &Path,
    look: &mut impl FnMut(&Path) -> io::Result<Option<T>>,
) -> io::Result<Option<T>> {
    let mut left = vec![(root.to_owned(), 0)];
    let mut looks = 0;
    while let Some((path, depth)) = left.pop() {
        looks += 1;
        if looks > MAX_LOOKS {
            break;
        }
        let looked = look(&path).and_then(|found| Ok((found, only_directories(&path)?)));
        let (found, below) = match looked {
            // It is gone by now, or not to be read.
            Err(_) if depth > 0 => continue,
            looked => looked?,
        };
        if found.is_some() {
            return Ok(found);
        }
        if depth < MAX_DEPTH {
            let below = below.unwrap_or_default().into_iter().take(MAX_LOOKS);
            left.extend(below.map(|path| (path, depth + 1)));
        }
    }
    Ok(None)
}

/// The directories in a directory, hidden ones and links left out; nothing if files lie there, for
/// no name leads through it then.
fn only_directories(path: &Path) -> io::Result<Option<Vec<PathBuf>>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if is_hidden(&path) || kind.is_symlink() || entry.file_name() == ZOT_FILE {
            continue;
        }
        if !kind.is_dir() {
            return Ok(None);
        }
        found.push(path);
    }
    Ok(Some(found))
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// All files and directories below, with `root` itself.
fn everything(root: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = vec![root.to_owned()];
    let mut next = 0;
    while let Some(path) = found.get(next) {
        next += 1;
        let Ok(entries) = fs::read_dir(path) else { continue };
        for entry in entries {
            if found.len() >= MAX_TELLTALES {
                return Ok(found);
            }
            found.push(entry?.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with these files; those without content are directories.
    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            match file.ends_with('/') {
                true => fs::create_dir_all(path).unwrap(),
                false => fs::write(path, "[]").unwrap(),
            }
        }
        root
    }

    #[test]
    fn what_is_a_bundle_and_what_holds_bundles() {
        for (files, expected) in [
            (&["index.json", "oci-layout"][..], true),
            (&["index.json", "blobs/"], true),
            (&["docker/registry/v2/blobs/"], true),
            (&["manifest.json", "version"], true),
            (&["manifest.json"], true),
            (&["blob/x", "manifests/x"], true),
            (&["v2/a/b/blobs/x", "v2/a/b/manifests/x"], true),
            (&["quay.io/a/b/v1/manifest.json", "quay.io/a/b/v1/version"], true),
            (&["a/b/v1/manifest.json", "a/b/v1/version"], true),
            (&["app/one/index.json", "app/one/oci-layout"], true),
            (&["one/index.json", "one/oci-layout", "cache.db"], true),
            (&["one/index.json", "one/oci-layout", "a/b/index.json", "a/b/oci-layout"], true),
            (&["platform/mirror/docker/registry/v2/blobs/"], true),
            (&[], false),
            (&["a.sqfs", "b.tar"], false),
            (&["index.json"], false),
            (&["v2/x"], false),
            (&["v1/a/blobs/x", "v1/a/manifests/x"], false),
            (&["a/docker/registry/v2/blobs/"], false),
            (&["one/index.json", "one/oci-layout", "two/index.json", "two/oci-layout"], false),
            (&["a.sqfs", "quay.io/a/b/v1/manifest.json", "quay.io/a/b/v1/version"], false),
            (&["images/quay.io/a/b/v1/manifest.json", "images/quay.io/a/b/v1/version"], false),
            (&["zot/cache.db", "zot/a/b/index.json", "zot/a/b/oci-layout"], false),
            (&["talos/blob/", "talos/manifests/", "a/b/index.json", "a/b/oci-layout"], false),
            (&["photos/2026/a.jpg"], false),
            (&["src/README", "src/a/b/index.json", "src/a/b/oci-layout"], false),
            (&[".hidden/a/index.json", ".hidden/a/oci-layout"], false),
        ] {
            let root = tree(files);
            assert_eq!(is_bundle_directory(root.path()).unwrap(), expected, "{files:?}");
        }
    }

    #[test]
    fn a_name_that_is_absent_is_an_error() {
        assert!(is_bundle_directory(Path::new("/nonexistent/path")).is_err());
    }

    #[test]
    fn what_may_not_be_read_holds_nothing() {
        use std::os::unix::fs::PermissionsExt;
        let root = tree(&["lost+found/x", "a/b/index.json", "a/b/oci-layout"]);
        let closed = root.path().join("lost+found");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        // Root may read it all the same: a file lies there.
        assert!(is_bundle_directory(root.path()).unwrap());
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    }

    #[test]
    fn looking_ends() {
        let deep = format!("{}x", "a/".repeat(60));
        let wide: Vec<String> = (0..50).map(|number| format!("{number}/a/b/c/")).collect();
        let wide: Vec<&str> = wide.iter().map(String::as_str).collect();
        let root = tree(&[&[&*deep], &wide[..]].concat());
        std::os::unix::fs::symlink(".", root.path().join("a/cycle")).unwrap();
        assert!(!is_bundle_directory(root.path()).unwrap());
        assert!(telltales(root.path()).unwrap().len() > 100);
    }
}
