//! Where each file of an image will be: a pure function of the list of (path, size).
//!
//! ```text
//! 0    superblock
//! 96   the files in the order of the list, each one run of bytes;
//!      those of 64 KiB and more begin on a multiple of 4096
//!      tables, then zeros to a multiple of 4096
//! ```
//!
//! Offsets are known before the first byte arrives, so each download goes straight
//! to its place, and an interrupted one can find its place again.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::format::{MAX_DEPTH, MAX_NAME, MAX_TABLE, Superblock};
use super::inode::Header;
use super::tables::Tables;

/// The unit in which an image says how its files are stored: the largest there is.
pub(super) const BLOCK_SIZE: u32 = 1 << 20;
/// Files of this many bytes and more are aligned.
const LARGE: u64 = 64 << 10;
/// What they are aligned to, and what the image is padded to.
const ALIGNMENT: u64 = 4096;
/// The longest image: positions in a file are signed.
const MAX_IMAGE: u64 = i64::MAX.unsigned_abs();

/// The places of all files of an image.
#[derive(Clone, Debug)]
pub struct Layout {
    files: Vec<Place>,
    root: Directory,
    data_end: u64,
    image_size: u64,
}

/// A file's run of bytes.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) path: String,
    pub(super) offset: u64,
    pub(super) size: u64,
}

/// The names in a directory, in byte order.
pub(super) type Directory = BTreeMap<String, Node>;

/// What a name stands for.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// A file, by its place in the list.
    File(usize),
    Directory(Directory),
}

/// Why a list of files cannot become an image.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A path is not one inside of an image.
    #[error("cannot place {path:?}: {problem}")]
    Path {
        /// The path as given.
        path: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Two files would have one path, or a file would be a directory too.
    #[error("cannot place {path:?}: another file has that path or a part of it")]
    Conflict {
        /// The path of the later one.
        path: String,
    },
    /// The files are larger together than an image can be.
    #[error("cannot place {path:?} of {size} bytes: the image would be too long")]
    Size {
        /// The file that is too much.
        path: String,
        /// Its size.
        size: u64,
    },
    /// There are more files or longer names than the tables of an image can hold.
    #[error("cannot place {files} files: the tables of the image would be too long")]
    Tables {
        /// How many files there are.
        files: usize,
    },
}

