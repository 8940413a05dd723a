//! Bundles that the program makes of real registries, layouts and archives, looked at by the
//! kernel and by other tools; and what is left of a run that fails.

mod bundle;
mod configuration;
mod conflict;
mod convert;
mod failures;
mod files;
mod fleet;
mod home;
mod hostile;
mod killed;
mod options;
mod proxy;
mod registries;
mod resume;
mod served;
mod sequences;
mod stand_in;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use shipperd::oci::{Digest, Registry};
use tempfile::TempDir;
use tokio::process::Command;

use crate::client::distribution::Distribution;
use bundle::Mount;

/// A directory in which bundles are made.
#[derive(Debug)]
pub struct Yard {
    directory: TempDir,
    options: Vec<String>,
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    pub code: Option<i32>,
    pub stderr: String,
    pub bundle: PathBuf,
}

impl Yard {
    pub fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap(), options: Vec::new() }
    }

    /// One in which a registry may be spoken to in clear text.
    pub fn plain(registry: &Registry) -> Self {
        Self::new().with(&["--plain-http", registry.as_str()])
    }

    /// The same, with more options for every run.
    pub fn with(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|&option| option.to_owned()));
        self
    }

    /// The same, for a user who trusts the authority of a registry.
    pub fn trusting(self, distribution: &Distribution) -> Self {
        let containers = self.path().join("containers");
        fs::create_dir(&containers).unwrap();
        let certificates = distribution.certificates();
        std::os::unix::fs::symlink(certificates, containers.join("certs.d")).unwrap();
        self
    }

    /// The same, for a user who is logged in.
    pub fn logged_in(self, registry: &Registry, (user, password): (&str, &str)) -> Self {
        let path = self.path().join("auth.json");
        let entry = serde_json::json!({"username": user, "password": password});
        let auths = serde_json::json!({"auths": {registry.as_str(): entry}});
        fs::write(&path, auths.to_string()).unwrap();
        self.with(&["--authfile", path.to_str().unwrap()])
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The names of what lies in the directory of bundles.
    pub fn left(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path().join("out")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// The program, with nothing of this machine's environment or configuration.
    pub fn shipperd(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_shipperd"));
        command.current_dir(self.path()).env_clear().env("SHIPPERD_CONFIG", "/dev/null");
        command.env("XDG_CONFIG_HOME", self.path()).env("SOURCE_DATE_EPOCH", "1795244400");
        command.env("XDG_STATE_HOME", self.path().join("state"));
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        command
    }

    /// The program making a bundle of that name.
    pub fn creating(&self, name: &str, images: &[&str]) -> Command {
        let mut command = self.shipperd(&["create", "--quiet", "-o", "out", "--name", name]);
        command.args(&self.options).args(images);
        command
    }

    pub async fn create(&self, name: &str, images: &[&str]) -> Outcome {
        let output = self.creating(name, images).output().await.unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let bundle = self.path().join("out").join(format!("{name}-1.sqfs"));
        Outcome { code: output.status.code(), stderr, bundle }
    }

    /// Makes a bundle, which must succeed, and checks that it is what its record says.
    pub async fn bundle(&self, name: &str, images: &[&str]) -> PathBuf {
        let Outcome { code, stderr, bundle } = self.create(name, images).await;
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{images:?}");
        bundle::assert_is_what_its_record_says(&bundle);
        bundle
    }

    /// Makes no bundle, and answers what is said about it.
    pub async fn no_bundle(&self, code: i32, images: &[&str]) -> String {
        let outcome = self.create("none", images).await;
        assert_eq!(outcome.code, Some(code), "{images:?}: {}", outcome.stderr);
        let bundles = self.left().into_iter().filter(|name| name.ends_with(".sqfs"));
        assert_eq!(bundles.count(), 0, "{images:?}: {}", outcome.stderr);
        outcome.stderr
    }
}

/// Says something that a test that passes would hide.
fn say(text: &str) {
    writeln!(std::io::stderr(), "{text}").ok();
}

/// The references that a bundle carries, with their digests, sorted.
pub fn carried(bundle: &Path) -> Vec<(String, Digest)> {
    let tree = bundle::Tree::of(bundle);
    let index: Value = serde_json::from_slice(&tree.read("index.json")).unwrap();
    let entries = index["manifests"].as_array().unwrap().iter();
    let mut carried: Vec<_> = entries
        .map(|entry| {
            let names = &entry["annotations"];
            let name = names["org.opencontainers.image.ref.name"].as_str().unwrap();
            assert_eq!(names["io.containerd.image.name"].as_str(), Some(name));
            (name.to_owned(), entry["digest"].as_str().unwrap().parse().unwrap())
        })
        .collect();
    carried.sort();
    carried
}
