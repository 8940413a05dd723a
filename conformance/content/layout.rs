//! OCI layouts as directory, tar and squashfs, made of a sample or by hand.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use shipperd::bundle::squashfs::{self, Space, Writer};
use shipperd::oci::{Digest, MediaType};

use crate::source::Sample;

/// The files of an OCI layout.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    files: Vec<(String, Vec<u8>)>,
    entries: Vec<Value>,
}

impl Layout {
    /// A layout of this sample, its names without a registry.
    pub fn of(sample: &Sample) -> Self {
        let mut layout = Self::default();
        for blob in &sample.blobs {
            layout.blob(blob);
        }
        for manifest in &sample.manifests {
            for (repository, tags) in &manifest.places {
                let mut names: Vec<_> =
                    tags.iter().map(|tag| format!("{repository}:{tag}")).collect();
                if names.is_empty() {
                    names.push((*repository).to_owned());
                }
                for name in names {
                    layout.manifest(manifest.media_type, &manifest.bytes, &name);
                }
            }
        }
        layout
    }

    /// Adds a blob.
    pub fn blob(&mut self, bytes: &[u8]) -> Digest {
        let digest = Digest::of(bytes);
        let path = format!("blobs/sha256/{}", digest.hex());
        if !self.files.iter().any(|(known, _)| *known == path) {
            self.files.push((path, bytes.to_vec()));
        }
        digest
    }

    /// Adds an image of one layer under a name; answers its manifest's digest.
    pub fn image(&mut self, name: &str, layer: &[u8]) -> Digest {
        let config = json!({"architecture": "amd64", "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(layer)]}})
        .to_string();
        let descriptor = |media_type: &str, bytes: &[u8]| json!({"mediaType": media_type, "digest": Digest::of(bytes), "size": bytes.len()});
        self.blob(config.as_bytes());
        self.blob(layer);
        let manifest = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
            "config": descriptor(MediaType::OCI_CONFIG, config.as_bytes()),
            "layers": [descriptor("application/vnd.oci.image.layer.v1.tar", layer)]});
        self.manifest(MediaType::OCI_MANIFEST, manifest.to_string().as_bytes(), name)
    }

    /// Adds a manifest under a name.
    pub fn manifest(&mut self, media_type: &str, bytes: &[u8], name: &str) -> Digest {
        let digest = self.blob(bytes);
        self.entries.push(json!({"mediaType": media_type, "digest": digest, "size": bytes.len(),
            "annotations": {"org.opencontainers.image.ref.name": name}}));
        digest
    }

    /// Takes a file away, or changes it.
    pub fn alter(&mut self, digest: &Digest, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) {
        let at = self.files.iter().position(|(path, _)| path.ends_with(&digest.hex())).unwrap();
        let (path, bytes) = self.files.remove(at);
        if let Some(bytes) = change(bytes) {
            self.files.push((path, bytes));
        }
    }

    fn all(&self) -> Vec<(String, Vec<u8>)> {
        let index = json!({"schemaVersion": 2, "manifests": self.entries}).to_string();
        let mut files = vec![
            ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
            ("index.json".to_owned(), index.into_bytes()),
        ];
        files.extend(self.files.clone());
        files
    }

    /// Writes it as a directory.
    pub fn write(&self, root: &Path) {
        for (path, bytes) in self.all() {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    /// Writes it as a tar archive.
    pub fn archive(&self, path: &Path) {
        let mut builder = tar::Builder::new(fs::File::create(path).unwrap());
        for (path, bytes) in self.all() {
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, path, &bytes[..]).unwrap();
        }
        builder.finish().unwrap();
    }

    /// Writes it as a squashfs image of our profile.
    pub fn squashfs(&self, path: &Path) {
        let files = self.all();
        let sizes = files.iter().map(|(path, bytes)| (path.clone(), bytes.len() as u64)).collect();
        let layout = squashfs::Layout::plan(sizes).unwrap();
        let writer = Writer::create(path, layout, 0, Space::Reserve).unwrap();
        for (place, (_, bytes)) in files.iter().enumerate() {
            writer.write_at(place, 0, bytes).unwrap();
        }
        writer.finish().unwrap();
    }
}
