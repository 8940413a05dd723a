//! What a site administrator writes so that clients find shipperd under other names.

use std::fs;
use std::path::{Path, PathBuf};

use super::by_digest;
use crate::fixtures::samples::{APP, HELLO, LIST, OTHER_TWIN, SINGLE, TWIN};
use crate::site::{Site, Transport};

/// A registry whose images are found under another path of the mirror.
pub(super) const MOVED: &str = "moved.example.com";

/// Names that a registries.conf of ours leads to the site, with what they name.
pub(super) fn registries_conf_names() -> Vec<(&'static str, String)> {
    vec![
        (APP, APP.to_owned()),
        (APP, by_digest("quay.io/lab/app", APP)),
        (LIST, LIST.to_owned()),
        (SINGLE, format!("{MOVED}/release/single:v1")),
        (SINGLE, by_digest(&format!("{MOVED}/release/single"), SINGLE)),
    ]
}

/// Names that our hosts.toml lead to the site, with what they name.
///
/// `ns` tells two registries with the same path apart.
pub(super) fn hosts_toml_names() -> Vec<(&'static str, String)> {
    vec![
        (APP, APP.to_owned()),
        (APP, by_digest("quay.io/lab/app", APP)),
        (TWIN, TWIN.to_owned()),
        (OTHER_TWIN, OTHER_TWIN.to_owned()),
        (HELLO, HELLO.to_owned()),
        (LIST, by_digest("elsewhere.example.com/any/name", LIST)),
        (SINGLE, format!("{MOVED}/lab/single:v1")),
        (SINGLE, by_digest(&format!("{MOVED}/lab/single"), SINGLE)),
    ]
}

/// Writes a registries.conf for skopeo, podman, buildah and CRI-O.
///
/// quay.io is mirrored path by path, `moved.example.com` under a prefix.
pub(super) fn registries_conf(site: &Site, directory: &Path) -> PathBuf {
    let (address, insecure) = (site.address(), site.transport == Transport::Http);
    let text = format!(
        r#"unqualified-search-registries = []

[[registry]]
location = "quay.io"
blocked = true
[[registry.mirror]]
location = "{address}"
insecure = {insecure}

[[registry]]
location = "{MOVED}/release"
blocked = true
[[registry.mirror]]
location = "{address}/quay.io/lab"
insecure = {insecure}
"#
    );
    let file = directory.join("registries.conf");
    fs::write(&file, text).unwrap();
    file
}

/// Writes a certs.d for containerd.
///
/// Every registry is mirrored by `_default`, `moved.example.com` under a prefix.
pub(super) fn hosts_toml(site: &Site, directory: &Path) {
    let url = site.url();
    let ca = site.trust().map(|trust| format!("ca = \"{}/ca.crt\"\n", trust.display()));
    let ca = ca.unwrap_or_default();
    let moved = format!("override_path = true\n{ca}");
    for (registry, host, options) in [
        ("_default", url.clone(), &ca),
        (site.address(), url.clone(), &ca),
        (MOVED, format!("{url}/v2/quay.io"), &moved),
    ] {
        let directory = directory.join(registry);
        fs::create_dir_all(&directory).unwrap();
        let text = format!(
            "server = \"{url}\"\n[host.\"{host}\"]\ncapabilities = [\"pull\", \"resolve\"]\n{options}"
        );
        fs::write(directory.join("hosts.toml"), text).unwrap();
    }
}
