//! Twenty clients pull the same thirty images at once, and somebody asks for manifests meanwhile.

use std::iter;

use anyhow::{Context as _, Result};

use crate::content::{self, Image};
use crate::load::storm::{self, Pulls};
use crate::measure::report::{Figure, Goal};
use crate::measure::{Sample, Series, in_turn};
use crate::parts::Stand;
use crate::peers::process::own_cpu;
use crate::peers::{GB, MIB, Peer};

const IMAGES: usize = 30;

/// Over connections in clear text.
pub(super) fn in_clear_text(stand: &Stand<'_>) -> Result<Vec<Figure>> {
    run(stand, false, "Storm in clear text")
}

/// Over TLS.
pub(super) fn under_tls(stand: &Stand<'_>) -> Result<Vec<Figure>> {
    run(stand, true, "Storm under TLS")
}

fn run(stand: &Stand<'_>, tls: bool, group: &'static str) -> Result<Vec<Figure>> {
    let images = lightest(&stand.store.images)?;
    let clients = stand.amount(6, 20);
    let client = stand.run.yard.client(tls);
    let peers = [Peer::Nginx, Peer::NginxSquashfs, Peer::Distribution, Peer::DockerRegistry];
    let mut servers = Vec::new();
    let mut bytes = 0;
    for peer in stand.with(&peers) {
        let server = stand.run.yard.listening(&peer, stand.served, tls)?;
        let pulls = Pulls::learn(server.address, client, images)
            .with_context(|| format!("{} does not serve all images", peer.name()))?;
        bytes = pulls.bytes;
        servers.push((peer, server, pulls));
    }
    let mut measured = in_turn(
        stand.few_rounds(),
        &servers,
        |(peer, ..)| peer.name(),
        |(_, server, pulls)| {
            let (before, own) = (server.cpu()?, own_cpu()?);
            let storm = storm::run(server.address, client, pulls, clients)?;
            let gigabytes = storm.bytes as f64 / GB;
            let latencies = Series(storm.latencies);
            Ok(Sample::from([
                ("wall", storm.wall),
                ("p50", latencies.quantile(0.5) * 1e3),
                ("p99", latencies.quantile(0.99) * 1e3),
                ("cpu", (server.cpu()? - before) / gigabytes),
                ("clients", (own_cpu()? - own) / gigabytes),
                ("peak", server.peak()? as f64 / MIB),
            ]))
        },
    )?;
    let words = format!("{clients} × {IMAGES} images, {:.2} GB each", bytes as f64 / GB);
    let mut figure = |key, name: &str, unit| {
        Figure::of(&mut measured, key, group, format!("{name}, {words}"), unit)
    };
    Ok(vec![
        figure("wall", "wall", "s").with(Goal::Times(1.0, "nginx")),
        figure("p50", "manifests meanwhile, p50", "ms"),
        figure("p99", "manifests meanwhile, p99", "ms").with(Goal::Times(0.7, "nginx")),
        figure("cpu", "CPU", "CPU-s/GB"),
        figure("clients", "CPU of the clients", "CPU-s/GB"),
        figure("peak", "peak memory", "MiB").with(Goal::Value(64.0)),
    ])
}

/// Of all neighbouring images those that hold the fewest bytes together.
fn lightest(images: &[Image]) -> Result<&[Image]> {
    images
        .windows(IMAGES)
        .chain(iter::once(images))
        .min_by_key(|images| content::size(images))
        .context("there are images")
}
