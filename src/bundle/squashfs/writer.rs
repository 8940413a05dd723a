//! Writes an image of our profile: every file one uncompressed run of bytes.
//!
//! Files are filled in any order and from any thread, each byte once, at the place
//! that the [`Layout`] gave it. The image grows as `<name>.partial`; its tables come
//! after the data, its superblock last, and only then it gets its name: what a killed
//! writer leaves behind is no image and cannot be taken for one.
//! Nothing is kept in memory but the layout. Who notes which bytes were written can
//! let a later writer go on with the same layout.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom};
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Advice, FallocateFlags, FlockOperation};
use rustix::io::Errno;

use super::format::Superblock;
use super::layout::{Layout, Place};
use super::tables::Tables;
use crate::extent::Extent;

/// An image being written.
#[derive(Debug)]
pub struct Writer {
    file: File,
    path: PathBuf,
    partial: PathBuf,
    layout: Layout,
    mtime: u32,
    space: Space,
    /// How many bytes of each file were written.
    written: Vec<AtomicU64>,
}

/// What is done about the disk space of an image before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// All of it is reserved where the file system can, so that a full disk is an early error.
    Reserve,
    /// None, because what makes room for it goes away meanwhile.
    AsWritten,
    /// None; what is never written reads as zeros and takes no space.
    Sparse,
}

/// Why an image could not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} {path:?}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file system has too little space for the image.
    #[error("cannot write {path:?}: it needs {needed} bytes, {free} are free")]
    Full {
        /// The unfinished image.
        path: PathBuf,
        /// How many bytes it needs.
        needed: u64,
        /// How many there are.
        free: u64,
    },
    /// Another writer is at work on the same image.
    #[error("cannot write {path:?}: another process is writing it")]
    Busy {
        /// The unfinished image.
        path: PathBuf,
    },
    /// There is no such file in the layout.
    #[error("cannot write file {file} of an image of {files}")]
    NoFile {
        /// Its place in the list.
        file: usize,
        /// How many there are.
        files: usize,
    },
    /// The bytes do not fit in the file.
    #[error("cannot write {length} bytes at {position} of {path:?}, which has {size}")]
    Outside {
        /// The file in the image.
        path: String,
        /// Where in the file.
        position: u64,
        /// How many bytes.
        length: u64,
        /// The file's size as planned.
        size: u64,
    },
    /// A file did not get all its bytes.
    #[error("cannot finish the image: {path:?} got {written} bytes of {size}")]
    Incomplete {
        /// The file in the image.
        path: String,
        /// How many bytes were written.
        written: u64,
        /// The file's size as planned.
        size: u64,
    },
}

impl Writer {
    /// Begins the image that is to be at `path`, as `<path>.partial`.
    ///
    /// What another, killed, writer left there is overwritten.
    /// All files and directories get `mtime`, in seconds since 1970.
    ///
    /// # Errors
    ///
    /// When the file cannot be made, another writer has it open, or the disk is too full.
    pub fn create(path: &Path, layout: Layout, mtime: u32, space: Space) -> Result<Self, Error> {
        let writer = Self::open(path, layout, mtime, space)?;
        writer.file.set_len(0).map_err(writer.failed("empty"))?;
        writer.make_room().inspect_err(|_| writer.abandon())?;
        Ok(writer)
    }

    /// Goes on with what another, killed, writer of the same layout left as `<path>.partial`.
    ///
    /// # Errors
    ///
    /// As [`Writer::create`]; what is there stays.
    pub fn resume(path: &Path, layout: Layout, mtime: u32, space: Space) -> Result<Self, Error> {
        let writer = Self::open(path, layout, mtime, space)?;
        // It may have come as far as the superblock: what is being changed is no image.
        let erased = writer.file.write_all_at(&[0; Superblock::SIZE], 0);
        erased.map_err(writer.failed("write to"))?;
        writer.make_room()?;
        Ok(writer)
    }

