//! Helm charts.

use std::collections::HashSet;
use std::path::PathBuf;

use super::file;
use super::images::Platform;
use super::problem::{Path, Problems};

/// Which charts to carry.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Helm {
    /// Repositories of charts.
    pub repositories: Vec<Repository>,
    /// Charts on disk: each has a path.
    pub local: Vec<Chart>,
}

/// A repository of charts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Repository {
    /// A name for it.
    pub name: String,
    /// Where it is: an address with `http://`, `https://` or `oci://`.
    pub url: String,
    /// The charts to carry; all, if none is listed.
    pub charts: Vec<Chart>,
}

/// A chart.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Chart {
    /// Its name.
    pub name: String,
    /// Its version; the newest, if none is said.
    pub version: Option<String>,
    /// The file or directory of a chart on disk.
    pub path: Option<PathBuf>,
    /// JSON paths of images in what the chart makes.
    pub image_paths: Vec<String>,
    /// The platforms to carry of its images; all, if none is listed.
    pub platforms: Vec<Platform>,
}

impl Helm {
    /// Whether there is anything to carry.
    pub(super) fn asks(&self) -> bool {
        !self.repositories.is_empty() || !self.local.is_empty()
    }

    pub(super) fn read(helm: file::Helm, at: &Path<'_>, problems: &mut Problems<'_>) -> Self {
        let list = at.field("repositories");
        let mut names = HashSet::new();
        let mut repositories = Vec::new();
        for (number, repository) in helm.repositories.into_iter().enumerate() {
            let at = list.item(number);
            let file::HelmRepository { name, url, charts } = repository;
            if !name.is_empty() && !names.insert(name.clone()) {
                problems.add(&at, format!("the repository {name:?} is here twice"));
            }
            let known = ["http://", "https://", "oci://"].iter().any(|it| url.starts_with(it));
            if !known && !url.is_empty() {
                let message = format!("{url:?} does not begin with http://, https:// or oci://");
                problems.add(&at.field("url"), message);
            }
            let charts = Chart::list(charts, false, &at.field("charts"), problems);
            repositories.push(Repository { name, url, charts });
        }
        Self { repositories, local: Chart::list(helm.local, true, &at.field("local"), problems) }
    }
}

impl Chart {
    fn list(
        charts: Vec<file::Chart>,
        local: bool,
        at: &Path<'_>,
        problems: &mut Problems<'_>,
    ) -> Vec<Self> {
        let mut read = Vec::new();
        for (number, chart) in charts.into_iter().enumerate() {
            let at = at.item(number);
            if local && chart.path.is_empty() {
                problems.add(&at, "`path` is missing");
            }
            read.push(Self {
                name: chart.name,
                version: Some(chart.version).filter(|it| !it.is_empty()),
                path: Some(chart.path).filter(|it| !it.is_empty()).map(Into::into),
                image_paths: chart.image_paths,
                platforms: Platform::list(chart.platforms, &at.field("platforms"), problems),
            });
        }
        read
    }
}
