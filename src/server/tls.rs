//! TLS: a certificate from files, or from an authority of our own, read anew when it changes.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::server::{ClientHello, ResolvesServerCert, ServerConfig};
use rustls::sign::CertifiedKey;
use tokio::task;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use super::authority::{self, Authority};
use crate::source::chain;

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("no {expected} in {}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// Why it does not.
        source: pem::Error,
    },
    /// Certificate and key cannot be used together.
    #[error("cannot use the certificate of {} with its key", path.display())]
    Mismatch {
        /// The file with the certificate.
        path: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
    /// The authority gives none.
    #[error(transparent)]
    Authority(#[from] authority::Error),
    /// TLS itself cannot be set up.
    #[error("cannot set up TLS")]
    SetUp(#[source] rustls::Error),
}

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// Files in PEM.
    Files {
        /// The certificate, followed by those between it and the authority.
        certificate: PathBuf,
        /// Its key: PKCS #8, PKCS #1 or SEC 1.
        key: PathBuf,
    },
    /// An authority of our own.
    Authority {
        /// The directory it is kept in.
        directory: PathBuf,
        /// The names the server is reached by.
        names: Vec<String>,
    },
}

/// The certificate of the authority kept in `directory`, to be trusted, as PEM.
///
/// The authority is made if there is none yet.
///
/// # Errors
///
/// When its files cannot be read or written.
pub fn ca_pem(directory: &Path) -> Result<String, Error> {
    Ok(Authority::open(directory)?.certificate()?)
}

/// How often is looked whether the certificate has changed.
const LOOKED_AT_EVERY: Duration = Duration::from_secs(2);

/// TLS for a door.
#[derive(Debug)]
pub struct Tls {
    origin: Origin,
    /// What was read last, usable or not.
    read: Mutex<Read>,
    offered: Arc<Offered>,
    config: Arc<ServerConfig>,
}

/// The text of a certificate and of its key, or why there is none.
type Read = Result<(Vec<u8>, Vec<u8>), String>;

/// The certificate that is offered now.
#[derive(Debug)]
struct Offered(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Offered {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl Tls {
    /// Reads the certificate, or makes it.
    ///
    /// # Errors
    ///
    /// When there is no usable certificate.
    pub fn open(origin: Origin) -> Result<Self, Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let (certificate, key) = origin.read()?;
        let usable = origin.parse(&certificate, &key, &provider)?;
        let offered = Arc::new(Offered(ArcSwap::from_pointee(usable)));
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(&offered) as _;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(Error::SetUp)?
            .with_no_client_auth()
            .with_cert_resolver(resolver);
        // Those who pull use it anyway, and HTTP/2 costs twice as much for a large blob.
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let read = Mutex::new(Ok((certificate, key)));
        Ok(Self { origin, read, offered, config: Arc::new(config) })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        Arc::clone(&self.config).into()
    }

    /// Looks again and again whether the certificate has changed, and offers the new one.
    pub(super) async fn watch(self: Arc<Self>) {
        loop {
            sleep(LOOKED_AT_EVERY).await;
            let this = Arc::clone(&self);
            drop(task::spawn_blocking(move || this.look()).await);
        }
    }

    /// What is broken is reported once; the certificate at hand stays in use.
    fn look(&self) {
        let found = self.origin.read();
        let seen = found.as_ref().map(Clone::clone).map_err(|error| chain(error));
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if *read == seen {
            return;
        }
        *read = seen;
        let provider = self.config.crypto_provider();
        match found.and_then(|(certificate, key)| self.origin.parse(&certificate, &key, provider)) {
            Ok(usable) => {
                self.offered.0.store(Arc::new(usable));
                tracing::info!("the server certificate has changed");
            }
            Err(error) => {
                let reason = chain(&error);
                tracing::error!("the new server certificate is not used: {reason}");
            }
        }
    }
}

impl Origin {
    /// The text of the certificate and of its key.
    fn read(&self) -> Result<(Vec<u8>, Vec<u8>), Error> {
        match self {
            Self::Files { certificate, key } => {
                let read = |path: &PathBuf| {
                    fs::read(path).map_err(|source| Error::Read { path: path.clone(), source })
                };
                Ok((read(certificate)?, read(key)?))
            }
            Self::Authority { directory, names } => {
                let authority = Authority::open(directory)?;
                // So that it is there to be handed out.
                authority.certificate()?;
                let text = authority.server(names)?.into_bytes();
                Ok((text.clone(), text))
            }
        }
    }

    fn parse(
        &self,
        certificate: &[u8],
        key: &[u8],
        provider: &CryptoProvider,
    ) -> Result<CertifiedKey, Error> {
        let (certificate_path, key_path) = match self {
            Self::Files { certificate, key } => (certificate.clone(), key.clone()),
            Self::Authority { directory, .. } => {
                let path = directory.join("server.pem");
                (path.clone(), path)
            }
        };
        let broken = |path: &PathBuf, expected| {
            let path = path.clone();
            move |source| Error::Pem { path, expected, source }
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate)
            .collect::<Result<_, _>>()
            .map_err(broken(&certificate_path, "certificate"))?;
        if chain.is_empty() {
            return Err(broken(&certificate_path, "certificate")(pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(broken(&key_path, "private key"))?;
        CertifiedKey::from_der(chain, key, provider)
            .map_err(|source| Error::Mismatch { path: certificate_path, source })
    }
}
