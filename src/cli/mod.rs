//! The command line.

pub mod printer;
pub mod report;
