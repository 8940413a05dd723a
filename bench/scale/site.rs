//! Where servers run that are measured for scale, and what /proc says of one.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::ClientConfig;

use crate::peers::Peer;
use crate::peers::process::Server;
use crate::peers::yard::Yard;

/// A directory of bundles that are made, which goes when this is dropped.
#[derive(Debug)]
pub(super) struct Site<'a> {
    yard: &'a Yard,
    directory: PathBuf,
    /// How many descriptors this process, and so any server it starts, may hold.
    descriptors: u64,
}

impl<'a> Site<'a> {
    /// Makes one; servers run in the yard.
    pub(super) fn new(yard: &'a Yard, directory: PathBuf) -> Result<Self> {
        Ok(Self { yard, directory, descriptors: raise_limit()? })
    }

    /// How many of the connections wanted this process may hold.
    pub(super) fn connections(&self, wanted: usize) -> usize {
        usize::try_from(self.descriptors.saturating_sub(500))
            .map_or(wanted, |most| most.min(wanted))
    }

    /// What clients need for TLS; none for clear text.
    pub(super) fn client(&self, tls: bool) -> Option<&'a Arc<ClientConfig>> {
        self.yard.client(tls)
    }

    /// A directory of this name, empty.
    pub(super) fn empty(&self, name: &str) -> Result<PathBuf> {
        let directory = self.directory.join(name);
        if directory.exists() {
            fs::remove_dir_all(&directory)?;
        }
        fs::create_dir_all(&directory)?;
        Ok(directory)
    }

    /// Serves what is at `path`; in clear text until `probe` is answered, under TLS until it listens.
    pub(super) fn serve(&self, peer: &Peer, path: &Path, tls: bool, probe: &str) -> Result<Server> {
        self.yard.start_in_place(peer, path, (probe, tls), &self.directory)
    }
}

impl Drop for Site<'_> {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.directory));
    }
}

/// How many descriptors a server holds.
pub(super) fn descriptors(server: &Server) -> Result<u64> {
    Ok(fs::read_dir(format!("/proc/{}/fd", server.id()))?.count() as u64)
}

/// How many bytes a server has read by system calls, cached or not.
pub(super) fn bytes_read(server: &Server) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{}/io", server.id()))?;
    let read = text.lines().find_map(|line| line.strip_prefix("rchar: "));
    Ok(read.context("a process has read something")?.parse()?)
}

/// Lets this process hold as many descriptors as it may; answers how many those are.
fn raise_limit() -> Result<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    Ok(maximum.unwrap_or(u64::MAX))
}
