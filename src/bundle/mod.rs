//! A bundle file and the formats it may have.
//!
//! Synchronous and by position: nothing here names HTTP or is async.
//! A container (directory, tar, squashfs) becomes a [`tree::Tree`] of files;
//! what the tree means (an OCI layout, …) becomes an index of its content.

pub mod tree;
pub mod directory;
pub mod archive;
