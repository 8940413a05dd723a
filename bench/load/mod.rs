//! Clients that cost next to nothing, so that the server is what is measured.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Result;

mod connection;
mod kept;
pub(crate) mod large;
mod probe;
mod ready;
mod records;
pub(crate) mod small;
pub(crate) mod storm;

use crate::load::connection::{Connection, read_answer};

/// The longest wait for bytes of an answer.
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

/// Fetches one small thing in clear text and fails unless it is there, of any length.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<()> {
    Connection::open(address, None)?.get(path)
}
