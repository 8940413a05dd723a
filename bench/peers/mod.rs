//! The servers compared, each with a configuration of its own, on content of its own kind.
//!
//! Fairness: same machine, same bytes, same requests, one server at a time. Peers read what they
//! are best at: nginx static files with sendfile, or what the kernel mounts of our bundle, distribution a mounted squashfs image of its
//! storage (how one would serve a bundle with it), Debian's docker-registry the same as a directory.

use std::path::PathBuf;

mod configuration;
pub(crate) mod process;
pub(crate) mod served;
pub(crate) mod yard;

/// Bytes of a MiB.
pub(crate) const MIB: f64 = (1 << 20) as f64;
/// Bytes of a GB.
pub(crate) const GB: f64 = 1e9;

/// What all peers are called, ours apart.
pub(crate) const NAMES: [&str; 4] = ["nginx", "nginx-squashfs", "distribution", "docker-registry"];

/// A kind of server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Peer {
    /// A binary of ours, by a name for the report.
    Shipperd(&'static str, PathBuf),
    Nginx,
    /// nginx on a bundle of ours that the kernel mounts.
    NginxSquashfs,
    Distribution,
    DockerRegistry,
}

impl Peer {
    /// What the report calls it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Shipperd(name, _) => name,
            Self::Nginx => "nginx",
            Self::NginxSquashfs => "nginx-squashfs",
            Self::Distribution => "distribution",
            Self::DockerRegistry => "docker-registry",
        }
    }
}
