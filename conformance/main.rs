//! What shipperd promises, checked from outside: the list below is the table of contents.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests fail by panicking"
)]
#![expect(unreachable_pub, reason = "nothing is exported from a test binary")]

mod bundle;
mod cli;
mod client;
mod clients;
mod content;
mod create;
mod damage;
mod fuzzing;
mod imageset;
mod layering;
mod performance;
mod scale;
mod server;
mod signals;
mod source;
mod spec;
mod squashfs;
mod state;

// What the tests above are made with.
mod daemon;
mod fixtures;
mod program;
mod site;
