//! The files of a container, whatever it is: a directory, a tar, a squashfs image.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

use crate::extent::{Content, Extent, ReadAt};

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

impl Tree {
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
