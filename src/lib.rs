//! shipperd: a read-only OCI registry that serves image bundles where they lie, and makes them.
//!
//! Modules in reading order; each imports only those above it (conformance/layering.rs).

pub mod oci;
pub mod imageset;
pub mod extent;
pub mod verification;
pub mod source;
pub mod bundle;
pub mod content;
pub mod server;
pub mod client;
pub mod state;
pub mod plan;
pub mod copy;
pub mod create;
pub mod cli;
