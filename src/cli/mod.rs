//! The command line.

pub mod config;
pub mod logging;
pub mod printer;
pub mod progress;
pub mod report;
