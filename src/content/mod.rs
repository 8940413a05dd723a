//! What is being served: immutable snapshots, and one cell that changes.

pub mod snapshot;
pub mod check;
mod holdings;
pub mod closure;
pub mod overlay;
pub mod ambiguity;
pub mod live;
pub mod memory;
mod assembly;
pub mod adoption;
pub mod archives;
mod workspaces;
pub mod acceptance;
mod finder;
pub mod shelf;
pub mod watch;
