//! How fast shipperd is, beside its peers, on this machine: `bench/run` prepares and calls it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use clap::Parser;
use sha2::{Digest as _, Sha256};

mod content;
mod store;
mod process;
mod load;
mod measure;
mod report;
mod peers;
mod start;
mod blobs;
mod manifests;
mod spent;
mod fetcher;
mod create;
mod sequence;
mod dry_run;
mod state;
mod archives;
mod foreign;

use crate::blobs::Amount;
use crate::content::Shape;
use crate::peers::{Peer, Served, Yard};
use crate::report::{Figure, Goal, Report};
use crate::store::Store;

/// All that can be measured.
const PARTS: [&str; 10] = [
    "start",
    "clear",
    "tls",
    "first",
    "manifests",
    "create",
    "sequence",
    "dry-run",
    "state",
    "foreign",
];
/// What is measured on the release.
const OF_RELEASE: [&str; 6] = ["start", "clear", "tls", "first", "manifests", "create"];
/// What is measured on the index.
const OF_INDEX: [&str; 2] = ["start", "state"];

/// Measures shipperd beside nginx, distribution, docker-registry and skopeo.
#[derive(Debug, Parser)]
struct Arguments {
    /// Measure little, to see that all works.
    #[arg(long)]
    quick: bool,
    /// Measure only these.
    #[arg(long, value_delimiter = ',', value_parser = PARTS, default_values = PARTS)]
    only: Vec<String>,
    /// How often each server is measured.
    #[arg(long, default_value_t = 5)]
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
    let directory = std::path::absolute(&arguments.directory)?.join(if arguments.quick {
        "quick"
    } else {
        "full"
    });
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
    report.add(measure(&arguments, &directory, &yard, &ours)?);
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

fn measure(
    arguments: &Arguments,
    directory: &Path,
    yard: &Yard,
    ours: &[Peer],
) -> Result<Vec<Figure>> {
    let quick = arguments.quick;
    let wanted = |name: &str| arguments.only.iter().any(|only| only == name);
    let with = |peers: &[Peer]| ours.iter().chain(peers).cloned().collect::<Vec<_>>();
    let first = ours.first().context("we take part")?;
    let Peer::Shipperd(_, binary) = first else { return Ok(Vec::new()) };
    let amount = if quick {
        Amount { rounds: 1, bytes: 200_000_000 }
    } else {
        Amount { rounds: arguments.rounds, bytes: 2_000_000_000 }
    };
    let mut figures = Vec::new();
    let open = |shape: &Shape| {
        talk(&format!("preparing content: {}", shape.name));
        Store::open(directory, shape)
    };

    if OF_RELEASE.iter().any(|part| wanted(part)) {
        let release = open(&Shape::release(if quick { 110 } else { 11 })?)?;
        let served = Served::new(&release, peers::make_bundle(binary, &release)?)?;
        if wanted("start") {
            talk("starting");
            let rounds = if quick { 3 } else { 9 };
            let goals = [vec![Goal::Times(2.0, "distribution")], vec![Goal::Value(16.0)]];
            let peers = with(&[Peer::Distribution]);
            figures.extend(start::run(yard, &peers, &served, "440 blobs", rounds, goals)?);
        }
        let all = with(&[Peer::Nginx, Peer::Distribution, Peer::DockerRegistry]);
        for (name, tls) in [("clear", false), ("tls", true)] {
            if wanted(name) {
                talk(if tls { "large blobs under TLS" } else { "large blobs in clear text" });
                figures.extend(blobs::warm(yard, &all, &served, &release, tls, amount)?);
            }
        }
        if wanted("first") {
            talk("first reads");
            figures.extend(blobs::first(yard, ours, &served, &release, amount.rounds)?);
        }
        if wanted("manifests") {
            talk("manifests");
            let period = Duration::from_millis(if quick { 500 } else { 2000 });
            figures.extend(manifests::run(yard, &all, &served, &release, amount.rounds, period)?);
        }
        if wanted("create") {
            talk("creating");
            figures.extend(create::run(yard, ours, &served, &release, amount.rounds.min(3))?);
        }
    }
    if wanted("sequence") {
        let versions = open(&Shape::versions(if quick { 2 << 20 } else { 64 << 20 }))?;
        talk("two sequences");
        let served = Served::by_peers(&versions)?;
        figures.extend(sequence::run(yard, ours, &served, &versions, amount.rounds.min(3))?);
    }
    if wanted("dry-run") {
        let many = open(&Shape::many(if quick { 100 } else { 1_000 }))?;
        talk("dry runs");
        let served = Served::by_peers(&many)?;
        figures.extend(dry_run::run(yard, ours, &served, &many, amount.rounds)?);
    }
    if wanted("foreign") {
        let carried = open(&Shape::carried(if quick { 2 << 20 } else { 64 << 20 }))?;
        talk("archives of other tools");
        figures.extend(foreign::run(yard, ours, &carried, amount.rounds.min(3))?);
    }
    if OF_INDEX.iter().any(|part| wanted(part)) {
        let blobs = if quick { 5_000 } else { 50_000 };
        let index = open(&Shape::index(blobs))?;
        let served = Served::new(&index, peers::make_bundle(binary, &index)?)?;
        if wanted("start") {
            talk("starting");
            let rounds = if quick { 3 } else { 5 };
            let goals = [vec![Goal::Value(500.0)], vec![Goal::Value(96.0)]];
            let (peers, words) = (with(&[Peer::Distribution]), format!("{blobs} blobs"));
            figures.extend(start::run(yard, &peers, &served, &words, rounds, goals)?);
        }
        if wanted("state") {
            talk("states");
            figures.extend(state::run(ours, &index, amount.rounds)?);
        }
    }
    Ok(figures)
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
