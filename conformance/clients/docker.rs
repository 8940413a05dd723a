//! dockerd, the classic engine with its own image store.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{CLASSIC, Client, Pulled, Takes, check, pulls_directly, serve};
use crate::daemon::Daemon;
use crate::fixtures::samples::{HELLO, OTHER_TWIN};
use crate::fixtures::{digest, layer::unpacked};
use crate::program::{excuse, is_root, program, run};
use crate::site::{Site, Transport};

/// A running dockerd.
pub struct Docker {
    /// Stops before its directory goes.
    _daemon: Daemon,
    directory: TempDir,
}

impl Docker {
    /// Starts dockerd without any network of its own; `mirror` serves Docker Hub's images.
    pub fn start(mirror: Option<&str>) -> Option<Self> {
        let dockerd = program("dockerd").filter(|_| is_root("dockerd"))?;
        // It leaves a mount behind, which ends with a namespace of its own.
        let mut command = program("unshare")?;
        command.arg("--mount").arg(dockerd.get_program());
        let directory = TempDir::new().unwrap();
        let at = directory.path();
        let configuration = json!({
            "data-root": at.join("root"),
            "exec-root": at.join("exec"),
            "pidfile": at.join("pid"),
            "hosts": [format!("unix://{}/d.sock", at.display())],
            "storage-driver": "vfs",
            "bridge": "none",
            "iptables": false,
            "ip6tables": false,
            "registry-mirrors": Vec::from_iter(mirror),
        });
        let file = at.join("daemon.json");
        fs::write(&file, configuration.to_string()).unwrap();
        let listening = |line: &str| line.contains("API listen on").then_some(());
        match Daemon::attempt(command.arg("--config-file").arg(file), listening) {
            Ok((daemon, ())) => Some(Self { _daemon: daemon, directory }),
            Err(log) => {
                excuse("dockerd", log.lines().last().unwrap_or("does not start"));
                None
            }
        }
    }

    /// Runs `docker`.
    pub fn docker(&self, arguments: &[&str]) -> String {
        let host = format!("unix://{}/d.sock", self.directory.path().display());
        run(program("docker").unwrap().args(["--host", &host]).args(arguments))
    }
}

impl Client for Docker {
    const TAKES: Takes = Takes::Unpacked;

    fn pull(&self, _site: &Site, reference: &str, directory: &Path) -> Pulled {
        self.docker(&["pull", "--quiet", reference]);
        let inspected = self.docker(&["image", "inspect", reference]);
        let inspected: Value = serde_json::from_str(&inspected).unwrap();
        let archive = directory.join("image.tar");
        self.docker(&["save", "--output", archive.to_str().unwrap(), reference]);
        self.docker(&["image", "rm", "--force", inspected[0]["Id"].as_str().unwrap()]);
        let saved = entries(&archive);
        let manifest: Value = serde_json::from_slice(&saved["manifest.json"]).unwrap();
        let config = &saved[manifest[0]["Config"].as_str().unwrap()];
        let layers = manifest[0]["Layers"].as_array().unwrap().iter();
        let files = layers.flat_map(|layer| unpacked(&saved[layer.as_str().unwrap()]));
        let repository = inspected[0]["RepoDigests"][0].as_str().unwrap();
        let named = repository.rsplit_once('@').unwrap().1.to_owned();
        Pulled { digests: [digest(config), named].into(), files: Some(files.collect()) }
    }
}

/// The files in an archive by their path.
fn entries(archive: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(File::open(archive).unwrap());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.path().unwrap().to_str().unwrap().to_owned(), bytes)
    });
    entries.collect()
}

#[test]
fn docker_pulls() {
    if let Some(docker) = Docker::start(None) {
        pulls_directly(&docker, CLASSIC);
    }
}

#[test]
fn docker_pulls_from_hub_through_mirror() {
    let site = serve(Transport::Http);
    if let Some(docker) = Docker::start(Some(&site.url())) {
        check(&docker, &site, HELLO, "hello:v1");
        check(&docker, &site, OTHER_TWIN, "lab/twin:v1");
    }
}
