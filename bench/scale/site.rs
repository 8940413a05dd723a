//! Where servers run that are measured for scale, and what /proc says of one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::peers::Peer;
use crate::peers::process::{Server, free_address};

/// A directory with a certificate; servers log and keep their state there.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) directory: PathBuf,
    /// Trusts the certificate.
    pub(super) client: Arc<ClientConfig>,
    /// How many descriptors this process, and so any server it starts, may hold.
    pub(super) descriptors: u64,
}

impl Site {
    /// Makes one; it goes when it is dropped.
    pub(super) fn new(directory: PathBuf) -> Result<Self> {
        fs::create_dir_all(&directory)?;
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        fs::write(directory.join("certificate.pem"), made.cert.pem())?;
        fs::write(directory.join("key.pem"), made.signing_key.serialize_pem())?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(made.cert.der().to_vec()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { directory, client: Arc::new(client), descriptors: raise_limit()? })
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
        let Peer::Shipperd(name, binary) = peer else { bail!("only we are measured for scale") };
        let address = free_address()?;
        let mut command = Command::new(binary);
        command.arg("serve").arg(path).args(["--listen", &address.to_string()]);
        command.env("XDG_STATE_HOME", &self.directory);
        let log = self.directory.join(format!("{name}.log"));
        if !tls {
            return Server::start(command, address, probe, &log);
        }
        for (flag, file) in [("--tls-cert", "certificate.pem"), ("--tls-key", "key.pem")] {
            command.arg(flag).arg(self.directory.join(file));
        }
        Server::start_listening(command, address, &log)
    }
}

impl Drop for Site {
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
