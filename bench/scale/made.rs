//! Bundles that are made for scale: all that is read to open one is real, layers are holes.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use shipperd::bundle::squashfs::{Layout, Space, Writer};
use shipperd::imageset::record::{self, Previous, RECORD_FILE, Record};
use shipperd::oci::{Digest, blob_path};
use uuid::Uuid;

use crate::load::Wanted;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// Images to a repository.
const REPOSITORY: usize = 100;

/// What a bundle is to hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Each has a manifest, a config and at least one layer.
    pub(super) images: usize,
    /// Layers carried, dealt out to the images.
    pub(super) layers: usize,
    /// Bytes of all layers together.
    pub(super) bytes: u64,
    /// How many layers of earlier sequences each image needs as well.
    pub(super) earlier: usize,
    /// How many of the last images of earlier sequences are still wanted, and so named.
    pub(super) kept: usize,
}

impl Shape {
    /// So many blobs, manifests among them, in the proportions of the bench's index.
    pub(super) fn of(blobs: usize, bytes: u64) -> Self {
        let images = blobs * 8 / 25;
        Self { images, layers: blobs - 2 * images, bytes, earlier: 0, kept: 0 }
    }
}

/// A bundle on disk.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) path: PathBuf,
    /// The path at a registry of its last manifest, by tag, and its size.
    pub(super) probe: Wanted,
}

/// An imageset that bundles are made of, one sequence after the other.
#[derive(Debug)]
pub(super) struct Imageset {
    name: String,
    id: Uuid,
    last: Option<Previous>,
    /// The layers that all sequences so far carry.
    carried: Vec<record::Blob>,
    /// The images that they carry: how an index names each, and what it consists of.
    images: Vec<(Value, Vec<record::Blob>)>,
}

impl Imageset {
    /// One of which there is nothing yet.
    pub(super) fn new(name: &str) -> Self {
        let id = Uuid::new_v4();
        Self { name: name.to_owned(), id, last: None, carried: Vec::new(), images: Vec::new() }
    }

    /// Makes the next sequence.
    pub(super) fn next(&mut self, directory: &Path, shape: Shape) -> Result<Made> {
        let sequence = self.last.as_ref().map_or(1, |last| last.sequence + 1);
        let of = format!("{}-{sequence}", self.name);
        let layers: Vec<_> = (0..shape.layers).map(|number| layer(&of, number, shape)).collect();
        let (mut files, mut entries, mut needs) = (Vec::new(), Vec::new(), Vec::new());
        let mut probe = Wanted::default();
        let kept = self.images.len().saturating_sub(shape.kept);
        for (entry, held) in self.images.iter().skip(kept) {
            entries.push(entry.clone());
            needs.extend(held.iter().cloned());
        }
        let mut images = Vec::new();
        for image in 0..shape.images {
            let own = layers.iter().skip(image).step_by(shape.images);
            let earlier = self.carried.iter().cycle().skip(image * 7).take(shape.earlier);
            needs.extend(earlier.clone().cloned());
            let mut held: Vec<_> = own.clone().chain(earlier.clone()).cloned().collect();
            let config = json!({
                "architecture": "amd64", "os": "linux", "author": format!("{of} {image}"),
                "rootfs": {"type": "layers", "diff_ids": []},
            });
            let config = stored(&mut files, serde_json::to_vec(&config)?);
            let layers: Vec<_> = own.chain(earlier).map(|it| descriptor(LAYER, it)).collect();
            let manifest = json!({
                "schemaVersion": 2, "mediaType": MANIFEST,
                "config": descriptor(CONFIG, &config), "layers": layers,
            });
            let manifest = stored(&mut files, serde_json::to_vec(&manifest)?);
            let (repository, tag) =
                (format!("scale/{of}-{}", image / REPOSITORY), image.to_string());
            let reference = format!("registry.example/{repository}:{tag}");
            held.extend([config, manifest.clone()]);
            images.push((entry(&manifest, &reference), held));
            probe = (format!("/v2/{repository}/manifests/{tag}"), manifest.size);
        }
        entries.extend(images.iter().map(|(entry, _)| entry.clone()));
        needs.sort();
        needs.dedup();
        let mut blobs: Vec<_> = files.iter().map(|(blob, _)| blob.clone()).collect();
        blobs.extend(layers.iter().cloned());
        blobs.sort();
        let mut contents = documents(&entries)?;
        let record = Record {
            schema_version: record::SCHEMA_VERSION,
            id: self.id,
            name: self.name.clone(),
            sequence,
            previous: self.last.clone(),
            part: None,
            created: "2026-11-24T00:00:00Z".to_owned(),
            generator: "bench".to_owned(),
            files: contents.iter().map(|(path, bytes)| file(path, bytes)).collect(),
            blobs,
            needs,
            sparse: Vec::new(),
            failed: Vec::new(),
            unknown: serde_json::Map::new(),
        };
        let record = record.to_bytes()?;
        self.last = Some(Previous { sequence, digest: Digest::of(&record) });
        contents.push((RECORD_FILE.to_owned(), record));
        contents.extend(files.into_iter().map(|(blob, bytes)| (blob_path(&blob.digest), bytes)));
        let path = directory.join(format!("{of}.sqfs"));
        write(&path, &contents, &layers)?;
        self.carried.extend(layers);
        self.images.extend(images);
        Ok(Made { path, probe })
    }
}

