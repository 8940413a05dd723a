//! containerd: by hand with ctr, and as a kubelet asks it, through its CRI.
//!
//! One daemon for all checks, on directories of its own; its content store is
//! emptied between two pulls, so that each really arrives from the site.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::mirror::{hosts_toml, hosts_toml_names};
use super::{
    Client, FILLED, IMAGES, Pulled, Takes, digests_in, files_under, pulls_directly,
    pulls_through_mirror,
};
use crate::daemon::Daemon;
use crate::program::{is_root, program, run};
use crate::site::Site;

/// A running containerd.
pub struct Containerd {
    /// Stops before its directory goes.
    _daemon: Daemon,
    directory: TempDir,
}

impl Containerd {
    pub fn start() -> Option<Self> {
        let mut command = program("containerd").filter(|_| is_root("containerd"))?;
        let directory = TempDir::new().unwrap();
        let at = directory.path().display();
        let configuration = format!(
            r#"version = 2
root = "{at}/root"
state = "{at}/state"
[grpc]
  address = "{at}/c.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "{at}/opt"
[plugins."io.containerd.grpc.v1.cri"]
  disable_tcp_service = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{at}/cni"
    conf_dir = "{at}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "native"
  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{at}/certs.d"
"#
        );
        let file = directory.path().join("config.toml");
        fs::write(&file, configuration).unwrap();
        let booted = |line: &str| line.contains("successfully booted").then_some(());
        let (daemon, ()) = Daemon::start(command.arg("--config").arg(file), booted);
        Some(Self { _daemon: daemon, directory })
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("c.sock")
    }

    /// The namespace is the one that CRI uses, so that both find the same images.
    pub fn ctr(&self) -> Command {
        let mut ctr = program("ctr").unwrap();
        ctr.arg("--address").arg(self.socket()).args(["--namespace", "k8s.io"]);
        ctr
    }

    /// Forgets every image and waits until the content is gone.
    fn empty(&self) {
        let images = run(self.ctr().args(["images", "ls", "-q"]));
        for image in images.lines() {
            run(self.ctr().args(["images", "rm", "--sync", image]));
        }
        assert_eq!(run(self.ctr().args(["content", "ls", "-q"])), "");
    }

    /// Where containerd finds out how to reach a site.
    fn hosts(&self, site: &Site) -> PathBuf {
        let hosts = self.directory.path().join("certs.d");
        if hosts.exists() {
            fs::remove_dir_all(&hosts).unwrap();
        }
        hosts_toml(site, &hosts);
        hosts
    }

    fn content(&self) -> BTreeSet<String> {
        let blobs = "root/io.containerd.content.v1.content/blobs/sha256";
        digests_in(&self.directory.path().join(blobs))
    }

    /// The root file system of an image, read through a snapshot.
    fn pulled(&self, reference: &str, directory: &Path) -> Pulled {
        let mount = directory.join("mount");
        fs::create_dir(&mount).unwrap();
        let native = ["--snapshotter", "native"];
        run(self.ctr().args(["images", "mount"]).args(native).arg(reference).arg(&mount));
        let files = files_under(&mount);
        run(self.ctr().args(["images", "unmount", "--rm"]).args(native).arg(&mount));
        let pulled = Pulled { digests: self.content(), files: Some(files) };
        self.empty();
        pulled
    }
}

/// `ctr images pull`: this platform, unpacked.
struct CtrPull<'a>(&'a Containerd);

impl Client for CtrPull<'_> {
    const TAKES: Takes = Takes::OnePlatform;

    fn pull(&self, site: &Site, reference: &str, directory: &Path) -> Pulled {
        let hosts = self.0.hosts(site);
        let mut pull = self.0.ctr();
        pull.args(["images", "pull", "--snapshotter", "native", "--hosts-dir"]).arg(hosts);
        run(pull.arg(reference));
        self.0.pulled(reference, directory)
    }
}

/// `ctr content fetch`: whatever the reference names, with all its platforms.
struct CtrFetch<'a>(&'a Containerd);

impl Client for CtrFetch<'_> {
    const TAKES: Takes = Takes::Everything;

    fn pull(&self, site: &Site, reference: &str, _directory: &Path) -> Pulled {
        let hosts = self.0.hosts(site);
        let mut fetch = self.0.ctr();
        fetch.args(["content", "fetch", "--all-platforms", "--hosts-dir"]).arg(hosts);
        run(fetch.arg(reference));
        let digests = self.0.content();
        self.0.empty();
        Pulled { digests, files: None }
    }
}

/// The way of a kubelet.
struct Cri<'a>(&'a Containerd);

impl Client for Cri<'_> {
    const TAKES: Takes = Takes::OnePlatform;

    fn pull(&self, site: &Site, reference: &str, directory: &Path) -> Pulled {
        self.0.hosts(site);
        let ask = |verb: &str| {
            run(program("cripull").unwrap().arg(self.0.socket()).args([verb, reference]))
        };
        ask("pull");
        let id = ask("status");
        let pulled = self.0.pulled(reference, directory);
        assert!(pulled.digests.contains(id.trim()), "{reference}: {id} is not the config");
        pulled
    }
}

#[test]
fn ctr_pulls() {
    let Some(containerd) = Containerd::start() else { return };
    pulls_directly(&CtrPull(&containerd), IMAGES);
    pulls_directly(&CtrFetch(&containerd), FILLED);
    pulls_through_mirror(&CtrPull(&containerd), &hosts_toml_names());
}

#[test]
fn cri_pulls() {
    let Some(containerd) = Containerd::start() else { return };
    if program("cripull").is_some() {
        pulls_directly(&Cri(&containerd), IMAGES);
        pulls_through_mirror(&Cri(&containerd), &hosts_toml_names());
    }
}
