//! A certificate authority of the server's own, kept in a directory.
//!
//! ```text
//! ca.key        the key, for its owner alone; made once and kept
//! ca.pem        the certificate to trust
//! server.pem    the server's certificate and key, after lines that say for whom and till when
//! ```
//!
//! The authority's name is a function of its key, so the key is all that has to be kept.
//! Files are written whole and then renamed.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, date_time_ymd,
};

use crate::oci::Digest;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the authority cannot be read or written.
    #[error("cannot {attempted} {}", path.display())]
    File {
        /// What was attempted.
        attempted: &'static str,
        /// The file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A key or certificate cannot be made.
    #[error("cannot make {what}")]
    Make {
        /// Which, and for whom.
        what: String,
        /// Why not.
        source: rcgen::Error,
    },
    /// The time is none that a certificate could hold.
    #[error("cannot make a certificate for the time {now}")]
    Time {
        /// What the clock says.
        now: Timestamp,
        /// Why not.
        source: jiff::Error,
    },
}

/// How long the authority lasts, in years.
const AUTHORITY_YEARS: i64 = 20;
/// How long a server certificate lasts, in days: no verifier objects to that.
const SERVER_DAYS: i64 = 397;
/// How long before its end it is renewed, in days.
const RENEWED_BEFORE: i64 = 60;

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    directory: PathBuf,
    name: String,
    key: KeyPair,
}

impl Authority {
    /// Opens the authority of a directory, or makes one.
    ///
    /// # Errors
    ///
    /// When its files cannot be read or written, or are not what they should be.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        let path = directory.join("ca.key");
        let made = |source| Error::Make { what: format!("a key of {}", path.display()), source };
        let key = match read(&path)? {
            Some(text) => KeyPair::from_pem(&text).map_err(made)?,
            None => {
                let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(made)?;
                write(&path, 0o600, &key.serialize_pem())?;
                key
            }
        };
        let digits = Digest::of(key.der_bytes()).hex();
        let name = format!("shipperd CA {}", digits.get(..8).unwrap_or_default());
        Ok(Self { directory: directory.to_owned(), name, key })
    }

    /// The certificate to trust, as PEM.
    ///
    /// # Errors
    ///
    /// When its file cannot be read or written.
    pub fn certificate(&self) -> Result<String, Error> {
        let path = self.directory.join("ca.pem");
        if let Some(text) = read(&path)? {
            return Ok(text);
        }
        let today = today()?;
        let mut params = self.params();
        validity(&mut params, today, AUTHORITY_YEARS.years())?;
        let certificate = params.self_signed(&self.key);
        let text =
            certificate.map_err(|source| Error::Make { what: self.name.clone(), source })?.pem();
        write(&path, 0o644, &text)?;
        Ok(text)
    }

    /// A certificate for a server of these names, and its key, as PEM.
    ///
    /// It is kept until it nears its end or the names change.
    ///
    /// # Errors
    ///
    /// When its file cannot be read or written, or a name cannot stand in a certificate.
    pub fn server(&self, names: &[String]) -> Result<String, Error> {
        let path = self.directory.join("server.pem");
        let today = today()?;
        let heading = format!("issuer: {}\nnames: {}\n", self.name, names.join(" "));
        if let Some(kept) = read(&path)?
            && kept.strip_prefix(&heading).and_then(renewed).is_some_and(|date| today < date)
        {
            return Ok(kept);
        }
        let made = |source| Error::Make {
            what: format!("a certificate for {}", names.join(", ")),
            source,
        };
        let mut params = CertificateParams::new(names).map_err(made)?;
        params.distinguished_name.push(DnType::CommonName, "shipperd");
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        params.key_usages.push(KeyUsagePurpose::DigitalSignature);
        params.use_authority_key_identifier_extension = true;
        validity(&mut params, today, SERVER_DAYS.days())?;
        let renewed = later(today, (SERVER_DAYS - RENEWED_BEFORE).days())?;
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(made)?;
        let issuer = Issuer::new(self.params(), &self.key);
        let certificate = params.signed_by(&key, &issuer).map_err(made)?;
        let text =
            format!("{heading}renewed: {renewed}\n{}{}", certificate.pem(), key.serialize_pem());
        write(&path, 0o600, &text)?;
        tracing::info!(names = names.join(" "), "made a certificate for {}", names.join(", "));
        Ok(text)
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, self.name.clone());
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params
    }
}

