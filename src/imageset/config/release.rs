//! Releases of OpenShift and OKD.

use std::collections::HashSet;

use super::file;
use super::images::Platform;
use super::problem::{Path, Problems};
use super::version::Range;
use crate::oci::Reference;

pub use super::file::{Architecture, Distribution};

/// Which releases to carry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Releases {
    /// Whether to carry the graph of updates, too.
    pub graph: bool,
    /// Channels of releases.
    pub channels: Vec<Channel>,
    /// The processors to carry releases for; `amd64`, if neither these nor platforms are listed.
    pub architectures: Vec<Architecture>,
    /// The platforms to carry of releases for several.
    pub platforms: Vec<Platform>,
    /// One release.
    pub release: Option<Reference>,
    /// Whether to carry the image that KubeVirt boots.
    pub kubevirt: bool,
}

/// A channel of releases.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub distribution: Distribution,
    /// The versions of it.
    pub range: Range,
    /// Whether only the shortest way from the lowest to the highest is carried.
    pub shortest_path: bool,
    /// Whether all of the channel is carried, not only its newest release.
    pub full: bool,
}

impl Releases {
    /// Whether there is anything to carry.
    pub(super) fn asks(&self) -> bool {
        self.graph || self.kubevirt || self.release.is_some() || !self.channels.is_empty()
    }

    pub(super) fn read(release: file::Release, at: &Path<'_>, problems: &mut Problems<'_>) -> Self {
        let list = at.field("channels");
        let mut names = HashSet::new();
        let mut channels = Vec::new();
        for (number, channel) in release.channels.into_iter().enumerate() {
            let at = list.item(number);
            if !channel.name.is_empty() && !names.insert(channel.name.clone()) {
                problems.add(&at, format!("the channel {:?} is here twice", channel.name));
            }
            channels.push(Channel {
                range: Range::read(&channel.min_version, &channel.max_version, &at, problems),
                name: channel.name,
                distribution: channel.distribution,
                shortest_path: channel.shortest_path,
                full: channel.full,
            });
        }
        let field = at.field("platforms");
        let platforms = Platform::list(release.platforms, &field, problems);
        if !platforms.is_empty() && !release.architectures.is_empty() {
            problems.add(&field, "not together with `architectures`: list one of the two");
        }
        Self {
            graph: release.graph,
            channels,
            architectures: release.architectures,
            platforms,
            release: problems.word(&at.field("release"), &release.release),
            kubevirt: release.kube_virt_container,
        }
    }
}
