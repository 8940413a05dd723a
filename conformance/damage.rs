//! Damaged bundles: a flipped byte anywhere, a file cut anywhere, layouts made to do harm.
//!
//! What is promised of each: no client ever completes bytes that do not have their digest,
//! what is whole beside it is served on, and the server says which file is wrong and why.

mod layouts;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use serde_json::Value;
use shipperd::bundle::ContentIndex;
use shipperd::content::live::Live;
use shipperd::content::overlay::Overlay;
use shipperd::content::shelf::{self, Shelf};
use shipperd::server::{self, Door, Offers};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::fixtures::image::{artifact, image};
use crate::fixtures::layer::noise;
use crate::fixtures::{Content, digest};
use crate::program::run;
use crate::spec::wire::{self, Connection};

/// A server over a directory, within this process.
pub struct Server {
    address: String,
    _stop: oneshot::Sender<()>,
    _runtime: tokio::runtime::Runtime,
}

impl Server {
    /// Serves what lies in a directory as it is now.
    pub fn open(directory: &Path) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let mut shelf = Shelf::new(vec![directory.to_owned()], shelf::Options::default());
        let live: Arc<Live<Overlay>> = Arc::new(Live::new(shelf.scan().unwrap().unwrap()));
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let door = Door::plain(listener, Offers::Everything);
        runtime.spawn(server::run(vec![door], live, server::Options::default(), async {
            stopped.await.ok();
        }));
        Self { address, _stop: stop, _runtime: runtime }
    }

    /// The host and port.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Whatever of an answer comes whole: its status and its bytes.
    pub fn complete(&self, target: &str, headers: &[&str]) -> Option<(u16, Vec<u8>)> {
        let mut connection = Connection::open(&self.address);
        connection.request("GET", target, headers).unwrap();
        let answer = connection.answer().ok()?;
        Some((answer.status, answer.body))
    }

    /// Checks that something is said of a file of which not all was served.
    #[track_caller]
    pub fn tells_of(&self, file: &Path, what: &str) {
        let said = self.said_of(file).unwrap_or_else(|| panic!("{what}: unsaid"));
        let said_so = ["notes", "damaged"].iter().any(|key| said[key].is_array());
        assert!(said_so, "{what}: {said}");
    }

    /// What `/readyz` says of a file; nothing if it does not know it.
    pub fn said_of(&self, file: &Path) -> Option<Value> {
        let report = wire::get(&self.address, "/readyz").json();
        let bundles = report["bundles"].as_array().unwrap();
        bundles.iter().find(|it| it["path"].as_str() == file.to_str()).cloned()
    }
}

/// A small bundle in a directory, beside another one that nobody touches.
struct Victim {
    directory: TempDir,
    path: PathBuf,
    content: Content,
    bytes: Vec<u8>,
    neighbour: Content,
}

const NEIGHBOUR: &str = "quay.io/whole/app:v1";

