//! The compressors of foreign images: one block at a time, into bounded memory.
//!
//! Decompression is all that is left to backhand. Its own reader of directories recurses and
//! copies paths and block lists as often as an image names them, so a small hostile
//! image can exhaust the stack or the memory; and its cache of fragments never shrinks.

use std::io;

use backhand::compression::{self, CompressionAction, DefaultCompressor};

use super::Error;

/// A compressor that is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compressor {
    Gzip,
    Xz,
    Lz4,
    Zstd,
}

impl Compressor {
    /// The compressor of the number in a superblock.
    pub(super) fn of(number: u16) -> Result<Self, Error> {
        let unsupported = |name: &str| Err(Error::Compressor { compressor: name.to_owned() });
        match number {
            1 => Ok(Self::Gzip),
            2 => unsupported("lzma"),
            3 => unsupported("lzo"),
            4 => Ok(Self::Xz),
            5 => Ok(Self::Lz4),
            6 => Ok(Self::Zstd),
            _ => unsupported(&format!("an unknown compressor, number {number}")),
        }
    }

    /// Decompresses a block that has at most `limit` bytes once it is decompressed.
    pub(super) fn unpack(self, stored: &[u8], limit: usize) -> io::Result<Vec<u8>> {
        let (name, compressor) = match self {
            Self::Gzip => ("gzip", compression::Compressor::Gzip),
            Self::Xz => ("xz", compression::Compressor::Xz),
            Self::Lz4 => ("lz4", compression::Compressor::Lz4),
            Self::Zstd => ("zstd", compression::Compressor::Zstd),
        };
        let bad = |problem| io::Error::new(io::ErrorKind::InvalidData, problem);
        // Backhand's errors carry no text of their own.
        let mut bytes = Vec::with_capacity(limit);
        DefaultCompressor
            .decompress(stored, &mut bytes, compressor)
            .map_err(|_| bad(format!("{} bytes of {name} cannot be decompressed", stored.len())))?;
        if bytes.len() > limit {
            return Err(bad(format!("{} bytes of {name} make more than {limit}", stored.len())));
        }
        Ok(bytes)
    }
}
