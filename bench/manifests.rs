//! Small answers: server CPU for each manifest over 64 kept connections.

use std::time::Duration;

use anyhow::Result;

use crate::load::{self, Wanted};
use crate::measure::{Sample, in_turn};
use crate::peers::{Peer, Served, Yard};
use crate::report::{Figure, Goal};
use crate::store::Store;

const CONNECTIONS: usize = 64;

/// Asks for every manifest by tag, over and over.
pub(crate) fn run(
    yard: &Yard,
    peers: &[Peer],
    content: &Served,
    store: &Store,
    rounds: usize,
    period: Duration,
) -> Result<Vec<Figure>> {
    let wanted: Vec<Wanted> =
        store.images.iter().map(|image| (image.path(), image.manifest.size)).collect();
    let mean = wanted.iter().map(|(_, size)| size).sum::<u64>() / wanted.len() as u64;
    let mut servers = Vec::new();
    for peer in peers {
        let server = yard.start(peer, content)?;
        load::ask(server.address, &wanted, CONNECTIONS, period / 4)?;
        servers.push((peer, server));
    }
    let mut measured = in_turn(
        rounds,
        &servers,
        |(peer, _)| peer.name(),
        |(_, server)| {
            let before = server.cpu()?;
            let tally = load::ask(server.address, &wanted, CONNECTIONS, period)?;
            let requests = tally.requests as f64;
            Ok(Sample::from([
                ("cpu", (server.cpu()? - before) * 1e6 / requests),
                ("rate", requests / tally.wall / 1e3),
            ]))
        },
    )?;
    let mut figure = |key, name: String, unit, goals| Figure {
        group: "Manifests",
        name,
        unit,
        servers: measured.remove(key).unwrap_or_default(),
        goals,
    };
    let goals = vec![Goal::Times(2.0, "nginx"), Goal::Times(0.2, "distribution")];
    Ok(vec![
        figure("cpu", format!("{mean} bytes, {CONNECTIONS} connections"), "CPU-µs/request", goals),
        figure("rate", "rate, client on the same cores".to_owned(), "1000/s", Vec::new()),
    ])
}
