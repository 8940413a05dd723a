//! Connections that all pull something large at the same time, none of which takes anything at
//! first, so that the server holds as much as it ever does; then all go at full pace.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::time::sleep;

use super::clients::{AT_ONCE, Client, in_one_thread};
use super::made::layout;
use super::site::Site;
use super::{grouped, mib};
use crate::load::{self, Wanted};
use crate::measure::report::Figure;
use crate::measure::{Sample, in_turn};
use crate::peers::Peer;
use crate::peers::process::Server;

const LAYERS: usize = 16;
/// How long no client takes anything: until every buffer is full.
const STALLED: Duration = Duration::from_secs(2);

/// Pulls in clear text and under TLS, what was verified before and what was not.
pub(super) fn run(
    site: &Site<'_>,
    ours: &[Peer],
    quick: bool,
    rounds: usize,
) -> Result<Vec<Figure>> {
    let connections = site.connections(if quick { 200 } else { 2_000 });
    let size = if quick { 1 << 20 } else { 8 << 20 };
    let (path, manifest, wanted) = layout(&site.empty("busy")?, LAYERS, size)?;
    let mut figures = Vec::new();
    for (group, tls, verified) in [
        ("Scale: busy in clear text", false, true),
        ("Scale: busy in clear text, first read", false, false),
        ("Scale: busy under TLS", true, true),
        ("Scale: busy under TLS, first read", true, false),
    ] {
        let mut measured = in_turn(rounds, ours, Peer::name, |peer| {
            let server = site.serve(peer, &path, tls, &manifest.0)?;
            if verified {
                load::large::drain(
                    server.address,
                    site.client(tls),
                    std::slice::from_ref(&wanted),
                )?;
            }
            in_one_thread(measure(site, &server, tls, &wanted, connections))
        })?;
        for (key, what, unit) in [
            ("before", "resident before", "MiB"),
            ("stalled", "resident while none takes anything", "MiB"),
            ("each", "memory for each then", "KiB"),
            ("peak", "peak", "MiB"),
            ("wall", "until all have all", "s"),
            ("rate", "together", "GB/s"),
            ("cpu", "CPU", "CPU-s/GB"),
            ("fairness", "the slowest, of the median's time", ""),
            ("fastest", "the fastest, of the median's time", ""),
        ] {
            let name = format!("{what}, {} connections", grouped(connections));
            figures.push(Figure::of(&mut measured, key, group, name, unit));
        }
    }
    Ok(figures)
}

async fn measure(
    site: &Site<'_>,
    server: &Server,
    tls: bool,
    wanted: &[Wanted],
    connections: usize,
) -> Result<Sample> {
    let config = site.client(tls).cloned();
    let before = server.resident()?;
    let clients: Vec<Client> = stream::iter(0..connections)
        .map(|_| Client::connect(server.address, config.clone()))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let spent = server.cpu()?;
    let begin = clients.into_iter().zip(wanted.iter().cycle());
    let transfers = try_join_all(begin.map(|(client, wanted)| client.begin(wanted))).await?;
    sleep(STALLED).await;
    let stalled = server.resident()?;
    let begun = Instant::now();
    let mut tasks = Vec::with_capacity(connections);
    for transfer in transfers {
        tasks.push(tokio::spawn(transfer.take()));
    }
    let mut taken = Vec::with_capacity(connections);
    for task in tasks {
        taken.push(task.await??.as_secs_f64());
    }
    let wall = begun.elapsed().as_secs_f64();
    let size = wanted.first().context("something is wanted")?.1;
    let bytes = size as f64 * connections as f64;
    taken.sort_by(f64::total_cmp);
    let at = |place: usize| taken.get(place).copied().unwrap_or(f64::NAN);
    let median = at(connections / 2);
    Ok(Sample::from([
        ("before", mib(before)),
        ("stalled", mib(stalled)),
        ("each", stalled.saturating_sub(before) as f64 / 1024.0 / connections as f64),
        ("peak", mib(server.peak()?)),
        ("wall", wall),
        ("rate", bytes / wall / 1e9),
        ("cpu", (server.cpu()? - spent) / (bytes / 1e9)),
        ("fairness", at(connections.saturating_sub(1)) / median),
        ("fastest", at(0) / median),
    ]))
}
