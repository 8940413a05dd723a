//! Many bundles in one directory, and one more that is dropped in while they are served.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::made::{Imageset, Made, Shape};
use super::mib;
use super::site::{Site, descriptors};
use crate::load;
use crate::measure::report::Figure;
use crate::measure::{Figures, Sample, in_turn};
use crate::peers::Peer;
use crate::peers::process::Server;

/// Each bundle: 100 images that are new, and as many that are wanted as before; 350 blobs of its own,
/// as many and more of earlier sequences.
const SHAPE: Shape = Shape { images: 100, layers: 150, bytes: 10 << 30, earlier: 3, kept: 100 };
const PATIENCE: Duration = Duration::from_secs(60);

/// Serves directories of more and more bundles.
pub(super) fn run(
    site: &Site<'_>,
    ours: &[Peer],
    quick: bool,
    rounds: usize,
) -> Result<Vec<Figure>> {
    let counts: &[usize] = if quick { &[1, 10] } else { &[1, 10, 100, 300] };
    let mut all = Vec::new();
    for count in counts {
        for in_sequence in [true, false] {
            let kind = if in_sequence { "sequences of one imageset" } else { "imagesets" };
            let figures = point(site, ours, (*count, in_sequence), rounds)?;
            all.push((format!("{count} {kind}"), figures));
        }
    }
    let mut figures = Vec::new();
    for (key, what, unit) in [
        ("start", "first manifest answered", "ms"),
        ("resident", "resident then", "MiB"),
        ("peak", "peak until then", "MiB"),
        ("descriptors", "descriptors then", ""),
        ("manifest", "a manifest of the lowest, 64 connections", "CPU-µs/request"),
        ("next", "one more: from rename to its first manifest", "ms"),
        ("meanwhile", "slowest manifest of the others meanwhile", "ms"),
    ] {
        for (name, measured) in &mut all {
            let (group, name) = ("Scale: bundles of 350 blobs", format!("{what}, {name}"));
            figures.push(Figure::of(measured, key, group, name, unit));
        }
    }
    Ok(figures)
}

fn point(
    site: &Site<'_>,
    ours: &[Peer],
    (count, in_sequence): (usize, bool),
    rounds: usize,
) -> Result<Figures> {
    let (served, kept) = (site.empty("served")?, site.empty("kept")?);
    let mut imageset = Imageset::new("overlay");
    let mut next = |number: usize, directory: &Path| {
        if !in_sequence {
            imageset = Imageset::new(&format!("overlay-{number:04}"));
        }
        imageset.next(directory, SHAPE)
    };
    let mut made = Vec::new();
    for number in 0..count {
        made.push(next(number, &served)?);
    }
    let more = next(count, &kept)?;
    let lowest = made.first().map(|it| it.probe.clone()).context("there is a bundle")?;
    let measured = in_turn(rounds, ours, Peer::name, |peer| {
        let server = site.serve(peer, &served, false, &lowest.0)?;
        let mut sample = Sample::from([
            ("start", server.started.as_secs_f64() * 1e3),
            ("resident", mib(server.resident()?)),
            ("peak", mib(server.peak()?)),
            ("descriptors", descriptors(&server)? as f64),
        ]);
        let before = server.cpu()?;
        let tally = load::small::ask(
            server.address,
            None,
            std::slice::from_ref(&lowest),
            64,
            Duration::from_millis(500),
        )?;
        let manifest = (server.cpu()? - before) * 1e6 / tally.requests as f64;
        let (next, meanwhile) = drop_in(&server, &more, &served, &lowest.0)?;
        sample.extend([("manifest", manifest), ("next", next), ("meanwhile", meanwhile)]);
        Ok(sample)
    })?;
    for directory in [served, kept] {
        fs::remove_dir_all(directory)?;
    }
    Ok(measured)
}

/// Brings one more bundle; answers how long it took until it is served, and the longest that a
/// manifest of the others took meanwhile, in milliseconds. The bundle is taken away again.
fn drop_in(server: &Server, more: &Made, served: &Path, other: &str) -> Result<(f64, f64)> {
    let name = more.path.file_name().unwrap_or_default();
    let place = served.join(name);
    let done = AtomicBool::new(false);
    let result = thread::scope(|scope| {
        let others = scope.spawn(|| -> Result<Duration> {
            let mut slowest = Duration::ZERO;
            while !done.load(Ordering::Relaxed) {
                let begun = Instant::now();
                load::get(server.address, other)?;
                slowest = slowest.max(begun.elapsed());
                thread::sleep(Duration::from_millis(1));
            }
            Ok(slowest)
        });
        let brought = || -> Result<Duration> {
            let begun = Instant::now();
            fs::rename(&more.path, &place)?;
            while load::get(server.address, &more.probe.0).is_err() {
                ensure!(begun.elapsed() < PATIENCE, "what was dropped in is not served");
                thread::sleep(Duration::from_millis(1));
            }
            Ok(begun.elapsed())
        };
        let brought = brought();
        done.store(true, Ordering::Relaxed);
        let slowest = others.join().map_err(|_| anyhow!("a client panicked"))??;
        Ok((brought?.as_secs_f64() * 1e3, slowest.as_secs_f64() * 1e3))
    });
    if place.exists() {
        fs::rename(&place, &more.path)?;
    }
    result
}
