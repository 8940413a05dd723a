//! The files of a container, whatever it is: a directory, a tar, a squashfs image.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

use crate::extent::{Content, Extent, ReadAt};

/// How many files a container may hold: several times the largest bundle foreseen.
pub const MAX_FILES: usize = 1 << 20;

/// Why a link is left out that leads to nothing.
pub(super) const DANGLING: &str = "it is a link to no regular file of the archive";

/// A file of a container that is left out, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Omission {
    /// Its name in the container, as far as it can be shown.
    pub path: String,
    /// Why it is left out.
    pub reason: &'static str,
}

/// The regular files of a container by their path: relative, `/`-separated, no `.` or `..`.
#[derive(Debug, Default)]
pub struct Tree {
    files: BTreeMap<Box<str>, Stored>,
}

/// Where the bytes of one file of a container are.
#[derive(Clone, Debug)]
pub enum Stored {
    /// A run of bytes of the container's own file.
    Extent(Extent),
    /// Compressed in the container.
    Packed(Arc<dyn ReadAt>),
    /// A file of its own of this many bytes, opened when it is read.
    Path(Arc<PathBuf>, u64),
}

impl Stored {
    /// The number of bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Extent(extent) => extent.length(),
            Self::Packed(packed) => packed.length(),
            Self::Path(_, length) => *length,
        }
    }

    /// Where the bytes begin in the container's file, if they lie there as they are.
    #[must_use]
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::Extent(extent) => Some(extent.offset()),
            Self::Packed(_) | Self::Path(..) => None,
        }
    }

    /// Makes the bytes readable.
    ///
    /// # Errors
    ///
    /// When a file of its own cannot be opened or has another size now.
    pub fn open(&self) -> io::Result<Content> {
        Ok(match self {
            Self::Extent(extent) => Content::Extent(extent.clone()),
            Self::Packed(packed) => Content::Packed(Arc::clone(packed)),
            Self::Path(path, length) => {
                let extent = Extent::whole(Arc::new(File::open(&**path)?))?;
                if extent.length() != *length {
                    let message = format!("has {} bytes, had {length}", extent.length());
                    return Err(io::Error::new(io::ErrorKind::InvalidData, message));
                }
                Content::Extent(extent)
            }
        })
    }
}

impl From<Content> for Stored {
    fn from(content: Content) -> Self {
        match content {
            Content::Extent(extent) => Self::Extent(extent),
            Content::Packed(packed) => Self::Packed(packed),
        }
    }
}

impl Tree {
    /// Makes a tree of files in any order, faster than one by one.
    ///
    /// # Errors
    ///
    /// A name that is there twice.
    pub fn of(mut files: Vec<(Box<str>, Stored)>) -> Result<Self, Box<str>> {
        files.sort_by(|(one, _), (two, _)| one.cmp(two));
        let mut pairs = files.iter().zip(files.iter().skip(1));
        if let Some(((name, _), _)) = pairs.find(|((one, _), (two, _))| one == two) {
            return Err(name.clone());
        }
        Ok(Self { files: files.into_iter().collect() })
    }

    /// Adds a file; the first of a name wins, as in a walk from the front.
    ///
    /// Answers whether the name was new.
    pub fn insert(&mut self, path: &str, stored: Stored) -> bool {
        if self.files.contains_key(path) {
            return false;
        }
        self.files.insert(path.into(), stored);
        true
    }

    /// Adds a file in the place of one of the same name.
    pub fn replace(&mut self, path: &str, stored: Stored) {
        self.files.insert(path.into(), stored);
    }

    /// The file at `path`.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&Stored> {
        self.files.get(path)
    }

    /// The files whose path begins with `prefix`, in byte order of their paths.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a Stored)> {
        self.files
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(move |(path, _)| path.starts_with(prefix))
            .map(|(path, stored)| (&**path, stored))
    }

    /// The number of files.
    #[must_use]
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

/// The path of a member as a [`Tree`] has it, or nothing if it is absolute, points up or is no text.
#[must_use]
pub fn clean(path: &[u8]) -> Option<String> {
    join("", path)
}

/// Where `path` leads from the directory `base`, or nothing if that is outside of the container.
#[must_use]
pub fn join(base: &str, path: &[u8]) -> Option<String> {
    let path = std::str::from_utf8(path).ok()?;
    if path.starts_with('/') || path.contains('\0') {
        return None;
    }
    let mut components: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => {
                components.pop()?;
            }
            name => components.push(name),
        }
    }
    (!components.is_empty()).then(|| components.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        for (base, path, expected) in [
            ("", "a/b", Some("a/b")),
            ("", "./a//b/", Some("a/b")),
            ("x/y", "../z", Some("x/z")),
            ("x", "../../z", None),
            ("", "/etc", None),
            ("", "..", None),
            ("", ".", None),
            ("", "a\0b", None),
        ] {
            assert_eq!(join(base, path.as_bytes()).as_deref(), expected, "{base} {path}");
        }
        assert_eq!(clean(&[0xff, b'a']), None);
    }
}
