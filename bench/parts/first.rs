//! The first read of each blob of a fresh process, which verifies it; the page cache is warm.

use std::time::Instant;

use anyhow::Result;

use crate::load::Wanted;
use crate::load::large::drain;
use crate::measure::report::{Figure, Goal};
use crate::measure::{Sample, in_turn};
use crate::parts::Stand;
use crate::peers::{GB, MIB, Peer};

/// Reads every blob once with each of ours, in turn.
pub(super) fn run(stand: &Stand<'_>) -> Result<Vec<Figure>> {
    let wanted = stand.store.wanted();
    let shares: Vec<Vec<Wanted>> =
        (0..8).map(|n| wanted.iter().skip(n).step_by(8).cloned().collect()).collect();
    let mut measured = in_turn(stand.run.rounds, &stand.run.ours, Peer::name, |peer| {
        let server = stand.run.yard.start(peer, stand.served)?;
        let before = server.cpu()?;
        let begun = Instant::now();
        let bytes = drain(server.address, None, &shares)? as f64 / GB;
        let (cpu, wall) = (server.cpu()? - before, begun.elapsed().as_secs_f64());
        let peak = server.peak()? as f64 / MIB;
        Ok(Sample::from([("cpu", cpu / bytes), ("wall", wall / bytes), ("peak", peak)]))
    })?;
    let mut figure = |key, name: &str, unit| {
        let group = "First read of every blob, 8 connections, clear text";
        Figure::of(&mut measured, key, group, name.to_owned(), unit)
    };
    Ok(vec![
        figure("cpu", "CPU", "CPU-s/GB").with(Goal::Value(0.9)),
        figure("wall", "wall", "s/GB"),
        figure("peak", "peak memory", "MiB"),
    ])
}
