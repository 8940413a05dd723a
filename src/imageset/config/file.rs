//! The fields of a configuration file, of both versions, as they are written.
//!
//! The descriptions become those of docs/imageset.schema.json. A field that only one version
//! has says so by `x-version`; an absent one is empty. Everything else that must hold is
//! checked by the modules that these are handed to.

use schemars::JsonSchema;
use serde::Deserialize;

/// What an imageset holds. Files of oc-mirror are read as they are.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct File {
    /// `mirror.openshift.io/v2alpha1` or `mirror.openshift.io/v1alpha2`
    #[serde(rename = "apiVersion")]
    pub(super) _api_version: String,
    /// `ImageSetConfiguration`
    #[serde(rename = "kind")]
    #[schemars(extend("const" = "ImageSetConfiguration"))]
    pub(super) _kind: String,
    /// The largest size of one file of the imageset, in GiB. 0 is as if it were not there.
    #[serde(default)]
    #[schemars(range(max = 8_388_607))]
    pub(super) archive_size: u64,
    /// Where the state is kept between runs.
    #[schemars(extend("x-version" = "v1alpha2"))]
    pub(super) storage_config: Option<StorageConfig>,
    /// What to carry.
    pub(super) mirror: Mirror,
    /// What only shipperd knows; oc-mirror refuses a file with it.
    #[serde(default)]
    pub(super) shipperd: Extension,
}

/// Settings of shipperd's own.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Extension {
    /// The name of the imageset: the bundles' files begin with it.
    #[serde(default)]
    pub(super) name: String,
    /// Whether signatures, attestations and other referrers are carried along.
    /// They are unless this is false.
    pub(super) referrers: Option<bool>,
}

/// Where the state is kept: one of the two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct StorageConfig {
    /// A directory.
    pub(super) local: Option<LocalStorage>,
    /// An image in a registry.
    pub(super) registry: Option<RegistryStorage>,
}

/// A directory for the state.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct LocalStorage {
    /// The directory.
    pub(super) path: String,
}

/// An image for the state.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct RegistryStorage {
    /// The reference of the image; its tag is `latest` if it has none.
    #[serde(rename = "imageURL")]
    pub(super) image_url: String,
    /// Whether any certificate of that registry is taken, and plain HTTP.
    #[serde(default, rename = "skipTLS")]
    pub(super) skip_tls: bool,
}

/// What to carry.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Mirror {
    /// Releases of OpenShift or OKD.
    pub(super) platform: Option<Release>,
    /// Operator catalogs.
    #[serde(default)]
    pub(super) operators: Vec<Catalog>,
    /// Single images.
    #[serde(default)]
    pub(super) additional_images: Vec<AdditionalImage>,
    /// Helm charts and the images in them.
    pub(super) helm: Option<Helm>,
    /// Images to leave out.
    #[serde(default)]
    pub(super) blocked_images: Vec<BlockedImage>,
    /// Never implemented, by nobody.
    #[serde(default)]
    pub(super) samples: Vec<Sample>,
}

/// An image.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AdditionalImage {
    /// A reference with a tag, a digest or both, or `oci://` and the path of a layout.
    pub(super) name: String,
    /// The repository that it is carried as.
    #[serde(default)]
    #[schemars(extend("x-version" = "v2alpha1"))]
    pub(super) target_repo: String,
    /// The tag that it is carried with.
    #[serde(default)]
    #[schemars(extend("x-version" = "v2alpha1"))]
    pub(super) target_tag: String,
    /// The platforms to carry; all, if none is listed.
    #[serde(default)]
    #[schemars(extend("x-version" = "v2alpha1"))]
    pub(super) platforms: Vec<Platform>,
}

/// A platform, in Go's words.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Platform {
    /// The operating system: `linux`.
    pub(super) os: String,
    /// The processor: `amd64`, `arm64`.
    pub(super) architecture: String,
    /// The variant of the processor: `v7`. Only shipperd knows it.
    #[serde(default)]
    pub(super) variant: String,
}

/// Images to leave out.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct BlockedImage {
    /// A regular expression that matches somewhere in the reference.
    pub(super) name: String,
}

/// Never implemented.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Sample {
    /// A name.
    #[serde(rename = "name")]
    pub(super) _name: String,
}

/// Releases of OpenShift or OKD.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Release {
    /// Whether to carry the graph of updates, too.
    #[serde(default)]
    pub(super) graph: bool,
    /// Channels of releases.
    #[serde(default)]
    pub(super) channels: Vec<ReleaseChannel>,
    /// The processors to carry releases for. Not together with `platforms`.
    #[serde(default)]
    pub(super) architectures: Vec<Architecture>,
    /// The platforms to carry of releases for several.
    #[serde(default)]
    #[schemars(extend("x-version" = "v2alpha1"))]
    pub(super) platforms: Vec<Platform>,
    /// The reference of one release.
    #[serde(default)]
    #[schemars(extend("x-version" = "v2alpha1"))]
    pub(super) release: String,
    /// Whether to carry the image that KubeVirt boots.
    #[serde(default)]
    #[schemars(extend("x-version" = "v2alpha1"))]
    pub(super) kube_virt_container: bool,
}

