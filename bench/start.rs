//! From process start to the first manifest answered, and the memory held then.

use anyhow::Result;

use crate::measure::{Sample, in_turn};
use crate::peers::{Peer, Served, Yard};
use crate::report::{Figure, Goal};

/// Starts each peer on some content, in turn.
pub(crate) fn run(
    yard: &Yard,
    peers: &[Peer],
    content: &Served,
    words: &str,
    rounds: usize,
    goals: [Vec<Goal>; 2],
) -> Result<Vec<Figure>> {
    let mut figures = in_turn(rounds, peers, Peer::name, |peer| {
        let server = yard.start(peer, content)?;
        Ok(Sample::from([
            ("start", server.started.as_secs_f64() * 1e3),
            ("memory", server.resident()? as f64 / f64::from(1 << 20)),
        ]))
    })?;
    let [start_goals, memory_goals] = goals;
    let mut figure = |key, name: &str, unit, goals| Figure {
        group: "Start",
        name: format!("{name}, {words}"),
        unit,
        servers: figures.remove(key).unwrap_or_default(),
        goals,
    };
    Ok(vec![
        figure("start", "first manifest answered", "ms", start_goals),
        figure("memory", "resident then", "MiB", memory_goals),
    ])
}
