//! What is being served: immutable snapshots, and one cell that changes.

pub mod snapshot;
pub mod check;
pub mod closure;
pub mod overlay;
pub mod live;
pub mod memory;
mod acceptance;
pub mod shelf;
pub mod watch;
