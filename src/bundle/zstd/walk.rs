//! One walk over the headers of a zstd file: what lies where, but for what must be decoded.
//!
//! No body is read. What is alike and adjacent becomes one segment, so that an archive of
//! gigabytes, of which the encoder could compress nearly nothing, has a few dozen.

use super::Error;
use super::frame::{
    self, BLOCK_HEADER, Block, CHECKSUM, Fault, Frame, Kind, MAX_BLOCK, MAX_HEADER,
};
use crate::extent::Content;

/// The largest window, in bytes: what `zstd` itself takes without being asked to.
pub(super) const MAX_WINDOW: u64 = 128 << 20;
/// How many segments there may be: those of hundreds of gigabytes with a compressed block at
/// every second place.
const MAX_SEGMENTS: usize = 1 << 21;
/// How many blocks there may be in any file, and how many bytes each further one must bring on
/// average: no encoder cuts up its content that much, and each costs a read.
const FREE_BLOCKS: u64 = 1 << 16;
const BYTES_PER_BLOCK: u64 = 512;
/// How many blocks there may be at all: those of two terabytes.
const MAX_BLOCKS: u64 = 1 << 24;

/// What lies in a zstd file.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// In their order; a frame comes before its blocks.
    pub(super) segments: Vec<Segment>,
    /// How many bytes need no decoder.
    pub(super) plain: u64,
    /// How many compressed blocks there are.
    pub(super) packed: u64,
    /// How many blocks and frames there are.
    blocks: u64,
}

/// Blocks of one kind and size that follow one another.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Segment {
    /// A frame begins.
    Frame {
        /// How far back a match may reach, in bytes.
        window: u64,
        /// The length of its content, if it is said.
        content: Option<u64>,
    },
    /// Bytes as they are, in so many blocks, from the body of the first.
    Raw {
        /// Where in the file.
        offset: u64,
        /// The bytes of each.
        size: u32,
        /// How many.
        count: u32,
    },
    /// One byte repeated, in so many blocks.
    Fill {
        /// Which.
        byte: u8,
        /// The bytes of each.
        size: u32,
        /// How many.
        count: u32,
    },
    /// One compressed block, from its body.
    Packed {
        /// Where in the file.
        offset: u64,
        /// The bytes that it takes up there.
        size: u32,
    },
}

/// Walks over a file.
///
/// # Errors
///
/// When it ends within a frame, is damaged, or is beyond the limits.
pub(super) fn walk(file: &Content) -> Result<Outline, Error> {
    let mut outline = Outline::default();
    let mut at = 0;
    while at < file.length() {
        outline.count(at)?;
        let mut head = [0; MAX_HEADER];
        let length = usize::try_from(file.length() - at).unwrap_or(MAX_HEADER).min(MAX_HEADER);
        let head = head.get_mut(..length).unwrap_or_default();
        file.read_at(head, at).map_err(Error::Read)?;
        match frame::parse(head) {
            Ok(Frame::Skippable(length)) => {
                at = end(file, at, at.saturating_add(length), "a skippable frame")?;
            }
            Ok(Frame::Content(header)) => {
                if header.window > MAX_WINDOW {
                    return Err(Error::Window(header.window));
                }
                let (window, content) = (header.window, header.content);
                outline.push(Segment::Frame { window, content })?;
                at = blocks(file, at + header.length as u64, window, &mut outline)?;
                if header.checksum {
                    at = end(file, at, at.saturating_add(CHECKSUM), "a checksum")?;
                }
            }
            Err(Fault::Short) => return Err(cut(file, at, "the header of a frame")),
            Err(Fault::Magic) if is_blank(head) => return Err(blank(at)),
            Err(Fault::Magic) => return Err(Error::damaged(at, "no frame begins there")),
            Err(Fault::Reserved) => return Err(Error::damaged(at, "a reserved bit is set")),
            Err(Fault::Dictionary) => return Err(Error::Dictionary(at)),
        }
    }
    Ok(outline)
}

