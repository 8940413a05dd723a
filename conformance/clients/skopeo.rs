//! skopeo: the copier of containers/image, whose code podman, buildah and CRI-O share.

use std::fs;
use std::path::Path;

use super::mirror::{registries_conf, registries_conf_names};
use super::{Client, FLAT, Pulled, Takes, digests_in, pulls_directly, pulls_through_mirror};
use crate::program::{program, run};
use crate::site::Site;

struct Skopeo;

impl Client for Skopeo {
    const TAKES: Takes = Takes::Everything;

    fn pull(&self, site: &Site, reference: &str, directory: &Path) -> Pulled {
        let image = directory.join("image");
        let mut skopeo = program("skopeo").unwrap();
        skopeo.arg("--insecure-policy").arg("--tmpdir").arg(directory);
        skopeo.arg("--registries-conf").arg(registries_conf(site, directory));
        skopeo.args(["copy", "--all", "--preserve-digests"]);
        match site.trust() {
            Some(trust) => skopeo.arg("--src-cert-dir").arg(trust),
            None => skopeo.arg("--src-tls-verify=false"),
        };
        skopeo.arg(format!("docker://{reference}")).arg(format!("dir:{}", image.display()));
        run(&mut skopeo);
        fs::remove_file(image.join("version")).unwrap();
        Pulled { digests: digests_in(&image), files: None }
    }
}

#[test]
fn skopeo_pulls() {
    if program("skopeo").is_some() {
        pulls_directly(&Skopeo, FLAT);
        pulls_through_mirror(&Skopeo, &registries_conf_names());
    }
}
