//! How long small answers take while others load the server.
//!
//! One is asked for every few milliseconds whether those before have come or not, so that a slow
//! answer hides none that would have been slow as well.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustls::ClientConfig;

use crate::load::PATIENCE;
use crate::load::kept::{Kept, Known, ROOM};
use crate::load::ready::Ready;

/// From one question to the next.
const GAP: Duration = Duration::from_millis(4);
/// Enough for answers that take a fifth of a second.
const CONNECTIONS: usize = 48;

/// A client with connections of its own.
#[derive(Debug)]
pub(super) struct Prober<'a> {
    connections: Vec<Kept>,
    wanted: &'a [Known],
}

impl<'a> Prober<'a> {
    pub(super) fn open(
        address: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        wanted: &'a [Known],
    ) -> Result<Self> {
        let first = wanted.first().context("something is wanted")?;
        let connections =
            (0..CONNECTIONS).map(|_| Kept::open(address, tls, first)).collect::<Result<_>>()?;
        Ok(Self { connections, wanted })
    }

    /// Asks until it is over; returns the seconds that each answer took.
    ///
    /// Where all connections wait, so does the question, and its time runs from when it was due.
    pub(super) fn run(mut self, over: &AtomicBool) -> Result<Vec<f64>> {
        let mut ready = Ready::of(&self.connections)?;
        let mut buffer = vec![0; ROOM];
        let mut wanted = self.wanted.iter().cycle();
        let mut idle: VecDeque<usize> = (0..self.connections.len()).collect();
        let mut asked = vec![Instant::now(); self.connections.len()];
        let mut latencies = Vec::new();
        let mut due = Instant::now();
        let mut waited = false;
        let mut answered = Instant::now();
        loop {
            let now = Instant::now();
            let ends = over.load(Ordering::Relaxed);
            if ends && idle.len() == self.connections.len() {
                return Ok(latencies);
            }
            if !ends && now >= due {
                match idle.pop_front() {
                    Some(place) => {
                        let known = wanted.next().context("something is wanted")?;
                        *asked.get_mut(place).context("a place")? = if waited { due } else { now };
                        self.connections.get_mut(place).context("a place")?.ask(known)?;
                        due += GAP;
                        waited = false;
                    }
                    None => waited = true,
                }
            }
            let pause =
                if idle.is_empty() || ends { GAP } else { due.saturating_duration_since(now) };
            for place in ready.wait(pause)? {
                if self.connections.get_mut(place).context("a place")?.take(&mut buffer)? {
                    answered = Instant::now();
                    let took = answered.duration_since(*asked.get(place).context("a place")?);
                    latencies.push(took.as_secs_f64());
                    idle.push_back(place);
                }
            }
            ensure!(answered.elapsed() < PATIENCE, "manifests are not answered");
        }
    }
}
