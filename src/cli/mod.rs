//! The command line.

pub mod config;
pub mod printer;
pub mod report;
