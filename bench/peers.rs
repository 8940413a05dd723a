//! The servers compared, each with a configuration of its own, on content of its own kind.
//!
//! Fairness: same machine, same bytes, same requests, one server at a time. Peers read what they
//! are best at: nginx static files with sendfile, distribution a mounted squashfs image of its
//! storage (how one would serve a bundle with it), Debian's docker-registry the same as a directory.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};

use crate::process::{Server, free_address};
use crate::store::Store;

/// A kind of server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Peer {
    /// A binary of ours, by a name for the report.
    Shipperd(&'static str, PathBuf),
    Nginx,
    Distribution,
    DockerRegistry,
}

impl Peer {
    /// What the report calls it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Shipperd(name, _) => name,
            Self::Nginx => "nginx",
            Self::Distribution => "distribution",
            Self::DockerRegistry => "docker-registry",
        }
    }
}

/// Where servers run: their configurations, logs and certificate.
#[derive(Debug)]
pub(crate) struct Yard {
    directory: PathBuf,
    tools: PathBuf,
    /// Trusts the certificate.
    pub(crate) client: Arc<ClientConfig>,
}

impl Yard {
    /// Makes a directory to run servers in; `tools` holds distribution's `registry`.
    pub(crate) fn new(directory: PathBuf, tools: PathBuf) -> Result<Self> {
        fs::create_dir_all(directory.join("nginx"))?;
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned(), "127.0.0.1".to_owned()])?;
        fs::write(directory.join("certificate.pem"), made.cert.pem())?;
        fs::write(directory.join("key.pem"), made.signing_key.serialize_pem())?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(made.cert.der().to_vec()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { directory, tools, client: Arc::new(client) })
    }

    /// Starts a peer on some content in clear text, until its first manifest is answered.
    pub(crate) fn start(&self, peer: &Peer, content: &Served) -> Result<Server> {
        let address = free_address()?;
        let command = self.command(peer, content, address, false)?;
        Server::start(command, address, &content.probe, &self.log(peer))
    }

    /// Starts a peer on some content under TLS.
    pub(crate) fn start_tls(&self, peer: &Peer, content: &Served) -> Result<Server> {
        let address = free_address()?;
        Server::start_listening(
            self.command(peer, content, address, true)?,
            address,
            &self.log(peer),
        )
    }

    /// Starts us on an archive in clear text, with our state in a directory, until `path` is answered.
    pub(crate) fn start_in_place(
        &self,
        peer: &Peer,
        archive: &Path,
        path: &str,
        state: &Path,
    ) -> Result<Server> {
        let Peer::Shipperd(_, binary) = peer else { bail!("only we serve archives in place") };
        let address = free_address()?;
        let mut command = Command::new(binary);
        command.arg("serve").arg(archive).args(["--listen", &address.to_string()]);
        command.env("XDG_STATE_HOME", state);
        Server::start(command, address, path, &self.log(peer))
    }

    /// Starts docker-registry on a storage that images can be pushed into.
    pub(crate) fn start_writable(&self, storage: &Path) -> Result<Server> {
        let address = free_address()?;
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(self.registry(storage, address, false, false)?);
        Server::start_listening(command, address, &self.log(&Peer::DockerRegistry))
    }

    fn log(&self, peer: &Peer) -> PathBuf {
        self.directory.join(format!("{}.log", peer.name()))
    }

    fn command(
        &self,
        peer: &Peer,
        content: &Served,
        address: SocketAddr,
        tls: bool,
    ) -> Result<Command> {
        let certificate = self.directory.join("certificate.pem");
        let key = self.directory.join("key.pem");
        let (certificate, key) = (certificate.display(), key.display());
        Ok(match peer {
            Peer::Shipperd(_, binary) => {
                let mut command = Command::new(binary);
                command.arg("serve").arg(&content.bundle).args(["--listen", &address.to_string()]);
                command.env("XDG_STATE_HOME", &self.directory);
                if tls {
                    command
                        .arg(format!("--tls-cert={certificate}"))
                        .arg(format!("--tls-key={key}"));
                }
                command
            }
            Peer::Nginx => {
                let prefix = self.directory.join("nginx");
                let (listen, secret) = if tls {
                    // As Debian configures it; of itself this version would not speak TLS 1.3.
                    let protocols = "ssl_protocols TLSv1.2 TLSv1.3";
                    let pair = format!("ssl_certificate {certificate}; ssl_certificate_key {key}");
                    (" ssl", format!("{protocols}; {pair};"))
                } else {
                    ("", String::new())
                };
                let root = content.static_files.display();
                let configuration = format!(
                    "daemon off; user root; worker_processes auto; pid nginx.pid;\n\
                     events {{ worker_connections 4096; }}\n\
                     http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000;\n\
                     server {{ listen {address}{listen}; {secret} root {root}; }} }}\n"
                );
                fs::write(prefix.join("nginx.conf"), configuration)?;
                let mut command = Command::new("/usr/sbin/nginx");
                command.arg("-p").arg(&prefix).args(["-c", "nginx.conf", "-e", "error.log"]);
                command
            }
            Peer::Distribution => {
                let mut command = Command::new(self.tools.join("registry"));
                command.arg("serve").arg(self.registry(
                    &content.mounted_tree,
                    address,
                    tls,
                    true,
                )?);
                command.env("OTEL_TRACES_EXPORTER", "none");
                command
            }
            Peer::DockerRegistry => {
                let mut command = Command::new("docker-registry");
                command.arg("serve").arg(self.registry(&content.tree, address, tls, true)?);
                command
            }
        })
    }

    /// Writes a configuration that both distribution and docker-registry read: as lean as it goes.
    fn registry(
        &self,
        storage: &Path,
        address: SocketAddr,
        tls: bool,
        readonly: bool,
    ) -> Result<PathBuf> {
        let mut text = format!(
            "version: 0.1\n\
             log: {{level: error, accesslog: {{disabled: true}}}}\n\
             storage:\n  filesystem: {{rootdirectory: {}}}\n  cache: {{blobdescriptor: inmemory}}\n\
             \x20 maintenance: {{uploadpurging: {{enabled: false}}, readonly: {{enabled: {readonly}}}}}\n\
             http:\n  addr: {address}\n  secret: bench\n",
            storage.display()
        );
        if tls {
            let directory = self.directory.display();
            writeln!(
                text,
                "  tls: {{certificate: {directory}/certificate.pem, key: {directory}/key.pem}}"
            )?;
        }
        let path = self.directory.join(format!("registry-{}.yml", address.port()));
        fs::write(&path, text)?;
        Ok(path)
    }
}

