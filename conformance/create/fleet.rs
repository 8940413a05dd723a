//! Images of every kind that a registry may hold.
//!
//! ```text
//! lab/app :v1     an index ─ amd64, arm64, and an index ─ riscv64
//!                 an SBOM, whose subject is the index, and a signature of the SBOM
//!                 `.sig` and `.att` tags of the index and of amd64
//! lab/list :v1    docker's list of docker's manifest, both indented
//! lab/chart :v1   an artifact with an empty configuration; its layer is one of amd64's
//! ```

use bytes::Bytes;
use serde_json::{Value, json};
use shipperd::oci::{Digest, MediaType};

use crate::source::{Sample, SampleManifest};

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub const APP: &str = "lab/app";
pub const LIST: &str = "lab/list";
pub const CHART: &str = "lab/chart";
/// The layer that two repositories hold.
pub const SHARED: usize = 200_000;

/// All of it, children before those that need them.
pub fn fleet() -> Sample {
    let mut fleet = Fleet::default();
    let shared = fleet.blob(LAYER, noise(7, SHARED));
    let mut image = |architecture, common: &[Value], length| {
        let own = fleet.blob(LAYER, noise(1, length));
        fleet.image(architecture, &[common, &[own]].concat())
    };
    let amd64 = image("amd64", std::slice::from_ref(&shared), 70_000);
    let arm64 = image("arm64", std::slice::from_ref(&shared), 64 << 10);
    let riscv64 = image("riscv64", &[], 0);
    let index = |children: &[&Value]| {
        json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": children})
            .to_string()
    };
    let inner = fleet.manifest(APP, &[], MediaType::OCI_INDEX, &index(&[&riscv64]));
    let whole = index(&[&amd64, &arm64, &inner]);
    let whole = fleet.manifest(APP, &["v1"], MediaType::OCI_INDEX, &whole);
    for (of, suffix) in [(&whole, ".sig"), (&whole, ".att"), (&amd64, ".sig")] {
        let tag = of["digest"].as_str().unwrap().replace(':', "-") + suffix;
        let about = fleet.artifact("application/vnd.dev.cosign.v1", &tag, None);
        fleet.manifest(APP, &[&tag], MediaType::OCI_MANIFEST, &about);
    }
    let sbom = fleet.artifact("application/vnd.example.sbom", "sbom", Some(&whole));
    let sbom = fleet.manifest(APP, &[], MediaType::OCI_MANIFEST, &sbom);
    let signature = fleet.artifact("application/vnd.example.signature", "by us", Some(&sbom));
    fleet.manifest(APP, &[], MediaType::OCI_MANIFEST, &signature);

    let config = fleet.blob(MediaType::DOCKER_CONFIG, br#"{"os":"linux"}"#.to_vec());
    let layer = fleet.blob(MediaType::DOCKER_LAYER_TAR, noise(9, 1_000));
    let single = json!({"schemaVersion": 2, "mediaType": MediaType::DOCKER_MANIFEST,
        "config": config, "layers": [layer]});
    let single = serde_json::to_string_pretty(&single).unwrap().replace("  ", "   ");
    let mut single = fleet.manifest(LIST, &[], MediaType::DOCKER_MANIFEST, &single);
    single["platform"] = json!({"architecture": "amd64", "os": "linux"});
    let list = json!({"schemaVersion": 2, "mediaType": MediaType::DOCKER_LIST,
        "manifests": [single]});
    let list = serde_json::to_string_pretty(&list).unwrap().replace("  ", "   ") + "\n";
    fleet.manifest(LIST, &["v1"], MediaType::DOCKER_LIST, &list);

    let chart = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
        "artifactType": "application/vnd.example.chart",
        "config": fleet.blob(MediaType::OCI_EMPTY, b"{}".to_vec()), "layers": [shared]});
    fleet.manifest(CHART, &["v1"], MediaType::OCI_MANIFEST, &chart.to_string());
    fleet.sample
}

/// Where a tag leads.
pub fn tagged<'a>(sample: &'a Sample, repository: &str, tag: &str) -> &'a SampleManifest {
    let at = |manifest: &&SampleManifest| {
        manifest.places.iter().any(|(place, tags)| *place == repository && tags.contains(&tag))
    };
    sample.manifests.iter().find(at).unwrap()
}

/// Bytes that do not compress.
pub fn noise(seed: u32, length: usize) -> Vec<u8> {
    let words = (0..).map(|n: u32| (n ^ seed << 20).wrapping_mul(2_654_435_761));
    words.map(|word| word.to_be_bytes()[0]).take(length).collect()
}

#[derive(Default)]
struct Fleet {
    sample: Sample,
}

impl Fleet {
    fn blob(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let bytes = Bytes::from(bytes);
        let descriptor =
            json!({"mediaType": media_type, "digest": Digest::of(&bytes), "size": bytes.len()});
        if !self.sample.blobs.contains(&bytes) {
            self.sample.blobs.push(bytes);
        }
        descriptor
    }

    fn image(&mut self, architecture: &str, layers: &[Value]) -> Value {
        let config = json!({"architecture": architecture, "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": []}});
        let manifest = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
            "config": self.blob(MediaType::OCI_CONFIG, config.to_string().into_bytes()),
            "layers": layers});
        self.manifest(APP, &[], MediaType::OCI_MANIFEST, &manifest.to_string())
    }

    fn artifact(&mut self, artifact_type: &str, text: &str, subject: Option<&Value>) -> String {
        let mut manifest = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
            "artifactType": artifact_type,
            "config": self.blob(MediaType::OCI_EMPTY, b"{}".to_vec()),
            "layers": [self.blob("text/plain", text.as_bytes().to_vec())]});
        if let Some(subject) = subject {
            manifest["subject"] = subject.clone();
        }
        manifest.to_string()
    }

    fn manifest(
        &mut self,
        repository: &'static str,
        tags: &[&str],
        media_type: &'static str,
        text: &str,
    ) -> Value {
        let bytes = Bytes::from(text.to_owned());
        let descriptor =
            json!({"mediaType": media_type, "digest": Digest::of(&bytes), "size": bytes.len()});
        let tags = tags.iter().map(|tag| &*(*tag).to_owned().leak()).collect();
        let places = vec![(repository, tags)];
        self.sample.manifests.push(SampleManifest { places, media_type, bytes });
        descriptor
    }
}
