//! Content as other tools carry it: one file each, made once and kept between runs.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::content::store::Store;

/// What oc-mirror writes last into an archive: the configuration, named by the time.
const CONFIGURATION: &str = "isc_2026-11-21T06:40:00Z";

/// The kinds of archive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// Of oc-mirror v2: distribution's storage in a tar.
    Mirror,
    /// Of hauler: an OCI layout in a tar in zstd.
    Haul,
    /// Of skopeo, podman and others: an OCI layout in a tar.
    Oci,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Mirror, Self::Haul, Self::Oci];

    /// What the report calls it.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Mirror => "An archive of oc-mirror v2",
            Self::Haul => "A haul of hauler",
            Self::Oci => "An OCI archive",
        }
    }

    fn file(self) -> &'static str {
        match self {
            Self::Mirror => "mirror_000001.tar",
            Self::Haul => "haul.tar.zst",
            Self::Oci => "images.tar",
        }
    }
}

/// An archive on disk.
#[derive(Debug)]
pub(crate) struct Archive {
    pub(crate) kind: Kind,
    pub(crate) path: PathBuf,
}

impl Archive {
    /// The archive of all that a store holds, made if it is not there.
    pub(crate) fn open(kind: Kind, store: &Store) -> Result<Self> {
        let path = store.directory.join(kind.file());
        if !path.exists() {
            let partial = path.with_extension("partial");
            let tar = File::create(&partial)?;
            match kind {
                Kind::Mirror => pack(&store.tree(), tar, Some(CONFIGURATION))?,
                Kind::Oci => pack(&store.layout(), tar, None)?,
                Kind::Haul => {
                    // The level and the window of hauler.
                    let mut zstd = Command::new("zstd")
                        .args(["-3", "--zstd=wlog=23", "--quiet"])
                        .stdin(Stdio::piped())
                        .stdout(tar)
                        .spawn()
                        .context("cannot run zstd")?;
                    let input = zstd.stdin.take().context("it has an input")?;
                    pack(&store.layout(), input, None)?;
                    ensure!(zstd.wait()?.success(), "zstd failed");
                }
            }
            fs::rename(&partial, &path)?;
        }
        Ok(Self { kind, path })
    }

    /// The commands that bring it into a form from which a registry can be filled: into its
    /// `storage` at once, or as a layout into `directory`; none where skopeo reads it as it is.
    pub(crate) fn unpacked(&self, directory: &Path, storage: &Path) -> Vec<Command> {
        let mut command = Command::new("tar");
        match self.kind {
            Kind::Oci => return Vec::new(),
            Kind::Mirror => command.arg("-xf").arg(&self.path).arg("-C").arg(storage),
            Kind::Haul => {
                command.args(["-x", "-I", "zstd", "-f"]).arg(&self.path).arg("-C").arg(directory)
            }
        };
        vec![command]
    }
}

/// Writes the files below `root` into a tar, as oc-mirror and hauler do: without directories.
fn pack(root: &Path, to: impl std::io::Write, last: Option<&str>) -> Result<()> {
    let mut builder = tar::Builder::new(to);
    builder.mode(tar::HeaderMode::Deterministic);
    append(&mut builder, root, root)?;
    if let Some(name) = last {
        let mut header = tar::Header::new_ustar();
        header.set_size(0);
        builder.append_data(&mut header, name, std::io::empty())?;
    }
    Ok(builder.finish()?)
}

fn append(builder: &mut tar::Builder<impl std::io::Write>, root: &Path, at: &Path) -> Result<()> {
    let mut paths = fs::read_dir(at)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.sort();
    for path in paths {
        if path.is_dir() {
            append(builder, root, &path)?;
        } else {
            builder.append_path_with_name(&path, path.strip_prefix(root)?)?;
        }
    }
    Ok(())
}