/// The names under which a server at this address is reached: the host's, the loopback's
/// and the address itself, and what else is known of.
#[must_use]
pub fn names(listen: SocketAddr, others: &[String]) -> Vec<String> {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let loopback = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut names = vec![host.trim().to_ascii_lowercase()];
    names.extend(loopback);
    let address: IpAddr = listen.ip().to_canonical();
    names.extend((!address.is_unspecified()).then(|| address.to_string()));
    names.extend(others.iter().cloned());
    names.retain(|name| !name.is_empty());
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| seen.insert(name.clone()));
    names
}

/// From when on a certificate has to be made anew, by the line after its heading.
fn renewed(rest: &str) -> Option<Date> {
    rest.strip_prefix("renewed: ")?.lines().next()?.parse().ok()
}

fn today() -> Result<Date, Error> {
    Ok(Timestamp::now().to_zoned(TimeZone::UTC).date())
}

fn later(date: Date, span: jiff::Span) -> Result<Date, Error> {
    date.checked_add(span).map_err(|source| Error::Time { now: Timestamp::now(), source })
}

/// From yesterday, as clocks differ, until so much later.
fn validity(params: &mut CertificateParams, today: Date, span: jiff::Span) -> Result<(), Error> {
    let moment = |date: Date| {
        let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
        date_time_ymd(date.year().into(), month, day)
    };
    params.not_before = moment(later(today, -1.day())?);
    params.not_after = moment(later(today, span)?);
    Ok(())
}

fn read(path: &Path) -> Result<Option<String>, Error> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::File { attempted: "read", path: path.to_owned(), source }),
    }
}

fn write(path: &Path, mode: u32, text: &str) -> Result<(), Error> {
    let attempt = || {
        if let Some(directory) = path.parent() {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let begun = path.with_extension(format!("{}.partial", std::process::id()));
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(mode).open(&begun)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&begun, path)
    };
    attempt().map_err(|source| Error::File { attempted: "write", path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_made_is_kept_until_the_names_change() {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let names = vec!["localhost".to_owned(), "::1".to_owned()];
        let first = Authority::open(&state).unwrap();
        let (ca, server) = (first.certificate().unwrap(), first.server(&names).unwrap());
        let again = Authority::open(&state).unwrap();
        assert_eq!(again.certificate().unwrap(), ca);
        assert_eq!(again.server(&names).unwrap(), server);
        let other = again.server(&["other".to_owned()]).unwrap();
        assert_ne!(other, server);
        assert_eq!(again.certificate().unwrap(), ca, "the authority stays");
        let mode = |file: &str| fs::metadata(state.join(file)).unwrap().permissions().mode();
        assert_eq!(mode("ca.key") & 0o777, 0o600);
        assert_eq!(mode("server.pem") & 0o777, 0o600);
        assert_eq!(fs::read_dir(&state).unwrap().count(), 3, "nothing half written is left");
    }

    #[test]
    fn what_nears_its_end_is_renewed() {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::open(directory.path()).unwrap();
        let names = ["a".to_owned()];
        let first = authority.server(&names).unwrap();
        let (_, rest) = first.split_once("renewed: ").unwrap();
        let date = renewed(&format!("renewed: {rest}")).unwrap();
        let aged = first.replace(&date.to_string(), "2020-01-01");
        fs::write(directory.path().join("server.pem"), &aged).unwrap();
        let second = authority.server(&names).unwrap();
        assert!(second != aged && second != first);
    }

    #[test]
    fn names_are_the_hosts_the_loopbacks_and_the_given() {
        let names = names("192.0.2.7:5000".parse().unwrap(), &["registry.example".to_owned()]);
        for name in ["localhost", "127.0.0.1", "::1", "192.0.2.7", "registry.example"] {
            assert!(names.iter().any(|it| it == name), "{name}");
        }
    }
}