impl Layout {
    /// Places files, each a path and its size in bytes, in the order given.
    ///
    /// Paths are relative and `/`-separated; their directories need not be named.
    ///
    /// # Errors
    ///
    /// When a path is absolute, empty, nested more than 64 deep, has an empty, `.`, `..`,
    /// NUL-holding or over-long name, is given twice or is a directory of another;
    /// when the image or its tables would be too long.
    pub fn plan(files: Vec<(String, u64)>) -> Result<Self, Error> {
        let mut root = Directory::new();
        let mut places = Vec::with_capacity(files.len());
        let mut data_end = Superblock::SIZE as u64;
        let mut inodes = 0_u64;
        for (index, (path, size)) in files.into_iter().enumerate() {
            insert(&mut root, &path, index)?;
            let too_long = || Error::Size { path: path.clone(), size };
            let alignment = if size >= LARGE { ALIGNMENT } else { 1 };
            let offset = data_end.checked_next_multiple_of(alignment).ok_or_else(too_long)?;
            data_end = offset
                .checked_add(size)
                .filter(|end| *end <= MAX_IMAGE - 2 * MAX_TABLE as u64)
                .ok_or_else(too_long)?;
            inodes = Header::file_bound(size, BLOCK_SIZE)
                .and_then(|bound| inodes.checked_add(bound))
                .filter(|inodes| *inodes <= MAX_TABLE as u64)
                .ok_or_else(too_long)?;
            places.push(Place { path, offset, size });
        }
        let mut layout = Self { files: places, root, data_end, image_size: 0 };
        let tables = Tables::of(&layout, 0)
            .filter(|tables| tables.longest() <= MAX_TABLE)
            .ok_or(Error::Tables { files: layout.files.len() })?;
        layout.image_size = (data_end + tables.stored_length()).next_multiple_of(ALIGNMENT);
        Ok(layout)
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

    /// Where in the image the bytes of a file begin, by its place in the list.
    #[must_use]
    pub fn offset(&self, file: usize) -> Option<u64> {
        self.files.get(file).map(|place| place.offset)
    }

    /// The length in bytes of the finished image, tables and padding included.
    #[must_use]
    pub fn image_size(&self) -> u64 {
        self.image_size
    }

    /// Where the tables begin.
    pub(super) fn data_end(&self) -> u64 {
        self.data_end
    }

    pub(super) fn place(&self, file: usize) -> Option<&Place> {
        self.files.get(file)
    }

    pub(super) fn places(&self) -> &[Place] {
        &self.files
    }

    pub(super) fn root(&self) -> &Directory {
        &self.root
    }
}

fn insert(root: &mut Directory, path: &str, index: usize) -> Result<(), Error> {
    let problem = |problem| Err(Error::Path { path: path.to_owned(), problem });
    let conflict = || Error::Conflict { path: path.to_owned() };
    if path.contains('\0') {
        return problem("it contains a NUL");
    }
    let mut directory = root;
    let mut depth = 0;
    let mut rest = path;
    loop {
        let (name, below) = match rest.split_once('/') {
            Some((name, below)) => (name, Some(below)),
            None => (rest, None),
        };
        match name {
            "" => return problem("it has an empty name, or is absolute"),
            "." | ".." => return problem("it has `.` or `..` in it"),
            _ if name.len() > MAX_NAME => return problem("it has a name longer than 255 bytes"),
            _ => {}
        }
        let entry = directory.entry(name.to_owned());
        let Some(below) = below else {
            let Entry::Vacant(entry) = entry else { return Err(conflict()) };
            entry.insert(Node::File(index));
            return Ok(());
        };
        depth += 1;
        if depth > MAX_DEPTH {
            return problem("its directories are nested more than 64 deep");
        }
        match entry.or_insert_with(|| Node::Directory(Directory::new())) {
            Node::Directory(next) => directory = next,
            Node::File(_) => return Err(conflict()),
        }
        rest = below;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(files: &[(&str, u64)]) -> Result<Layout, Error> {
        Layout::plan(files.iter().map(|(path, size)| ((*path).to_owned(), *size)).collect())
    }

    #[test]
    fn large_files_are_aligned_and_small_ones_packed() {
        let layout = plan(&[("a", 5), ("b/c", 65_535), ("b/d", 65_536), ("b/e", 0), ("f", 1)]);
        let layout = layout.unwrap();
        let offsets: Vec<u64> = (0..layout.len()).map(|n| layout.offset(n).unwrap()).collect();
        assert_eq!(offsets, [96, 101, 69_632, 135_168, 135_168]);
        assert_eq!(layout.image_size(), 139_264);
        assert_eq!(layout.offset(5), None);
    }

    #[test]
    fn an_empty_image_has_a_size() {
        assert_eq!(plan(&[]).unwrap().image_size(), 4096);
    }

    #[test]
    fn bad_paths_are_refused() {
        let long = "x".repeat(256);
        let deep = format!("{}x", "d/".repeat(65));
        for path in ["", "/", "/a", "a/", "a//b", ".", "a/../b", "./a", "a\0", &long, &deep] {
            assert!(matches!(plan(&[(path, 1)]), Err(Error::Path { .. })), "{path}");
        }
        for paths in [["a", "a"], ["a", "a/b"], ["a/b", "a"], ["a/b", "a/b"]] {
            let refused = plan(&[(paths[0], 1), (paths[1], 1)]).unwrap_err();
            assert_eq!(refused, Error::Conflict { path: paths[1].to_owned() });
        }
    }

    #[test]
    fn sizes_beyond_the_format_are_refused_at_once() {
        for size in [u64::MAX, u64::MAX - 96, 1 << 62, 1 << 47] {
            assert!(matches!(plan(&[("a", size)]), Err(Error::Size { .. })), "{size}");
        }
        assert!(plan(&[("a", 8 << 40)]).is_ok());
        assert!(plan(&[("a", 16 << 40), ("b", 60 << 40)]).is_err());
    }
}
