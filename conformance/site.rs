//! A registry under test: shipperd, or distribution's registry as its peer and as a source.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::fixtures::Content;
use crate::program::{program, run};

/// How a site speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    Http,
    /// With a certificate of an authority that nobody trusts yet.
    Https,
}

/// A running registry on a free port of 127.0.0.1; it ends with this value.
#[derive(Debug)]
pub struct Site {
    /// Stops before its directory goes.
    pub daemon: Daemon,
    pub transport: Transport,
    address: String,
    directory: TempDir,
}

impl Site {
    /// Serves bundles, archives, layouts or directories of them with shipperd.
    pub fn serve(paths: &[&Path], transport: Transport) -> Self {
        let directory = TempDir::new().unwrap();
        let shipperd = |command: &str| {
            let mut shipperd = Command::new(env!("CARGO_BIN_EXE_shipperd"));
            shipperd.arg(command).arg("--state-dir").arg(directory.path().join("state"));
            shipperd
        };
        let mut command = shipperd("serve");
        command.args(paths).arg("--listen");
        match transport {
            Transport::Http => command.arg("127.0.0.1:0"),
            // On a loopback address it speaks plain HTTP unless a certificate is given.
            Transport::Https => {
                let authority = run(&mut shipperd("trust"));
                fs::write(trusted(directory.path()), authority).unwrap();
                command.arg("0.0.0.0:0")
            }
        };
        let (daemon, address) = Daemon::start(&command, |line| {
            let (_, port) = line.strip_prefix("serving ")?.rsplit_once(':')?;
            Some(format!("127.0.0.1:{port}"))
        });
        Self { daemon, transport, address, directory }
    }

    /// Serves the references on `host` with distribution's registry, if it is installed.
    pub fn distribution(content: &Content, host: &str, transport: Transport) -> Option<Self> {
        let mut command = program("docker-registry")?;
        let directory = TempDir::new().unwrap();
        let storage = directory.path().join("storage");
        content.write_registry(host, &storage);
        let tls = match transport {
            Transport::Http => String::new(),
            Transport::Https => {
                let (certificate, key) = certify(directory.path());
                let [certificate, key] = [certificate.display(), key.display()];
                format!("  tls: {{certificate: {certificate}, key: {key}}}\n")
            }
        };
        let configuration = format!(
            "version: 0.1\nlog: {{accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http:\n  addr: 127.0.0.1:0\n{tls}",
            storage.display()
        );
        let file = directory.path().join("registry.yml");
        fs::write(&file, configuration).unwrap();
        let (daemon, address) = Daemon::start(command.arg("serve").arg(file), |line| {
            let (_, rest) = line.split_once("listening on 127.0.0.1:")?;
            let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
            Some(format!("127.0.0.1:{port}"))
        });
        Some(Self { daemon, transport, address, directory })
    }

    /// The host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The address with its scheme.
    pub fn url(&self) -> String {
        match self.transport {
            Transport::Http => format!("http://{}", self.address),
            Transport::Https => format!("https://{}", self.address),
        }
    }

    /// The directory that holds `ca.crt`, the authority to trust, when the site speaks HTTPS.
    pub fn trust(&self) -> Option<PathBuf> {
        (self.transport == Transport::Https).then(|| self.directory.path().join("trust"))
    }
}

/// Where clients find whom to trust: a directory of its own, for they take keys beside it, too.
fn trusted(directory: &Path) -> PathBuf {
    let trust = directory.join("trust");
    fs::create_dir(&trust).unwrap();
    trust.join("ca.crt")
}

/// Writes the authority to trust, and a certificate for 127.0.0.1 with its key; the paths of the last two.
fn certify(directory: &Path) -> (PathBuf, PathBuf) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.distinguished_name.push(DnType::CommonName, "conformance authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let server = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = server.signed_by(&key, &authority).unwrap();
    let [certificate_file, key_file] = ["server.pem", "server-key.pem"].map(|f| directory.join(f));
    fs::write(trusted(directory), authority.pem()).unwrap();
    fs::write(&certificate_file, certificate.pem()).unwrap();
    fs::write(&key_file, key.serialize_pem()).unwrap();
    (certificate_file, key_file)
}
