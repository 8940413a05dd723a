//! Bytes put together of pieces that lie apart, read as one run.

use std::io;

use crate::extent::{Content, Extent, ReadAt};

/// Pieces in their order.
#[derive(Debug)]
pub(super) struct Pieces {
    /// Each with the position behind its last byte.
    pieces: Box<[(u64, Content)]>,
}

impl Pieces {
    /// Puts pieces together.
    ///
    /// # Errors
    ///
    /// When they are longer than a position can say.
    pub(super) fn of(pieces: impl IntoIterator<Item = Content>) -> io::Result<Self> {
        let mut end = 0_u64;
        let place = |piece: Content| {
            end = end.checked_add(piece.length()).ok_or(io::ErrorKind::FileTooLarge)?;
            Ok((end, piece))
        };
        let pieces = pieces.into_iter().filter(|piece| piece.length() > 0).map(place);
        Ok(Self { pieces: pieces.collect::<io::Result<_>>()? })
    }
}

impl ReadAt for Pieces {
    fn length(&self) -> u64 {
        self.pieces.last().map_or(0, |(end, _)| *end)
    }

    fn read_at(&self, mut buffer: &mut [u8], mut position: u64) -> io::Result<()> {
        let first = self.pieces.partition_point(|(end, _)| *end <= position);
        for (end, piece) in self.pieces.iter().skip(first) {
            if buffer.is_empty() {
                break;
            }
            let rest = end - position;
            let length = usize::try_from(rest).unwrap_or(usize::MAX).min(buffer.len());
            let (now, later) = buffer.split_at_mut(length);
            piece.read_at(now, piece.length() - rest)?;
            position += length as u64;
            buffer = later;
        }
        if buffer.is_empty() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn extent(&self, start: u64, length: u64) -> Option<Extent> {
        let first = self.pieces.partition_point(|(end, _)| *end <= start);
        let (end, piece) = self.pieces.get(first)?;
        match piece.slice(piece.length() - (end - start), length)? {
            Content::Extent(extent) => Some(extent),
            Content::Packed(_) => None,
        }
    }
}

/// So many zeros, which lie nowhere.
#[derive(Debug)]
pub(super) struct Zeros(pub(super) u64);

impl ReadAt for Zeros {
    fn length(&self) -> u64 {
        self.0
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        match position.checked_add(buffer.len() as u64) {
            Some(end) if end <= self.0 => buffer.fill(0),
            _ => return Err(io::ErrorKind::UnexpectedEof.into()),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::extent::InMemory;

    #[test]
    fn pieces_are_read_as_one() {
        let texts = ["abc", "", "d", "efgh"];
        let piece = |text: &str| Content::Packed(Arc::new(InMemory(text.into())));
        let pieces = Pieces::of(texts.map(piece)).unwrap();
        let whole = b"abcdefgh";
        assert_eq!(pieces.length(), 8);
        for start in 0..=whole.len() {
            for end in start..=whole.len() {
                let mut buffer = vec![0; end - start];
                pieces.read_at(&mut buffer, start as u64).unwrap();
                assert_eq!(buffer, &whole[start..end]);
            }
        }
        for (length, position) in [(9, 0), (1, 8), (2, 7), (1, u64::MAX)] {
            assert!(pieces.read_at(&mut vec![0; length], position).is_err());
        }
    }
}
