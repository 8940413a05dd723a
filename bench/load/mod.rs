//! Clients that cost next to nothing, so that the server is what is measured.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Result, ensure};

pub(crate) mod large;
pub(crate) mod small;

const PATIENCE: Duration = Duration::from_secs(20);
const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json";

/// Something to fetch: its path and how long it is.
pub(crate) type Wanted = (String, u64);

/// A request for a path, as clients of registries make it; `connection` is what becomes of the connection.
fn request(path: &str, connection: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: {ACCEPT}\r\nConnection: {connection}\r\n\r\n"
    )
}

/// A connection on which nothing is waited for longer than it may take.
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
