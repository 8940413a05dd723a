//! How fast shipperd is, beside its peers, on this machine: `bench/run` prepares and calls it.

use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use sha2::{Digest as _, Sha256};

mod content;
mod stop;
mod peers;
mod load;
mod measure;
mod parts;
mod scale;

use crate::measure::report::Report;
use crate::parts::Run;
use crate::peers::yard::Yard;
use crate::peers::{Peer, process};

/// Measures shipperd beside nginx, distribution, docker-registry and skopeo.
#[derive(Debug, Parser)]
struct Arguments {
    /// Measure little, to see that all works.
    #[arg(long)]
    quick: bool,
    /// Measure only these.
    #[arg(long, value_delimiter = ',', value_parser = parts::names(), default_values = parts::names())]
    only: Vec<String>,
    /// Serve the same with only these.
    #[arg(long, value_delimiter = ',', value_parser = peers::NAMES, default_values = peers::NAMES)]
    peers: Vec<String>,
    /// How often each server is measured.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Where content is kept and servers run.
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
    /// Where distribution's `registry` is.
    #[arg(long, default_value = "target/tools/bin")]
    tools: PathBuf,
    /// A static binary of ours, as a second row.
    #[arg(long)]
    musl: Option<PathBuf>,
    /// What is measured, for the head of the report.
    #[arg(long)]
    commit: Option<String>,
    /// Where to write the results, without an extension.
    #[arg(long)]
    results: Option<PathBuf>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let begun = Instant::now();
    let quick = arguments.quick;
    let directory =
        std::path::absolute(&arguments.directory)?.join(if quick { "quick" } else { "full" });
    let tools = std::path::absolute(&arguments.tools)?;
    let yard = Yard::new(directory.join("yard"), tools)?;
    let mut ours = vec![Peer::Shipperd("shipperd", env!("CARGO_BIN_EXE_shipperd").into())];
    if let Some(musl) = &arguments.musl {
        ours.push(Peer::Shipperd("shipperd-musl", std::path::absolute(musl)?));
    }
    let mut report = Report::new(vec![
        ("commit", arguments.commit.clone().unwrap_or_default()),
        ("SHA-256 alone, one core", format!("{:.2} CPU-s/GB", hashing()?)),
    ]);
    let rounds = if quick { 1 } else { arguments.rounds };
    let peers = arguments.peers;
    let run = Run { directory, yard, ours, peers, rounds, quick };
    report.add(run.measure(&arguments.only)?);
    report.finish();
    talk(&format!("took {:.0} s", begun.elapsed().as_secs_f64()));
    let markdown = report.markdown()?;
    if let Some(results) = &arguments.results {
        fs::write(results.with_extension("json"), report.json()?)?;
        fs::write(results.with_extension("md"), &markdown)?;
    }
    print(&markdown);
    Ok(())
}

/// CPU-seconds to hash a GB here: what verification cannot go below.
fn hashing() -> Result<f64> {
    let block = vec![7; 1 << 20];
    let begun = process::own_cpu()?;
    let mut hasher = Sha256::new();
    for _ in 0..1024 {
        hasher.update(&block);
    }
    std::hint::black_box(hasher.finalize());
    Ok((process::own_cpu()? - begun) * 1e9 / (1024.0 * f64::from(1 << 20)))
}

#[expect(clippy::print_stderr, reason = "a person waits")]
fn talk(text: &str) {
    eprintln!("bench: {text}");
}

#[expect(clippy::print_stdout, reason = "the table is what was asked for")]
fn print(text: &str) {
    println!("{text}");
}
