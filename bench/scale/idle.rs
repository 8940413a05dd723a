//! Connections that are kept open and ask for nothing.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::time::sleep;

use super::clients::{AT_ONCE, Client, in_one_thread};
use super::made::layout;
use super::site::{Site, descriptors};
use super::{grouped, mib};
use crate::load::Wanted;
use crate::measure::report::Figure;
use crate::measure::{Sample, in_turn};
use crate::peers::Peer;
use crate::peers::process::Server;

/// Requests that are timed.
const TIMED: usize = 2_000;
/// What a server lets go of when clients have gone, it has let go of after this time.
const AFTERWARDS: Duration = Duration::from_secs(1);

/// Keeps connections open in clear text, then under TLS, each after a first manifest.
pub(super) fn run(
    site: &Site<'_>,
    ours: &[Peer],
    quick: bool,
    rounds: usize,
) -> Result<Vec<Figure>> {
    let connections = site.connections(if quick { 1_000 } else { 10_000 });
    let (path, manifest, _) = layout(&site.empty("idle")?, 1, 4096)?;
    let mut figures = Vec::new();
    for tls in [false, true] {
        let group = if tls { "Scale: idle under TLS" } else { "Scale: idle in clear text" };
        let mut measured = in_turn(rounds, ours, Peer::name, |peer| {
            let server = site.serve(peer, &path, tls, &manifest.0)?;
            in_one_thread(measure(site, &server, tls, &manifest, connections))
        })?;
        for (key, what, unit) in [
            ("connect", "to connect and get a manifest each", "s"),
            ("before", "resident before", "MiB"),
            ("resident", "resident then", "MiB"),
            ("each", "memory for each", "KiB"),
            ("descriptors", "descriptors then", ""),
            ("cpu", "CPU while they idle, for a second", "ms"),
            ("alone", "a manifest, nobody idle, median", "µs"),
            ("alone99", "a manifest, nobody idle, 99 of 100", "µs"),
            ("beside", "a manifest beside them, median", "µs"),
            ("beside99", "a manifest beside them, 99 of 100", "µs"),
            ("again", "a second manifest each", "s"),
            ("after", "resident when they are gone", "MiB"),
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
    manifest: &Wanted,
    connections: usize,
) -> Result<Sample> {
    let config = site.client(tls).cloned();
    let connect = || Client::connect(server.address, config.clone());
    let mut timed = connect().await?;
    let alone = latencies(&mut timed, manifest).await?;
    let before = server.resident()?;
    let begun = Instant::now();
    let greet = |_| async {
        let mut client = connect().await?;
        client.ask(manifest).await?;
        Ok::<_, anyhow::Error>(client)
    };
    let mut clients: Vec<Client> =
        stream::iter(0..connections).map(greet).buffer_unordered(AT_ONCE).try_collect().await?;
    let connected = begun.elapsed();
    let resident = server.resident()?;
    let held = descriptors(server)?;
    let cpu = server.cpu()?;
    sleep(Duration::from_secs(1)).await;
    let cpu = server.cpu()? - cpu;
    let beside = latencies(&mut timed, manifest).await?;
    let begun = Instant::now();
    stream::iter(&mut clients)
        .map(|client| client.ask(manifest))
        .buffer_unordered(AT_ONCE)
        .try_collect::<()>()
        .await
        .context("a connection was not kept")?;
    let again = begun.elapsed();
    drop(clients);
    sleep(AFTERWARDS).await;
    Ok(Sample::from([
        ("connect", connected.as_secs_f64()),
        ("before", mib(before)),
        ("resident", mib(resident)),
        ("each", resident.saturating_sub(before) as f64 / 1024.0 / connections as f64),
        ("descriptors", held as f64),
        ("cpu", cpu * 1e3),
        ("alone", alone.0),
        ("alone99", alone.1),
        ("beside", beside.0),
        ("beside99", beside.1),
        ("again", again.as_secs_f64()),
        ("after", mib(server.resident()?)),
    ]))
}

/// How long a manifest takes: the median, and what 99 of 100 stay below, in microseconds.
async fn latencies(client: &mut Client, manifest: &Wanted) -> Result<(f64, f64)> {
    let mut taken = Vec::with_capacity(TIMED);
    for _ in 0..TIMED {
        let begun = Instant::now();
        client.ask(manifest).await?;
        taken.push(begun.elapsed().as_secs_f64() * 1e6);
    }
    taken.sort_by(f64::total_cmp);
    let at = |place: usize| taken.get(place).copied().unwrap_or(f64::NAN);
    Ok((at(TIMED / 2), at(TIMED * 99 / 100)))
}
