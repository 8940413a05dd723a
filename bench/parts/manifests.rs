//! Small answers: server CPU for each manifest over 64 kept connections.

use std::time::Duration;

use anyhow::Result;

use crate::load::Wanted;
use crate::load::small::ask;
use crate::measure::report::{Figure, Goal};
use crate::measure::{Sample, in_turn};
use crate::parts::Stand;
use crate::peers::Peer;

const CONNECTIONS: usize = 64;

/// Asks for every manifest by tag, over and over.
pub(super) fn run(stand: &Stand<'_>) -> Result<Vec<Figure>> {
    let images = &stand.store.images;
    let wanted: Vec<Wanted> =
        images.iter().map(|image| (image.path(), image.manifest.size)).collect();
    let mean = wanted.iter().map(|(_, size)| size).sum::<u64>() / wanted.len() as u64;
    let period = Duration::from_millis(stand.amount(500, 2000));
    let mut servers = Vec::new();
    for peer in stand.with(&[Peer::Nginx, Peer::Distribution, Peer::DockerRegistry]) {
        let server = stand.run.yard.start(&peer, stand.served)?;
        ask(server.address, &wanted, CONNECTIONS, period / 4)?;
        servers.push((peer, server));
    }
    let mut measured = in_turn(
        stand.run.rounds,
        &servers,
        |(peer, _)| peer.name(),
        |(_, server)| {
            let before = server.cpu()?;
            let tally = ask(server.address, &wanted, CONNECTIONS, period)?;
            let requests = tally.requests as f64;
            Ok(Sample::from([
                ("cpu", (server.cpu()? - before) * 1e6 / requests),
                ("rate", requests / tally.wall / 1e3),
            ]))
        },
    )?;
    let mut figure = |key, name, unit| Figure::of(&mut measured, key, "Manifests", name, unit);
    let rate = "rate, client on the same cores".to_owned();
    Ok(vec![
        figure("cpu", format!("{mean} bytes, {CONNECTIONS} connections"), "CPU-µs/request")
            .with(Goal::Times(2.0, "nginx"))
            .with(Goal::Times(0.2, "distribution")),
        figure("rate", rate, "1000/s"),
    ])
}
