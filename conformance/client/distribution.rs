//! Debian's docker-registry, run for a test and filled over its own API.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Client, RequestBuilder, Url};
use shipperd::oci::{Digest, MediaType, Registry};
use tempfile::TempDir;

use crate::source::{Sample, sample};

/// The only user of a registry that asks for one, and the password.
pub const USER: (&str, &str) = ("user", "secret");
/// Both, as bcrypt keeps them.
const HTPASSWD: &str = "user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n";

/// How a registry is set up.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup {
    /// Over TLS, with a certificate of its own authority.
    pub tls: bool,
    /// Only for [`USER`].
    pub password: bool,
    /// Only for who has a certificate.
    pub mutual: bool,
}

/// A running registry that holds [`sample`]; stopped when dropped.
#[derive(Debug)]
pub struct Distribution {
    child: Child,
    directory: TempDir,
    registry: Registry,
}

impl Distribution {
    /// Starts one; nothing where it is not installed.
    pub async fn start(setup: Setup) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let mut configuration = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {path:?}}}}}\nhttp:\n  addr: 127.0.0.1:0\n"
        );
        if setup.tls {
            certificates(path);
            let [certificate, key, authority] =
                ["server.crt", "server.key", "ca.crt"].map(|name| path.join(name));
            configuration +=
                &format!("  tls:\n    certificate: {certificate:?}\n    key: {key:?}\n");
            if setup.mutual {
                configuration += &format!("    clientcas: [{authority:?}]\n");
            }
        }
        if setup.password {
            let file = path.join("htpasswd");
            std::fs::write(&file, HTPASSWD).unwrap();
            configuration += &format!("auth: {{htpasswd: {{realm: lab, path: {file:?}}}}}\n");
        }
        let file = path.join("config.yml");
        std::fs::write(&file, configuration).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&file).stdout(Stdio::null()).stderr(Stdio::piped());
        let Ok(mut child) = command.spawn() else {
            writeln!(std::io::stderr(), "skipped: docker-registry is not installed").ok();
            return None;
        };
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let listening = |line: String| {
            let (_, rest) = line.split_once("listening on ")?;
            rest.split(['"', ',']).next().map(str::to_owned)
        };
        let registry = lines.find_map(|line| listening(line.unwrap())).unwrap().parse().unwrap();
        // It stops when nobody reads what it writes.
        std::thread::spawn(move || lines.for_each(drop));
        let distribution = Self { child, directory, registry };
        distribution.push(setup, &sample()).await;
        Some(distribution)
    }

    /// Where it listens.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// A directory of certificates, as containers' tools keep them, that trusts it.
    pub fn certificates(&self) -> PathBuf {
        let directory = self.directory.path();
        let certificates = directory.join("certs.d");
        let host = certificates.join(self.registry.as_str());
        std::fs::create_dir_all(&host).unwrap();
        for name in ["ca.crt", "client.cert", "client.key"] {
            std::fs::copy(directory.join(name), host.join(name)).unwrap();
        }
        certificates
    }

    async fn push(&self, setup: Setup, sample: &Sample) {
        let mut client = Client::builder().tls_danger_accept_invalid_certs(true).no_proxy();
        if setup.mutual {
            let read = |name| std::fs::read(self.directory.path().join(name)).unwrap();
            let pem = [read("client.cert"), read("client.key")].concat();
            client = client.identity(reqwest::Identity::from_pem(&pem).unwrap());
        }
        let client = client.build().unwrap();
        let scheme = if setup.tls { "https" } else { "http" };
        let root: Url = format!("{scheme}://{}/v2/", self.registry).parse().unwrap();
        let send = |request: RequestBuilder| async {
            let request =
                if setup.password { request.basic_auth(USER.0, Some(USER.1)) } else { request };
            request.send().await.unwrap().error_for_status().unwrap()
        };
        for repository in ["lab/app", "lab/other"] {
            for blob in &sample.blobs {
                let uploads = root.join(&format!("{repository}/blobs/uploads/")).unwrap();
                let begun = send(client.post(uploads)).await;
                let place = begun.headers()[LOCATION].to_str().unwrap();
                let mut place = root.join(place).unwrap();
                let digest = Digest::of(blob).to_string();
                place.query_pairs_mut().append_pair("digest", &digest);
                send(client.put(place).body(blob.clone())).await;
            }
        }
        let put = |repository: &str, target: &str, media_type: &'static str, bytes| {
            let url = root.join(&format!("{repository}/manifests/{target}")).unwrap();
            send(client.put(url).header(CONTENT_TYPE, media_type).body(bytes))
        };
        for manifest in &sample.manifests {
            for (repository, tags) in &manifest.places {
                let digest = Digest::of(&manifest.bytes).to_string();
                for target in tags.iter().copied().chain([digest.as_str()]) {
                    put(repository, target, manifest.media_type, manifest.bytes.clone()).await;
                }
            }
        }
        // It has no list of referrers, so whoever pushes one keeps it in a tag.
        let fallback = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_INDEX,
            "manifests": [sample.referrer_descriptor()],
        });
        let subject = Digest::of(&sample.index().bytes).to_string().replace(':', "-");
        put("lab/app", &subject, MediaType::OCI_INDEX, fallback.to_string().into()).await;
    }
}

impl Drop for Distribution {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// Writes `ca.crt`, and a certificate and key each for 127.0.0.1 and for its client.
fn certificates(directory: &Path) {
    let write = |name: &str, pem: String| std::fs::write(directory.join(name), pem).unwrap();
    let mut authority = rcgen::CertificateParams::default();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    write("ca.crt", authority.self_signed(&key).unwrap().pem());
    let issuer = rcgen::Issuer::new(authority, key);
    for (name, certificate, usage) in [
        ("127.0.0.1", "server.crt", rcgen::ExtendedKeyUsagePurpose::ServerAuth),
        ("client", "client.cert", rcgen::ExtendedKeyUsagePurpose::ClientAuth),
    ] {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        write(certificate, params.signed_by(&key, &issuer).unwrap().pem());
        let file = Path::new(certificate).with_extension("key");
        write(file.to_str().unwrap(), key.serialize_pem());
    }
}
