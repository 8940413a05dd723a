//! Content as each peer reads it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::content::store::Store;

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
        let probe = store.images.last().context("content has images")?.path();
        let (static_files, tree) = (store.static_files(), store.tree());
        Ok(Self { bundle, static_files, tree, mounted_tree, probe })
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
    /// Mounts an image read-only; none where that may not be.
    fn new(image: &Path, point: PathBuf) -> Result<Option<Self>> {
        fs::create_dir_all(&point)?;
        let mut mount = Command::new("mount");
        mount.args(["-t", "squashfs", "-o", "loop,ro"]).arg(image).arg(&point);
        let mounted = mount.status().is_ok_and(|status| status.success());
        Ok(mounted.then_some(Self { point }))
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