/// A processor that releases exist for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// `amd64`
    Amd64,
    /// `arm64`
    Arm64,
    /// `ppc64le`
    Ppc64le,
    /// `s390x`
    S390x,
    /// Releases for several in one.
    Multi,
}

/// Whose releases a channel has.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, JsonSchema, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Distribution {
    /// OpenShift's.
    #[default]
    Ocp,
    /// OKD's.
    Okd,
}

/// A channel of releases.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ReleaseChannel {
    /// Its name: `stable-4.18`.
    pub(super) name: String,
    /// Whose it is: `ocp` or `okd`.
    #[serde(default, rename = "type")]
    pub(super) distribution: Distribution,
    /// The lowest version.
    #[serde(default)]
    pub(super) min_version: String,
    /// The highest version.
    #[serde(default)]
    pub(super) max_version: String,
    /// Whether only the shortest way from the lowest to the highest is carried.
    #[serde(default)]
    pub(super) shortest_path: bool,
    /// Whether all of the channel is carried, not only its newest release.
    #[serde(default)]
    pub(super) full: bool,
}

/// An operator catalog and what to carry of it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Catalog {
    /// The reference of the catalog, or `oci://` and the path of a layout.
    pub(super) catalog: String,
    /// The repository that it is carried as.
    #[serde(default)]
    pub(super) target_catalog: String,
    /// The last part of the repository that it is carried as; `targetCatalog` is the newer way.
    #[serde(default)]
    #[schemars(extend("x-version" = "v1alpha2"))]
    pub(super) target_name: String,
    /// The tag that it is carried with.
    #[serde(default)]
    pub(super) target_tag: String,
    /// Where a catalog on disk came from. Without effect.
    #[serde(default, rename = "originalRef")]
    #[schemars(extend("x-version" = "v1alpha2"))]
    pub(super) _original_ref: String,
    /// Whether all versions are carried, not only the newest of each channel.
    #[serde(default)]
    pub(super) full: bool,
    /// Whether what the operators depend on is left out.
    #[serde(default)]
    pub(super) skip_dependencies: bool,
    /// A file that the catalog's resource for the cluster is made from.
    #[serde(default)]
    #[schemars(extend("x-version" = "v2alpha1"))]
    pub(super) target_catalog_source_template: String,
    /// The platforms to carry; all, if none is listed.
    #[serde(default)]
    #[schemars(extend("x-version" = "v2alpha1"))]
    pub(super) platforms: Vec<Platform>,
    /// The operators to carry; all, if none is listed.
    #[serde(default)]
    pub(super) packages: Vec<Package>,
}

/// An operator.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Package {
    /// Its name.
    pub(super) name: String,
    /// The channel that is the default in the catalog that is carried.
    #[serde(default)]
    pub(super) default_channel: String,
    /// The lowest version.
    #[serde(default)]
    pub(super) min_version: String,
    /// The highest version.
    #[serde(default)]
    pub(super) max_version: String,
    /// The first bundle, where bundles have no versions.
    #[serde(default)]
    #[schemars(extend("x-version" = "v1alpha2"))]
    pub(super) min_bundle: String,
    /// The channels to carry; all, if none is listed.
    #[serde(default)]
    pub(super) channels: Vec<Channel>,
}

/// A channel of an operator.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Channel {
    /// Its name.
    pub(super) name: String,
    /// The lowest version.
    #[serde(default)]
    pub(super) min_version: String,
    /// The highest version.
    #[serde(default)]
    pub(super) max_version: String,
    /// The first bundle, where bundles have no versions.
    #[serde(default)]
    #[schemars(extend("x-version" = "v1alpha2"))]
    pub(super) min_bundle: String,
}

/// Helm charts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Helm {
    /// Repositories of charts.
    #[serde(default)]
    pub(super) repositories: Vec<HelmRepository>,
    /// Charts on disk.
    #[serde(default)]
    pub(super) local: Vec<Chart>,
}

/// A repository of charts.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct HelmRepository {
    /// A name for it.
    pub(super) name: String,
    /// Where it is.
    pub(super) url: String,
    /// The charts to carry; all, if none is listed.
    #[serde(default)]
    pub(super) charts: Vec<Chart>,
}

/// A chart.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Chart {
    /// Its name.
    pub(super) name: String,
    /// Its version.
    #[serde(default)]
    pub(super) version: String,
    /// The file or directory of a chart on disk.
    #[serde(default)]
    pub(super) path: String,
    /// JSON paths of images in what the chart makes.
    #[serde(default)]
    pub(super) image_paths: Vec<String>,
    /// The platforms to carry of its images; all, if none is listed.
    #[serde(default)]
    #[schemars(extend("x-version" = "v2alpha1"))]
    pub(super) platforms: Vec<Platform>,
}
