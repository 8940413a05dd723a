//! A connection of a client, in clear text or under TLS.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::load::{PATIENCE, request};

/// A connection; what is read is decrypted.
#[derive(Debug)]
pub(super) enum Connection {
    Clear(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Connection {
    /// Connects; the handshake is made with the first request.
    pub(super) fn open(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(match tls {
            None => Self::Clear(stream),
            Some(config) => {
                let name = ServerName::try_from("localhost")?;
                let client = ClientConnection::new(Arc::clone(config), name)?;
                Self::Tls(Box::new(StreamOwned::new(client, stream)))
            }
        })
    }

    /// What the bytes go through.
    pub(super) fn socket(&self) -> &TcpStream {
        match self {
            Self::Clear(stream) => stream,
            Self::Tls(stream) => &stream.sock,
        }
    }

    /// Fetches the last thing over this connection and fails unless it is there, of any length.
    pub(super) fn get(&mut self, path: &str) -> Result<()> {
        self.write_all(request(path, "close").as_bytes())?;
        let mut answer = Vec::new();
        self.read_to_end(&mut answer)?;
        ensure!(answer.starts_with(b"HTTP/1.1 200"), "{path} is not answered with 200");
        Ok(())
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => stream.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Clear(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// Reads one answer with a body of a known length from a kept connection; returns the bytes of its head and body.
pub(super) fn read_answer(
    connection: &mut Connection,
    buffer: &mut [u8],
    length: u64,
) -> Result<u64> {
    let mut filled = 0;
    let head = loop {
        let room = buffer
            .get_mut(filled..)
            .filter(|room| !room.is_empty())
            .context("the head of the answer is too long")?;
        filled += read_some(connection, room)?;
        let answer = buffer.get(..filled).unwrap_or_default();
        if let Some(head) = answer.windows(4).position(|end| end == b"\r\n\r\n") {
            let words = || String::from_utf8_lossy(answer);
            ensure!(answer.starts_with(b"HTTP/1.1 200"), "not 200: {}", words());
            break head as u64 + 4;
        }
    };
    let (mut came, whole) = (filled as u64, head + length);
    while came < whole {
        came += read_some(connection, buffer)? as u64;
    }
    ensure!(came == whole, "{came} bytes came for {whole}");
    Ok(whole)
}

fn read_some(connection: &mut Connection, room: &mut [u8]) -> Result<usize> {
    loop {
        match connection.read(room) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}
