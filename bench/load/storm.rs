//! Many clients that pull the same images at once, as nodes do when a cluster is changed.
//!
//! One thread plays them all, so that they take as little of the machine as they can. Each pulls
//! one image after the other, as containerd, podman and docker do: its manifest by tag, then its
//! config and layers over a few connections, but for what it has already.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow, ensure};
use rustls::ClientConfig;

use crate::content::Image;
use crate::load::kept::{Kept, Known, ROOM, learn};
use crate::load::probe::Prober;
use crate::load::ready::Ready;
use crate::load::{PATIENCE, Wanted};

/// Connections of each client: between what docker and containerd (3) and podman (6) open.
const CONNECTIONS: usize = 4;

/// What each client pulls, in this order.
#[derive(Debug)]
pub(crate) struct Pulls {
    /// Of each image the manifest, then what no image before has.
    images: Vec<Vec<Known>>,
    /// Bytes of one client's answers, without heads.
    pub(crate) bytes: u64,
}

impl Pulls {
    /// Pulls images once, slowly, to learn how long each answer is.
    pub(crate) fn learn(
        address: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        images: &[Image],
    ) -> Result<Self> {
        let mut had = BTreeSet::new();
        let mut pulls = Self { images: Vec::new(), bytes: 0 };
        for image in images {
            let manifest = image.wanted();
            let new = image.blobs.iter().filter(|blob| had.insert(&blob.hex));
            let blobs = new.map(|blob| (image.blob_path(blob), blob.size));
            let wanted: Vec<Wanted> = [manifest].into_iter().chain(blobs).collect();
            pulls.bytes += wanted.iter().map(|(_, size)| size).sum::<u64>();
            pulls.images.push(learn(address, tls, &wanted)?);
        }
        Ok(pulls)
    }

    fn manifests(&self) -> Vec<Known> {
        self.images.iter().filter_map(|image| image.first()).cloned().collect()
    }
}

/// What came of a storm.
#[derive(Debug)]
pub(crate) struct Storm {
    /// Seconds until the last client had all images.
    pub(crate) wall: f64,
    /// Bytes that all clients were sent, without heads.
    pub(crate) bytes: u64,
    /// Seconds that each manifest took that was asked for beside it.
    pub(crate) latencies: Vec<f64>,
}

/// Lets so many clients pull at once while a prober asks for manifests; all connect before the clock runs.
pub(crate) fn run(
    address: SocketAddr,
    tls: Option<&Arc<ClientConfig>>,
    pulls: &Pulls,
    clients: usize,
) -> Result<Storm> {
    let manifests = pulls.manifests();
    let first = manifests.first().context("there are images")?;
    let mut connections = (0..clients * CONNECTIONS)
        .map(|_| Kept::open(address, tls, first))
        .collect::<Result<Vec<_>>>()?;
    let prober = Prober::open(address, tls, &manifests)?;
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let probing = scope.spawn(|| prober.run(&over));
        let begun = Instant::now();
        let pulled = pull(&mut connections, pulls, clients);
        let wall = begun.elapsed().as_secs_f64();
        over.store(true, Ordering::Relaxed);
        let latencies = probing.join().map_err(|_| anyhow!("the prober panicked"))?;
        pulled?;
        Ok(Storm { wall, bytes: pulls.bytes * clients as u64, latencies: latencies? })
    })
}

/// How far one client has come.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    image: usize,
    /// What is asked for next of the image: the manifest comes first.
    next: usize,
    /// Answers that are under way.
    busy: usize,
}

impl Progress {
    /// What is to be asked for now; nothing while it waits or when it is done.
    fn next<'a>(&mut self, pulls: &'a Pulls) -> Option<&'a Known> {
        let mut image = pulls.images.get(self.image)?;
        if self.next == image.len() && self.busy == 0 {
            *self = Self { image: self.image + 1, ..Self::default() };
            image = pulls.images.get(self.image)?;
        }
        // What an image needs its manifest says.
        if self.next == 1 && self.busy > 0 {
            return None;
        }
        let known = image.get(self.next)?;
        self.next += 1;
        self.busy += 1;
        Some(known)
    }
}

fn pull(connections: &mut [Kept], pulls: &Pulls, clients: usize) -> Result<()> {
    let mut ready = Ready::of(connections)?;
    let mut progress = vec![Progress::default(); clients];
    let mut buffer = vec![0; ROOM];
    let mut left = clients;
    for (client, own) in progress.iter_mut().zip(connections.chunks_mut(CONNECTIONS)) {
        ask(client, own, pulls)?;
    }
    while left > 0 {
        let places = ready.wait(PATIENCE)?;
        ensure!(!places.is_empty(), "nothing came for {} s", PATIENCE.as_secs());
        for place in places {
            let connection = connections.get_mut(place).context("it is one of ours")?;
            if !connection.take(&mut buffer)? {
                continue;
            }
            let number = place / CONNECTIONS;
            let client = progress.get_mut(number).context("it is one of ours")?;
            client.busy -= 1;
            ask(
                client,
                connections.chunks_mut(CONNECTIONS).nth(number).unwrap_or_default(),
                pulls,
            )?;
            if client.image == pulls.images.len() {
                left -= 1;
            }
        }
    }
    Ok(())
}

/// Asks for all that a client can ask for now.
fn ask(client: &mut Progress, connections: &mut [Kept], pulls: &Pulls) -> Result<()> {
    for connection in connections.iter_mut().filter(|connection| connection.is_idle()) {
        let Some(known) = client.next(pulls) else { break };
        connection.ask(known)?;
    }
    Ok(())
}
