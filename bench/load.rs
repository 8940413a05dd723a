//! Clients that cost next to nothing, so that the server is what is measured.
//!
//! Large answers are thrown away in the kernel (`MSG_TRUNC`): requests are sent ahead, the last
//! asks to close, and bytes are counted to the end. Under TLS the client makes a real handshake
//! and sends real requests, then counts ciphertext without decrypting it.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::net::{RecvFlags, recv};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

const PATIENCE: Duration = Duration::from_secs(20);
const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json";

/// Something to fetch: its path and how long it is.
pub(crate) type Wanted = (String, u64);

fn request(path: &str, connection: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {ACCEPT}\r\nConnection: {connection}\r\n\r\n"
    )
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Fetches one small thing and fails unless it is there.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<()> {
    let mut stream = connect(address)?;
    stream.write_all(request(path, "close").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "{path} is not answered with 200");
    Ok(())
}

/// Fetches each share over a connection of its own, all at once; returns the bytes wanted.
pub(crate) fn drain(
    address: SocketAddr,
    tls: Option<&Arc<ClientConfig>>,
    shares: &[Vec<Wanted>],
) -> Result<u64> {
    thread::scope(|scope| {
        let workers: Vec<_> = shares
            .iter()
            .map(|share| scope.spawn(move || drain_share(address, tls, share)))
            .collect();
        let mut bytes = 0;
        for worker in workers {
            bytes += worker.join().map_err(|_| anyhow!("a client panicked"))??;
        }
        Ok(bytes)
    })
}

fn drain_share(
    address: SocketAddr,
    tls: Option<&Arc<ClientConfig>>,
    share: &[Wanted],
) -> Result<u64> {
    let (last, before) = share.split_last().context("a share holds something")?;
    let mut requests: String = before.iter().map(|(path, _)| request(path, "keep-alive")).collect();
    requests.push_str(&request(&last.0, "close"));
    let mut stream = connect(address)?;
    match tls {
        None => stream.write_all(requests.as_bytes())?,
        Some(config) => {
            let name = ServerName::try_from("localhost")?;
            let mut client = ClientConnection::new(Arc::clone(config), name)?;
            rustls::Stream::new(&mut client, &mut stream).write_all(requests.as_bytes())?;
        }
    }
    let wanted = share.iter().map(|(_, length)| length).sum();
    let came = discard(&stream)?;
    // Heads, TLS records and tickets; an error page or a broken transfer is far outside.
    let most = wanted + wanted / 50 + 4096 * (share.len() as u64 + 4);
    ensure!((wanted..=most).contains(&came), "wanted {wanted} bytes, {came} came: {}", last.0);
    Ok(wanted)
}

/// Reads to the end and throws away; returns the bytes that came.
fn discard(stream: &TcpStream) -> Result<u64> {
    // TCP writes nothing to the buffer under MSG_TRUNC; its length is how much is taken at once.
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        match recv(stream, buffer.as_mut_slice(), RecvFlags::TRUNC) {
            Ok((_, 0)) => return Ok(bytes),
            Ok((_, count)) => bytes += count as u64,
            Err(rustix::io::Errno::INTR) => {}
            // A server may close with our close_notify unread.
            Err(rustix::io::Errno::CONNRESET) => return Ok(bytes),
            Err(error) => bail!("the transfer broke after {bytes} bytes: {error}"),
        }
    }
}

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
