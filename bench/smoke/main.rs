//! What CI measures of each commit, as figures and with wide bounds: `bench/smoke/run` prepares and calls it.
//!
//! Ratios to the peers come from a result of the bench; instructions are counted here, by valgrind.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

mod callgrind;
mod client;
mod content;
mod mix;
mod ratios;
mod record;
#[path = "../stop.rs"]
mod stop;

/// Tells whether a commit made shipperd slower.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// Given by cargo.
    #[arg(long, global = true, hide = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Hold a result of the bench against its goals
    Ratios {
        /// The result, as JSON
        results: PathBuf,
    },
    /// Count the instructions of a fixed mix and hold them against the record
    Instructions {
        /// Where content is kept and servers run
        #[arg(long)]
        directory: PathBuf,
        /// The program, if not the one that was built with this
        #[arg(long, default_value = env!("CARGO_BIN_EXE_shipperd"))]
        program: PathBuf,
        /// What the count depends on: compiler, valgrind, C library, processor
        #[arg(long)]
        tools: String,
        /// The record
        #[arg(long)]
        record: PathBuf,
        /// Write the record anew
        #[arg(long)]
        update: bool,
    },
}

fn main() -> Result<ExitCode> {
    let well = match Arguments::parse().command {
        Command::Ratios { results } => ratios::judge(&results)?,
        Command::Instructions { directory, program, tools, record, update } => {
            let counted = mix::count(&program, &directory)?;
            record::judge(&record, &tools, &counted, update)?
        }
    };
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::print_stdout, reason = "the tables are what was asked for")]
fn say(text: &str) {
    println!("{text}");
}
