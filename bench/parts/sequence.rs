//! Two sequences of an imageset, the second with half of the layers new, against skopeo: into the
//! layout that it has already, whose blobs it passes over, and all again into a fresh one.

use std::fs;

use anyhow::{Result, ensure};

use crate::content;
use crate::content::shape::IMAGES;
use crate::measure::report::{Figure, Goal};
use crate::measure::spent::{Spent, emptied};
use crate::measure::{Figures, Sample, in_turn};
use crate::parts::Stand;
use crate::parts::fetcher::Fetcher;
use crate::peers::Peer;

/// What a sample calls the figures of each version: wall, CPU, memory, disk.
const FIRST: [&str; 4] = ["wall 1", "cpu 1", "memory 1", "disk 1"];
const SECOND: [&str; 4] = ["wall 2", "cpu 2", "memory 2", "disk 2"];

/// One of those compared.
#[derive(Debug)]
struct Way<'a> {
    name: &'static str,
    fetcher: Fetcher<'a>,
    /// Whether it has fetched the first version when it fetches the second.
    follows: bool,
}

/// Fetches the first version of the content, then the second, with each in turn.
pub(super) fn run(stand: &Stand<'_>) -> Result<Vec<Figure>> {
    let store = stand.store;
    let registry = stand.run.yard.start(&Peer::Distribution, stand.served)?;
    let (first, second) = store.images.split_at(IMAGES);
    let size = content::size(first);
    let new = content::size(&store.images) - size;
    let fetchers = stand.run.ours.iter().map(Fetcher::Ours).chain([Fetcher::Skopeo]);
    let follow = fetchers.map(|fetcher| Way { name: fetcher.name(), fetcher, follows: true });
    let afresh = Way { name: "skopeo-afresh", fetcher: Fetcher::Skopeo, follows: false };
    let ways: Vec<_> = follow.chain([afresh]).collect();
    let output = store.directory.join("created");
    let fetched = |way: &Way<'_>| {
        emptied(&output)?;
        let log = store.directory.join(format!("sequence-{}.log", way.name));
        let fetch = |images, size: u64, [wall, cpu, memory, disk]: [&'static str; 4]| {
            let commands = way.fetcher.commands(registry.address, images, store.name, &output);
            let spent = Spent::on(commands, &output, &log)?;
            ensure!(spent.disk >= size / 20 * 19, "{} did not fetch all", way.name);
            let mut sample = spent.sample([wall, cpu, memory]);
            sample.insert(disk, spent.disk as f64 / size as f64);
            Ok(sample)
        };
        let mut sample = Sample::new();
        if way.follows {
            sample.extend(fetch(first, size, FIRST)?);
        }
        sample.extend(fetch(second, new, SECOND)?);
        if matches!(way.fetcher, Fetcher::Ours(_)) {
            let bundle = output.join(format!("{}-2.sqfs", store.name));
            sample.insert("bundle", fs::metadata(bundle)?.len() as f64 / 1e9);
        }
        Ok(sample)
    };
    let mut measured = in_turn(stand.few_rounds(), &ways, |way| way.name, fetched)?;
    fs::remove_dir_all(&output)?;
    let words = |bytes: u64| format!("{IMAGES} images, {:.2} GB", bytes as f64 / 1e9);
    let half = format!("{} new", words(new));
    let mut figures = figures(&mut measured, FIRST, "Create", &words(size), "of the content");
    figures.extend(self::figures(&mut measured, SECOND, "Sequence 2", &half, "of what is new"));
    let name = format!("bundle, {half}");
    figures.push(Figure::of(&mut measured, "bundle", "Sequence 2", name, "GB"));
    Ok(figures)
}

fn figures(
    measured: &mut Figures,
    [wall, cpu, memory, disk]: [&str; 4],
    group: &'static str,
    words: &str,
    content: &'static str,
) -> Vec<Figure> {
    let mut figure =
        |key, name: &str, unit| Figure::of(measured, key, group, format!("{name}, {words}"), unit);
    vec![
        figure(wall, "wall", "s"),
        figure(cpu, "CPU", "s"),
        figure(memory, "peak memory", "MiB").with(Goal::Value(128.0)),
        figure(disk, "peak disk", content).with(Goal::Value(1.01)),
    ]
}
