//! What it takes to say what would be made of many images of a registry: all their manifests.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::measure::report::{Figure, Goal};
use crate::measure::spent::{Spent, emptied};
use crate::measure::{Sample, in_turn};
use crate::parts::{Stand, fetcher};
use crate::peers::Peer;

/// With referrers and without: the flag, what a sample calls the figures, and the words for both.
const WAYS: [(&[&str], [&str; 3], &str); 2] = [
    (&[], ["wall", "cpu", "memory"], "with referrers"),
    (&["--no-referrers"], ["wall bare", "cpu bare", "memory bare"], "without referrers"),
];

/// Plans the whole content with each of ours, in turn.
pub(super) fn run(stand: &Stand<'_>) -> Result<Vec<Figure>> {
    let store = stand.store;
    let registry = stand.run.yard.start(&Peer::Distribution, stand.served)?;
    let address = registry.address;
    let output = store.directory.join("created");
    let mut measured = in_turn(stand.run.rounds, &stand.run.ours, Peer::name, |peer| {
        let Peer::Shipperd(_, binary) = peer else { return Ok(Sample::new()) };
        let log = store.directory.join(format!("dry-run-{}.log", peer.name()));
        let mut sample = Sample::new();
        for (flags, keys, _) in WAYS {
            emptied(&output)?;
            let mut command = fetcher::create(binary, address, store.name, &output);
            command.args(["--json", "--dry-run"]).args(flags);
            command.args(store.images.iter().map(|image| image.reference(address)));
            let spent = Spent::on([command], &output, &log)?;
            ensure!(spent.disk == 0, "a dry run wrote {} bytes", spent.disk);
            let said: serde_json::Value =
                serde_json::from_slice(&fs::read(&log)?).context("it says no JSON")?;
            let planned = said.get("references").and_then(serde_json::Value::as_u64);
            ensure!(planned == Some(store.images.len() as u64), "planned {planned:?}");
            sample.extend(spent.sample(keys));
        }
        Ok(sample)
    })?;
    fs::remove_dir_all(&output)?;
    let mut figures = Vec::new();
    for (_, [wall, cpu, memory], words) in WAYS {
        let mut figure = |key, name: &str, unit| {
            let name = format!("{name}, {} images, {words}", store.images.len());
            Figure::of(&mut measured, key, "Dry run", name, unit)
        };
        figures.extend([
            figure(wall, "wall", "s"),
            figure(cpu, "CPU", "s"),
            figure(memory, "peak memory", "MiB").with(Goal::Value(128.0)),
        ]);
    }
    Ok(figures)
}
