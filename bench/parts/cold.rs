//! With an empty page cache: the start, and large blobs that a server reads for the first time.
//!
//! Before each sample all that the machine caches of files is dropped, and the programs are read
//! back. A disk that a host lends may be cached by the host all the same.

use std::fs;
use std::time::Instant;

use anyhow::Result;

use crate::load::large::drain;
use crate::measure::report::{Figure, Goal};
use crate::measure::{Sample, in_turn};
use crate::parts::{Stand, large};
use crate::peers::{GB, MIB, Peer};
use crate::talk;

const GROUP: &str = "Cold page cache";
/// What drops it when "3" is written to it: pages, names and inodes.
const DROP: &str = "/proc/sys/vm/drop_caches";
const CONNECTIONS: [usize; 2] = [1, 8];

/// The start with few blobs, and large blobs.
pub(super) fn few(stand: &Stand<'_>) -> Result<Vec<Figure>> {
    let mut figures = start(stand, stand.store.blobs().len())?;
    for connections in CONNECTIONS {
        figures.extend(blobs(stand, connections)?);
    }
    Ok(figures)
}

/// The start with many blobs.
pub(super) fn many(stand: &Stand<'_>) -> Result<Vec<Figure>> {
    start(stand, stand.store.images.len() + stand.store.blobs().len())
}

/// From process start to the first manifest answered.
fn start(stand: &Stand<'_>, blobs: usize) -> Result<Vec<Figure>> {
    if !can_drop() {
        return Ok(Vec::new());
    }
    let peers = stand.with(&[Peer::NginxSquashfs, Peer::Distribution]);
    let mut measured = in_turn(stand.run.rounds, &peers, Peer::name, |peer| {
        drop_caches()?;
        fs::read(stand.run.yard.program(peer))?;
        let server = stand.run.yard.start(peer, stand.served)?;
        Ok(Sample::from([("start", server.started.as_secs_f64() * 1e3)]))
    })?;
    let name = format!("first manifest answered, {blobs} blobs");
    Ok(vec![Figure::of(&mut measured, "start", GROUP, name, "ms")])
}

/// The first read of large blobs, each once; we verify them.
fn blobs(stand: &Stand<'_>, connections: usize) -> Result<Vec<Figure>> {
    if !can_drop() {
        return Ok(Vec::new());
    }
    let wanted = large::dealt(&large::largest(stand.store), connections);
    let peers = [Peer::Nginx, Peer::NginxSquashfs, Peer::Distribution, Peer::DockerRegistry];
    let mut measured = in_turn(stand.few_rounds(), &stand.with(&peers), Peer::name, |peer| {
        let server = stand.run.yard.start(peer, stand.served)?;
        drop_caches()?;
        let before = server.cpu()?;
        let begun = Instant::now();
        let bytes = drain(server.address, None, &wanted)? as f64 / GB;
        let (cpu, wall) = (server.cpu()? - before, begun.elapsed().as_secs_f64());
        let peak = server.peak()? as f64 / MIB;
        Ok(Sample::from([("cpu", cpu / bytes), ("wall", wall / bytes), ("peak", peak)]))
    })?;
    let mut figure = |key, what: &str, unit| {
        let name = format!("first read of large blobs, {connections} connections, {what}");
        Figure::of(&mut measured, key, GROUP, name, unit)
    };
    Ok(vec![
        figure("wall", "wall", "s/GB"),
        figure("cpu", "CPU", "CPU-s/GB"),
        figure("peak", "peak memory", "MiB").with(Goal::Value(64.0)),
    ])
}

/// Whether the page cache may be dropped; says so if not.
fn can_drop() -> bool {
    let opened = fs::OpenOptions::new().write(true).open(DROP);
    if let Err(error) = &opened {
        talk(&format!("cannot write {DROP}: left out: {error}"));
    }
    opened.is_ok()
}

fn drop_caches() -> Result<()> {
    // What is not on the disk yet stays.
    rustix::fs::sync();
    Ok(fs::write(DROP, "3")?)
}
