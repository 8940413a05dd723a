//! From an archive of another tool on disk to images pulled from it: served in place, against a
//! registry that is filled with it first.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result};

use crate::content::archives::{Archive, Kind};
use crate::content::store::Store;
use crate::content::{self, Image, REGISTRY};
use crate::load::{self, Wanted, large};
use crate::measure::report::{Figure, Goal};
use crate::measure::spent::{Spent, allocated, emptied};
use crate::measure::{Sample, in_turn};
use crate::parts::Stand;
use crate::peers::process::Server;
use crate::peers::yard::Yard;
use crate::peers::{GB, MIB, Peer};

/// Bytes of a MB.
const MB: f64 = 1e6;

/// Who brings an archive to those who pull.
#[derive(Debug)]
enum Way<'a> {
    /// We, in place.
    Ours(&'a Peer),
    /// Debian's docker-registry, filled as one would without us.
    Registry,
}

impl Way<'_> {
    fn name(&self) -> &'static str {
        match self {
            Self::Ours(peer) => peer.name(),
            Self::Registry => "docker-registry",
        }
    }
}

/// Brings each archive of the content to its first and to its last image pulled, in turn.
pub(super) fn run(stand: &Stand<'_>) -> Result<Vec<Figure>> {
    let (yard, store) = (&stand.run.yard, stand.store);
    let ways: Vec<_> = stand.run.ours.iter().map(Way::Ours).chain([Way::Registry]).collect();
    let output = store.directory.join("brought");
    let mut figures = Vec::new();
    for kind in Kind::ALL {
        let archive = Archive::open(kind, store)?;
        let mut measured = in_turn(stand.few_rounds(), &ways, Way::name, |way| {
            emptied(&output)?;
            match way {
                Way::Ours(peer) => serve(yard, peer, &archive, store, &output),
                Way::Registry => fill(yard, &archive, store, &output),
            }
        })?;
        let words = format!("{} images, {:.2} GB", store.images.len(), store.size() as f64 / GB);
        let mut sizes = store.images.iter().map(|image| {
            let megabytes = content::size(std::slice::from_ref(image)) as f64 / MB;
            format!("{megabytes:.0} MB")
        });
        let (first, second) = (sizes.next().unwrap_or_default(), sizes.next().unwrap_or_default());
        let mut figure = |key, name: &str, words: &str, unit| {
            Figure::of(&mut measured, key, kind.title(), format!("{name}, {words}"), unit)
        };
        figures.extend([
            figure("ready", "first manifest answered", &words, "s").with(Goal::Value(0.1)),
            figure("first", "first image pulled", &first, "s").with(Goal::Value(0.1)),
            figure("second", "the next one pulled", &second, "s"),
            figure("all", "all images pulled", &words, "s"),
            figure("disk", "written", &words, "MiB").with(Goal::Value(0.0)),
            figure("memory", "peak memory", &words, "MiB").with(Goal::Value(32.0)),
        ]);
    }
    fs::remove_dir_all(&output)?;
    Ok(figures)
}

/// Serves the archive where it lies.
fn serve(
    yard: &Yard,
    peer: &Peer,
    archive: &Archive,
    store: &Store,
    output: &Path,
) -> Result<Sample> {
    let begun = Instant::now();
    let path = store.images.first().context("there are images")?.path();
    let server = yard.start_in_place(peer, &archive.path, (&path, false), output)?;
    let mut sample = Sample::from([("ready", begun.elapsed().as_secs_f64())]);
    for (number, image) in store.images.iter().enumerate() {
        pull(server.address, image)?;
        note(&mut sample, number, begun);
    }
    sample.insert("all", begun.elapsed().as_secs_f64());
    sample.insert("disk", allocated(output)? as f64 / MIB);
    sample.insert("memory", server.peak()? as f64 / MIB);
    Ok(sample)
}

/// Notes since the beginning how long the first image took, and the next since then.
fn note(sample: &mut Sample, number: usize, begun: Instant) {
    let elapsed = begun.elapsed().as_secs_f64();
    match (number, sample.get("first").copied()) {
        (0, _) => drop(sample.insert("first", elapsed)),
        (1, Some(first)) => drop(sample.insert("second", elapsed - first)),
        _ => {}
    }
}

/// Fills a registry with the archive.
fn fill(yard: &Yard, archive: &Archive, store: &Store, output: &Path) -> Result<Sample> {
    let begun = Instant::now();
    let storage = output.join("storage");
    fs::create_dir(&storage)?;
    let mut memory = 0;
    let mut disk = 0;
    let mut spend = |commands: Vec<Command>| -> Result<()> {
        let spent = Spent::on(commands, output, &store.directory.join("fill.log"))?;
        memory = memory.max(spent.memory);
        disk = disk.max(spent.disk);
        Ok(())
    };
    spend(archive.unpacked(output, &storage))?;
    let server = yard.start_writable(&storage)?;
    let mut sample = Sample::new();
    for (number, image) in store.images.iter().enumerate() {
        spend(push(archive, output, &server, image).into_iter().collect())?;
        if number == 0 {
            load::get(server.address, &image.path())?;
            sample.insert("ready", begun.elapsed().as_secs_f64());
        }
        pull(server.address, image)?;
        note(&mut sample, number, begun);
    }
    sample.insert("all", begun.elapsed().as_secs_f64());
    sample.insert("disk", disk.max(allocated(output)?) as f64 / MIB);
    sample.insert("memory", memory.max(server.peak()?) as f64 / MIB);
    Ok(sample)
}

/// The command that copies one image into a registry; none where the storage has it already.
fn push(archive: &Archive, output: &Path, server: &Server, image: &Image) -> Option<Command> {
    let name = format!("{REGISTRY}/{}:{}", image.repository, image.tag);
    let source = match archive.kind {
        Kind::Mirror => return None,
        Kind::Haul => format!("oci:{}:{name}", output.display()),
        Kind::Oci => format!("oci-archive:{}:{name}", archive.path.display()),
    };
    let mut command = Command::new("skopeo");
    command.args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false", &source]);
    command.arg(format!("docker://{}", image.reference(server.address)));
    Some(command)
}

/// Pulls an image whole as clients do: its manifest, then config and layers at once.
fn pull(address: SocketAddr, image: &Image) -> Result<()> {
    load::get(address, &image.path())?;
    let wanted = |blob| vec![(image.blob_path(blob), blob.size)];
    let blobs: Vec<Vec<Wanted>> = image.blobs.iter().map(wanted).collect();
    large::drain(address, None, &blobs).map(drop)
}
