//! Who takes images from a registry: we into a bundle, skopeo into an OCI layout. Beside them `cp`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::content::Image;
use crate::peers::Peer;

/// Who fetches.
#[derive(Clone, Debug)]
pub(super) enum Fetcher<'a> {
    Ours(&'a Peer),
    Skopeo,
    /// Nobody: an OCI layout of the images is copied, and brought to the disk as our bundles are.
    Copy(PathBuf),
}

impl Fetcher<'_> {
    /// What the report calls it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Ours(peer) => peer.name(),
            Self::Skopeo => "skopeo",
            Self::Copy(_) => "cp",
        }
    }

    /// The commands to run one after the other; all write below `output`. Our bundles are those of
    /// an imageset `name`, whose state lies there too.
    pub(super) fn commands(
        &self,
        registry: SocketAddr,
        images: &[Image],
        name: &str,
        output: &Path,
    ) -> Vec<Command> {
        let references = images.iter().map(|image| image.reference(registry));
        match self {
            Self::Ours(Peer::Shipperd(_, binary)) => {
                let mut command = create(binary, registry, name, output);
                command.arg("--no-referrers").args(references);
                vec![command]
            }
            Self::Ours(_) => Vec::new(),
            // One image a call is how skopeo copies into a layout under a name of its own.
            Self::Skopeo => references
                .map(|reference| {
                    let mut command = Command::new("skopeo");
                    command.args([
                        "--insecure-policy",
                        "copy",
                        "--quiet",
                        "--src-tls-verify=false",
                    ]);
                    command.arg(format!("docker://{reference}"));
                    command.arg(format!("oci:{}:{reference}", output.join("layout").display()));
                    command
                })
                .collect(),
            Self::Copy(layout) => {
                let mut copy = Command::new("cp");
                copy.args(["-r", "--reflink=never"]).arg(layout).arg(output.join("layout"));
                let mut sync = Command::new("sync");
                sync.arg("-f").arg(output);
                vec![copy, sync]
            }
        }
    }
}

/// Our `create` from a registry, with what every use of it has in common.
pub(super) fn create(binary: &Path, registry: SocketAddr, name: &str, output: &Path) -> Command {
    let mut command = Command::new(binary);
    command.args(["--quiet", "create", "--name", name, "--plain-http"]);
    command.arg(registry.to_string()).arg("-o").arg(output);
    command.env("XDG_STATE_HOME", output.join("state"));
    command
}
