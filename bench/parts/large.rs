//! Large blobs: server CPU-seconds for each GB, the figure that a busy machine disturbs least.

use anyhow::{Context as _, Result};

use crate::content::store::Store;
use crate::load::Wanted;
use crate::load::large::drain;
use crate::measure::report::{Figure, Goal};
use crate::measure::{Sample, in_turn};
use crate::parts::Stand;
use crate::peers::{GB, MIB, Peer};

const CONNECTIONS: [usize; 3] = [1, 8, 64];
const PEERS: [Peer; 4] =
    [Peer::Nginx, Peer::NginxSquashfs, Peer::Distribution, Peer::DockerRegistry];

/// Over connections in clear text.
pub(super) fn in_clear_text(stand: &Stand<'_>) -> Result<Vec<Figure>> {
    warm(stand, false, "Large blobs in clear text", Goal::Times(0.65, "nginx"))
}

/// Over TLS.
pub(super) fn under_tls(stand: &Stand<'_>) -> Result<Vec<Figure>> {
    warm(stand, true, "Large blobs under TLS", Goal::Times(0.45, "nginx"))
}

/// Blobs that were read before: verified, and in the page cache.
fn warm(stand: &Stand<'_>, tls: bool, group: &'static str, goal: Goal) -> Result<Vec<Figure>> {
    let wanted = largest(stand.store);
    let client = stand.run.yard.client(tls);
    let mut servers = Vec::new();
    for peer in stand.with(&PEERS) {
        let server = stand.run.yard.listening(&peer, stand.served, tls)?;
        drain(server.address, client, std::slice::from_ref(&wanted))
            .with_context(|| format!("{} does not serve all blobs", peer.name()))?;
        servers.push((peer, server));
    }
    let mut figures = Vec::new();
    for connections in CONNECTIONS {
        let shares = shares(&wanted, connections, stand.amount(1_000_000_000, 2_000_000_000));
        let mut measured = in_turn(
            stand.run.rounds,
            &servers,
            |(peer, _)| peer.name(),
            |(peer, server)| {
                let before = server.cpu()?;
                let bytes = drain(server.address, client, &shares).context(peer.name())?;
                Ok(Sample::from([("cpu", (server.cpu()? - before) / (bytes as f64 / GB))]))
            },
        )?;
        let name = format!("{connections} connections");
        figures.push(Figure::of(&mut measured, "cpu", group, name, "CPU-s/GB").with(goal));
    }
    let mut peaks = in_turn(
        1,
        &servers,
        |(peer, _)| peer.name(),
        |(_, server)| Ok(Sample::from([("peak", server.peak()? as f64 / MIB)])),
    )?;
    let name = "peak memory after all".to_owned();
    figures.push(Figure::of(&mut peaks, "peak", group, name, "MiB").with(Goal::Value(64.0)));
    Ok(figures)
}

/// Blobs, each once, for so many connections.
pub(super) fn dealt(wanted: &[Wanted], connections: usize) -> Vec<Vec<Wanted>> {
    (0..connections)
        .map(|n| wanted.iter().skip(n).step_by(connections).cloned().collect())
        .collect()
}

/// The largest blobs, which hold half of the bytes.
pub(super) fn largest(store: &Store) -> Vec<Wanted> {
    let mut left = store.size() / 2;
    let enough = |wanted: &Wanted| {
        let more = left > 0;
        left = left.saturating_sub(wanted.1);
        more
    };
    store.wanted().into_iter().take_while(enough).collect()
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
