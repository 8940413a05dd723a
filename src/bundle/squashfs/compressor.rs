//! The compressors of foreign images: one block at a time, into bounded memory.
//!
//! Decompression is all that is left to backhand, and to others what it does not have. Its own reader of directories recurses and
//! copies paths and block lists as often as an image names them, so a small hostile
//! image can exhaust the stack or the memory; and its cache of fragments never shrinks.

use std::io::{self, Read};

use backhand::compression::{self, CompressionAction, DefaultCompressor};
use liblzma::read::XzDecoder;
use liblzma::stream::Stream;

use super::Error;

/// How much memory the decoder of lzma may take, in bytes: a block claims what it needs.
const LZMA_MEMORY: u64 = 32 << 20;

/// A compressor that is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compressor {
    Gzip,
    Lzma,
    Lzo,
    Xz,
    Lz4,
    Zstd,
}

impl Compressor {
    /// The compressor of the number in a superblock.
    pub(super) fn of(number: u16) -> Result<Self, Error> {
        match number {
            1 => Ok(Self::Gzip),
            2 => Ok(Self::Lzma),
            3 => Ok(Self::Lzo),
            4 => Ok(Self::Xz),
            5 => Ok(Self::Lz4),
            6 => Ok(Self::Zstd),
            _ => Err(Error::Compressor { number }),
        }
    }

    /// Decompresses a block that has at most `limit` bytes once it is decompressed.
    pub(super) fn unpack(self, stored: &[u8], limit: usize) -> io::Result<Vec<u8>> {
        let bad = |problem| io::Error::new(io::ErrorKind::InvalidData, problem);
        let (name, bytes) = match self {
            Self::Gzip => ("gzip", packed(stored, limit, compression::Compressor::Gzip)),
            Self::Xz => ("xz", packed(stored, limit, compression::Compressor::Xz)),
            Self::Lz4 => ("lz4", packed(stored, limit, compression::Compressor::Lz4)),
            Self::Zstd => ("zstd", packed(stored, limit, compression::Compressor::Zstd)),
            Self::Lzma => ("lzma", lzma(stored, limit)),
            Self::Lzo => ("lzo", lzo(stored, limit)),
        };
        let failed = || bad(format!("{} bytes of {name} cannot be decompressed", stored.len()));
        let bytes = bytes.ok_or_else(failed)?;
        if bytes.len() > limit {
            return Err(bad(format!("{} bytes of {name} make more than {limit}", stored.len())));
        }
        Ok(bytes)
    }
}

/// What backhand can decompress. Its errors carry no text of their own.
fn packed(stored: &[u8], limit: usize, compressor: compression::Compressor) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(limit);
    DefaultCompressor.decompress(stored, &mut bytes, compressor).ok()?;
    Some(bytes)
}

/// A block is a file of its own: properties, length, data.
fn lzma(stored: &[u8], limit: usize) -> Option<Vec<u8>> {
    let stream = Stream::new_lzma_decoder(LZMA_MEMORY).ok()?;
    let mut bytes = Vec::with_capacity(limit);
    // One byte more tells that there are too many.
    let most = u64::try_from(limit).ok()?.saturating_add(1);
    XzDecoder::new_stream(stored, stream).take(most).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// A block is data alone.
fn lzo(stored: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; limit];
    let length = lzo::decompress_into(stored, &mut bytes).ok()?;
    bytes.truncate(length);
    Some(bytes)
}
