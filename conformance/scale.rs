//! What does not grow: opening a bundle costs by its entries, not by its bytes; clients that are
//! too many wait, and take nothing from those that are served.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use shipperd::bundle::squashfs::{Layout, Space, Writer};
use shipperd::oci::{Digest, blob_path};

use crate::daemon::Daemon;
use crate::fixtures::image::image;
use crate::fixtures::layer::files;
use crate::fixtures::{Content, media};
use crate::site::{Site, Transport};

const TIB: u64 = 1 << 40;

/// Writes a bundle of images of one layer, which are holes of `bytes` together.
fn sparse(directory: &Path, images: usize, bytes: u64) -> PathBuf {
    let (mut contents, mut holes, mut entries) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..images {
        let mut content = Content::default();
        let size = bytes / images as u64;
        let layer = Digest::of(format!("{number} of {bytes}").as_bytes());
        let config = content.blob(media::CONFIG, json!({"author": number.to_string()}).to_string());
        let manifest = content.manifest(&json!({
            "schemaVersion": 2,
            "mediaType": media::MANIFEST,
            "config": config.json(),
            "layers": [{"mediaType": media::TAR_GZIP, "digest": layer.to_string(), "size": size}],
        }));
        let mut entry = manifest.json();
        let name = format!("quay.io/lab/app-{}:{number}", number / 100);
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        entries.push(entry);
        for digest in [config.digest, manifest.digest] {
            let path = blob_path(&digest.parse().unwrap());
            contents.push((path, content.bytes(&digest).to_vec()));
        }
        holes.push((blob_path(&layer), size));
    }
    let index = json!({"schemaVersion": 2, "manifests": entries}).to_string();
    contents.push(("index.json".to_owned(), index.into_bytes()));
    contents.push(("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()));
    let sizes = contents.iter().map(|(path, bytes)| (path.clone(), bytes.len() as u64));
    let layout = Layout::plan(sizes.chain(holes).collect()).unwrap();
    let path = directory.join(format!("{images}-{bytes}.sqfs"));
    let writer = Writer::create(&path, layout, 0, Space::Sparse).unwrap();
    for (place, (_, bytes)) in contents.iter().enumerate() {
        writer.write_at(place, 0, bytes).unwrap();
    }
    writer.finish().unwrap();
    path
}

/// Serves a bundle of `sparse` until its first image is answered; the bytes read and the most
/// memory held until then.
fn opened(bundle: &Path) -> (usize, usize) {
    let site = Site::serve(&[bundle], Transport::Http);
    assert_eq!(get(site.address(), "/v2/lab/app-0/manifests/0").0, 200);
    (site.daemon.bytes_read(), site.daemon.peak_memory())
}

#[test]
fn opening_reads_and_holds_by_entries_and_not_by_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let of = |images, bytes| opened(&sparse(directory.path(), images, bytes));
    let (read_of_gib, held_of_gib) = of(1000, 1 << 30);
    let (read_of_tib, held_of_tib) = of(1000, TIB);
    // The format has four bytes for each MiB.
    let blocks = 4 << 20;
    let more = read_of_tib.saturating_sub(read_of_gib);
    assert!(more < blocks + (1 << 20), "{read_of_gib} of a GiB, {read_of_tib} of a TiB");
    let more = held_of_tib.saturating_sub(held_of_gib);
    assert!(more < 4 * blocks, "{held_of_gib} of a GiB, {held_of_tib} of a TiB");
    // Four times the entries, and what a server reads of itself is in both.
    let (read_of_more, _) = of(4000, 1 << 30);
    assert!(read_of_more < 5 * read_of_gib, "{read_of_gib}, {read_of_more} of four times as many");
}

/// Starts a server under the limits that a shell sets, until it said `also`; its address.
fn limited(limits: &str, site: &Path, also: &str) -> (Daemon, String) {
    let shipperd = env!("CARGO_BIN_EXE_shipperd");
    let script = format!("{limits} && exec {shipperd} serve --listen 127.0.0.1:0 \"$0\"");
    let mut command = Command::new("sh");
    command.arg("-c").arg(script).arg(site);
    let said = RefCell::new((None, also.is_empty()));
    Daemon::start(&command, |line| {
        let mut said = said.borrow_mut();
        if let Some((_, address)) = line.split_once("bundles at http://") {
            said.0 = Some(address.to_owned());
        }
        said.1 |= line.contains(also);
        said.0.clone().filter(|_| said.1)
    })
}

fn get(address: &str, target: &str) -> (u16, Vec<u8>) {
    ask(&mut TcpStream::connect(address).unwrap(), target)
}

/// Asks on a connection that ends with the answer.
fn ask(stream: &mut TcpStream, target: &str) -> (u16, Vec<u8>) {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut request = String::new();
    write!(request, "GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let head = answer.windows(4).position(|end| end == b"\r\n\r\n").unwrap();
    let status = String::from_utf8_lossy(&answer[9..12]).parse().unwrap();
    (status, answer.split_off(head + 4))
}

#[test]
fn connections_leave_descriptors_to_what_is_served() {
    let directory = tempfile::tempdir().unwrap();
    let mut content = Content::default();
    let app = image("amd64").layer(files(&[("etc/app", b"1")])).add(&mut content);
    content.tag("quay.io/lab/app:v1", &app);
    content.write_layout(&directory.path().join("layout"));
    let layer = content.parsed(&app.digest).unwrap()["layers"][0]["digest"].clone();
    let layer = layer.as_str().unwrap();
    let also = "connections instead of 16384";
    let (daemon, address) = limited("ulimit -n 128", directory.path(), also);
    // More than there are descriptors; those that are too many wait in front of the door.
    let mut clients: Vec<_> = (0..200).map(|_| TcpStream::connect(&address).unwrap()).collect();
    // The file is opened when it is asked for, while all connections that there may be are open.
    let (status, body) = ask(&mut clients[0], &format!("/v2/lab/app/blobs/{layer}"));
    assert_eq!((status, body.as_slice()), (200, content.bytes(layer)));
    let mut last = clients.pop().unwrap();
    for client in clients {
        client.shutdown(Shutdown::Both).unwrap();
    }
    assert_eq!(ask(&mut last, "/v2/").0, 200);
    assert!(!daemon.log().contains("cannot accept"), "{}", daemon.log());
}

#[test]
fn a_soft_limit_of_descriptors_is_raised() {
    let directory = tempfile::tempdir().unwrap();
    let (daemon, address) = limited("ulimit -S -n 64", directory.path(), "");
    let clients: Vec<_> = (0..100).map(|_| TcpStream::connect(&address).unwrap()).collect();
    for mut client in clients.iter().map(|it| it.try_clone().unwrap()) {
        client.write_all(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        client.read_exact(&mut [0; 12]).unwrap();
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.id())).unwrap();
    let open = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let fields: Vec<_> = open.split_whitespace().collect();
    assert_eq!(fields[3], fields[4], "{open}");
}
