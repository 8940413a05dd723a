//! Content as each peer reads it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::content::store::Store;
use crate::peers::{Peer, configuration};
use crate::talk;

/// Content made ready for every peer.
#[derive(Debug)]
pub(crate) struct Served {
    /// For us; empty where nobody serves a bundle of the content.
    pub(super) bundle: PathBuf,
    /// For nginx.
    pub(super) static_files: PathBuf,
    /// For docker-registry.
    pub(super) tree: PathBuf,
    mounted_tree: Option<Mount>,
    mounted_bundle: Option<Mount>,
    /// For nginx on the bundle: which blob each tag is.
    pub(super) names: PathBuf,
    /// A path that all answer.
    pub(super) probe: String,
}

impl Served {
    /// Makes content ready, with a bundle made by a binary of ours if one is given.
    pub(crate) fn new(store: &Store, binary: Option<&Path>) -> Result<Self> {
        let bundle = match binary {
            Some(binary) => make_bundle(binary, store)?,
            None => PathBuf::new(),
        };
        let mounted_tree = Mount::new(&store.squashed_tree(), store.directory.join("mounted"))?;
        let mounted_bundle = match binary {
            Some(_) => Mount::new(&bundle, store.directory.join("mounted-bundle"))?,
            None => None,
        };
        let names = store.directory.join("names.map");
        fs::write(&names, configuration::names(&store.images)?)?;
        let probe = store.images.last().context("content has images")?.path();
        let (static_files, tree) = (store.static_files(), store.tree());
        Ok(Self { bundle, static_files, tree, mounted_tree, mounted_bundle, names, probe })
    }

    /// Whether a peer can serve it here: nothing may be mounted everywhere.
    pub(crate) fn suits(&self, peer: &Peer) -> bool {
        *peer != Peer::NginxSquashfs || self.mounted_bundle.is_some()
    }

    /// The bundle, mounted by the kernel.
    pub(super) fn mounted_bundle(&self) -> Result<&Path> {
        let mount = self.mounted_bundle.as_ref().context("the bundle is not mounted")?;
        Ok(&mount.point)
    }

    /// distribution's storage, mounted by the kernel; where nothing may be mounted, the directory.
    pub(super) fn mounted_tree(&self) -> &Path {
        self.mounted_tree.as_ref().map_or(&self.tree, |mount| &mount.point)
    }
}

/// A squashfs image mounted by the kernel, until it is dropped.
#[derive(Debug)]
struct Mount {
    point: PathBuf,
}

impl Mount {
    /// Mounts an image read-only; none where that may not be, which is said.
    fn new(image: &Path, point: PathBuf) -> Result<Option<Self>> {
        fs::create_dir_all(&point)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "squashfs", "-o", "loop,ro"]).arg(image).arg(&point);
        let output = mount.output().context("cannot run mount")?;
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr);
            talk(&format!("{} cannot be mounted: {}", image.display(), reason.trim()));
            return Ok(None);
        }
        Ok(Some(Self { point }))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(&self.point).status());
    }
}

/// Makes a bundle of all that a store holds, with our own `create`, and its state beside it.
fn make_bundle(binary: &Path, store: &Store) -> Result<PathBuf> {
    let bundle = store.directory.join(format!("{}-1.sqfs", store.name));
    let state = store.directory.join("state");
    for left in [&state, &bundle] {
        if left.is_dir() {
            fs::remove_dir_all(left)?;
        } else if left.exists() {
            fs::remove_file(left)?;
        }
    }
    let status = Command::new(binary)
        .args(["--quiet", "create", "--name", store.name, "--no-referrers", "-o"])
        .arg(&store.directory)
        .arg(format!("oci:{}", store.layout().display()))
        .env("XDG_STATE_HOME", &state)
        .stdout(Stdio::null())
        .status()?;
    ensure!(status.success(), "shipperd create failed: {status}");
    Ok(bundle)
}
