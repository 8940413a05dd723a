//! Large blobs: server CPU-seconds for each GB, the figure that a busy machine disturbs least.

use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::load::{self, Wanted};
use crate::measure::{Sample, in_turn};
use crate::peers::{Peer, Served, Yard};
use crate::report::{Figure, Goal};
use crate::store::Store;

const GB: f64 = 1e9;
const CONNECTIONS: [usize; 3] = [1, 8, 64];

/// How much is moved.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    /// Rounds in turn.
    pub(crate) rounds: usize,
    /// Bytes of one measurement.
    pub(crate) bytes: u64,
}

/// Blobs that were read before: verified, and in the page cache.
pub(crate) fn warm(
    yard: &Yard,
    peers: &[Peer],
    content: &Served,
    store: &Store,
    tls: bool,
    amount: Amount,
) -> Result<Vec<Figure>> {
    let wanted = large(store);
    let client = tls.then_some(&yard.client);
    let mut servers = Vec::new();
    for peer in peers {
        let server = if tls { yard.start_tls(peer, content)? } else { yard.start(peer, content)? };
        load::drain(server.address, client, std::slice::from_ref(&wanted))
            .with_context(|| format!("{} does not serve all blobs", peer.name()))?;
        servers.push((peer, server));
    }
    let mut figures = Vec::new();
    for connections in CONNECTIONS {
        let shares = shares(&wanted, connections, amount.bytes);
        let mut measured = in_turn(
            amount.rounds,
            &servers,
            |(peer, _)| peer.name(),
            |(_, server)| {
                let before = server.cpu()?;
                let bytes = load::drain(server.address, client, &shares)?;
                Ok(Sample::from([("cpu", (server.cpu()? - before) / (bytes as f64 / GB))]))
            },
        )?;
        let goal = if tls { Goal::Times(0.6, "nginx") } else { Goal::Times(1.0, "nginx") };
        figures.push(Figure {
            group: if tls { "Large blobs under TLS" } else { "Large blobs in clear text" },
            name: format!("{connections} connections"),
            unit: "CPU-s/GB",
            servers: measured.remove("cpu").unwrap_or_default(),
            goals: vec![goal],
        });
    }
    let mut peaks = in_turn(
        1,
        &servers,
        |(peer, _)| peer.name(),
        |(_, server)| Ok(Sample::from([("peak", server.peak()? as f64 / f64::from(1 << 20))])),
    )?;
    figures.push(Figure {
        group: if tls { "Large blobs under TLS" } else { "Large blobs in clear text" },
        name: "peak memory after all".to_owned(),
        unit: "MiB",
        servers: peaks.remove("peak").unwrap_or_default(),
        goals: Vec::new(),
    });
    Ok(figures)
}

/// The first read of each blob of a fresh process, which verifies it; the page cache is warm.
pub(crate) fn first(
    yard: &Yard,
    peers: &[Peer],
    content: &Served,
    store: &Store,
    rounds: usize,
) -> Result<Vec<Figure>> {
    let wanted: Vec<_> = all(store);
    let shares: Vec<Vec<Wanted>> =
        (0..8).map(|n| wanted.iter().skip(n).step_by(8).cloned().collect()).collect();
    let mut measured = in_turn(rounds, peers, Peer::name, |peer| {
        let server = yard.start(peer, content)?;
        let before = server.cpu()?;
        let begun = Instant::now();
        let bytes = load::drain(server.address, None, &shares)? as f64 / GB;
        let (cpu, wall) = (server.cpu()? - before, begun.elapsed().as_secs_f64());
        let peak = server.peak()? as f64 / f64::from(1 << 20);
        Ok(Sample::from([("cpu", cpu / bytes), ("wall", wall / bytes), ("peak", peak)]))
    })?;
    let mut figure = |key, name: &str, unit, goals| Figure {
        group: "First read of every blob, 8 connections, clear text",
        name: name.to_owned(),
        unit,
        servers: measured.remove(key).unwrap_or_default(),
        goals,
    };
    Ok(vec![
        figure("cpu", "CPU", "CPU-s/GB", vec![Goal::Value(0.9)]),
        figure("wall", "wall", "s/GB", Vec::new()),
        figure("peak", "peak memory", "MiB", Vec::new()),
    ])
}

fn all(store: &Store) -> Vec<Wanted> {
    store.blobs().into_iter().map(|(image, blob)| (image.blob_path(blob), blob.size)).collect()
}

/// The largest blobs, which hold half of the bytes.
fn large(store: &Store) -> Vec<Wanted> {
    let mut left = store.size() / 2;
    let enough = |wanted: &Wanted| {
        let more = left > 0;
        left = left.saturating_sub(wanted.1);
        more
    };
    all(store)
        .into_iter()
        .take_while({
            let mut enough = enough;
            move |wanted| enough(wanted)
        })
        .collect()
}

/// Deals blobs out, in turn, until each connection has its share of `bytes`.
fn shares(wanted: &[Wanted], connections: usize, bytes: u64) -> Vec<Vec<Wanted>> {
    let share = bytes / connections as u64;
    let mut next = wanted.iter().cycle();
    (0..connections)
        .map(|_| {
            let mut held = 0;
            next.by_ref()
                .take_while(|(_, size)| {
                    let more = held < share;
                    held += size;
                    more
                })
                .cloned()
                .collect()
        })
        .collect()
}
