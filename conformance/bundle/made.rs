//! An image for which shipperd made a manifest, as a client has it after pulling all of it.

use std::io::Read as _;

use flate2::read::GzDecoder;
use serde_json::Value;

use super::{address, text};
use crate::fixtures::layer::zstd;
use crate::fixtures::{Content, digest};
use crate::site::Site;
use crate::spec::wire;

#[derive(Debug)]
pub struct Made {
    name: String,
    /// The digest of its manifest.
    pub digest: String,
    pub media_type: String,
    pub manifest: Value,
    config: Vec<u8>,
    layers: Vec<Vec<u8>>,
}

impl Made {
    /// Pulls it; every digest and size is right.
    #[track_caller]
    pub fn of(site: &Site, repository: &str, target: &str) -> Self {
        let name = format!("{repository}:{target}");
        let pull = |kind: &str, target: &str| {
            let target = address(repository, &format!("{kind}/{target}"));
            let answer = wire::get(site.address(), &target);
            assert_eq!(answer.status, 200, "{target}");
            answer
        };
        let answer = pull("manifests", target);
        let manifest = answer.json();
        let media_type = answer.header("content-type").unwrap().to_owned();
        assert_eq!(text(&manifest, "mediaType"), media_type, "{name}");
        let digest_of = digest(&answer.body);
        assert!(pull("manifests", &digest_of).body == answer.body, "{name}");
        let blob = |descriptor: &Value| {
            let body = pull("blobs", text(descriptor, "digest")).body;
            assert_eq!(digest(&body), text(descriptor, "digest"), "{name}");
            assert_eq!(body.len() as u64, descriptor["size"].as_u64().unwrap(), "{name}");
            body
        };
        let layers = manifest["layers"].as_array().unwrap().iter().map(blob).collect();
        let config = blob(&manifest["config"]);
        Self { name, digest: digest_of, media_type, manifest, config, layers }
    }

    /// Requires of it the configuration of an image, and its layers however they are packed.
    #[track_caller]
    pub fn is_of(&self, content: &Content, manifest: &str) {
        let source = content.parsed(manifest).unwrap();
        let config = text(&source["config"], "digest");
        assert!(self.config == content.bytes(config), "{}: another configuration", self.name);
        self.has_layers_of(content, manifest);
    }

    /// Requires of it the layers of an image, however they are packed.
    #[track_caller]
    pub fn has_layers_of(&self, content: &Content, manifest: &str) {
        let source = content.parsed(manifest).unwrap();
        let layers = source["layers"].as_array().unwrap();
        assert_eq!(self.layers.len(), layers.len(), "{}", self.name);
        for (layer, source) in self.layers.iter().zip(layers) {
            let archive = content.archive(text(source, "digest"));
            let is_equal = match layer[..] {
                [0x1f, 0x8b, ..] => gunzipped(layer) == archive,
                [0x28, 0xb5, ..] => *layer == zstd(archive),
                _ => layer == archive,
            };
            assert!(is_equal, "{}: another layer", self.name);
        }
    }
}

fn gunzipped(layer: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    GzDecoder::new(layer).read_to_end(&mut bytes).unwrap();
    bytes
}
