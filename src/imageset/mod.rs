//! What a user asked to carry, and which edition of it this is. Pure: no I/O.

pub mod name;
pub mod document;
pub mod record;
pub mod verdict;
pub mod sequence;
pub mod config;
