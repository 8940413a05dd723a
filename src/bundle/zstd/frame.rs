//! The headers of zstd frames and blocks, from bytes to values.
//!
//! ```text
//! frame:      magic 4 | descriptor 1 | window 0–1 | dictionary 0–4 | content size 0–8 | blocks | checksum 0–4
//! block:      last 1 bit, kind 2 bits, size 21 bits | body
//! skippable:  magic 4 | length 4 | bytes that mean nothing here
//! ```
//!
//! <https://www.rfc-editor.org/rfc/rfc8878#section-3.1>

/// The longest header of a frame, in bytes.
pub(super) const MAX_HEADER: usize = 18;
/// The length of the header of a block, in bytes.
pub(super) const BLOCK_HEADER: usize = 3;
/// The length of a checksum, in bytes.
pub(super) const CHECKSUM: u64 = 4;
/// What a block regenerates at most, in bytes.
pub(super) const MAX_BLOCK: u32 = 128 << 10;
/// How a frame begins.
const MAGIC: u32 = 0xfd2f_b528;
/// How a frame to be skipped begins, but for its last four bits.
const SKIPPABLE: u32 = 0x184d_2a50;

/// What begins where a frame should.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Frame {
    /// A frame with content.
    Content(Header),
    /// A frame without, of this length with its header, in bytes.
    Skippable(u64),
}

/// The header of a frame with content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Header {
    /// Its own length, in bytes.
    pub(super) length: usize,
    /// How far back a match may reach, in bytes.
    pub(super) window: u64,
    /// The length of the content, if it is said, in bytes.
    pub(super) content: Option<u64>,
    /// Whether a checksum follows the last block.
    pub(super) checksum: bool,
}

/// What a frame header is not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// Long enough.
    Short,
    /// What begins here is no frame.
    Magic,
    /// A bit is set that must not be.
    Reserved,
    /// It needs a dictionary, which lies elsewhere.
    Dictionary,
}

/// The header of a block.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Block {
    /// Whether it is the last of its frame.
    pub(super) last: bool,
    /// What its body is.
    pub(super) kind: Kind,
    /// Of a compressed block what it takes up, of the others what it regenerates, in bytes.
    pub(super) size: u32,
}

/// What the body of a block is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// The bytes as they are.
    Raw,
    /// One byte, to be repeated.
    Fill,
    /// Compressed.
    Packed,
    /// Not defined.
    Reserved,
}

/// Reads what begins a frame, at most [`MAX_HEADER`] bytes.
pub(super) fn parse(bytes: &[u8]) -> Result<Frame, Fault> {
    let magic = u32::try_from(number(bytes, 0, 4)?).unwrap_or_default();
    if magic & !0xf == SKIPPABLE {
        return Ok(Frame::Skippable(8 + number(bytes, 4, 4)?));
    }
    if magic != MAGIC {
        return Err(Fault::Magic);
    }
    let descriptor = number(bytes, 4, 1)?;
    let single = descriptor & 0x20 != 0;
    if descriptor & 0x08 != 0 {
        return Err(Fault::Reserved);
    }
    let mut at = 5;
    let mut window = None;
    if !single {
        window = Some(self::window(number(bytes, at, 1)?));
        at += 1;
    }
    let dictionary = match descriptor & 3 {
        0 => 0,
        1 => 1,
        2 => 2,
        _ => 4,
    };
    if number(bytes, at, dictionary)? != 0 {
        return Err(Fault::Dictionary);
    }
    at += dictionary;
    let (size, more) = match descriptor >> 6 {
        0 if single => (1, 0),
        0 => (0, 0),
        1 => (2, 256),
        2 => (4, 0),
        _ => (8, 0),
    };
    let content = number(bytes, at, size)?.saturating_add(more);
    Ok(Frame::Content(Header {
        length: at + size,
        window: window.unwrap_or(content),
        content: (size > 0).then_some(content),
        checksum: descriptor & 4 != 0,
    }))
}

/// The window that its descriptor means.
fn window(descriptor: u64) -> u64 {
    let base = 1 << (10 + (descriptor >> 3));
    base + base / 8 * (descriptor & 7)
}

