//! Whom to trust: which hosts may speak plain HTTP, and whose certificates count.
//!
//! ```text
//! DIRECTORY/HOST[:PORT]/*.crt            certificates of authorities trusted for that host
//!                       *.cert, *.key    a certificate to show it, and its key
//! ```
//!
//! <https://github.com/containers/image/blob/main/docs/containers-certs.d.5.md>

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, Identity, Url};
use tokio::sync::OnceCell;

use super::{Environment, Error};
use crate::oci::Registry;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a registry may be silent. There is no limit to the whole: layers are large.
const SILENCE: Duration = Duration::from_secs(60);

/// Which hosts may be spoken to in which way. Certificates are verified unless it is said here.
#[derive(Debug, Default)]
pub struct Trust {
    plain: BTreeSet<String>,
    unverified: BTreeSet<String>,
    hosts: BTreeMap<String, Host>,
    clients: Clients,
}

/// A host with certificates of its own.
#[derive(Debug, Default)]
struct Host {
    authorities: Vec<Certificate>,
    identity: Option<Identity>,
    client: OnceCell<Client>,
}

/// The connections, made when first needed: to set up TLS, the system's certificates are read.
#[derive(Debug, Default)]
struct Clients {
    plain: OnceCell<Client>,
    unverified: OnceCell<Client>,
    verified: OnceCell<Client>,
}

impl Trust {
    /// Where containers' tools and docker keep certificates, the user's own first.
    #[must_use]
    pub fn directories(environment: &Environment) -> Vec<PathBuf> {
        let own = environment.config_home().map(|home| home.join("containers/certs.d"));
        let all = ["/etc/containers/certs.d", "/etc/docker/certs.d"].map(PathBuf::from);
        own.into_iter().chain(all).collect()
    }

    /// Reads the certificates in `directories`; those that do not exist have none.
    ///
    /// # Errors
    ///
    /// When a file there cannot be read or has no certificate.
    pub fn load(
        plain_http: &[Registry],
        tls_skip_verify: &[Registry],
        directories: &[PathBuf],
    ) -> Result<Self, Error> {
        let mut hosts: BTreeMap<String, Host> = BTreeMap::new();
        for directory in directories {
            for path in entries(directory)? {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                let Ok(registry) = name.parse() else { continue };
                let host = hosts.entry(https(&registry)).or_default();
                for file in entries(&path)? {
                    host.add(&file)?;
                }
            }
        }
        Ok(Self {
            plain: plain_http.iter().map(|it| authority("http", it)).collect(),
            unverified: tls_skip_verify.iter().map(https).collect(),
            hosts,
            clients: Clients::default(),
        })
    }

    /// The root of a registry's URLs.
    pub(super) fn root(&self, registry: &Registry) -> Result<Url, Error> {
        let plain = self.plain.contains(&authority("http", registry));
        let host = if registry.is_docker() { "registry-1.docker.io" } else { registry.as_str() };
        let text = format!("{}://{host}/v2/", if plain { "http" } else { "https" });
        Url::parse(&text).map_err(|_| Error::Host { host: host.to_owned() })
    }

    /// The client that may speak to the host of `url`.
    pub(super) async fn client(&self, url: &Url) -> Result<&Client, Error> {
        let host = host(url);
        let fault = |source| Error::Setup { host: host.clone(), source };
        if url.scheme() != "https" {
            if url.scheme() != "http" || !self.plain.contains(&host) {
                return Err(Error::PlainHttp { host });
            }
            // Nothing is verified, so the system's certificates need not be there.
            let build = || async { builder().tls_certs_only([]).build() };
            return self.clients.plain.get_or_try_init(build).await.map_err(fault);
        }
        let known = self.hosts.get(&host);
        let identity = known.and_then(|host| host.identity.clone());
        let authorities = known.map(|host| host.authorities.clone()).unwrap_or_default();
        let unverified = self.unverified.contains(&host);
        let client = match known {
            Some(known) => &known.client,
            None if unverified => &self.clients.unverified,
            None => &self.clients.verified,
        };
        let build = || async {
            let build = move || {
                let builder = identity.into_iter().fold(builder(), ClientBuilder::identity);
                let builder = builder.tls_danger_accept_invalid_certs(unverified);
                builder.tls_certs_merge(authorities).build()
            };
            // A task is only lost when the program ends.
            tokio::task::spawn_blocking(build).await.unwrap_or_else(|_| builder().build())
        };
        client.get_or_try_init(build).await.map_err(fault)
    }
}

impl Host {
    /// Takes what a file in the directory of the host holds.
    fn add(&mut self, file: &Path) -> Result<(), Error> {
        let fault = |source| Error::Certificate { path: file.to_owned(), source };
        match file.extension().and_then(|extension| extension.to_str()) {
            Some("crt") => {
                self.authorities.extend(Certificate::from_pem_bundle(&read(file)?).map_err(fault)?);
            }
            Some("cert") => {
                let mut pem = read(file)?;
                pem.extend(b"\n");
                pem.extend(read(&file.with_extension("key"))?);
                self.identity = Some(Identity::from_pem(&pem).map_err(fault)?);
            }
            _ => {}
        }
        Ok(())
    }
}

