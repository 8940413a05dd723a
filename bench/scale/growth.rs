//! One bundle: by its entries at the same size, and by its size with the same entries.

use std::fs;

use anyhow::Result;

use super::made::{Imageset, Shape};
use super::site::{Site, bytes_read, descriptors};
use super::{grouped, mib};
use crate::measure::report::Figure;
use crate::measure::{Figures, Sample, in_turn};
use crate::peers::Peer;

const GIB: u64 = 1 << 30;
const TIB: u64 = 1 << 40;

/// Starts on each of some bundles.
pub(super) fn run(
    site: &Site<'_>,
    ours: &[Peer],
    quick: bool,
    rounds: usize,
) -> Result<Vec<Figure>> {
    let entries: &[usize] =
        if quick { &[500, 2_000, 5_000] } else { &[2_000, 20_000, 100_000, 200_000] };
    let fixed = if quick { 2_000 } else { 20_000 };
    let sizes: &[u64] = if quick { &[GIB, TIB] } else { &[GIB, 32 * GIB, 256 * GIB, TIB] };
    let mut all = Vec::new();
    for blobs in entries {
        let figures = point(site, ours, Shape::of(*blobs, TIB), rounds)?;
        all.push((format!("{} blobs, 1 TiB", grouped(*blobs)), "Scale: entries", figures));
    }
    for size in sizes {
        let figures = point(site, ours, Shape::of(fixed, *size), rounds)?;
        let name = format!("{} GiB, {} blobs", size / GIB, grouped(fixed));
        all.push((name, "Scale: bytes", figures));
    }
    let mut figures = Vec::new();
    for (key, what, unit) in [
        ("start", "first manifest answered", "ms"),
        ("cpu", "CPU until then", "ms"),
        ("resident", "resident then", "MiB"),
        ("peak", "peak until then", "MiB"),
        ("read", "bytes read until then", "MiB"),
        ("descriptors", "descriptors then", ""),
        ("disk", "the bundle on disk", "MiB"),
    ] {
        for (name, group, measured) in &mut all {
            figures.push(Figure::of(measured, key, group, format!("{what}, {name}"), unit));
        }
    }
    figures.sort_by_key(|it| it.group != "Scale: entries");
    Ok(figures)
}

fn point(site: &Site<'_>, ours: &[Peer], shape: Shape, rounds: usize) -> Result<Figures> {
    use std::os::unix::fs::MetadataExt as _;

    let directory = site.empty("growth")?;
    let made = Imageset::new("growth").next(&directory, shape)?;
    let disk = fs::metadata(&made.path)?.blocks() * 512;
    let measured = in_turn(rounds, ours, Peer::name, |peer| {
        let server = site.serve(peer, &made.path, false, &made.probe.0)?;
        Ok(Sample::from([
            ("start", server.started.as_secs_f64() * 1e3),
            ("cpu", server.cpu()? * 1e3),
            ("resident", mib(server.resident()?)),
            ("peak", mib(server.peak()?)),
            ("read", mib(bytes_read(&server)?)),
            ("descriptors", descriptors(&server)? as f64),
            ("disk", mib(disk)),
        ]))
    })?;
    fs::remove_dir_all(directory)?;
    Ok(measured)
}
