//! The state of an imageset of many blobs, in a directory: loaded, and taken over from a file.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::measure::report::Figure;
use crate::measure::spent::{Spent, emptied};
use crate::measure::{Sample, in_turn};
use crate::parts::Stand;
use crate::peers::Peer;

/// How often a command runs for one sample: one alone is a few ticks of the clock of CPU time.
const RUNS: u16 = 10;

/// Loads and saves with each of ours, in turn, the state that our own `create` left in the store.
pub(super) fn run(stand: &Stand<'_>) -> Result<Vec<Figure>> {
    let store = stand.store;
    let blobs = store.images.len() + store.blobs().len();
    let home = store.directory.join("state");
    let state = home.join(format!("shipperd/imagesets/{}.json", store.name));
    let size = fs::metadata(&state)?.len() as f64 / 1e6;
    let output = store.directory.join("states");
    let mut measured = in_turn(stand.run.rounds, &stand.run.ours, Peer::name, |peer| {
        let Peer::Shipperd(_, binary) = peer else { return Ok(Sample::new()) };
        emptied(&output)?;
        let log = store.directory.join(format!("state-{}.log", peer.name()));
        let command = |action: &str, home: &Path| {
            let mut command = Command::new(binary);
            command.args(["--quiet", "--json", "state", action, "--name", store.name]);
            command.env("XDG_STATE_HOME", home);
            command
        };
        let shows = (0..RUNS).map(|_| command("show", &home));
        let mut sample = one(&Spent::on(shows, &output, &log)?, ["wall", "cpu", "memory"]);
        check(&log, blobs)?;
        let imports = (0..RUNS).map(|n| {
            let mut command = command("import", &output.join(n.to_string()));
            command.arg(&state);
            command
        });
        let saved = Spent::on(imports, &output, &log)?;
        check(&log, blobs)?;
        sample.extend(one(&saved, ["wall saved", "cpu saved", "memory saved"]));
        sample.insert("size", size);
        Ok(sample)
    })?;
    fs::remove_dir_all(&output)?;
    let mut figure = |key, name: &str, unit| {
        Figure::of(&mut measured, key, "State", format!("{name}, {blobs} blobs"), unit)
    };
    Ok(vec![
        figure("wall", "load: wall", "ms"),
        figure("cpu", "load: CPU", "ms"),
        figure("memory", "load: peak memory", "MiB"),
        figure("wall saved", "load and save: wall", "ms"),
        figure("cpu saved", "load and save: CPU", "ms"),
        figure("memory saved", "load and save: peak memory", "MiB"),
        figure("size", "size", "MB"),
    ])
}

/// What one of the runs took: milliseconds twice, MiB.
fn one(spent: &Spent, keys @ [wall, cpu, _]: [&'static str; 3]) -> Sample {
    let mut sample = spent.sample(keys);
    for key in [wall, cpu] {
        sample.entry(key).and_modify(|seconds| *seconds *= 1e3 / f64::from(RUNS));
    }
    sample
}

/// Fails unless each run has said that there is one sequence, of all blobs.
fn check(log: &Path, blobs: usize) -> Result<()> {
    let bytes = fs::read(log)?;
    let said: Vec<Value> = serde_json::Deserializer::from_slice(&bytes)
        .into_iter()
        .collect::<Result<_, _>>()
        .context("it says no JSON")?;
    ensure!(said.len() == usize::from(RUNS), "{} of {RUNS} runs said something", said.len());
    for state in &said {
        let found = state.pointer("/editions/0/blobs").and_then(Value::as_u64);
        ensure!(found == Some(blobs as u64), "there are {found:?} blobs, not {blobs}");
    }
    Ok(())
}
