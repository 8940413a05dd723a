//! HTTPS: with certificates from files and from our own authority, changed while it runs.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use shipperd::content::memory::Memory;
use shipperd::server::authority::Authority;
use shipperd::server::tls::{Origin, Tls, ca_pem};

use super::house::House;

fn house(origin: Origin) -> House {
    House::open_tls(Memory::new().unwrap(), Tls::open(origin).unwrap())
}

/// The answer to a ping, or why there is none, and the certificate offered.
fn ping(house: &House, ca: &str, name: &str) -> Result<(String, Vec<u8>), std::io::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(roots)
    .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut stream = StreamOwned::new(client, TcpStream::connect(house.address).unwrap());
    stream.write_all(b"GET /v2/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    assert_eq!(stream.conn.alpn_protocol(), Some(b"http/1.1".as_slice()));
    let offered = stream.conn.peer_certificates().unwrap().first().unwrap().to_vec();
    Ok((answer, offered))
}

/// Waits until something holds that the server has to notice by itself.
fn eventually(what: &str, holds: impl Fn() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn our_own_authority_is_enough() {
    let state = tempfile::tempdir().unwrap();
    let ca = ca_pem(state.path()).unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let house = house(Origin::Authority { directory: state.path().to_owned(), names });
    for name in ["localhost", "127.0.0.1", "::1"] {
        let (answer, _) = ping(&house, &ca, name).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    assert!(ping(&house, &ca, "other.example").is_err());
    let other = tempfile::tempdir().unwrap();
    assert!(ping(&house, &ca_pem(other.path()).unwrap(), "localhost").is_err());
}

#[test]
fn a_changed_certificate_is_offered_and_a_broken_one_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::open(directory.path()).unwrap();
    let ca = authority.certificate().unwrap();
    let file = |name: &str| directory.path().join(name);
    let make = |name: &str| authority.server(&["localhost".to_owned(), name.to_owned()]).unwrap();
    let put = |path: &Path, text: &str| {
        fs::write(path.with_extension("new"), text).unwrap();
        fs::rename(path.with_extension("new"), path).unwrap();
    };
    let (certificate, key) = (file("tls.crt"), file("tls.key"));
    let first = make("first");
    put(&certificate, &first);
    put(&key, &first);
    let house = house(Origin::Files { certificate: certificate.clone(), key: key.clone() });
    let offered = |name: &str| ping(&house, &ca, name).map(|(_, offered)| offered);
    let before = offered("first").unwrap();
    put(&certificate, "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----\n");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(offered("first").unwrap(), before, "the old one stays in use");
    let second = make("second");
    put(&certificate, &second);
    put(&key, &second);
    eventually("the new certificate is offered", || offered("second").is_ok());
    assert!(offered("first").is_err());
}

#[test]
fn plain_http_is_told_to_use_https() {
    let state = tempfile::tempdir().unwrap();
    let names = vec!["localhost".to_owned()];
    let house = house(Origin::Authority { directory: state.path().to_owned(), names });
    let mut client = house.connect();
    client.send("GET", "/v2/", "");
    let answer = client.answer(false);
    assert_eq!(answer.status, 400);
    assert!(answer.is_complete && answer.text().contains("HTTPS"), "{}", answer.text());
    assert!(client.is_closed());
}

#[test]
fn what_cannot_be_used_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::open(directory.path()).unwrap();
    let (certificate, key) = (directory.path().join("tls.crt"), directory.path().join("tls.key"));
    let origin = Origin::Files { certificate: certificate.clone(), key: key.clone() };
    let fault = || Tls::open(origin.clone()).unwrap_err().to_string();
    assert!(fault().contains("tls.crt"), "{}", fault());
    let first = authority.server(&["a".to_owned()]).unwrap();
    fs::write(&certificate, &first).unwrap();
    fs::write(&key, "nothing").unwrap();
    assert!(fault().contains("no private key in") && fault().contains("tls.key"), "{}", fault());
    fs::write(&key, authority.server(&["b".to_owned()]).unwrap()).unwrap();
    assert!(fault().contains("cannot use the certificate"), "{}", fault());
}
