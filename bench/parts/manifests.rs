//! Small answers: server CPU for each manifest over 64 kept connections.

use std::time::Duration;

use anyhow::Result;

use crate::content::Image;
use crate::load::small::ask;
use crate::measure::report::{Figure, Goal};
use crate::measure::{Sample, in_turn};
use crate::parts::Stand;
use crate::peers::{MIB, Peer};

const CONNECTIONS: usize = 64;

/// Over connections in clear text.
pub(super) fn in_clear_text(stand: &Stand<'_>) -> Result<Vec<Figure>> {
    run(stand, false, "Manifests")
}

/// Over TLS.
pub(super) fn under_tls(stand: &Stand<'_>) -> Result<Vec<Figure>> {
    run(stand, true, "Manifests under TLS")
}

/// Asks for every manifest by tag, over and over.
fn run(stand: &Stand<'_>, tls: bool, group: &'static str) -> Result<Vec<Figure>> {
    let wanted: Vec<_> = stand.store.images.iter().map(Image::wanted).collect();
    let mean = wanted.iter().map(|(_, size)| size).sum::<u64>() / wanted.len() as u64;
    let period = Duration::from_millis(stand.amount(500, 2000));
    let client = stand.run.yard.client(tls);
    let peers = [Peer::Nginx, Peer::NginxSquashfs, Peer::Distribution, Peer::DockerRegistry];
    let mut servers = Vec::new();
    for peer in stand.with(&peers) {
        let server = stand.run.yard.listening(&peer, stand.served, tls)?;
        ask(server.address, client, &wanted, CONNECTIONS, period / 4)?;
        servers.push((peer, server));
    }
    let mut measured = in_turn(
        stand.run.rounds,
        &servers,
        |(peer, _)| peer.name(),
        |(_, server)| {
            let before = server.cpu()?;
            let tally = ask(server.address, client, &wanted, CONNECTIONS, period)?;
            let requests = tally.requests as f64;
            Ok(Sample::from([
                ("cpu", (server.cpu()? - before) * 1e6 / requests),
                ("rate", requests / tally.wall / 1e3),
                ("peak", server.peak()? as f64 / MIB),
            ]))
        },
    )?;
    let mut figure = |key, name, unit| Figure::of(&mut measured, key, group, name, unit);
    let name = format!("{mean} bytes, {CONNECTIONS} connections");
    let cpu = figure("cpu", name, "CPU-µs/request").with(Goal::Times(1.2, "nginx"));
    Ok(vec![
        cpu.with(Goal::Times(0.1, "distribution")),
        figure("rate", "rate, client on the same cores".to_owned(), "1000/s"),
        figure("peak", "peak memory".to_owned(), "MiB").with(Goal::Value(64.0)),
    ])
}
