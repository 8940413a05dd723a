//! What shipperd promises, checked from outside: the list below is the table of contents.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod layering;
mod squashfs;
mod cli;