    fn open(path: &Path, layout: Layout, mtime: u32, space: Space) -> Result<Self, Error> {
        let partial = partial(path);
        let failed = |action| {
            let path = partial.clone();
            move |source| Error::Io { action, path, source }
        };
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&partial)
            .map_err(failed("create"))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(Error::Busy { path: partial }),
            Err(error) => return Err(failed("lock")(error.into())),
        }
        // Between opening and locking another writer may have finished, and renamed the file.
        if !is_at(&file, &partial).map_err(failed("look at"))? {
            return Err(Error::Busy { path: partial });
        }
        let written = layout.places().iter().map(|_| AtomicU64::new(0)).collect();
        Ok(Self { file, path: path.to_owned(), partial, layout, mtime, space, written })
    }

    /// Gives the file its size, and fails now rather than when the disk is full.
    fn make_room(&self) -> Result<(), Error> {
        let needed = self.layout.image_size();
        if self.space == Space::Reserve {
            let found = rustix::fs::fstatvfs(&self.file).map_err(io::Error::from);
            let found = found.map_err(self.failed("look at the file system of"))?;
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            // What an earlier writer reserved is ours already.
            let held = self.file.metadata().map_err(self.failed("look at"))?.blocks() * 512;
            if free.saturating_add(held) < needed {
                return Err(Error::Full { path: self.partial.clone(), needed, free });
            }
            reserve(&self.file, needed).map_err(self.failed("reserve space for"))?;
        }
        self.file.set_len(needed).map_err(self.failed("extend"))
    }

    /// The places of the files.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Writes bytes of a file, by its place in the layout's list, from `position` on.
    ///
    /// # Errors
    ///
    /// When they would reach past the file's end, or cannot be written.
    pub fn write_at(&self, file: usize, position: u64, bytes: &[u8]) -> Result<(), Error> {
        let offset = self.within(file, position, bytes.len() as u64)?;
        self.file.write_all_at(bytes, offset).map_err(self.failed("write to"))?;
        self.count(file, bytes.len() as u64);
        Ok(())
    }

    /// Fills a file with the bytes of another, which has the same size, without touching
    /// them where the kernel can.
    ///
    /// # Errors
    ///
    /// When the sizes differ, or the bytes cannot be read or written.
    pub fn copy_from(&self, file: usize, from: &Extent) -> Result<(), Error> {
        let length = from.length();
        let offset = self.within(file, 0, length)?;
        from.copy_to(&self.file, offset).map_err(self.failed("copy to"))?;
        self.count(file, length);
        Ok(())
    }

    /// Reads what was written of a file, from `position` on.
    ///
    /// # Errors
    ///
    /// When that would reach past the file's end, or cannot be read.
    pub fn read_at(&self, file: usize, position: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let offset = self.within(file, position, buffer.len() as u64)?;
        self.file.read_exact_at(buffer, offset).map_err(self.failed("read from"))
    }

    /// Has the system begin to bring bytes of a file to the disk that were just written, without
    /// waiting for them: the more of an image is there, the shorter [`Writer::seal`] takes.
    ///
    /// What goes wrong with them [`Writer::seal`] is told.
    pub fn write_back(&self, file: usize, position: u64, length: u64) {
        let Ok(offset) = self.within(file, position, length) else { return };
        // Linux begins to write what it is said not to be needed, and forgets only what is written.
        let advice = Advice::DontNeed;
        let _ = rustix::fs::fadvise(&self.file, offset, NonZeroU64::new(length), advice);
    }

    /// Takes the first `length` bytes of a file as written: an earlier writer wrote them.
    pub fn keep(&self, file: usize, length: u64) {
        self.count(file, length);
    }

    /// Completes the image and gives it its name; afterwards it is on the disk for good.
    ///
    /// # Errors
    ///
    /// Those of [`Writer::seal`] and [`Writer::publish`]; the `.partial` remains.
    pub fn finish(&self) -> Result<(), Error> {
        self.seal()?;
        self.publish()
    }

    /// Completes the image, still as the `.partial`; afterwards all of it is on the disk.
    ///
    /// # Errors
    ///
    /// When a file did not get all its bytes (unless the image is [`Space::Sparse`]), or
    /// the operating system refuses.
    pub fn seal(&self) -> Result<(), Error> {
        self.complete()?;
        let tables = Tables::of(&self.layout, self.mtime)
            .ok_or_else(|| self.failed("make the tables of")(io::ErrorKind::InvalidInput.into()))?;
        self.write_tables(&tables).map_err(self.failed("write the tables of"))?;
        self.file.sync_data().map_err(self.failed("sync"))?;
        let superblock = tables.superblock().encode();
        self.file.write_all_at(&superblock, 0).map_err(self.failed("write the superblock of"))?;
        self.file.sync_data().map_err(self.failed("sync"))
    }

    /// Gives a sealed image its name, for good.
    ///
    /// # Errors
    ///
    /// When the operating system refuses; the `.partial` remains.
    pub fn publish(&self) -> Result<(), Error> {
        fs::rename(&self.partial, &self.path).map_err(self.failed("rename"))?;
        let parent = match self.path.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        File::open(parent)
            .and_then(|directory| directory.sync_all())
            .map_err(self.failed("sync the directory of"))
    }

    /// Gives up: removes the `.partial`, as far as that is possible. What others still
    /// write is lost with it.
    pub fn abandon(&self) {
        drop(fs::remove_file(&self.partial));
    }

    fn write_tables(&self, tables: &Tables) -> io::Result<()> {
        let mut to = BufWriter::with_capacity(1 << 20, &self.file);
        to.seek(SeekFrom::Start(self.layout.data_end()))?;
        tables.write(&mut to)?;
        to.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(())
    }

    /// Checks that each file got its bytes.
    fn complete(&self) -> Result<(), Error> {
        if self.space == Space::Sparse {
            return Ok(());
        }
        for (Place { path, size, .. }, written) in self.layout.places().iter().zip(&self.written) {
            let written = written.load(Ordering::Relaxed);
            if written < *size {
                return Err(Error::Incomplete { path: path.clone(), written, size: *size });
            }
        }
        Ok(())
    }

    /// Where in the image `length` bytes at `position` of a file go.
    fn within(&self, file: usize, position: u64, length: u64) -> Result<u64, Error> {
        let Some(place) = self.layout.place(file) else {
            return Err(Error::NoFile { file, files: self.layout.len() });
        };
        match position.checked_add(length) {
            Some(end) if end <= place.size => Ok(place.offset + position),
            _ => {
                let (path, size) = (place.path.clone(), place.size);
                Err(Error::Outside { path, position, length, size })
            }
        }
    }

    fn count(&self, file: usize, length: u64) {
        if let Some(written) = self.written.get(file) {
            written.fetch_add(length, Ordering::Relaxed);
        }
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(io::Error) -> Error + '_ {
        move |source| Error::Io { action, path: self.partial.clone(), source }
    }
}

/// What an image is called until it is finished.
#[must_use]
pub fn partial(path: &Path) -> PathBuf {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    partial.into()
}

/// Whether `path` still names the open `file`.
pub(crate) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::metadata(path) {
        Ok(named) => Ok((named.dev(), named.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Reserves disk space; a file system that cannot is not an error.
fn reserve(file: &File, size: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size) {
        Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
