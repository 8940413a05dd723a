//! What figures say of us against each peer, in words: where we take less, and where we lose.

use std::collections::BTreeMap;

use super::results::{Figure, Group};

/// Our programs in the result files: the static one is what ships, so it is spoken of where it
/// was measured.
const OURS: [&str; 2] = ["shipperd-musl", "shipperd"];

/// Whether a server of a result file is ours.
pub fn is_ours(server: &str) -> bool {
    OURS.contains(&server)
}

/// Whether more of a unit is better: rates are all that is.
pub fn more_is_better(unit: &str) -> bool {
    unit.ends_with("/s")
}

/// Two sentences on `groups`: what we take of each peer's, and what we take more of.
/// Empty where nobody else was measured.
pub fn of(groups: &[Group<'_>]) -> String {
    let mut less: BTreeMap<&str, Vec<(&'static str, f64, f64)>> = BTreeMap::new();
    let mut more = Vec::new();
    for group in groups {
        for figure in &group.figures {
            let mut lost = Vec::new();
            for (peer, ratio) in against(figure) {
                if ratio > 1.005 {
                    lost.push(if more_is_better(&figure.unit) {
                        format!("{peer} {} as many", times(ratio))
                    } else {
                        format!("{} {peer}", times(ratio))
                    });
                    continue;
                }
                let ranges = less.entry(peer).or_default();
                let quantity = quantity(figure);
                match ranges.iter_mut().find(|(known, ..)| *known == quantity) {
                    Some((_, low, high)) => (*low, *high) = (low.min(ratio), high.max(ratio)),
                    None => ranges.push((quantity, ratio, ratio)),
                }
            }
            if !lost.is_empty() {
                let whose =
                    if groups.len() > 1 { format!("{}, ", group.name) } else { String::new() };
                more.push(format!("{whose}{} ({})", figure.name, lost.join(", ")));
            }
        }
    }
    let less: Vec<String> = less.iter().map(|(peer, ranges)| share(peer, ranges)).collect();
    let mut sentences = Vec::new();
    if !less.is_empty() {
        let start =
            if more.is_empty() { "shipperd takes" } else { "Where it is ahead, shipperd takes" };
        sentences.push(format!("{start} {}.", less.join("; ")));
    }
    if !more.is_empty() {
        sentences.push(format!("**Where it loses:** {}.", more.join("; ")));
    }
    sentences.join("\n")
}

/// Each peer, and what we take for one of what it takes: below 1 is better.
fn against(figure: &Figure) -> Vec<(&str, f64)> {
    let Some(ours) = OURS.iter().find_map(|name| figure.servers.get(*name)) else {
        return Vec::new();
    };
    let peers = figure.servers.iter().filter(|(name, _)| !is_ours(name));
    let better = more_is_better(&figure.unit);
    peers
        .filter_map(|(name, theirs)| {
            let ratio = if better { theirs.over(ours) } else { ours.over(theirs) };
            Some((name.as_str(), ratio?.median()))
        })
        .collect()
}

/// What a figure is an amount of.
fn quantity(figure: &Figure) -> &'static str {
    let Figure { name, unit, .. } = figure;
    match unit.as_str() {
        _ if name.starts_with("CPU") || unit.starts_with("CPU") => "CPU time",
        "MiB" if name.contains("memory") || name.contains("resident") => "memory",
        "MiB" | "GB" | "of the content" | "of what is new" => "disk",
        _ => "time",
    }
}

/// "5–12 % of nginx's time and 3 % of its memory".
fn share(peer: &str, ranges: &[(&str, f64, f64)]) -> String {
    let mut parts: Vec<String> = Vec::new();
    for (quantity, low, high) in ranges {
        let (low, high) = (percent(*low), percent(*high));
        let range = if low == high { low } else { format!("{low}–{high}") };
        let whose = if parts.is_empty() { format!("{peer}’s") } else { "its".to_owned() };
        parts.push(format!("{range} % of {whose} {quantity}"));
    }
    let last = parts.pop().unwrap_or_default();
    if parts.is_empty() { last } else { format!("{} and {last}", parts.join(", ")) }
}

fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    if percent > 0.0 && percent < 0.95 { format!("{percent:.1}") } else { format!("{percent:.0}") }
}

fn times(ratio: f64) -> String {
    match ratio {
        _ if ratio < 2.0 => format!("{ratio:.2} times"),
        _ if ratio < 10.0 => format!("{ratio:.1} times"),
        _ => format!("{ratio:.0} times"),
    }
}

#[test]
fn losses_are_told_and_rates_are_turned_round() {
    let figure = |name: &str, unit: &str, ours: f64, theirs: f64| -> Figure {
        serde_json::from_value(serde_json::json!({
            "group": "G", "name": name, "unit": unit,
            "servers": {"shipperd": [ours, ours], "nginx": [theirs, theirs]},
        }))
        .unwrap()
    };
    let figures = [
        figure("one", "s", 1.0, 4.0),
        figure("two", "s", 3.0, 2.0),
        figure("rate", "1000/s", 5.0, 4.0),
        figure("slow rate", "1000/s", 2.0, 4.0),
    ];
    let run = serde_json::from_str(r#"{"machine": [], "figures": []}"#).unwrap();
    let group = Group { name: "G", run: &run, figures: figures.iter().collect() };
    assert_eq!(
        of(&[group]),
        "Where it is ahead, shipperd takes 25–80 % of nginx’s time.\n**Where it loses:** two (1.50 times nginx); slow rate (nginx 2.0 times as many)."
    );
}
