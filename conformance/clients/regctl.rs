//! regctl: regclient, which asks for referrers and resumes a broken transfer.

use std::path::Path;

use tempfile::TempDir;

use super::{Client, EVERYTHING, Pulled, SAMPLES, Takes, digests_in, pulls_directly, serve};
use crate::fixtures::layout::split;
use crate::program::{program, run};
use crate::site::{Site, Transport};

struct Regctl {
    /// What to copy beside the image.
    with: &'static [&'static str],
}

impl Client for Regctl {
    const TAKES: Takes = Takes::Everything;

    fn pull(&self, site: &Site, reference: &str, directory: &Path) -> Pulled {
        let regctl = || {
            let mut regctl = program("regctl").unwrap();
            regctl.env("REGCTL_CONFIG", directory.join("config.json"));
            regctl
        };
        let mut set = regctl();
        set.args(["registry", "set", site.address(), "--skip-check"]);
        match site.trust() {
            Some(trust) => {
                let ca = std::fs::read_to_string(trust.join("ca.crt")).unwrap();
                set.args(["--tls", "enabled", "--cacert", &ca])
            }
            None => set.args(["--tls", "disabled"]),
        };
        run(&mut set);
        let image = directory.join("image");
        let target = format!("ocidir://{}:pulled", image.display());
        run(regctl().args(["image", "copy"]).args(self.with).args([reference, &target]));
        Pulled { digests: digests_in(&image.join("blobs/sha256")), files: None }
    }
}

#[test]
fn regctl_pulls() {
    if program("regctl").is_some() {
        pulls_directly(&Regctl { with: &[] }, EVERYTHING);
    }
}

#[test]
fn regctl_finds_what_refers_to_an_image() {
    let site = serve(Transport::Http);
    let regctl = Regctl { with: &["--referrers", "--digest-tags"] };
    if program("regctl").is_none() {
        return;
    }
    let directory = TempDir::new().unwrap();
    let reference = format!("{}/lab/app:v1", site.address());
    let pulled = regctl.pull(&site, &reference, directory.path());
    for (name, descriptor) in SAMPLES.references().filter(|(name, _)| split(name).0 == "lab/app") {
        let expected = SAMPLES.closure(&descriptor.digest);
        let missing: Vec<_> = expected.difference(&pulled.digests).collect();
        assert!(missing.is_empty(), "{name}: missing {missing:#?}");
    }
}
