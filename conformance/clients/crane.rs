//! crane: go-containerregistry, the library of ko, kaniko, Tekton and cosign.

use std::path::Path;

use super::{Client, EVERYTHING, Pulled, Takes, digests_in, pulls_directly};
use crate::program::{program, run};
use crate::site::Site;

struct Crane;

impl Client for Crane {
    const TAKES: Takes = Takes::Everything;

    fn pull(&self, site: &Site, reference: &str, directory: &Path) -> Pulled {
        let image = directory.join("image");
        let mut crane = program("crane").unwrap();
        if let Some(trust) = site.trust() {
            crane.env("SSL_CERT_FILE", trust.join("ca.crt"));
        }
        run(crane.args(["pull", "--format", "oci", reference]).arg(&image));
        Pulled { digests: digests_in(&image.join("blobs/sha256")), files: None }
    }
}

#[test]
fn crane_pulls() {
    if program("crane").is_some() {
        pulls_directly(&Crane, EVERYTHING);
    }
}
