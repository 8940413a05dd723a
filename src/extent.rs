//! A run of bytes in a file, read at an offset.
//!
//! What lets a blob travel from a bundle to a socket without being copied:
//! readers make extents, `Source` passes them on, the server sends them.
//! Only what a foreign tool compressed is a [`ReadAt`] instead.

use std::fmt;
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use rustix::io::{Errno, ReadWriteFlags};

/// Bytes that can be read at any position: a run of a file, or decompressed on the way.
#[derive(Clone, Debug)]
pub enum Content {
    /// Bytes as they lie in a file.
    Extent(Extent),
    /// Bytes that cost work to make, such as a compressed file of a squashfs image.
    Packed(Arc<dyn ReadAt>),
}

impl Content {
    /// The number of bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        match self {
            Self::Extent(extent) => extent.length(),
            Self::Packed(packed) => packed.length(),
        }
    }

    /// Fills `buffer` from `position`, or fails; may wait for the disk or a decompressor.
    ///
    /// # Errors
    ///
    /// When the buffer reaches past the end, or the bytes cannot be read or decompressed.
    pub fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        match self {
            Self::Extent(extent) => extent.read_at(buffer, position),
            Self::Packed(packed) => packed.read_at(buffer, position),
        }
    }

    /// The `length` bytes from `start`, or nothing if it has not that many.
    #[must_use]
    pub fn slice(&self, start: u64, length: u64) -> Option<Self> {
        if start.checked_add(length)? > self.length() {
            return None;
        }
        Some(match self {
            Self::Extent(extent) => Self::Extent(extent.slice(start, length)),
            Self::Packed(packed) => match packed.extent(start, length) {
                Some(extent) => Self::Extent(extent),
                None => Self::Packed(Arc::new(Slice { of: Arc::clone(packed), start, length })),
            },
        })
    }

    /// Reads all of it in order, as much at a time as `buffer` holds, and shows each piece.
    ///
    /// Ends with the first error: that of `each`, which is also shown why a piece cannot be read.
    ///
    /// # Errors
    ///
    /// Those of `each`.
    pub fn read_through<E>(
        &self,
        buffer: &mut [u8],
        mut each: impl FnMut(io::Result<&[u8]>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut position = 0;
        while position < self.length() && !buffer.is_empty() {
            let rest = usize::try_from(self.length() - position).unwrap_or(usize::MAX);
            let length = rest.min(buffer.len());
            let piece = buffer.get_mut(..length).unwrap_or_default();
            if let Err(error) = self.read_at(piece, position) {
                return each(Err(error));
            }
            each(Ok(piece))?;
            position += length as u64;
        }
        Ok(())
    }

    /// Reads all of it when it is at most `limit` bytes long.
    ///
    /// # Errors
    ///
    /// `FileTooLarge` when it is longer than `limit`; otherwise as [`Content::read_at`].
    pub fn read_all(&self, limit: u64) -> io::Result<Vec<u8>> {
        let length = match usize::try_from(self.length()) {
            Ok(length) if self.length() <= limit => length,
            _ => return Err(io::ErrorKind::FileTooLarge.into()),
        };
        let mut bytes = vec![0; length];
        self.read_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

/// Bytes that cost work to make; reading may block and must not happen in async code.
pub trait ReadAt: fmt::Debug + Send + Sync {
    /// The number of bytes.
    fn length(&self) -> u64;

    /// Fills `buffer` from `position`, or fails.
    ///
    /// # Errors
    ///
    /// When the buffer reaches past the end, or the bytes cannot be read or decompressed.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()>;

    /// The `length` bytes from `start`, if they lie as they are in one run of a file.
    fn extent(&self, start: u64, length: u64) -> Option<Extent> {
        let _ = (start, length);
        None
    }
}

/// A part of bytes that cost work to make; whoever makes one has checked that it is within.
#[derive(Debug)]
struct Slice {
    of: Arc<dyn ReadAt>,
    start: u64,
    length: u64,
}

impl ReadAt for Slice {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        match position.checked_add(buffer.len() as u64) {
            Some(end) if end <= self.length => self.of.read_at(buffer, self.start + position),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn extent(&self, start: u64, length: u64) -> Option<Extent> {
        let within = start.checked_add(length)? <= self.length;
        within.then(|| self.of.extent(self.start + start, length))?
    }
}

/// Bytes that lie in no file: a document made while opening a bundle.
#[derive(Debug)]
pub struct InMemory(pub Vec<u8>);

impl ReadAt for InMemory {
    fn length(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        let start = usize::try_from(position).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let end = start.checked_add(buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        let bytes = self.0.get(start..end).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

/// A run of bytes in an open file.
#[derive(Clone, Debug)]
pub struct Extent {
    file: Arc<File>,
    offset: u64,
    length: u64,
}

impl Extent {
    /// Names `length` bytes of `file` from `offset`, or nothing if that overflows.
    #[must_use]
    pub fn new(file: Arc<File>, offset: u64, length: u64) -> Option<Self> {
        offset.checked_add(length)?;
        Some(Self { file, offset, length })
    }

    /// Names the whole of `file` as it is now.
    ///
    /// # Errors
    ///
    /// When the file's size cannot be asked for.
    pub fn whole(file: Arc<File>) -> io::Result<Self> {
        let length = file.metadata()?.len();
        Ok(Self { file, offset: 0, length })
    }

    /// The number of bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Where the run begins in its file.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The part from `start`, at most `length` long; empty past the end.
    #[must_use]
    pub fn slice(&self, start: u64, length: u64) -> Self {
        let start = start.min(self.length);
        Self {
            file: Arc::clone(&self.file),
            offset: self.offset + start,
            length: length.min(self.length - start),
        }
    }

    /// Fills `buffer` from `position` within the extent, or fails.
    ///
    /// # Errors
    ///
    /// When the buffer reaches past the extent, or the file cannot be read or
    /// has become shorter.
    pub fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        self.within(buffer.len(), position)?;
        self.file.read_exact_at(buffer, self.offset + position)
    }

    /// Reads what the page cache holds at `position`, without waiting for the disk.
    ///
    /// Answers how many bytes came; 0 when none is at hand (or the file system
    /// cannot tell), and the caller must use [`Extent::read_at`] where it may wait.
    ///
    /// # Errors
    ///
    /// When the buffer reaches past the extent, or the file cannot be read.
    pub fn read_cached(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.within(buffer.len(), position)?;
        let mut buffers = [IoSliceMut::new(buffer)];
        let flags = ReadWriteFlags::NOWAIT;
        match rustix::io::preadv2(&*self.file, &mut buffers, self.offset + position, flags) {
            Ok(read) => Ok(read),
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether the page cache holds it, as far as a byte of every 256 KiB tells.
    #[must_use]
    pub fn is_cached(&self) -> bool {
        let last = self.length.saturating_sub(1);
        let mut samples = (0..last).step_by(256 << 10).chain([last]);
        samples.all(|position| self.read_cached(&mut [0], position).is_ok_and(|read| read > 0))
    }

    /// Sends at most `length` bytes from its beginning to a socket, within the kernel.
    ///
    /// Waits for the disk where the page cache does not hold them.
    ///
    /// # Errors
    ///
    /// When the file has become shorter, or the socket fails or takes nothing now.
    pub fn send(&self, socket: impl AsFd, length: usize) -> io::Result<usize> {
        let length = length.min(usize::try_from(self.length).unwrap_or(length));
        let mut offset = self.offset;
        match rustix::fs::sendfile(socket, &*self.file, Some(&mut offset), length)? {
            0 if length > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            sent => Ok(sent),
        }
    }

    /// Copies all bytes to `offset` of another file, within the kernel where it can.
    ///
    /// # Errors
    ///
    /// When a file cannot be read or written, or has become shorter.
    pub fn copy_to(&self, target: &File, offset: u64) -> io::Result<()> {
        let (mut from, mut to) = (self.offset, offset);
        let end = self.offset + self.length;
        while from < end {
            let length = usize::try_from(end - from).unwrap_or(usize::MAX).min(1 << 30);
            match rustix::fs::copy_file_range(
                &*self.file,
                Some(&mut from),
                target,
                Some(&mut to),
                length,
            ) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                    return self.slice(from - self.offset, self.length).carry_to(target, to);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Copies all bytes through memory.
    fn carry_to(&self, target: &File, offset: u64) -> io::Result<()> {
        let mut buffer = vec![0; 1 << 20];
        let mut position = 0;
        while position < self.length {
            let length = usize::try_from(self.length - position).unwrap_or(usize::MAX);
            let length = length.min(buffer.len());
            let buffer = buffer.get_mut(..length).unwrap_or_default();
            self.read_at(buffer, position)?;
            target.write_all_at(buffer, offset + position)?;
            position += length as u64;
        }
        Ok(())
    }

    fn within(&self, wanted: usize, position: u64) -> io::Result<()> {
        let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
        match position.checked_add(wanted) {
            Some(end) if end <= self.length => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn reads_stay_within() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let extent = Extent::new(Arc::new(file), 2, 5).unwrap();
        let mut buffer = [0; 3];
        extent.read_at(&mut buffer, 2).unwrap();
        assert_eq!(&buffer, b"456");
        assert!(extent.read_at(&mut buffer, 3).is_err());
        assert!(extent.read_at(&mut buffer, u64::MAX).is_err());
        assert_eq!(extent.slice(4, 99).length(), 1);
        assert_eq!(extent.slice(99, 1).length(), 0);
        let cached = extent.read_cached(&mut buffer, 0).unwrap();
        assert!(cached == 0 || buffer.get(..cached) == b"234".get(..cached));
    }

    #[test]
    fn slices_stay_within() {
        let packed = Content::Packed(Arc::new(InMemory(b"0123456789".to_vec())));
        let slice = packed.slice(2, 5).unwrap();
        assert_eq!(slice.read_all(5).unwrap(), b"23456");
        assert!(slice.read_at(&mut [0; 2], 4).is_err());
        assert_eq!(slice.slice(4, 1).unwrap().read_all(5).unwrap(), b"6");
        assert!(slice.slice(4, 2).is_none() && slice.slice(u64::MAX, 1).is_none());
        assert!(packed.slice(10, 0).is_some() && packed.slice(0, 11).is_none());
    }

    #[test]
    fn copies_are_equal_within_the_kernel_or_not() {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251).to_le_bytes()[0]).collect();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        let extent = Extent::new(Arc::new(file), 7, 2_500_000).unwrap();
        for copy in [Extent::copy_to, Extent::carry_to] {
            let target = tempfile::tempfile().unwrap();
            copy(&extent, &target, 5).unwrap();
            assert_eq!(target.metadata().unwrap().len(), 2_500_005);
            let mut copied = vec![0; 2_500_000];
            target.read_exact_at(&mut copied, 5).unwrap();
            assert!(copied == bytes[7..2_500_007]);
        }
        let longer = Extent { length: 4_000_000, ..extent };
        assert!(longer.copy_to(&tempfile::tempfile().unwrap(), 0).is_err());
    }

    #[test]
    fn a_shorter_file_is_an_error_not_zeros() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4).unwrap();
        let extent = Extent::new(Arc::new(file), 0, 8).unwrap();
        assert!(extent.read_at(&mut [0; 8], 0).is_err());
    }
}
