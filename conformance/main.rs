//! What shipperd promises, checked from outside: the list below is the table of contents.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
#![expect(unreachable_pub, reason = "nothing is exported from a test binary")]

mod cli;
mod client;
mod content;
mod layering;
mod server;
mod source;
mod squashfs;
