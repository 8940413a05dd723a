//! podman and buildah: containers/image into containers/storage.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::mirror::{registries_conf, registries_conf_names};
use super::{
    Client, IMAGES, Pulled, Takes, digests_in, files_under, pulls_directly, pulls_through_mirror,
};
use crate::fixtures::digest;
use crate::program::{is_root, program, run};
use crate::site::Site;

/// Which of the two; both keep their storage alike.
#[derive(Clone, Copy)]
pub enum Engine {
    Podman,
    Buildah,
}

impl Engine {
    pub fn installed(self) -> Option<Self> {
        program(self.name()).filter(|_| is_root(self.name())).map(|_| self)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Buildah => "buildah",
        }
    }

    /// With storage of its own; vfs leaves no mount behind.
    pub fn command(self, directory: &Path) -> Command {
        let mut command = program(self.name()).unwrap();
        command.arg("--root").arg(directory.join("root"));
        command.arg("--runroot").arg(directory.join("run")).args(["--storage-driver", "vfs"]);
        if let Self::Podman = self {
            command.arg("--tmpdir").arg(directory.join("tmp"));
            command.args(["--events-backend", "none", "--cgroup-manager", "cgroupfs"]);
        }
        command
    }
}

impl Client for Engine {
    const TAKES: Takes = Takes::OnePlatform;

    fn pull(&self, site: &Site, reference: &str, directory: &Path) -> Pulled {
        let mut pull = self.command(directory);
        pull.env("CONTAINERS_REGISTRIES_CONF", registries_conf(site, directory));
        pull.args(["pull", "--quiet"]);
        match site.trust() {
            Some(trust) => pull.arg("--cert-dir").arg(trust),
            None => pull.arg("--tls-verify=false"),
        };
        let id = run(pull.arg(reference));
        stored(&directory.join("root"), id.trim())
    }
}

/// What containers/storage keeps of an image: metadata as it came, layers unpacked
/// with the digest that was checked on the way.
fn stored(root: &Path, id: &str) -> Pulled {
    let mut digests: BTreeSet<String> = digests_in(&root.join("vfs-images").join(id));
    // A file for signatures that is empty without them.
    digests.remove(&digest(b""));
    let layers = parse(&root.join("vfs-layers/layers.json"));
    let layers = layers.as_array().unwrap().iter();
    digests.extend(layers.map(|layer| layer["compressed-diff-digest"].as_str().unwrap().into()));
    let images = parse(&root.join("vfs-images/images.json"));
    let image = images.as_array().unwrap().iter().find(|image| image["id"] == id).unwrap();
    let top = root.join("vfs/dir").join(image["layer"].as_str().unwrap());
    Pulled { digests, files: Some(files_under(&top)) }
}

fn parse(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

#[test]
fn podman_pulls() {
    if let Some(podman) = Engine::Podman.installed() {
        pulls_directly(&podman, IMAGES);
        pulls_through_mirror(&podman, &registries_conf_names());
    }
}

#[test]
fn buildah_pulls() {
    if let Some(buildah) = Engine::Buildah.installed() {
        pulls_directly(&buildah, IMAGES);
        pulls_through_mirror(&buildah, &registries_conf_names());
    }
}
