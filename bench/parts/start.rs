//! From process start to the first manifest answered, and the memory held then.

use anyhow::Result;

use crate::measure::report::{Figure, Goal};
use crate::measure::{Sample, in_turn};
use crate::parts::Stand;
use crate::peers::{MIB, Peer};

/// With few blobs.
pub(super) fn few(stand: &Stand<'_>) -> Result<Vec<Figure>> {
    let rounds = stand.amount(3, 9);
    let blobs = stand.store.blobs().len();
    run(stand, blobs, rounds, [Goal::Times(2.0, "distribution"), Goal::Value(16.0)])
}

/// With many blobs, whose closure is checked.
pub(super) fn many(stand: &Stand<'_>) -> Result<Vec<Figure>> {
    let blobs = stand.store.images.len() + stand.store.blobs().len();
    run(stand, blobs, stand.amount(3, 5), [Goal::Value(250.0), Goal::Value(64.0)])
}

/// Starts each peer on the content, in turn.
fn run(stand: &Stand<'_>, blobs: usize, rounds: usize, goals: [Goal; 2]) -> Result<Vec<Figure>> {
    let peers = stand.with(&[Peer::NginxSquashfs, Peer::Distribution]);
    let mut measured = in_turn(rounds, &peers, Peer::name, |peer| {
        let server = stand.run.yard.start(peer, stand.served)?;
        Ok(Sample::from([
            ("start", server.started.as_secs_f64() * 1e3),
            ("memory", server.resident()? as f64 / MIB),
        ]))
    })?;
    let mut figure = |key, name: &str, unit| {
        Figure::of(&mut measured, key, "Start", format!("{name}, {blobs} blobs"), unit)
    };
    let [start, memory] = goals;
    Ok(vec![
        figure("start", "first manifest answered", "ms").with(start),
        figure("memory", "resident then", "MiB").with(memory),
    ])
}
