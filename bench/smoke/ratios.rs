//! A result of the bench, held against its goals with wide bounds.
//!
//! A short run on a busy machine with an unoptimised build says little: what is beyond twice its
//! goal is told, and only what no noise explains fails.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use crate::say;

/// How often its goal a figure may be until it is told, and until it fails.
const TOLD: f64 = 2.0;
const ABSURD: f64 = 6.0;

/// What the bench writes.
#[derive(Deserialize)]
struct Results {
    figures: Vec<Figure>,
}

#[derive(Deserialize)]
struct Figure {
    group: String,
    name: String,
    unit: String,
    servers: BTreeMap<String, Vec<f64>>,
    goals: Vec<Goal>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Goal {
    /// At most this many times another server's value.
    Times {
        #[serde(rename = "Times")]
        times: (f64, String),
    },
    /// At most this value.
    Value {
        #[serde(rename = "Value")]
        value: f64,
    },
    /// One of another kind, which this does not judge.
    Other(serde::de::IgnoredAny),
}

/// Prints how the goals stand; says whether no figure is absurd.
///
/// # Errors
///
/// When the result cannot be read, or has nothing to judge.
pub(crate) fn judge(results: &Path) -> Result<bool> {
    let read = || anyhow::Ok(serde_json::from_slice::<Results>(&fs::read(results)?)?);
    let results = read().with_context(|| format!("cannot read {}", results.display()))?;
    let mut text = String::from("| figure | measured | goal | |\n|---|--:|--:|---|");
    let (mut judged, mut well) = (0, true);
    for figure in &results.figures {
        for goal in &figure.goals {
            let Some((measured, limit, of)) = figure.measure(goal) else { continue };
            let verdict = match measured / limit {
                parts if parts > ABSURD => "absurd",
                parts if parts > TOLD => "more than twice its goal",
                _ => "",
            };
            judged += 1;
            well &= verdict != "absurd";
            let Figure { group, name, .. } = figure;
            write!(text, "\n| {group}, {name} | {measured:.2} | {limit} {of} | {verdict} |")?;
        }
    }
    say(&text);
    ensure!(judged > 0, "the result has no figure with a goal");
    Ok(well)
}

impl Figure {
    /// What is compared with a goal, the most it may be, and of what it is, if both took part.
    fn measure(&self, goal: &Goal) -> Option<(f64, f64, String)> {
        let ours = middle(self.servers.get("shipperd")?)?;
        match goal {
            Goal::Times { times: (limit, peer) } => {
                let theirs = middle(self.servers.get(peer)?)?;
                // Less than the clock of CPU time tells says nothing.
                (theirs > 0.0).then(|| (ours / theirs, *limit, format!("of {peer}")))
            }
            Goal::Value { value } => Some((ours, *value, self.unit.clone())),
            Goal::Other(_) => None,
        }
    }
}

fn middle(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}