/// Content as each peer reads it.
#[derive(Debug)]
pub(crate) struct Served {
    bundle: PathBuf,
    static_files: PathBuf,
    tree: PathBuf,
    mounted_tree: PathBuf,
    /// A path that all answer.
    probe: String,
    mounted: bool,
}

impl Served {
    /// Makes content ready for peers alone.
    pub(crate) fn by_peers(store: &Store) -> Result<Self> {
        Self::new(store, PathBuf::new())
    }

    /// Makes content ready: `bundle` is for us, distribution's tree is mounted by the kernel.
    ///
    /// Where nothing may be mounted, distribution reads the directory.
    pub(crate) fn new(store: &Store, bundle: PathBuf) -> Result<Self> {
        let mount_point = store.directory.join("mounted");
        fs::create_dir_all(&mount_point)?;
        let mounted = Command::new("mount")
            .args(["-t", "squashfs", "-o", "loop,ro"])
            .args([store.squashed_tree(), mount_point.clone()])
            .status()
            .is_ok_and(|status| status.success());
        let probe = store.images.last().context("content has images")?.path();
        let mounted_tree = if mounted { mount_point } else { store.tree() };
        let (static_files, tree) = (store.static_files(), store.tree());
        Ok(Self { bundle, static_files, tree, mounted_tree, probe, mounted })
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if self.mounted {
            drop(Command::new("umount").arg(&self.mounted_tree).status());
        }
    }
}

/// Makes a bundle of all that a store holds, with our own `create`, and its state beside it.
pub(crate) fn make_bundle(binary: &Path, store: &Store) -> Result<PathBuf> {
    let bundle = store.directory.join(format!("{}-1.sqfs", store.name));
    let state = store.directory.join("state");
    for left in [&state, &bundle] {
        if left.is_dir() {
            fs::remove_dir_all(left)?;
        } else if left.exists() {
            fs::remove_file(left)?;
        }
    }
    let status = Command::new(binary)
        .args(["--quiet", "create", "--name", store.name, "--no-referrers", "-o"])
        .arg(&store.directory)
        .arg(format!("oci:{}", store.layout().display()))
        .env("XDG_STATE_HOME", &state)
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "shipperd create failed: {status}");
    Ok(bundle)
}
