//! Operator catalogs.

use std::collections::HashSet;
use std::path::PathBuf;

use super::images::{ImageName, Platform};
use super::problem::{Path, Problems};
use super::version::Range;
use super::{ApiVersion, file};
use crate::oci::{Repository, Tag};

/// An operator catalog and what to carry of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Catalog {
    /// Where it comes from.
    pub name: ImageName,
    /// The repository that it is carried as, if that is another one.
    pub target_repository: Option<Repository>,
    /// The tag that it is carried with, if that is another one.
    pub target_tag: Option<Tag>,
    /// Whether all versions are carried, not only the newest of each channel.
    pub full: bool,
    /// Whether what the operators depend on is left out.
    pub skip_dependencies: bool,
    /// A file that the catalog's resource for the cluster is made from.
    pub template: Option<PathBuf>,
    /// The platforms to carry; all, if none is listed.
    pub platforms: Vec<Platform>,
    /// The operators to carry; all, if none is listed.
    pub packages: Vec<Package>,
}

/// An operator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// The channel that is the default in the catalog that is carried.
    pub default_channel: Option<String>,
    /// The versions to carry.
    pub range: Range,
    /// The first bundle, where bundles have no versions.
    pub min_bundle: Option<String>,
    /// The channels to carry; all, if none is listed.
    pub channels: Vec<Channel>,
}

/// A channel of an operator.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// The versions to carry.
    pub range: Range,
    /// The first bundle, where bundles have no versions.
    pub min_bundle: Option<String>,
}

/// Reads the catalogs of a file.
pub(super) fn list(
    catalogs: Vec<file::Catalog>,
    version: ApiVersion,
    at: &Path<'_>,
    problems: &mut Problems<'_>,
) -> Vec<Catalog> {
    let mut names = HashSet::new();
    let mut read = Vec::new();
    for (number, catalog) in catalogs.into_iter().enumerate() {
        let at = at.item(number);
        let Some(catalog) = self::catalog(catalog, version, &at, problems) else { continue };
        let unique = unique(&catalog);
        if !names.insert(unique.clone()) {
            problems.add(&at, format!("the catalog {unique} is here twice"));
        }
        read.push(catalog);
    }
    read
}

fn catalog(
    catalog: file::Catalog,
    version: ApiVersion,
    at: &Path<'_>,
    problems: &mut Problems<'_>,
) -> Option<Catalog> {
    let mut target_repository = problems.word(&at.field("targetCatalog"), &catalog.target_catalog);
    let last: Option<Repository> = problems.word(&at.field("targetName"), &catalog.target_name);
    let target_tag = problems.word(&at.field("targetTag"), &catalog.target_tag);
    let platforms = Platform::list(catalog.platforms, &at.field("platforms"), problems);
    let rules = Rules { version, full: catalog.full };
    let packages = rules.packages(catalog.packages, &at.field("packages"), problems);
    let name: ImageName = problems.word(&at.field("catalog"), &catalog.catalog)?;
    if let (None, Some(last), ImageName::Remote(reference)) = (&target_repository, &last, &name) {
        let namespace = reference.repository.as_str().rsplit_once('/');
        let path =
            namespace.map_or_else(|| last.to_string(), |(above, _)| format!("{above}/{last}"));
        target_repository = problems.word(&at.field("targetName"), &path);
    }
    Some(Catalog {
        name,
        target_repository,
        target_tag,
        full: catalog.full,
        skip_dependencies: catalog.skip_dependencies,
        template: given(catalog.target_catalog_source_template).map(Into::into),
        platforms,
        packages,
    })
}

/// What two catalogs may not share: where each is carried.
fn unique(catalog: &Catalog) -> String {
    let ImageName::Remote(reference) = &catalog.name else {
        let target = catalog.target_repository.as_ref().map(ToString::to_string);
        let tag = catalog.target_tag.as_ref().map_or_else(String::new, |tag| format!(":{tag}"));
        return target.unwrap_or_else(|| catalog.name.to_string()) + &tag;
    };
    let mut target = reference.clone();
    if let Some(repository) = &catalog.target_repository {
        target.repository = repository.clone();
    }
    if let Some(tag) = &catalog.target_tag {
        (target.tag, target.digest) = (Some(tag.clone()), None);
    }
    target.to_string()
}

/// What the rules for packages depend on.
struct Rules {
    version: ApiVersion,
    full: bool,
}

impl Rules {
    fn packages(
        &self,
        packages: Vec<file::Package>,
        at: &Path<'_>,
        problems: &mut Problems<'_>,
    ) -> Vec<Package> {
        let mut names = HashSet::new();
        let mut read = Vec::new();
        for (number, package) in packages.into_iter().enumerate() {
            let at = at.item(number);
            let name = package.name.clone();
            if !name.is_empty() && !names.insert(name.clone()) {
                problems.add(&at, format!("the package {name:?} is here twice"));
            }
            read.push(self.package(package, &at, problems));
        }
        read
    }

    fn package(
        &self,
        package: file::Package,
        at: &Path<'_>,
        problems: &mut Problems<'_>,
    ) -> Package {
        let range = Range::read(&package.min_version, &package.max_version, at, problems);
        let min_bundle = first_bundle(package.min_bundle, &package.min_version, at, problems);
        let list = at.field("channels");
        let mut names = HashSet::new();
        let mut channels = Vec::new();
        for (number, channel) in package.channels.into_iter().enumerate() {
            let at = list.item(number);
            if !channel.name.is_empty() && !names.insert(channel.name.clone()) {
                problems.add(&at, format!("the channel {:?} is here twice", channel.name));
            }
            let own = Range::read(&channel.min_version, &channel.max_version, &at, problems);
            if self.version == ApiVersion::V2Alpha1 && own.is_given() && range.is_given() {
                let message =
                    "bounds of versions stand at the package or at its channels, not both";
                problems.add(&at, message);
            }
            self.all_or_a_range(&own, &at, problems);
            channels.push(Channel {
                min_bundle: first_bundle(channel.min_bundle, &channel.min_version, &at, problems),
                name: channel.name,
                range: own,
            });
        }
        self.all_or_a_range(&range, at, problems);
        let default_channel = given(package.default_channel);
        // oc-mirror v2 takes all channels where none is listed, and checks against the catalog.
        if let Some(channel) = &default_channel
            && (self.version == ApiVersion::V1Alpha2 || !channels.is_empty())
            && channels.iter().all(|it| it.name != *channel)
        {
            let message = format!("the channel {channel:?} is not listed in `channels`");
            problems.add(&at.field("defaultChannel"), message);
        }
        Package { name: package.name, default_channel, range, min_bundle, channels }
    }

    fn all_or_a_range(&self, range: &Range, at: &Path<'_>, problems: &mut Problems<'_>) {
        if self.version == ApiVersion::V2Alpha1 && self.full && range.is_given() {
            problems.add(at, "`full: true` carries all versions; bounds cannot be given with it");
        }
    }
}

fn first_bundle(
    bundle: String,
    min_version: &str,
    at: &Path<'_>,
    problems: &mut Problems<'_>,
) -> Option<String> {
    let bundle = given(bundle)?;
    if !min_version.is_empty() {
        problems.add(&at.field("minBundle"), "not together with `minVersion`");
    }
    Some(bundle)
}

fn given(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}