fn documents(entries: &[Value]) -> Result<Vec<(String, Vec<u8>)>> {
    let index = json!({"schemaVersion": 2, "manifests": entries});
    Ok(vec![
        ("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec()),
        ("index.json".to_owned(), serde_json::to_vec(&index)?),
    ])
}

/// A layer that nobody has; its size differs a little from the next one's.
fn layer(of: &str, number: usize, shape: Shape) -> record::Blob {
    let size = shape.bytes / shape.layers as u64;
    let digest = Digest::of(format!("{of} {number}").as_bytes());
    record::Blob { digest, size: size - number as u64 % (size / 8).max(1) }
}

/// Takes a blob that is small; answers what it is.
fn stored(files: &mut Vec<(record::Blob, Vec<u8>)>, bytes: Vec<u8>) -> record::Blob {
    let blob = record::Blob { digest: Digest::of(&bytes), size: bytes.len() as u64 };
    files.push((blob.clone(), bytes));
    blob
}

fn descriptor(media_type: &str, blob: &record::Blob) -> Value {
    json!({"mediaType": media_type, "digest": blob.digest.to_string(), "size": blob.size})
}

/// The entry of a manifest in an index, under its full name.
fn entry(manifest: &record::Blob, reference: &str) -> Value {
    json!({
        "mediaType": MANIFEST, "digest": manifest.digest.to_string(), "size": manifest.size,
        "annotations": {
            "org.opencontainers.image.ref.name": reference,
            "io.containerd.image.name": reference,
        },
    })
}

fn file(path: &str, bytes: &[u8]) -> record::File {
    record::File { path: path.to_owned(), digest: Digest::of(bytes), size: bytes.len() as u64 }
}

/// Writes the contents, then a hole for each layer.
fn write(path: &Path, contents: &[(String, Vec<u8>)], layers: &[record::Blob]) -> Result<()> {
    let mut sizes: Vec<_> =
        contents.iter().map(|(path, bytes)| (path.clone(), bytes.len() as u64)).collect();
    sizes.extend(layers.iter().map(|it| (blob_path(&it.digest), it.size)));
    let writer = Writer::create(path, Layout::plan(sizes)?, 0, Space::Sparse)?;
    for (place, (_, bytes)) in contents.iter().enumerate() {
        writer.write_at(place, 0, bytes)?;
    }
    Ok(writer.finish()?)
}

/// Makes an OCI layout of one image whose layers are real; answers its path, its manifest and its
/// layers.
pub(super) fn layout(
    site: &Path,
    layers: usize,
    size: usize,
) -> Result<(PathBuf, Wanted, Vec<Wanted>)> {
    let directory = site.join("layout");
    std::fs::create_dir_all(directory.join("blobs/sha256"))?;
    let put = |bytes: &[u8]| -> Result<record::Blob> {
        let digest = Digest::of(bytes);
        let file = File::create(directory.join(blob_path(&digest)))?;
        file.write_all_at(bytes, 0)?;
        Ok(record::Blob { digest, size: bytes.len() as u64 })
    };
    let mut held = Vec::new();
    for number in 0..layers {
        let mut bytes = vec![u8::try_from(number)?; size];
        bytes.get_mut(..8).context("a layer has bytes")?.copy_from_slice(b"no noise");
        held.push(put(&bytes)?);
    }
    let config = put(br#"{"architecture":"amd64","os":"linux"}"#)?;
    let descriptors: Vec<_> = held.iter().map(|it| descriptor(LAYER, it)).collect();
    let manifest = put(&serde_json::to_vec(&json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config), "layers": descriptors,
    }))?)?;
    let entry = entry(&manifest, "registry.example/scale/busy:1");
    for (path, bytes) in documents(&[entry])? {
        std::fs::write(directory.join(path), bytes)?;
    }
    let wanted = held.iter().map(|it| (format!("/v2/scale/busy/blobs/{}", it.digest), it.size));
    let manifest = ("/v2/scale/busy/manifests/1".to_owned(), manifest.size);
    Ok((directory, manifest, wanted.collect()))
}
