//! What was measured, as Markdown for people and JSON for programs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use anyhow::Result;
use jiff::Timestamp;
use serde::Serialize;

use crate::measure::{Figures, Series};

/// One figure of all servers that have it.
#[derive(Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) group: &'static str,
    pub(crate) name: String,
    pub(crate) unit: &'static str,
    pub(crate) servers: BTreeMap<&'static str, Series>,
    pub(crate) goals: Vec<Goal>,
}

/// What we promise of a figure.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) enum Goal {
    /// At most this many times another server's value.
    Times(f64, &'static str),
    /// At most this value.
    Value(f64),
}

/// A whole run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Vec<(&'static str, String)>,
    figures: Vec<Figure>,
}

impl Report {
    /// Begins with what is known of the machine; `facts` are added to it.
    pub(crate) fn new(facts: Vec<(&'static str, String)>) -> Self {
        let mut machine = vec![
            // What is newer, of two runs of one day: docs/performance.md shows the newest.
            ("begun", Timestamp::now().strftime("%FT%TZ").to_string()),
            ("processor", processor()),
            ("kernel", first_line("/proc/sys/kernel/osrelease")),
            ("congestion control", first_line("/proc/sys/net/ipv4/tcp_congestion_control")),
            ("load before", first_line("/proc/loadavg")),
        ];
        machine.extend(facts);
        Self { machine, figures: Vec::new() }
    }

    pub(crate) fn add(&mut self, figures: Vec<Figure>) {
        self.figures.extend(figures);
    }

    /// Ends the run.
    pub(crate) fn finish(&mut self) {
        self.machine.push(("load after", first_line("/proc/loadavg")));
    }

    pub(crate) fn json(&self) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec_pretty(self)?)
    }

    /// Medians, with the spread in brackets, and how the goals stand.
    pub(crate) fn markdown(&self) -> Result<String> {
        let mut text = String::new();
        for (fact, value) in &self.machine {
            writeln!(text, "- {fact}: {value}")?;
        }
        let groups: Vec<_> = self.figures.iter().map(|figure| figure.group).collect();
        let mut seen = BTreeSet::new();
        for group in groups.into_iter().filter(|group| seen.insert(*group)) {
            let figures: Vec<_> =
                self.figures.iter().filter(|figure| figure.group == group).collect();
            write_group(&mut text, group, &figures)?;
        }
        self.write_goals(&mut text)?;
        Ok(text)
    }

    fn write_goals(&self, text: &mut String) -> Result<()> {
        writeln!(text, "\n## Goals\n")?;
        writeln!(text, "| figure | who | measured | goal | reached |\n|---|---|---|---|---|")?;
        for figure in &self.figures {
            for goal in &figure.goals {
                for (server, series) in
                    figure.servers.iter().filter(|(name, _)| name.starts_with("shipperd"))
                {
                    let Some((measured, limit, words)) = figure.judge(series, *goal) else {
                        continue;
                    };
                    let reached = if measured.median() <= limit { "yes" } else { "no" };
                    let Figure { group, name, .. } = figure;
                    writeln!(
                        text,
                        "| {group}, {name} | {server} | {} | {words} | {reached} |",
                        cell(&measured)
                    )?;
                }
            }
        }
        Ok(())
    }
}

impl Figure {
    /// What was measured under `key`, without a goal.
    pub(crate) fn of(
        measured: &mut Figures,
        key: &str,
        group: &'static str,
        name: String,
        unit: &'static str,
    ) -> Self {
        let servers = measured.remove(key).unwrap_or_default();
        Self { group, name, unit, servers, goals: Vec::new() }
    }

    /// The same with a goal.
    pub(crate) fn with(mut self, goal: Goal) -> Self {
        self.goals.push(goal);
        self
    }

    /// What is compared, the most it may be, and both in words.
    fn judge(&self, series: &Series, goal: Goal) -> Option<(Series, f64, String)> {
        match goal {
            Goal::Times(limit, peer) => {
                let ratio = series.over(self.servers.get(peer)?);
                Some((ratio, limit, format!("at most {limit} of {peer}")))
            }
            Goal::Value(limit) => {
                Some((series.clone(), limit, format!("at most {limit} {}", self.unit)))
            }
        }
    }
}

fn write_group(text: &mut String, group: &str, figures: &[&Figure]) -> Result<()> {
    let servers: BTreeSet<_> = figures.iter().flat_map(|figure| figure.servers.keys()).collect();
    writeln!(text, "\n## {group}\n")?;
    write!(text, "| |")?;
    for server in &servers {
        write!(text, " {server} |")?;
    }
    writeln!(text, "\n|---|{}", "---|".repeat(servers.len()))?;
    for figure in figures {
        write!(text, "| {}, {} |", figure.name, figure.unit)?;
        for server in &servers {
            write!(text, " {} |", figure.servers.get(*server).map(cell).unwrap_or_default())?;
        }
        writeln!(text)?;
    }
    Ok(())
}

fn cell(series: &Series) -> String {
    let (low, high) = series.spread();
    format!("{} ({}–{})", number(series.median()), number(low), number(high))
}

/// Three digits that count.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

fn first_line(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let count = text.lines().filter(|line| line.starts_with("processor")).count();
    format!("{count} × {}", name.map_or("unknown", |(_, name)| name))
}
