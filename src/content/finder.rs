//! Which files there are to serve, and whether one changed since it was looked at.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::bundle;
use crate::bundle::parts::{self, Role, Sets};

/// Finds the files that may be bundles.
#[derive(Debug)]
pub(super) struct Finder {
    paths: Vec<PathBuf>,
    /// Those of the paths that were files when they were last there.
    files: HashSet<PathBuf>,
}

/// What changes when a file changes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Finder {
    /// Looks for these files, archives, layouts, and for what is in directories of them.
    pub(super) fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths, files: HashSet::new() }
    }

    /// Whether a path was given by itself, and not found in a directory.
    pub(super) fn is_given(&self, path: &Path) -> bool {
        self.files.contains(path)
    }

    /// Every candidate once, in the order of the paths given and by name within a directory.
    ///
    /// A file that was given and was there before may be gone: it was removed. A directory
    /// must be there: a medium that is gone is not one that was emptied.
    pub(super) fn find(&mut self) -> io::Result<Vec<(PathBuf, Stamp)>> {
        let mut found = Vec::new();
        for path in &operands(&self.paths)? {
            if !path.is_dir() || bundle::is_bundle_directory(path)? {
                let stamp = match Stamp::of(path) {
                    Err(error)
                        if error.kind() == io::ErrorKind::NotFound && self.files.contains(path) =>
                    {
                        continue;
                    }
                    stamp => stamp?,
                };
                self.files.insert(path.clone());
                found.push((path.clone(), stamp));
                continue;
            }
            // A file may be gone again by now: the next scan will not see it.
            found.extend(candidates(path)?.into_iter().filter_map(|path| {
                let stamp = Stamp::of(&path).ok()?;
                Some((path, stamp))
            }));
        }
        let mut seen = HashSet::new();
        found.retain(|(path, _)| seen.insert(path.clone()));
        Ok(found)
    }
}

/// The files that paths name: a part of a file is that file, by its first part, and counts once.
///
/// # Errors
///
/// When a directory of parts cannot be read.
pub fn operands(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut operands = Vec::with_capacity(paths.len());
    for path in paths {
        let path = match parts::role(path)? {
            Role::Later(first) => first,
            Role::First(_) | Role::Orphan(_) => path.clone(),
        };
        if !operands.contains(&path) {
            operands.push(path);
        }
    }
    Ok(operands)
}

/// What may be a bundle in a directory, sorted by name. Of the parts of a file it is the first.
///
/// # Errors
///
/// When the directory cannot be read.
pub fn candidates(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path()));
    let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
    entries.retain(|path| is_candidate(path));
    let sets = Sets::of(directory, entries.iter().cloned());
    entries.retain(|path| !matches!(sets.role(path), Role::Later(_)));
    entries.sort_unstable();
    Ok(entries)
}

/// Whether a name in a directory may be a bundle: nothing hidden, nothing under construction.
fn is_candidate(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_unfinished = [".partial", ".journal"].iter().any(|ending| name.ends_with(ending));
    if name.is_empty() || name.starts_with('.') || is_unfinished {
        return false;
    }
    !path.is_dir() || bundle::is_bundle_directory(path).unwrap_or(false)
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        if !metadata.is_dir() {
            let mut stamp = Self::from(&metadata);
            if let Role::First(others) = parts::role(path)? {
                for other in others {
                    stamp.mix(Self::from(&fs::metadata(other)?));
                }
            }
            return Ok(stamp);
        }
        let mut stamp = Self { device: 0, inode: 0, size: 0, modified: (0, 0) };
        for path in bundle::telltales(path)? {
            // It may be gone by now, which changes the sum as well.
            if let Ok(metadata) = fs::metadata(&path).or_else(|_| fs::symlink_metadata(&path)) {
                stamp.mix(Self::from(&metadata));
            }
        }
        Ok(stamp)
    }

    /// Takes in another one; the sum tells that one of them changed.
    fn mix(&mut self, other: Self) {
        self.device = other.device;
        self.inode = self.inode.wrapping_add(other.inode);
        self.size = self.size.wrapping_add(other.size);
        let (seconds, nanoseconds) = self.modified;
        let modified = other.modified;
        self.modified = (seconds.wrapping_add(modified.0), nanoseconds.wrapping_add(modified.1));
    }
}

impl From<&fs::Metadata> for Stamp {
    fn from(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}
