//! The result files of bench/run as values: each group of figures from the newest file that has it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::Deserialize;

/// The values of one figure for one server, one for each round.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Series(pub Vec<f64>);

impl Series {
    /// The middle value, or the mean of both.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        }
    }

    /// The smallest and the largest value.
    pub fn spread(&self) -> (f64, f64) {
        self.0.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(*value), high.max(*value))
        })
    }

    /// This divided by another, round by round; nothing where both have no round in common.
    pub fn over(&self, other: &Self) -> Option<Self> {
        let ratios: Vec<f64> = self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect();
        (!ratios.is_empty() && ratios.iter().all(|ratio| ratio.is_finite())).then_some(Self(ratios))
    }
}

/// One figure of all servers that have it.
#[derive(Clone, Debug, Deserialize)]
pub struct Figure {
    pub group: String,
    pub name: String,
    pub unit: String,
    pub servers: BTreeMap<String, Series>,
}

/// One result file.
#[derive(Debug, Deserialize)]
pub struct Run {
    /// Its name without `.json`: DATE-COMMIT or DATE-COMMIT-PART.
    #[serde(skip)]
    pub name: String,
    machine: Vec<(String, String)>,
    figures: Vec<Figure>,
}

impl Run {
    /// What the run says of its machine; empty where it does not say it.
    pub fn fact(&self, name: &str) -> &str {
        let found = self.machine.iter().find(|(fact, _)| fact == name);
        found.map_or("", |(_, value)| value)
    }

    /// The day it was made, as its name says.
    pub fn date(&self) -> &str {
        &self.name[..10]
    }
}

/// Figures that belong together, all of one run.
#[derive(Debug)]
pub struct Group<'a> {
    pub name: &'a str,
    pub run: &'a Run,
    pub figures: Vec<&'a Figure>,
}

/// Every file that is named by its day, newest first: by day, then by the time it was begun, then by name.
pub fn load(directory: &Path) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let dated = name.starts_with(|first: char| first.is_ascii_digit());
        if dated && path.extension().is_some_and(|extension| extension == "json") {
            let mut run: Run = serde_json::from_slice(&fs::read(&path).unwrap())
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            // A server or a figure of which nothing was measured is no figure.
            for figure in &mut run.figures {
                figure.servers.retain(|_, series| !series.0.is_empty());
            }
            run.figures.retain(|figure| !figure.servers.is_empty());
            run.name = name;
            runs.push(run);
        }
    }
    runs.sort_by(|a, b| b.age().cmp(&a.age()));
    runs
}

impl Run {
    fn age(&self) -> (&str, &str, &str) {
        (self.date(), self.fact("begun"), &self.name)
    }
}

/// Each group from the first of `runs` that has it, in the order of that run.
pub fn newest(runs: &[Run]) -> Vec<Group<'_>> {
    let mut groups = Vec::new();
    let mut seen = BTreeSet::new();
    for run in runs {
        for name in run.figures.iter().map(|figure| figure.group.as_str()) {
            if seen.insert(name) {
                let figures = run.figures.iter().filter(|figure| figure.group == name).collect();
                groups.push(Group { name, run, figures });
            }
        }
    }
    groups
}

#[test]
fn a_group_comes_from_the_newest_run_that_has_it() {
    let run = |name: &str, begun: &str, groups: &[&str]| Run {
        name: name.to_owned(),
        machine: vec![("begun".to_owned(), begun.to_owned())],
        figures: groups
            .iter()
            .map(|group| Figure {
                group: (*group).to_owned(),
                name: String::new(),
                unit: String::new(),
                servers: BTreeMap::new(),
            })
            .collect(),
    };
    let mut runs = vec![
        run("2026-01-02-fff", "", &["A", "B"]),
        run("2026-01-03-bbb", "2026-01-03T08:00:00Z", &["A", "C"]),
        run("2026-01-03-aaa", "2026-01-03T09:00:00Z", &["C"]),
    ];
    runs.sort_by(|a, b| b.age().cmp(&a.age()));
    let newest = newest(&runs);
    let from: Vec<_> = newest.iter().map(|group| (group.name, &*group.run.name)).collect();
    assert_eq!(from, [("C", "2026-01-03-aaa"), ("A", "2026-01-03-bbb"), ("B", "2026-01-02-fff")]);
}
