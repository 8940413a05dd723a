//! Large answers, thrown away in the kernel (`MSG_TRUNC`).
//!
//! Requests are sent ahead, the last asks to close, and bytes are counted to the end. Under TLS the
//! client makes a real handshake and sends real requests, then counts ciphertext without decrypting it.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::net::{RecvFlags, recv};
use rustls::ClientConfig;

use crate::load::{Connection, Wanted, request};

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
    let mut connection = Connection::open(address, tls)?;
    connection.write_all(requests.as_bytes())?;
    let wanted = share.iter().map(|(_, length)| length).sum();
    let came = discard(connection.socket())?;
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
