//! Where servers run: their configurations, logs and certificate.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Result, bail};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::peers::Peer;
use crate::peers::configuration::{self, Listen};
use crate::peers::process::{Server, free_address};
use crate::peers::served::Served;

/// A directory to run servers in.
#[derive(Debug)]
pub(crate) struct Yard {
    directory: PathBuf,
    tools: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
    /// Trusts the certificate.
    client: Arc<ClientConfig>,
}

impl Yard {
    /// Makes a directory to run servers in; `tools` holds distribution's `registry`.
    pub(crate) fn new(directory: PathBuf, tools: PathBuf) -> Result<Self> {
        fs::create_dir_all(&directory)?;
        let (certificate, key) = (directory.join("certificate.pem"), directory.join("key.pem"));
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        fs::write(&certificate, made.cert.pem())?;
        fs::write(&key, made.signing_key.serialize_pem())?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(made.cert.der().to_vec()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { directory, tools, certificate, key, client: Arc::new(client) })
    }

    /// What clients need for TLS; none for clear text.
    pub(crate) fn client(&self, tls: bool) -> Option<&Arc<ClientConfig>> {
        tls.then_some(&self.client)
    }

    /// Starts a peer on some content in clear text, until its first manifest is answered.
    pub(crate) fn start(&self, peer: &Peer, content: &Served) -> Result<Server> {
        let address = free_address()?;
        let command = self.command(peer, content, self.listen(address, false))?;
        Server::start(command, address, &content.probe, &self.log(peer))
    }

    /// Starts a peer on some content, in clear text or under TLS, until it takes connections.
    pub(crate) fn listening(&self, peer: &Peer, content: &Served, tls: bool) -> Result<Server> {
        let address = free_address()?;
        let command = self.command(peer, content, self.listen(address, tls))?;
        Server::start_listening(command, address, &self.log(peer))
    }

    /// Starts us on bundles or archives, with our state in a directory: in clear text until `path`
    /// is answered, under TLS until we take connections.
    pub(crate) fn start_in_place(
        &self,
        peer: &Peer,
        archive: &Path,
        (path, tls): (&str, bool),
        state: &Path,
    ) -> Result<Server> {
        let Peer::Shipperd(_, binary) = peer else { bail!("only we serve archives in place") };
        let address = free_address()?;
        let command = serve(binary, archive, self.listen(address, tls), state);
        if tls {
            return Server::start_listening(command, address, &self.log(peer));
        }
        Server::start(command, address, path, &self.log(peer))
    }

    /// Starts docker-registry on a storage that images can be pushed into.
    pub(crate) fn start_writable(&self, storage: &Path) -> Result<Server> {
        let address = free_address()?;
        let listen = self.listen(address, false);
        let command = self.registry(&Peer::DockerRegistry, listen, storage, false)?;
        Server::start_listening(command, address, &self.log(&Peer::DockerRegistry))
    }

    /// The file of the program.
    pub(crate) fn program(&self, peer: &Peer) -> PathBuf {
        match peer {
            Peer::Shipperd(_, binary) => binary.clone(),
            Peer::Nginx | Peer::NginxSquashfs => "/usr/sbin/nginx".into(),
            Peer::Distribution => self.tools.join("registry"),
            Peer::DockerRegistry => "/usr/bin/docker-registry".into(),
        }
    }

    fn log(&self, peer: &Peer) -> PathBuf {
        self.directory.join(format!("{}.log", peer.name()))
    }

    fn listen(&self, address: SocketAddr, tls: bool) -> Listen<'_> {
        Listen { address, tls: tls.then_some([&self.certificate, &self.key]) }
    }

    fn command(&self, peer: &Peer, content: &Served, listen: Listen<'_>) -> Result<Command> {
        match peer {
            Peer::Shipperd(_, binary) => {
                Ok(serve(binary, &content.bundle, listen, &self.directory))
            }
            Peer::Nginx => self.nginx(peer, &configuration::nginx(listen, &content.static_files)),
            Peer::NginxSquashfs => {
                let root = content.mounted_bundle()?;
                self.nginx(peer, &configuration::nginx_on_layout(listen, root, &content.names))
            }
            Peer::Distribution => {
                let mut command = self.registry(peer, listen, content.mounted_tree(), true)?;
                command.env("OTEL_TRACES_EXPORTER", "none");
                Ok(command)
            }
            Peer::DockerRegistry => self.registry(peer, listen, &content.tree, true),
        }
    }

    fn nginx(&self, peer: &Peer, configuration: &str) -> Result<Command> {
        let prefix = self.directory.join(peer.name());
        fs::create_dir_all(&prefix)?;
        fs::write(prefix.join("nginx.conf"), configuration)?;
        let mut command = Command::new(self.program(peer));
        command.arg("-p").arg(&prefix).args(["-c", "nginx.conf", "-e", "error.log"]);
        Ok(command)
    }

    fn registry(
        &self,
        peer: &Peer,
        listen: Listen<'_>,
        storage: &Path,
        readonly: bool,
    ) -> Result<Command> {
        let path = self.directory.join(format!("registry-{}.yml", listen.address.port()));
        fs::write(&path, configuration::registry(listen, storage, readonly)?)?;
        let mut command = Command::new(self.program(peer));
        command.arg("serve").arg(path);
        Ok(command)
    }
}

fn serve(binary: &Path, path: &Path, listen: Listen<'_>, state: &Path) -> Command {
    let mut command = Command::new(binary);
    command.arg("serve").arg(path).args(["--listen", &listen.address.to_string()]);
    command.env("XDG_STATE_HOME", state);
    if let Some([certificate, key]) = listen.tls {
        command.arg("--tls-cert").arg(certificate).arg("--tls-key").arg(key);
    }
    command
}