impl Victim {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let mut content = Content::default();
        // More than the server verifies at once, and less.
        let large = image("amd64").plain_layer(noise(11, 300_000)).layer(noise(12, 5_000));
        let children =
            [large.add(&mut content), image("arm64").layer(noise(13, 70_000)).add(&mut content)];
        let index = content.index(&children);
        content.tag("quay.io/lab/app:v1", &index);
        let sbom = artifact(&mut content, "application/vnd.example.sbom.v1", b"sbom", Some(&index));
        content.tag(&format!("quay.io/lab/app@{}", sbom.digest), &sbom);
        let path = bundle("victim", &content, directory.path());
        let mut neighbour = Content::default();
        let whole = image("amd64").layer(noise(14, 1000)).add(&mut neighbour);
        neighbour.tag(NEIGHBOUR, &whole);
        bundle("neighbour", &neighbour, directory.path());
        let bytes = fs::read(&path).unwrap();
        Self { directory, path, content, bytes, neighbour }
    }

    /// Serves the directory and asks for everything, in two orders; what came whole.
    ///
    /// Nothing that came whole is wrong.
    fn ask(&self, what: &str, parts_first: bool) -> (Server, BTreeSet<String>) {
        let server = Server::open(self.directory.path());
        let mut whole = BTreeSet::new();
        for (digest, bytes) in self.content.blobs() {
            let target = format!("/v2/lab/app/blobs/{digest}");
            let part = |server: &Server| {
                let middle = bytes.len() / 2;
                let range = format!("Range: bytes={middle}-");
                if let Some((206, body)) = server.complete(&target, &[&range]) {
                    assert!(body == bytes[middle..], "{what}: a wrong part of {digest}");
                }
            };
            if parts_first {
                part(&server);
            }
            if let Some((200, body)) = server.complete(&target, &[]) {
                assert_eq!(crate::fixtures::digest(&body), digest, "{what}: completed");
                whole.insert(digest.to_owned());
            }
            part(&server);
            let target = format!("/v2/lab/app/manifests/{digest}");
            if let Some((200, body)) = server.complete(&target, &[]) {
                assert_eq!(crate::fixtures::digest(&body), digest, "{what}: a manifest");
            }
        }
        if let Some((200, body)) = server.complete("/v2/lab/app/manifests/v1", &[]) {
            let digest = digest(&body);
            assert!(self.content.blobs().any(|(known, _)| known == digest), "{what}: by tag");
        }
        self.neighbour_is_served(&server, what);
        (server, whole)
    }

    fn neighbour_is_served(&self, server: &Server, what: &str) {
        let root = self.neighbour.named(NEIGHBOUR);
        for digest in self.neighbour.closure(&root.digest) {
            let answer = server.complete(&format!("/v2/whole/app/blobs/{digest}"), &[]);
            assert!(answer == Some((200, self.neighbour.bytes(&digest).to_vec())), "{what}");
        }
        let answer = server.complete("/v2/whole/app/manifests/v1", &[]);
        assert!(answer.is_some_and(|(status, _)| status == 200), "{what}: the neighbour's tag");
    }

    /// The file has other bytes at `position` while `body` runs.
    fn with_flipped<T>(&self, position: usize, body: impl FnOnce() -> T) -> T {
        let file = fs::OpenOptions::new().write(true).open(&self.path).unwrap();
        let mask = [0x01, 0x80, 0xff][position % 3];
        file.write_all_at(&[self.bytes[position] ^ mask], position as u64).unwrap();
        let outcome = body();
        file.write_all_at(&self.bytes[position..=position], position as u64).unwrap();
        outcome
    }

    /// Where the bytes of a blob are in the file.
    fn start_of(&self, index: &ContentIndex, digest: &str) -> usize {
        let blob = index.find(&digest.parse().unwrap()).unwrap();
        let (_, stored) = index.blob(blob).unwrap();
        let start = usize::try_from(stored.offset().unwrap()).unwrap();
        assert!(self.bytes[start..].starts_with(self.content.bytes(digest)));
        start
    }

    /// Where the tables of the squashfs image begin: its superblock says so at byte 64.
    fn tables(&self) -> usize {
        usize::try_from(u64::from_le_bytes(self.bytes[64..72].try_into().unwrap())).unwrap()
    }
}

/// Makes a bundle as a user does; its path.
fn bundle(name: &str, content: &Content, directory: &Path) -> PathBuf {
    let work = TempDir::new().unwrap();
    content.write_layout(work.path());
    let mut create = Command::new(env!("CARGO_BIN_EXE_shipperd"));
    create.args(["--quiet", "create", "--name", name, "--output"]).arg(directory);
    create.env("XDG_STATE_HOME", work.path().join("state"));
    run(create.arg(format!("oci:{}", work.path().display())));
    directory.join(format!("{name}-1.sqfs"))
}

#[test]
fn an_undamaged_bundle_is_whole() {
    let victim = Victim::new();
    let (server, whole) = victim.ask("nothing", false);
    assert_eq!(whole.len(), victim.content.blobs().count());
    let said = server.said_of(&victim.path).unwrap();
    assert_eq!((&said["state"], said["notes"].as_array()), (&"live".into(), None));
}

