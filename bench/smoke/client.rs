//! A client that asks for one thing after the other and reads all of each answer.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

const PATIENCE: Duration = Duration::from_secs(120);
const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json";

/// One thing to ask for, and the status that it must be answered with.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    /// The first and the last byte that are wanted, if not all.
    pub(crate) range: Option<(u64, u64)>,
    pub(crate) status: u16,
}

impl Question {
    /// One for all of something that is there.
    pub(crate) fn get(path: String) -> Self {
        Self { method: "GET", path, range: None, status: 200 }
    }
}

trait Stream: Read + Write {}
impl<T: Read + Write> Stream for T {}

/// A kept connection.
pub(crate) struct Client(BufReader<Box<dyn Stream>>);

impl Client {
    /// Connects, under TLS if a configuration is given.
    pub(crate) fn connect(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(stream),
            Some(config) => {
                let name = ServerName::try_from("localhost")?;
                let client = ClientConnection::new(Arc::clone(config), name)?;
                Box::new(StreamOwned::new(client, stream))
            }
        };
        Ok(Self(BufReader::with_capacity(64 << 10, stream)))
    }

    /// Asks and waits for the whole answer; answers the bytes of its body.
    pub(crate) fn ask(&mut self, question: &Question) -> Result<u64> {
        self.ask_and_read(question).with_context(|| format!("cannot ask {question:?}"))
    }

    fn ask_and_read(&mut self, question: &Question) -> Result<u64> {
        let Question { method, path, range, status } = question;
        let range = range.map(|(first, last)| format!("Range: bytes={first}-{last}\r\n"));
        let range = range.unwrap_or_default();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {ACCEPT}\r\n{range}\r\n"
        );
        self.0.get_mut().write_all(request.as_bytes())?;
        self.0.get_mut().flush()?;
        let first = self.line()?;
        ensure!(first.starts_with(&format!("HTTP/1.1 {status} ")), "the answer is {first:?}");
        let mut length = None;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("content-length")
            {
                length = Some(value.parse()?);
            }
        }
        if *method == "HEAD" {
            return Ok(0);
        }
        let length = length.context("the answer has no length")?;
        let read = std::io::copy(&mut self.0.by_ref().take(length), &mut std::io::sink())?;
        ensure!(read == length, "the answer ends after {read} of {length} bytes");
        Ok(length)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            bail!("the server closed the connection");
        }
        Ok(line.trim_end().to_owned())
    }
}
