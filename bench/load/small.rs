//! Small answers over kept connections, as many as can be had.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use crate::load::{Wanted, connect, request};

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
                        .map(|_| connect(address))
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
    mut connections: Vec<TcpStream>,
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

/// Reads one answer of a known length from a kept connection.
fn read_answer(stream: &mut TcpStream, buffer: &mut [u8], length: u64) -> Result<()> {
    let mut filled = 0;
    loop {
        let room = buffer
            .get_mut(filled..)
            .filter(|room| !room.is_empty())
            .context("the answer is too long")?;
        match stream.read(room) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(count) => filled += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
        let answer = buffer.get(..filled).unwrap_or_default();
        if let Some(head) = answer.windows(4).position(|end| end == b"\r\n\r\n") {
            ensure!(
                answer.starts_with(b"HTTP/1.1 200"),
                "not 200: {}",
                String::from_utf8_lossy(answer)
            );
            let body = (filled - head - 4) as u64;
            ensure!(body <= length, "{body} bytes came for {length}");
            if body == length {
                return Ok(());
            }
        }
    }
}
