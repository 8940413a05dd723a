//! A kept connection on which one thing at a time is asked for; its answer is thrown away as it comes.
//!
//! The length of the answer with its head was learned before (the same request has the same head,
//! but for the digits of the date): one that is shorter breaks the run by its patience, one that
//! is longer at once. In clear text bytes are thrown away in the kernel. Under TLS they are
//! counted by the headers of records.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustls::{ClientConfig, ProtocolVersion};

use crate::load::connection::{Connection, read_answer};
use crate::load::records::Records;
use crate::load::{Wanted, request};

/// How much is taken at once, in clear text.
pub(super) const ROOM: usize = 1 << 20;
/// And under TLS, where it is copied: what a core's cache holds.
const COPIED: usize = 128 << 10;

/// A request, and the length of its answer with its head.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    request: String,
    whole: u64,
    /// Bytes of the body.
    pub(super) length: u64,
}

/// Fetches everything once and learns how long the answers are.
pub(super) fn learn(
    address: SocketAddr,
    tls: Option<&Arc<ClientConfig>>,
    wanted: &[Wanted],
) -> Result<Vec<Known>> {
    let mut connection = Connection::open(address, tls)?;
    let mut buffer = vec![0; 64 << 10];
    let mut known = Vec::with_capacity(wanted.len());
    for (path, length) in wanted {
        let request = request(path, "keep-alive");
        connection.write_all(request.as_bytes())?;
        let whole = read_answer(&mut connection, &mut buffer, *length)?;
        known.push(Known { request, whole, length: *length });
    }
    Ok(known)
}

/// A kept connection.
#[derive(Debug)]
pub(super) struct Kept {
    connection: Connection,
    records: Records,
    /// Bytes of the answer that are still to come.
    left: u64,
}

impl Kept {
    /// Connects and asks for one thing, which is decrypted, after which all that comes are answers.
    pub(super) fn open(
        address: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        first: &Known,
    ) -> Result<Self> {
        let mut connection = Connection::open(address, tls)?;
        connection.write_all(first.request.as_bytes())?;
        read_answer(&mut connection, &mut vec![0; 64 << 10], first.length)?;
        if let Connection::Tls(stream) = &connection {
            let version = stream.conn.protocol_version();
            ensure!(version == Some(ProtocolVersion::TLSv1_3), "it speaks {version:?}");
        }
        Ok(Self { connection, records: Records::default(), left: 0 })
    }

    pub(super) fn socket(&self) -> &TcpStream {
        self.connection.socket()
    }

    /// Whether nothing is asked for.
    pub(super) fn is_idle(&self) -> bool {
        self.left == 0 && self.records.is_between()
    }

    /// Asks for something; the connection is idle.
    pub(super) fn ask(&mut self, known: &Known) -> Result<()> {
        self.left = known.whole;
        Ok(self.connection.write_all(known.request.as_bytes())?)
    }

    /// Takes what has come; returns whether that was the end of the answer.
    pub(super) fn take(&mut self, buffer: &mut [u8]) -> Result<bool> {
        ensure!(
            !self.is_idle(),
            "more came than was asked for, or the server closed the connection"
        );
        let most = match &self.connection {
            Connection::Clear(_) => ROOM.min(usize::try_from(self.left)?),
            Connection::Tls(_) => COPIED,
        };
        let flags = match &self.connection {
            // TCP writes nothing to the buffer under MSG_TRUNC; its length is how much is taken.
            Connection::Clear(_) => RecvFlags::TRUNC | RecvFlags::DONTWAIT,
            Connection::Tls(_) => RecvFlags::DONTWAIT,
        };
        let room = buffer.get_mut(..most).unwrap_or_default();
        let count = match recv(self.connection.socket(), room, flags) {
            Ok((_, 0)) => bail!("the server closed the connection"),
            Ok((_, count)) => count,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(error) => bail!("the transfer broke: {error}"),
        };
        let plain = match &self.connection {
            Connection::Clear(_) => count as u64,
            Connection::Tls(_) => self.records.take(buffer.get(..count).unwrap_or_default()),
        };
        ensure!(plain <= self.left, "{} bytes more came than was asked for", plain - self.left);
        self.left -= plain;
        Ok(self.is_idle())
    }
}
