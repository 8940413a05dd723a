//! From a registry on this machine to one bundle, against skopeo to one OCI layout, and against
//! what writing the same bytes takes: a copy of a layout.

use std::fs;

use anyhow::{Result, ensure};

use crate::content;
use crate::measure::in_turn;
use crate::measure::report::{Figure, Goal};
use crate::measure::spent::{Spent, emptied};
use crate::parts::Stand;
use crate::parts::fetcher::Fetcher;
use crate::peers::Peer;

/// Fetches the whole content with each, in turn, from the same registry.
pub(super) fn run(stand: &Stand<'_>) -> Result<Vec<Figure>> {
    let store = stand.store;
    let registry = stand.run.yard.start(&Peer::Distribution, stand.served)?;
    let size = content::size(&store.images);
    let fetchers: Vec<_> = stand
        .run
        .ours
        .iter()
        .map(Fetcher::Ours)
        .chain([Fetcher::Skopeo, Fetcher::Copy(store.layout())])
        .collect();
    let output = store.directory.join("created");
    let mut measured = in_turn(stand.few_rounds(), &fetchers, Fetcher::name, |fetcher| {
        emptied(&output)?;
        let log = store.directory.join(format!("create-{}.log", fetcher.name()));
        let commands = fetcher.commands(registry.address, &store.images, store.name, &output);
        let spent = Spent::on(commands, &output, &log)?;
        ensure!(spent.disk >= size / 20 * 19, "{} did not fetch all", fetcher.name());
        let mut sample = spent.sample(["wall", "cpu", "memory"]);
        sample.insert("disk", spent.disk as f64 / size as f64);
        Ok(sample)
    })?;
    fs::remove_dir_all(&output)?;
    let words = format!("{} images, {:.2} GB", store.images.len(), size as f64 / 1e9);
    let mut figure = |key, name: &str, unit| {
        Figure::of(&mut measured, key, "Create", format!("{name}, {words}"), unit)
    };
    Ok(vec![
        figure("wall", "wall", "s").with(Goal::Times(0.3, "skopeo")),
        figure("cpu", "CPU", "s"),
        figure("memory", "peak memory", "MiB").with(Goal::Value(128.0)),
        figure("disk", "peak disk", "of the content").with(Goal::Value(1.01)),
    ])
}
