//! Squashfs 4.0 images: our own profile, written and read strictly; all others, read.
//!
//! [`layout`] places files before any byte of them is known, [`writer`] lets them be
//! filled in any order. [`reader`] reads what [`writer`] makes, by arithmetic alone;
//! [`foreign`] reads what other tools make, decompressing block by block.
//! Every image is untrusted: sizes and offsets count only after they were checked,
//! and nothing is allocated because an image claims it.

mod cache;
mod compressor;
mod directory;
pub mod foreign;
mod format;
#[cfg(test)]
mod hostile;
mod image;
mod inode;
pub mod layout;
mod metadata;
mod packed;
pub mod reader;
mod tables;
pub mod writer;

use std::fs::File;
use std::io;
use std::sync::Arc;

use crate::bundle::tree::Tree;

pub use layout::Layout;
pub use reader::{Completeness, completeness};
pub use writer::{Space, Writer};

/// The files of a squashfs image, whoever made it.
///
/// # Errors
///
/// When the image is damaged, beyond the limits, or compressed in a way that is not supported.
pub fn read(file: &Arc<File>) -> Result<Tree, Error> {
    match reader::read(file) {
        Err(Error::Profile { .. }) => foreign::read(file),
        result => result,
    }
}

/// Why a squashfs image cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused a read, or the file ended.
    #[error("cannot read {length} bytes at offset {offset}")]
    Read {
        /// Where in the image.
        offset: u64,
        /// How many bytes were wanted.
        length: usize,
        /// What the operating system said.
        source: io::Error,
    },
    /// It does not begin like a squashfs image.
    #[error("bad squashfs magic {found:#010x}")]
    Magic {
        /// The first four bytes.
        found: u32,
    },
    /// It is an older or a newer squashfs.
    #[error("squashfs version {major}.{minor} is not supported, only 4.0 is")]
    Version {
        /// The major version.
        major: u16,
        /// The minor version.
        minor: u16,
    },
    /// The image is longer than its file.
    #[error("the image has {need} bytes, the file only {have}")]
    Short {
        /// The length of the file.
        have: u64,
        /// The length that the superblock gives.
        need: u64,
    },
    /// Something inside contradicts the format.
    #[error("the {part} at offset {offset} is damaged: {problem}")]
    Corrupt {
        /// The part of the image.
        part: &'static str,
        /// Where in the image: of a compressed table, where the block begins.
        offset: u64,
        /// What was found, and what was expected.
        problem: String,
    },
    /// There is more of something than shipperd is willing to hold.
    #[error("more than {limit} {what}")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much is accepted.
        limit: u64,
    },
    /// A good image as far as was seen, but not of our own making.
    #[error("not an image of shipperd's own profile: {difference}")]
    Profile {
        /// What is different.
        difference: String,
    },
    /// The compressor is one that is not built in.
    #[error(
        "images compressed with the unknown compressor {number} are not supported; \
         `unsquashfs` unpacks it, and the directory can be served"
    )]
    Compressor {
        /// Its number in the superblock.
        number: u16,
    },
}

impl Error {
    fn corrupt(part: &'static str, offset: u64, problem: impl Into<String>) -> Self {
        Self::Corrupt { part, offset, problem: problem.into() }
    }

    fn profile(difference: impl Into<String>) -> Self {
        Self::Profile { difference: difference.into() }
    }
}
