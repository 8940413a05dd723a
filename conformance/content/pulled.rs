//! The program over a directory in which files come and go, while a client pulls in a loop.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use shipperd::oci::Digest;

use super::imageset::{Imageset, Yard};
use crate::fixtures::image::image;
use crate::fixtures::layer::{files, noise};
use crate::fixtures::{Content, Descriptor};
use crate::site::{Site, Transport};
use crate::spec::wire;

/// What every edition carries: the client pulls it in a loop.
pub const STEADY: &str = "quay.io/lab/steady:v1";
/// Longest time until what was done in the directory shows.
const PATIENCE: Duration = Duration::from_secs(30);

/// Adds an image of its own content.
pub fn app(content: &mut Content, reference: &str, text: &str) -> Descriptor {
    let layer = files(&[("etc/app", text.as_bytes())]);
    let app = image("amd64").layer(layer).add(content);
    content.tag(reference, &app);
    app
}

/// What the first edition of an imageset carries.
pub fn first() -> Content {
    let mut content = Content::default();
    let steady = image("amd64").layer(noise(1, 200_000)).add(&mut content);
    content.tag(STEADY, &steady);
    app(&mut content, "quay.io/lab/app:v1", "app 1");
    content
}

/// The program over a directory, and a client that pulls [`STEADY`] until it is told to stop.
pub struct Bench {
    pub yard: Yard,
    pub site: Site,
    stop: Arc<AtomicBool>,
    client: Option<JoinHandle<usize>>,
}

impl Bench {
    /// Starts the program over an empty directory.
    pub fn new() -> Self {
        let yard = Yard::new();
        let site = Site::serve(&[yard.site.path()], Transport::Http);
        Self { yard, site, stop: Arc::default(), client: None }
    }

    /// One that serves the first sequence of an imageset, which a client pulls; and what it
    /// takes to make the next: the imageset, what it carries, and where.
    pub fn serving() -> (Self, Imageset, Content, PathBuf) {
        let (mut bench, mut set, content) = (Self::new(), Imageset::new("ocp"), first());
        let work = bench.yard.work().to_owned();
        bench.yard.bring(&set.next(&content, &work));
        bench.until(&["ocp-1.sqfs live"]);
        bench.pull();
        (bench, set, content, work)
    }

    /// Begins to pull.
    pub fn pull(&mut self) {
        let (address, stop) = (self.site.address().to_owned(), Arc::clone(&self.stop));
        self.client = Some(thread::spawn(move || {
            let mut pulls = 0;
            while !stop.load(Ordering::Relaxed) {
                pull(&address, "lab/steady", "v1");
                pulls += 1;
            }
            pulls
        }));
    }

    /// What becomes of each file, by name.
    fn states(&self) -> Vec<(String, String)> {
        let report = wire::get(self.site.address(), "/readyz").json();
        let bundles = report["bundles"].as_array().unwrap().clone();
        let of = |it: &Value| {
            let name = it["path"].as_str().unwrap().rsplit_once('/').unwrap().1.to_owned();
            (name, it["state"].as_str().unwrap().to_owned())
        };
        bundles.iter().map(of).collect()
    }

    /// Waits until files fare like this: `NAME STATE`, sorted by name. Answers how they fared
    /// on the way, each state of things once.
    #[track_caller]
    pub fn until(&self, expected: &[&str]) -> Vec<Vec<String>> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen: Vec<Vec<String>> = Vec::new();
        loop {
            let states = self.states();
            let states: Vec<_> =
                states.into_iter().map(|(name, state)| format!("{name} {state}")).collect();
            if seen.last() != Some(&states) {
                seen.push(states.clone());
            }
            if states == expected {
                return seen;
            }
            assert!(Instant::now() < deadline, "{seen:#?} and never {expected:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until the program has logged this.
    pub fn until_logged(&self, said: &str) {
        let deadline = Instant::now() + PATIENCE;
        while !self.site.daemon.log().contains(said) {
            assert!(Instant::now() < deadline, "{}", self.site.daemon.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Why a file is not served.
    pub fn reason(&self, name: &str) -> String {
        let report = wire::get(self.site.address(), "/readyz").json();
        let bundles = report["bundles"].as_array().unwrap();
        let it = bundles.iter().find(|it| it["path"].as_str().unwrap().ends_with(name)).unwrap();
        it["notes"][0].as_str().unwrap().to_owned()
    }

    /// Pulls an image by its tag; its manifest's digest.
    pub fn pulls(&self, repository: &str, tag: &str) -> String {
        pull(self.site.address(), repository, tag)
    }

    /// The status of a manifest.
    pub fn status(&self, repository: &str, target: &str) -> u16 {
        wire::get(self.site.address(), &format!("/v2/{repository}/manifests/{target}")).status
    }

    /// Ends the client; it has pulled all the time.
    pub fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let pulls = self.client.take().unwrap().join().unwrap();
        assert!(pulls > 0, "nothing was pulled");
    }
}

/// Pulls an image and all that it needs, and hashes it; the digest of its manifest.
fn pull(address: &str, repository: &str, tag: &str) -> String {
    let get = |target: &str| {
        let answer = wire::get(address, target);
        assert_eq!(answer.status, 200, "{target}: {}", String::from_utf8_lossy(&answer.body));
        answer.body
    };
    let bytes = get(&format!("/v2/{repository}/manifests/{tag}"));
    let manifest: Value = serde_json::from_slice(&bytes).unwrap();
    let layers = manifest["layers"].as_array().into_iter().flatten();
    for child in layers.chain(manifest.get("config")) {
        let digest = child["digest"].as_str().unwrap();
        let bytes = get(&format!("/v2/{repository}/blobs/{digest}"));
        assert_eq!(Digest::of(&bytes).to_string(), digest);
    }
    Digest::of(&bytes).to_string()
}
