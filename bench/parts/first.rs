//! The first read of each blob of a fresh process, which verifies it, and the second, when all are
//! verified; the page cache is warm. Peers verify nothing when they are read.

use std::time::Instant;

use anyhow::Result;

use crate::load::large::drain;
use crate::measure::report::{Figure, Goal};
use crate::measure::{Sample, in_turn};
use crate::parts::{Stand, large};
use crate::peers::{GB, MIB, Peer};

const CONNECTIONS: usize = 8;

/// Over connections in clear text.
pub(super) fn in_clear_text(stand: &Stand<'_>) -> Result<Vec<Figure>> {
    let group = "First read of every blob, 8 connections, clear text";
    run(stand, false, group, Some(Goal::Value(0.9)))
}

/// Over TLS.
pub(super) fn under_tls(stand: &Stand<'_>) -> Result<Vec<Figure>> {
    run(stand, true, "First read of every blob, 8 connections, TLS", None)
}

/// Reads every blob twice with each, in turn; the goal is that of the first read.
fn run(
    stand: &Stand<'_>,
    tls: bool,
    group: &'static str,
    goal: Option<Goal>,
) -> Result<Vec<Figure>> {
    let wanted = large::dealt(&stand.store.wanted(), CONNECTIONS);
    let client = stand.run.yard.client(tls);
    let peers = stand.with(&[Peer::Nginx, Peer::NginxSquashfs, Peer::Distribution]);
    let mut measured = in_turn(stand.few_rounds(), &peers, Peer::name, |peer| {
        let server = stand.run.yard.listening(peer, stand.served, tls)?;
        let mut sample = Sample::new();
        for [cpu, wall] in [["cpu", "wall"], ["cpu again", "wall again"]] {
            let before = server.cpu()?;
            let begun = Instant::now();
            let bytes = drain(server.address, client, &wanted)? as f64 / GB;
            sample.insert(wall, begun.elapsed().as_secs_f64() / bytes);
            sample.insert(cpu, (server.cpu()? - before) / bytes);
        }
        sample.insert("peak", server.peak()? as f64 / MIB);
        Ok(sample)
    })?;
    let mut figure =
        |key, name: &str, unit| Figure::of(&mut measured, key, group, name.to_owned(), unit);
    let mut verifying = figure("cpu", "CPU", "CPU-s/GB");
    verifying.goals.extend(goal);
    Ok(vec![
        verifying,
        figure("cpu again", "CPU of the second read, which is verified", "CPU-s/GB"),
        figure("wall", "wall", "s/GB"),
        figure("wall again", "wall of the second read", "s/GB"),
        figure("peak", "peak memory", "MiB").with(Goal::Value(64.0)),
    ])
}
