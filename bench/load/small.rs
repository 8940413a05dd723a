//! Small answers over kept connections, as many as can be had.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};
use rustls::ClientConfig;

use crate::load::{Connection, Wanted, read_answer, request};

/// What many small requests came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    pub(crate) wall: f64,
}

/// Asks for small things over kept connections for a while.
///
/// Two threads hold half of the connections each: they ask on all, then read from all.
pub(crate) fn ask(
    address: SocketAddr,
    tls: Option<&Arc<ClientConfig>>,
    wanted: &[Wanted],
    connections: usize,
    period: Duration,
) -> Result<Tally> {
    let threads = connections.min(2);
    let ready = Barrier::new(threads);
    let begun = Instant::now();
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|number| {
                let ready = &ready;
                scope.spawn(move || {
                    let held = (0..connections / threads)
                        .map(|_| Connection::open(address, tls))
                        .collect::<Result<Vec<_>>>();
                    ready.wait();
                    ask_in_turn(
                        held?,
                        wanted.iter().cycle().skip(number * wanted.len() / threads),
                        period,
                    )
                })
            })
            .collect();
        let mut requests = 0;
        for worker in workers {
            requests += worker.join().map_err(|_| anyhow!("a client panicked"))??;
        }
        Ok(Tally { requests, wall: begun.elapsed().as_secs_f64() })
    })
}

fn ask_in_turn<'a>(
    mut connections: Vec<Connection>,
    mut wanted: impl Iterator<Item = &'a Wanted>,
    period: Duration,
) -> Result<u64> {
    let begun = Instant::now();
    let mut buffer = vec![0; 16 << 10];
    let mut requests = 0;
    while begun.elapsed() < period {
        let mut lengths = Vec::with_capacity(connections.len());
        for stream in &mut connections {
            let (path, length) = wanted.next().context("something is wanted")?;
            stream.write_all(request(path, "keep-alive").as_bytes())?;
            lengths.push(*length);
        }
        for (stream, length) in connections.iter_mut().zip(lengths) {
            read_answer(stream, &mut buffer, length)?;
            requests += 1;
        }
    }
    Ok(requests)
}
