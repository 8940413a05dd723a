//! What a user asked to carry, and which edition of it this is. Pure: no I/O.

pub mod record;
pub mod sequence;

/// The longest name of an imageset, in bytes: file names and tags are made of it.
pub const MAX_NAME: usize = 128;

/// Whether a text can name an imageset: letters, digits, `.`, `_` and `-`, the first a letter or
/// digit, at most [`MAX_NAME`].
#[must_use]
pub fn is_name(text: &str) -> bool {
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    begins && text.len() <= MAX_NAME && text.bytes().all(fit)
}
