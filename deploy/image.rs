//! Writes an image as an OCI layout: `image LAYOUT REFERENCE CONFIG ARCHITECTURE=ROOT.tar…`
//!
//! CONFIG is a JSON file with the image's `config` object (user, entrypoint, environment, …);
//! each ROOT.tar becomes the one layer of a manifest, and all manifests one index.
//! The same input and SOURCE_DATE_EPOCH give the same bytes. Prints the digest of the index.
//!
//! <https://github.com/opencontainers/image-spec/blob/v1.1.1/image-layout.md>
#![expect(clippy::print_stdout, reason = "a program of the build: its output is its result")]

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use flate2::{Compression, GzBuilder};
use serde::Serialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [layout, reference, config, roots @ ..] = arguments.as_slice() else {
        bail!("usage: image LAYOUT REFERENCE CONFIG ARCHITECTURE=ROOT.tar…");
    };
    let config = fs::read(config).with_context(|| format!("cannot read {config}"))?;
    let config: Value = serde_json::from_slice(&config).context("the configuration is not JSON")?;
    let layout = Layout::create(layout)?;
    let mut manifests = Vec::new();
    for root in roots {
        let (architecture, tar) = root.split_once('=').context("expected ARCHITECTURE=ROOT.tar")?;
        let manifest = layout
            .add_image(architecture, Path::new(tar), &config)
            .with_context(|| format!("cannot make an image of {tar}"))?;
        manifests.push(manifest);
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    let mut index = layout.add_json(INDEX, &index)?;
    // Both names, so that `skopeo`, `podman load` and `ctr images import` all find it.
    index.annotations = Some(json!({
        "org.opencontainers.image.ref.name": reference,
        "io.containerd.image.name": reference,
    }));
    println!("{}", index.digest);
    layout.finish(&json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [index]}))
}

/// The directory being written.
struct Layout {
    root: PathBuf,
    blobs: PathBuf,
    created: String,
}

impl Layout {
    /// Begins an empty layout in place of what was there.
    fn create(root: &str) -> anyhow::Result<Self> {
        let root = PathBuf::from(root);
        if root.exists() {
            fs::remove_dir_all(&root)
                .with_context(|| format!("cannot clear {}", root.display()))?;
        }
        let blobs = root.join("blobs/sha256");
        fs::create_dir_all(&blobs).with_context(|| format!("cannot make {}", blobs.display()))?;
        let epoch = std::env::var("SOURCE_DATE_EPOCH").unwrap_or_else(|_| String::from("0"));
        let epoch = epoch.parse().context("SOURCE_DATE_EPOCH is not a number of seconds")?;
        let created = jiff::Timestamp::from_second(epoch).context("SOURCE_DATE_EPOCH")?.to_string();
        Ok(Self { root, blobs, created })
    }

    /// Adds the layer, the configuration and the manifest of one platform, and describes it.
    fn add_image(
        &self,
        architecture: &str,
        tar: &Path,
        config: &Value,
    ) -> anyhow::Result<Descriptor> {
        let (layer, diff_id) = self.add_layer(tar)?;
        let config = json!({
            "architecture": architecture,
            "os": "linux",
            "created": self.created,
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [diff_id]},
            "history": [{"created": self.created, "created_by": "deploy/image"}],
        });
        let config = self.add_json(CONFIG, &config)?;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer],
        });
        let mut manifest = self.add_json(MANIFEST, &manifest)?;
        manifest.platform = Some(json!({"architecture": architecture, "os": "linux"}));
        Ok(manifest)
    }

    /// Compresses a tar archive into a blob; answers its descriptor and the digest of the archive.
    fn add_layer(&self, tar: &Path) -> anyhow::Result<(Descriptor, String)> {
        let partial = self.root.join("layer.partial");
        let blob = Hashed::new(File::create(&partial)?);
        // The builder writes no time and no file name: the same tar gives the same blob.
        let gzip = GzBuilder::new().write(blob, Compression::default());
        let mut whole = Hashed::new(gzip);
        io::copy(&mut File::open(tar)?, &mut whole)?;
        let (gzip, diff_id, _) = whole.finish();
        let (_, digest, size) = gzip.finish()?.finish();
        fs::rename(&partial, self.blobs.join(&digest))?;
        Ok((Descriptor::new(LAYER, &digest, size), format!("sha256:{diff_id}")))
    }

    /// Adds a document as a blob and describes it.
    fn add_json(&self, media_type: &'static str, document: &Value) -> anyhow::Result<Descriptor> {
        let bytes = serde_json::to_vec(document)?;
        let mut hashed = Hashed::new(io::sink());
        hashed.write_all(&bytes)?;
        let (_, digest, size) = hashed.finish();
        fs::write(self.blobs.join(&digest), bytes)?;
        Ok(Descriptor::new(media_type, &digest, size))
    }

    /// Writes the entry points; what was added counts from here on.
    fn finish(&self, index: &Value) -> anyhow::Result<()> {
        fs::write(self.root.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
        fs::write(self.root.join("index.json"), serde_json::to_vec(index)?)?;
        Ok(())
    }
}

/// Names a blob.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: &'static str,
    digest: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<Value>,
}

impl Descriptor {
    fn new(media_type: &'static str, hex: &str, size: u64) -> Self {
        let digest = format!("sha256:{hex}");
        Self { media_type, digest, size, platform: None, annotations: None }
    }
}

/// Counts and hashes what it passes on.
struct Hashed<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W> Hashed<W> {
    fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), size: 0 }
    }

    /// What was written to, the hexadecimal digest and the size of what was written.
    fn finish(self) -> (W, String, u64) {
        (self.inner, hex::encode(self.hash.finalize()), self.size)
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        if let Some(bytes) = bytes.get(..written) {
            self.hash.update(bytes);
            self.size += u64::try_from(written).map_err(io::Error::other)?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