/// Walks over the blocks of a frame, and answers where they end.
fn blocks(file: &Content, mut at: u64, window: u64, outline: &mut Outline) -> Result<u64, Error> {
    let largest = u32::try_from(window).map_or(MAX_BLOCK, |window| window.min(MAX_BLOCK));
    loop {
        outline.count(at)?;
        // The byte behind the header is what a block of one byte repeats.
        let mut head = [0; BLOCK_HEADER + 1];
        let length = file.length().saturating_sub(at);
        let length = usize::try_from(length).unwrap_or(head.len()).min(head.len());
        let bytes = head.get_mut(..length).unwrap_or_default();
        file.read_at(bytes, at).map_err(Error::Read)?;
        if length < BLOCK_HEADER {
            return Err(cut(file, at, "the header of a block"));
        }
        let [a, b, c, byte] = head;
        let block = Block::parse([a, b, c]);
        if block.size > largest {
            let problem = format!("the block has {} bytes, of at most {largest}", block.size);
            return Err(Error::damaged(at, problem));
        }
        if head == [0; BLOCK_HEADER + 1] && is_blank_at(file, at)? {
            return Err(blank(at));
        }
        let offset = at + BLOCK_HEADER as u64;
        let stored = if block.kind == Kind::Fill { 1 } else { block.size };
        let next = end(file, at, offset.saturating_add(stored.into()), "a block")?;
        let size = block.size;
        match block.kind {
            Kind::Raw => outline.push(Segment::Raw { offset, size, count: 1 })?,
            Kind::Fill => outline.push(Segment::Fill { byte, size, count: 1 })?,
            Kind::Packed => outline.push(Segment::Packed { offset, size })?,
            Kind::Reserved => return Err(Error::damaged(at, "the block is of a reserved kind")),
        }
        at = next;
        if block.last {
            return Ok(at);
        }
    }
}

/// Answers `end`, unless the file ends before it.
fn end(file: &Content, at: u64, end: u64, what: &str) -> Result<u64, Error> {
    if end > file.length() { Err(cut(file, at, what)) } else { Ok(end) }
}

/// Whether nothing but zeros comes for a while: no encoder writes one empty block after the other.
fn is_blank_at(file: &Content, at: u64) -> Result<bool, Error> {
    let mut bytes = [0; 64];
    let length = usize::try_from(file.length() - at).unwrap_or(bytes.len()).min(bytes.len());
    let bytes = bytes.get_mut(..length).unwrap_or_default();
    file.read_at(bytes, at).map_err(Error::Read)?;
    Ok(is_blank(bytes))
}

fn is_blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Whoever copies a file may have made it as long as it will be.
fn blank(at: u64) -> Error {
    Error::NotWhole(format!("is still empty from byte {at} on"))
}

fn cut(file: &Content, at: u64, what: &str) -> Error {
    Error::NotWhole(format!("ends at byte {}, within {what} at byte {at}", file.length()))
}

impl Outline {
    /// Counts a block or a frame.
    fn count(&mut self, at: u64) -> Result<(), Error> {
        self.blocks += 1;
        let content = self.plain.saturating_add(self.packed.saturating_mul(MAX_BLOCK.into()));
        let most = FREE_BLOCKS.saturating_add(content / BYTES_PER_BLOCK).min(MAX_BLOCKS);
        if self.blocks > most { Err(Error::Pieces { at, pieces: most }) } else { Ok(()) }
    }

    fn push(&mut self, segment: Segment) -> Result<(), Error> {
        match segment {
            Segment::Raw { size, .. } | Segment::Fill { size, .. } => {
                self.plain = self.plain.saturating_add(size.into());
                // An encoder may end a frame with it.
                if size == 0 {
                    return Ok(());
                }
            }
            Segment::Packed { .. } => self.packed += 1,
            Segment::Frame { .. } => {}
        }
        if self.segments.last_mut().is_some_and(|last| last.join(segment)) {
            return Ok(());
        }
        if self.segments.len() >= MAX_SEGMENTS {
            let at = segment.offset().unwrap_or_default();
            return Err(Error::Pieces { at, pieces: MAX_SEGMENTS as u64 });
        }
        self.segments.push(segment);
        Ok(())
    }
}

impl Segment {
    /// The bytes that it regenerates, at most.
    pub(super) fn most(self) -> u64 {
        match self {
            Self::Frame { .. } => 0,
            Self::Raw { size, count, .. } | Self::Fill { size, count, .. } => {
                u64::from(size) * u64::from(count)
            }
            Self::Packed { .. } => MAX_BLOCK.into(),
        }
    }

    /// Where in the file it begins, where that is known.
    pub(super) fn offset(self) -> Option<u64> {
        match self {
            Self::Raw { offset, .. } | Self::Packed { offset, .. } => Some(offset),
            Self::Frame { .. } | Self::Fill { .. } => None,
        }
    }

    /// Takes in what follows, if it is more of the same.
    fn join(&mut self, next: Self) -> bool {
        match (self, next) {
            (Self::Raw { offset, size, count }, Self::Raw { offset: at, size: more, .. }) => {
                let end = *offset + u64::from(*count) * stride(*size);
                let joins = *size == more && end == at && *count < u32::MAX;
                *count += u32::from(joins);
                joins
            }
            (Self::Fill { byte, size, count }, Self::Fill { byte: other, size: more, .. }) => {
                let joins = *byte == other && *size == more && *count < u32::MAX;
                *count += u32::from(joins);
                joins
            }
            _ => false,
        }
    }
}

/// How far the bodies of raw blocks of a size lie apart when nothing lies between them.
pub(super) fn stride(size: u32) -> u64 {
    u64::from(size) + BLOCK_HEADER as u64
}