/// A header of a frame with a window of at least these many bytes, and nothing else in it.
pub(super) fn plain(wanted: u64) -> [u8; 6] {
    let descriptor = (0..=u8::MAX).find(|it| window((*it).into()) >= wanted).unwrap_or(u8::MAX);
    let [a, b, c, d] = MAGIC.to_le_bytes();
    [a, b, c, d, 0, descriptor]
}

impl Block {
    /// Reads the header of a block.
    pub(super) fn parse(bytes: [u8; BLOCK_HEADER]) -> Self {
        let [a, b, c] = bytes;
        let number = u32::from_le_bytes([a, b, c, 0]);
        let kind = match number >> 1 & 3 {
            0 => Kind::Raw,
            1 => Kind::Fill,
            2 => Kind::Packed,
            _ => Kind::Reserved,
        };
        Self { last: number & 1 != 0, kind, size: number >> 3 }
    }

    /// The header as bytes.
    pub(super) fn to_bytes(self) -> [u8; BLOCK_HEADER] {
        let number = self.size << 3 | (self.kind as u32) << 1 | u32::from(self.last);
        let [a, b, c, _] = number.to_le_bytes();
        [a, b, c]
    }
}

/// The little-endian number of these many bytes.
fn number(bytes: &[u8], at: usize, length: usize) -> Result<u64, Fault> {
    let bytes = bytes.get(at..at + length).ok_or(Fault::Short)?;
    Ok(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_as_the_rfc_says() {
        let header = |length, window, content, checksum| {
            Ok(Frame::Content(Header { length, window, content, checksum }))
        };
        for (rest, expected) in [
            (&[0x00, 0x00][..], header(6, 1024, None, false)),
            (&[0x04, 0x6a][..], header(6, (8 << 20) + (2 << 20), None, true)),
            (&[0x20, 5][..], header(6, 5, Some(5), false)),
            (&[0x60, 0, 1][..], header(7, 512, Some(512), false)),
            (&[0xa4, 1, 2, 3, 4][..], header(9, 0x0403_0201, Some(0x0403_0201), true)),
            (&[0xc0, 0x58, 1, 0, 0, 0, 0, 0, 0, 0x80][..], {
                header(14, 2 << 20, Some(1 << 63 | 1), false)
            }),
            (&[0x01, 0x58, 0][..], header(7, 2 << 20, None, false)),
            (&[0x03, 0x58, 0, 0, 0, 1][..], Err(Fault::Dictionary)),
            (&[0x08, 0x58][..], Err(Fault::Reserved)),
            (&[0x00][..], Err(Fault::Short)),
            (&[0xe0, 1, 2, 3, 4, 5, 6, 7][..], Err(Fault::Short)),
        ] {
            let bytes = [&MAGIC.to_le_bytes()[..], rest].concat();
            assert_eq!(parse(&bytes), expected, "{rest:?}");
        }
        let skippable = [0x5f, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(parse(&skippable), Ok(Frame::Skippable(8 + u64::from(u32::MAX))));
        assert_eq!(parse(&skippable[..7]), Err(Fault::Short));
        assert_eq!(parse(b"PK\x03\x04"), Err(Fault::Magic));
    }

    #[test]
    fn a_plain_header_has_the_window_that_is_wanted() {
        for wanted in [0, 1, 1024, 1025, 5 << 20, 8 << 20, 128 << 20] {
            let Ok(Frame::Content(header)) = parse(&plain(wanted)) else { panic!("{wanted}") };
            assert!(header.window >= wanted && header.window <= wanted / 8 * 9 + 1024, "{wanted}");
            assert_eq!((header.content, header.checksum, header.length), (None, false, 6));
        }
    }

    #[test]
    fn blocks_are_read_and_written() {
        for (kind, bits) in [(Kind::Raw, 0), (Kind::Fill, 1), (Kind::Packed, 2)] {
            let block = Block { last: true, kind, size: MAX_BLOCK };
            assert_eq!(block.to_bytes(), [1 | bits << 1, 0, 0x10]);
            assert_eq!(Block::parse(block.to_bytes()), block);
        }
        assert_eq!(Block::parse([6, 0, 0]).kind, Kind::Reserved);
    }
}