#[test]
fn a_flipped_byte_of_a_blob_is_never_completed_and_is_named() {
    let victim = Victim::new();
    let root = victim.content.named("quay.io/lab/app:v1");
    let index = shipperd::bundle::open(&victim.path, true).unwrap().index;
    for (number, (damaged, bytes)) in victim.content.blobs().enumerate() {
        let start = victim.start_of(&index, damaged);
        let inner = [0, 1, bytes.len() / 3, bytes.len() / 2, bytes.len() - 1];
        for (turn, inner) in inner.into_iter().enumerate() {
            let what = format!("byte {inner} of {damaged}");
            victim.with_flipped(start + inner, || {
                let (server, whole) = victim.ask(&what, (number + turn) % 2 == 0);
                let others = victim.content.blobs().filter(|(digest, _)| *digest != damaged);
                for (digest, _) in others {
                    assert!(whole.contains(digest), "{what}: {digest} is not served");
                }
                assert!(!whole.contains(damaged), "{what}: completed");
                // Its readers have shown it damaged: nobody is led to it any more.
                let target = format!("/v2/lab/app/blobs/{damaged}");
                assert_eq!(wire::get(&server.address, &target).status, 404, "{what}");
                if victim.content.closure(&root.digest).contains(damaged) {
                    let tag = wire::get(&server.address, "/v2/lab/app/manifests/v1");
                    assert_eq!(tag.status, 404, "{what}: the manifest that needs it");
                }
                let said = server.said_of(&victim.path).unwrap().to_string();
                assert!(said.contains(damaged), "{what}: {said}");
                assert!(said.contains(&start.to_string()), "{what}: {said}");
            });
        }
    }
}

#[test]
fn a_flipped_byte_of_the_tables_does_no_harm() {
    let victim = Victim::new();
    let tables = victim.tables();
    let step = (victim.bytes.len() - tables) / 120 + 1;
    let mut harmed = 0;
    for position in (0..96).chain((tables..victim.bytes.len()).step_by(step)) {
        let what = format!("byte {position} of the file, tables at {tables}");
        victim.with_flipped(position, || {
            let (server, whole) = victim.ask(&what, position % 2 == 0);
            if whole.len() == victim.content.blobs().count() {
                return;
            }
            harmed += 1;
            server.tells_of(&victim.path, &what);
        });
    }
    assert!(harmed > 50, "{harmed}: the flips do not hit what matters");
}

#[test]
fn a_flipped_byte_anywhere_else_does_no_harm() {
    let victim = Victim::new();
    let tables = victim.tables();
    // The documents: index.json, oci-layout, the record. And whatever lies between files.
    for position in (96..tables).step_by(tables / 97) {
        let what = format!("byte {position} of the file");
        victim.with_flipped(position, || victim.ask(&what, position % 2 == 0));
    }
    for document in [&b"\"manifests\""[..], b"imageLayoutVersion", b"\"sequence\""] {
        let found: Vec<usize> = (0..tables)
            .filter(|&at| victim.bytes[at..].starts_with(document))
            .flat_map(|at| at - 10..at + 200)
            .step_by(9)
            .collect();
        assert!(!found.is_empty());
        for position in found {
            let what = format!("byte {position} of the file, a document");
            victim.with_flipped(position, || victim.ask(&what, position % 2 == 0));
        }
    }
}

#[test]
fn a_cut_bundle_waits_or_is_refused() {
    let victim = Victim::new();
    let length = victim.bytes.len();
    let tables = victim.tables();
    let edges = [0, 1, 4, 95, 96, 97, tables - 1, tables, tables + 1, length - 4096, length - 1];
    for cut in edges.into_iter().chain((0..length).step_by(length / 40)) {
        let what = format!("cut to {cut} of {length} bytes");
        fs::write(&victim.path, &victim.bytes[..cut]).unwrap();
        let (server, whole) = victim.ask(&what, cut % 2 == 0);
        let said = server.said_of(&victim.path);
        if whole.len() == victim.content.blobs().count() {
            // Only the padding after the image is gone.
            assert!(length - cut < 4096, "{what}: served");
            continue;
        }
        assert!(whole.is_empty(), "{what}: served in part");
        let said = said.unwrap_or_else(|| panic!("{what}: unsaid"));
        assert!(
            ["waiting", "refused"].contains(&said["state"].as_str().unwrap()),
            "{what}: {said}"
        );
        assert!(said["notes"].as_array().is_some_and(|notes| !notes.is_empty()), "{what}: {said}");
    }
}

#[test]
fn a_bundle_cut_while_it_is_served_breaks_off() {
    let victim = Victim::new();
    let server = Server::open(victim.directory.path());
    let file = fs::OpenOptions::new().write(true).open(&victim.path).unwrap();
    file.set_len(96).unwrap();
    for (digest, bytes) in victim.content.blobs() {
        for target in
            [format!("/v2/lab/app/blobs/{digest}"), format!("/v2/lab/app/manifests/{digest}")]
        {
            if let Some((200, body)) = server.complete(&target, &[]) {
                assert!(body == bytes, "{target}");
            }
        }
    }
    victim.neighbour_is_served(&server, "cut while served");
}
