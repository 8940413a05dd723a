//! Real clients pull from a running server, and what they bring home is compared
//! with its source: every manifest, config and layer by its bytes.
//!
//! One file per client, or per family that shares its code. A client is a value
//! with [`Client::pull`]; `check` is the same for all of them.

pub mod containerd;
mod crane;
mod curl;
pub mod docker;
mod mirror;
pub mod podman;
mod regctl;
mod skopeo;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use tempfile::TempDir;

use crate::fixtures::samples::{
    APP, ARTIFACT, BIG, DOCKER, EMPTY, LIST, NESTED, PACKINGS, SINGLE, all,
};
use crate::fixtures::{Content, digest, layout};
use crate::program::run;
use crate::site::{Site, Transport};

/// The samples, made once.
static SAMPLES: LazyLock<Content> = LazyLock::new(all);

/// The samples that every engine runs.
const IMAGES: &[&str] = &[APP, LIST, SINGLE, DOCKER, BIG, PACKINGS];

/// All kinds of content, for clients that copy and do not run.
const EVERYTHING: &[&str] = &[APP, LIST, SINGLE, DOCKER, BIG, PACKINGS, NESTED, ARTIFACT, EMPTY];

/// The same without an index in an index: containers/image takes none.
const FLAT: &[&str] = &[APP, LIST, SINGLE, DOCKER, BIG, PACKINGS, ARTIFACT, EMPTY];

/// The same without a blob of no bytes: containerd 1.6 refuses it.
const FILLED: &[&str] = &[APP, LIST, SINGLE, DOCKER, BIG, PACKINGS, NESTED, ARTIFACT];

/// What docker 20.10 unpacks: it knows no zstd.
const CLASSIC: &[&str] = &[APP, LIST, SINGLE, DOCKER, BIG];

/// How much of what a reference names a client takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Takes {
    /// All platforms of an index.
    Everything,
    /// This machine's platform.
    OnePlatform,
    /// This machine's platform, and keeps no layer as it came.
    Unpacked,
}

/// What arrived.
#[derive(Debug, Default)]
pub struct Pulled {
    /// The digests of the bytes on disk, computed here or by the client.
    pub digests: BTreeSet<String>,
    /// The root file system, with the digest of each file, if the client unpacks.
    pub files: Option<BTreeMap<String, String>>,
}

pub trait Client {
    const TAKES: Takes;

    /// Pulls `reference` from `site`, or through it as a mirror, into an empty `directory`.
    fn pull(&self, site: &Site, reference: &str, directory: &Path) -> Pulled;
}

/// Where the samples lie while tests run.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients")
}

/// The samples as a layout, written once.
static LAYOUT: LazyLock<PathBuf> = LazyLock::new(|| {
    if directory().exists() {
        fs::remove_dir_all(directory()).unwrap();
    }
    let layout = directory().join("layout");
    SAMPLES.write_layout(&layout);
    layout
});

/// The samples as a bundle, made once of the layout.
static BUNDLE: LazyLock<PathBuf> = LazyLock::new(|| {
    let mut create = Command::new(env!("CARGO_BIN_EXE_shipperd"));
    create.env("XDG_STATE_HOME", directory().join("state"));
    create.arg("create").arg(format!("oci:{}", LAYOUT.display()));
    let bundle = run(create.args(["--name", "samples", "--output"]).arg(directory()));
    PathBuf::from(bundle.trim())
});

/// Serves the samples.
fn serve(transport: Transport) -> Site {
    Site::serve(&[&BUNDLE], transport)
}

/// Pulls each sample by tag and by digest, in clear text and over TLS.
fn pulls_directly<C: Client>(client: &C, samples: &[&str]) {
    for transport in [Transport::Http, Transport::Https] {
        let site = serve(transport);
        for sample in samples {
            let (repository, tag) = layout::split(sample);
            let repository = format!("{}/{repository}", site.address());
            let digest = &SAMPLES.named(sample).digest;
            check(client, &site, sample, &format!("{repository}:{}", tag.unwrap()));
            check(client, &site, sample, &format!("{repository}@{digest}"));
        }
    }
}

/// Pulls samples by names that only lead to the site through a mirror's configuration.
fn pulls_through_mirror<C: Client>(client: &C, names: &[(&str, String)]) {
    for transport in [Transport::Http, Transport::Https] {
        let site = serve(transport);
        for (sample, reference) in names {
            check(client, &site, sample, reference);
        }
    }
}

/// `name@digest` of a sample, whatever the name.
fn by_digest(name: &str, sample: &str) -> String {
    format!("{name}@{}", SAMPLES.named(sample).digest)
}

/// Pulls `reference` and requires of it the content of `sample`.
fn check<C: Client>(client: &C, site: &Site, sample: &str, reference: &str) {
    let directory = TempDir::new().unwrap();
    let pulled = client.pull(site, reference, directory.path());
    let whole = &SAMPLES.named(sample).digest;
    let closure = SAMPLES.closure(whole);
    let manifest = SAMPLES.for_platform(whole, "amd64");
    let needed = match C::TAKES {
        Takes::Everything => closure.clone(),
        Takes::OnePlatform => SAMPLES.closure(&manifest),
        Takes::Unpacked => {
            let config = &SAMPLES.parsed(&manifest).unwrap()["config"]["digest"];
            BTreeSet::from([whole.clone(), config.as_str().unwrap().to_owned()])
        }
    };
    let missing: Vec<_> = needed.difference(&pulled.digests).collect();
    assert!(missing.is_empty(), "{reference}: missing {missing:#?}");
    let foreign: Vec<_> = pulled.digests.difference(&closure).collect();
    assert!(foreign.is_empty(), "{reference}: not in {sample}: {foreign:#?}");
    if let Some(files) = pulled.files {
        assert_eq!(files, SAMPLES.files(&manifest), "{reference}");
    }
}

/// The digests of all files in a directory.
fn digests_in(directory: &Path) -> BTreeSet<String> {
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    files.map(|file| digest(&fs::read(file).unwrap())).collect()
}

/// The regular files under a directory, with the digest of each.
fn files_under(root: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.insert(name, digest(&fs::read(path).unwrap()));
            }
        }
    }
    files
}
