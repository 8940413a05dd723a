//! What is being served: immutable snapshots, and one cell that changes.

pub mod live;