fn builder() -> ClientBuilder {
    Client::builder()
        .user_agent(concat!("shipperd/", env!("CARGO_PKG_VERSION")))
        // Redirects are followed by us, who know where credentials may go; failures
        // are repeated by us, who know for how long.
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(SILENCE)
        // As other pull clients: parallel downloads get a connection each.
        .http1_only()
}

/// The host that a URL leads to, and the port if it is not the usual one of its scheme.
pub(super) fn host(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", url.host_str().unwrap_or_default())
}

fn https(registry: &Registry) -> String {
    authority("https", registry)
}

fn authority(scheme: &str, registry: &Registry) -> String {
    Url::parse(&format!("{scheme}://{registry}"))
        .map_or_else(|_| registry.to_string(), |url| host(&url))
}

/// The entries of a directory in order; none where there is no directory.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let fault = |source| Error::Unreadable { path: directory.to_owned(), source };
    let listing = match std::fs::read_dir(directory) {
        Ok(listing) => listing,
        Err(error)
            if matches!(
                error.kind(),
                std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        Err(error) => return Err(fault(error)),
    };
    let mut paths = Vec::new();
    for entry in listing {
        paths.push(entry.map_err(fault)?.path());
    }
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| Error::Unreadable { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn plain_http_only_where_it_is_allowed() {
        let registry = |text: &str| text.parse::<Registry>().unwrap();
        let plain = [registry("127.0.0.1:5000"), registry("plain"), registry("[::1]:80")];
        let trust = Trust::load(&plain, &[registry("loose")], &[]).unwrap();
        for (name, root) in [
            ("127.0.0.1:5000", "http://127.0.0.1:5000/v2/"),
            ("127.0.0.1:5001", "https://127.0.0.1:5001/v2/"),
            ("plain", "http://plain/v2/"),
            ("plain:80", "http://plain/v2/"),
            ("[::1]", "http://[::1]/v2/"),
            ("quay.io", "https://quay.io/v2/"),
            ("docker.io", "https://registry-1.docker.io/v2/"),
        ] {
            assert_eq!(trust.root(&registry(name)).unwrap().as_str(), root, "{name}");
        }
        for (url, good) in [
            ("http://127.0.0.1:5000/x", true),
            ("http://127.0.0.1:5001/x", false),
            ("http://plain:80/x", true),
            ("http://quay.io/x", false),
            ("https://loose/x", true),
            ("ftp://127.0.0.1:5000/x", false),
            ("file:///etc/passwd", false),
        ] {
            let client = trust.client(&Url::parse(url).unwrap()).await;
            assert_eq!(client.is_ok(), good, "{url}");
        }
    }

    #[test]
    fn certificates_by_host() {
        let directory = tempfile::tempdir().unwrap();
        let host = directory.path().join("registry:5000");
        std::fs::create_dir(&host).unwrap();
        let certificate = rcgen::generate_simple_self_signed(["registry".to_owned()]).unwrap();
        std::fs::write(host.join("ca.crt"), certificate.cert.pem()).unwrap();
        let key = certificate.signing_key.serialize_pem();
        std::fs::write(host.join("client.key"), key).unwrap();
        std::fs::write(host.join("notes.txt"), "not read").unwrap();
        let directories = [directory.path().to_owned(), directory.path().join("absent")];
        let trust = Trust::load(&[], &[], &directories).unwrap();
        assert_eq!(trust.hosts.keys().collect::<Vec<_>>(), ["registry:5000"]);
        assert!(trust.hosts["registry:5000"].identity.is_none(), "a key alone is nothing");
        std::fs::write(host.join("client.cert"), certificate.cert.pem()).unwrap();
        let trust = Trust::load(&[], &[], &directories).unwrap();
        assert!(trust.hosts["registry:5000"].identity.is_some());
        for (name, text) in [
            ("bad.crt", "-----BEGIN CERTIFICATE-----\n%"),
            ("bad.cert", "-----BEGIN CERTIFICATE-----\n%"),
            ("bad.key", "%"),
        ] {
            std::fs::write(host.join(name), text).unwrap();
            let error = Trust::load(&[], &[], &directories).unwrap_err().to_string();
            assert!(error.contains("bad."), "{error}");
            if name == "bad.crt" {
                std::fs::remove_file(host.join(name)).unwrap();
            }
        }
        std::fs::remove_file(host.join("bad.key")).unwrap();
        let error = Trust::load(&[], &[], &directories).unwrap_err().to_string();
        assert!(error.contains("bad.key"), "{error}");
    }
}
