//! A registry that a test starts: distribution's, as a source.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::fixtures::Content;
use crate::program::program;

/// How a site speaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Transport {
    Http,
    /// With a certificate of an authority that only the test trusts.
    Https,
}

/// A running registry on a free port of 127.0.0.1; it ends with this value.
#[derive(Debug)]
pub struct Site {
    /// Stops before its directory goes.
    _daemon: Daemon,
    transport: Transport,
    address: String,
    directory: TempDir,
}

impl Site {
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
        Some(Self { _daemon: daemon, transport, address, directory })
    }

    /// The host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The directory that holds `ca.crt`, the authority to trust, when the site speaks HTTPS.
    pub fn trust(&self) -> Option<&Path> {
        (self.transport == Transport::Https).then(|| self.directory.path())
    }
}

/// Writes `ca.crt`, and a certificate for 127.0.0.1 with its key; the paths of the last two.
fn certify(directory: &Path) -> (PathBuf, PathBuf) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.distinguished_name.push(DnType::CommonName, "conformance authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let server = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = server.signed_by(&key, &authority).unwrap();
    // Not *.cert: containers/image takes that ending for a client's certificate.
    let [certificate_file, key_file] = ["server.pem", "server-key.pem"].map(|f| directory.join(f));
    fs::write(directory.join("ca.crt"), authority.pem()).unwrap();
    fs::write(&certificate_file, certificate.pem()).unwrap();
    fs::write(&key_file, key.serialize_pem()).unwrap();
    (certificate_file, key_file)
}
