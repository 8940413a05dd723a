//! What a user asked to carry, and which edition of it this is. Pure: no I/O.

pub mod name;
pub mod record;
pub mod verdict;
pub mod sequence;
pub mod config;

/// The longest name of an imageset, in bytes: file names and tags are made of it.
pub const MAX_NAME: usize = 128;

/// Whether a text can name an imageset: letters, digits, `.`, `_` and `-`, the first a letter or
/// digit, at most [`MAX_NAME`].
#[must_use]
pub fn is_name(text: &str) -> bool {
    text.parse::<name::Name>().is_ok()
}
