//! Thousands of clients in one thread, which costs next to nothing while they wait.
//!
//! Large answers are thrown away in the kernel, as in `load`; under TLS the handshake and the
//! request are real, and of a large answer ciphertext is counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::net::{RecvFlags, recv};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, Interest};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::load::Wanted;

/// Clients that connect at the same time.
pub(super) const AT_ONCE: usize = 64;

/// Longer than the server waits for a client.
const PATIENCE: Duration = Duration::from_secs(90);

/// One client's connection.
pub(super) enum Client {
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Client {
    /// Connects, and shakes hands under TLS.
    pub(super) async fn connect(
        address: SocketAddr,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Self> {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await??;
        stream.set_nodelay(true)?;
        let Some(config) = tls else { return Ok(Self::Clear(stream)) };
        let name = ServerName::try_from("localhost")?;
        let greeted = timeout(PATIENCE, TlsConnector::from(config).connect(name, stream)).await??;
        Ok(Self::Tls(Box::new(greeted)))
    }

    /// Asks for something small and keeps the connection.
    pub(super) async fn ask(&mut self, wanted: &Wanted) -> Result<()> {
        let answered = async {
            match self {
                Self::Clear(stream) => exchange(stream, wanted).await,
                Self::Tls(stream) => exchange(stream, wanted).await,
            }
        };
        timeout(PATIENCE, answered).await?
    }

    /// Asks for something large that ends the connection; nothing of the answer is taken yet.
    pub(super) async fn begin(mut self, (path, length): &Wanted) -> Result<Transfer> {
        let request = request(path, "close");
        let stream = match &mut self {
            Self::Clear(stream) => stream as &mut (dyn AsyncWrite + Unpin + Send),
            Self::Tls(stream) => stream,
        };
        stream.write_all(request.as_bytes()).await?;
        stream.flush().await?;
        let stream = match self {
            Self::Clear(stream) => stream,
            Self::Tls(stream) => stream.into_inner().0,
        };
        Ok(Transfer { stream, length: *length })
    }
}

/// An answer that is on its way.
#[derive(Debug)]
pub(super) struct Transfer {
    stream: TcpStream,
    length: u64,
}

impl Transfer {
    /// Takes all of it; answers how long that took.
    pub(super) async fn take(self) -> Result<Duration> {
        let begun = Instant::now();
        // Under MSG_TRUNC nothing is written to it: it says how much is taken at once.
        let mut buffer = vec![0; 256 << 10];
        let mut came = 0;
        loop {
            let take = || Ok(recv(&self.stream, buffer.as_mut_slice(), RecvFlags::TRUNC)?.1);
            let taken = timeout(PATIENCE, self.stream.async_io(Interest::READABLE, take)).await?;
            match taken {
                Ok(0) => break,
                Ok(count) => came += count as u64,
                // A server may close with our close_notify unread.
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(error) => bail!("the transfer broke after {came} bytes: {error}"),
            }
        }
        // Head, records of TLS and tickets on top.
        let most = self.length + self.length / 50 + 16_384;
        ensure!((self.length..=most).contains(&came), "wanted {}, {came} came", self.length);
        Ok(begun.elapsed())
    }
}

async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    (path, length): &Wanted,
) -> Result<()> {
    stream.write_all(request(path, "keep-alive").as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::with_capacity(4096);
    loop {
        let count = stream.read_buf(&mut answer).await?;
        ensure!(count > 0, "the server closed the connection");
        let Some(head) = answer.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
        ensure!(answer.starts_with(b"HTTP/1.1 200"), "{path} is not answered with 200");
        let body = (answer.len() - head - 4) as u64;
        ensure!(body <= *length, "{body} bytes came for {length}");
        if body == *length {
            return Ok(());
        }
    }
}

fn request(path: &str, connection: &str) -> String {
    let accept = "application/vnd.oci.image.manifest.v1+json";
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {accept}\r\n\
         Connection: {connection}\r\n\r\n"
    )
}

/// Runs clients in this thread to their end.
pub(super) fn in_one_thread<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot run clients")?.block_on(work)
}
