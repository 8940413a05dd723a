//! The distribution specification, asked byte by byte of a running server.
//!
//! One file per area; a test is named after the end-point of the specification's table
//! and what is claimed of it, or after the client that depends on it.
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#endpoints>

mod conditional;
mod errors;
mod hostile;
mod limits;
mod list;
mod ping;
mod pull;
mod range;
mod referrers;
pub mod wire;
mod writes;

use tempfile::TempDir;

use crate::fixtures::image::{artifact, docker_list, image};
use crate::fixtures::layer::{files, noise};
use crate::fixtures::{Content, Descriptor};
use crate::site::{Site, Transport};
use wire::Answer;

const SBOM: &str = "application/vnd.example.sbom.v1";
const SCAN: &str = "application/vnd.example.scan.v1";
/// The tags of `lab/app` but for the signature's, sorted as the specification wants them.
const TAGS: [&str; 7] = ["V2", "_x", "latest", "v1", "v1.0", "v10", "v2"];

/// A server and what it serves.
struct Lab {
    site: Site,
    content: Content,
    /// The index behind every tag of `quay.io/lab/app`.
    app: Descriptor,
    /// Its first child.
    child: Descriptor,
    /// `quay.io/lab/docker:v1`, docker's manifest list of one docker manifest.
    list: Descriptor,
    docker: Descriptor,
    /// A blob of 1 MiB that does not compress, stored as it is.
    layer: Descriptor,
    /// A blob without bytes.
    empty: Descriptor,
    /// The referrers of `app`.
    referrers: [Descriptor; 2],
    _directory: TempDir,
}

impl Lab {
    /// Serves an OCI layout with shipperd over plain HTTP.
    fn open() -> Self {
        let mut content = Content::default();
        let bytes = noise(7, 1 << 20);
        let plain = |name| image(name).layer(files(&[("etc/release", name.as_bytes())]));
        let child = plain("amd64").plain_layer(bytes.clone()).add(&mut content);
        let layer = content.blob("application/octet-stream", bytes);
        let app = plain("arm64").add(&mut content);
        let app = content.index(&[child.clone(), app]);
        for tag in TAGS {
            content.tag(&format!("quay.io/lab/app:{tag}"), &app);
        }
        let signature = plain("signature").add(&mut content);
        content.tag(&format!("quay.io/lab/app:{}", signature_tag(&app)), &signature);
        let referrers = [SBOM, SCAN].map(|kind| {
            let referrer = artifact(&mut content, kind, kind.as_bytes(), Some(&app));
            content.tag(&format!("quay.io/lab/app@{}", referrer.digest), &referrer);
            referrer
        });
        let docker = plain("docker").docker().add(&mut content);
        let list = docker_list(&mut content, std::slice::from_ref(&docker));
        content.tag("quay.io/lab/docker:v1", &list);
        content.tag("quay.io/lab/docker:single", &docker);
        let empty = content.blob("application/octet-stream", "");
        let holder = artifact(&mut content, "application/vnd.example.empty.v1", b"", None);
        content.tag("quay.io/lab/deep/er/path:v1", &holder);
        let hello = plain("hello").add(&mut content);
        content.tag("docker.io/library/hello:v1", &hello);
        // The same path and tag on two registries.
        content.tag("quay.io/lab/twin:v1", &hello);
        content.tag("registry.test:5000/lab/twin:v1", &docker);
        let directory = TempDir::new().unwrap();
        content.write_layout(directory.path());
        let site = Site::serve(&[directory.path()], Transport::Http);
        let _directory = directory;
        Self { site, content, app, child, list, docker, layer, empty, referrers, _directory }
    }

    fn address(&self) -> &str {
        self.site.address()
    }

    fn bytes(&self, descriptor: &Descriptor) -> &[u8] {
        self.content.bytes(&descriptor.digest)
    }

    fn get(&self, target: &str) -> Answer {
        wire::get(self.address(), target)
    }

    fn head(&self, target: &str) -> Answer {
        wire::ask(self.address(), "HEAD", target, &[])
    }

    fn get_with(&self, target: &str, headers: &[&str]) -> Answer {
        wire::ask(self.address(), "GET", target, headers)
    }

    /// The server is there and answers as ever.
    fn is_well(&self) {
        let answer = self.get("/v2/lab/app/manifests/v1");
        assert_eq!((answer.status, answer.body.as_slice()), (200, self.bytes(&self.app)));
    }
}

/// The address of a blob.
fn blob(descriptor: &Descriptor) -> String {
    format!("/v2/lab/app/blobs/{}", descriptor.digest)
}

/// The tag under which cosign keeps the signatures of a manifest.
fn signature_tag(descriptor: &Descriptor) -> String {
    format!("{}.sig", descriptor.digest.replace(':', "-"))
}

/// A digest that nothing has.
fn nobody() -> String {
    crate::fixtures::digest(b"nobody has these bytes")
}
