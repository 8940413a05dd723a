//! The graph data of an archive as the image that the update service copies it out of.
//!
//! ```text
//! cincinnati/cincinnati-graph-data.tar.gz      the graph data
//! release-signatures/signature-….json          ConfigMaps, `binaryData: {<algorithm>-<hex>-<n>: …}`
//! ```
//!
//! oc-mirror makes the image when it pushes: the data on top of a UBI image that it mirrors for
//! that, as `cp` copies it when the image runs. We make the same kind of image, with the same digest
//! at every opening.
//! <https://github.com/openshift/oc-mirror/blob/main/v1/pkg/cli/mirror/cincinnati_graph_image.go>

use std::collections::BTreeMap;
use std::io::{self, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::image::{Fault, Maker};
use super::layer;
use super::names::nowhere;
use crate::bundle::index::Root;
use crate::bundle::tree::{Stored, Tree, clean};
use crate::bundle::{Error, storage};
use crate::oci::Digest;

/// The graph data.
pub(super) const DATA: &str = "cincinnati/cincinnati-graph-data.tar.gz";
pub(super) const SIGNATURES: &str = "release-signatures/";
/// What the image is called.
pub(super) const IMAGE: &str = "openshift/graph-image";
const TAG: &str = "latest";
/// Where the data is in the image.
const PLACE: &str = "var/lib/cincinnati-graph-data";
/// What copies it to where the update service reads it.
const COMMAND: &str = "exec cp -rp /var/lib/cincinnati-graph-data/* /var/lib/cincinnati/graph-data";
/// The largest graph data kept, in bytes: there are five or so MiB of it.
const MAX_SIZE: usize = 32 << 20;
/// The largest signature file that is read, in bytes.
const MAX_SIGNATURE_SIZE: u64 = 1 << 20;
/// The image, and the documents and layers that were made for it.
pub(super) struct Graph {
    pub(super) root: Root,
    pub(super) blobs: Vec<(Digest, Stored)>,
}

/// Makes the image of the graph data, if there is any, on one of `bases`; `held` are the blobs at
/// hand.
pub(super) fn make(
    tree: &Tree,
    bases: &[Digest],
    held: &dyn Fn(&Digest) -> Option<Stored>,
) -> Result<Option<Graph>, Fault> {
    let Some(data) = tree.get(DATA) else { return Ok(None) };
    let Some(base) = bases.iter().find(|base| held(base).is_some()) else {
        return Err(Fault::from(if bases.is_empty() {
            "the image that it is made on, registry.access.redhat.com/ubi…, is not named"
        } else {
            "the image that it is made on is in another file or an earlier sequence"
        }));
    };
    let (Ok(repository), Ok(tag)) = (IMAGE.parse(), TAG.parse()) else { return Ok(None) };
    let name = nowhere(repository);
    let text = |error: Error| Fault::Text(error.to_string());
    let base = storage::root(name.clone(), None, base.clone()).map_err(text)?.descriptor;
    let text = |error: io::Error| Fault::Text(format!("{DATA}: {error}"));
    let mut files = unpack(data).map_err(text)?;
    sign(tree, &mut files);
    let layers = [layer::of(PLACE, &files).map_err(text)?];
    let configure = |config: &mut Map<String, Value>| {
        config.remove("Entrypoint");
        config.insert("Cmd".to_owned(), json!(["/bin/bash", "-c", COMMAND]));
    };
    let mut maker = Maker::new(held, &layers, &configure);
    let descriptor = maker.image(&[base])?;
    let mut made = maker.made;
    made.extend(layers.into_iter().map(|it| (it.digest, it.stored)));
    let root = Root { name, tag: Some(tag), descriptor };
    Ok(Some(Graph { root, blobs: made }))
}

/// The files of the graph data, as far as they have names that can be kept.
fn unpack(data: &Stored) -> io::Result<BTreeMap<String, Vec<u8>>> {
    let content = data.open()?;
    let packed = Reader { content: &content, position: 0 };
    // What unpacks to more than that is no graph data.
    let limit = MAX_SIZE as u64;
    let mut archive = tar::Archive::new(MultiGzDecoder::new(packed).take(limit));
    let mut files = BTreeMap::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let Some(path) = clean(&entry.path_bytes()) else { continue };
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        files.insert(path, bytes);
    }
    if files.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it holds no files"));
    }
    Ok(files)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ConfigMap {
    #[serde(default)]
    binary_data: BTreeMap<String, String>,
}

/// Adds the signatures of releases, as the update service looks for them.
fn sign(tree: &Tree, files: &mut BTreeMap<String, Vec<u8>>) {
    let mut left = MAX_SIZE;
    for (_, stored) in tree.below(SIGNATURES).filter(|(path, _)| path.ends_with(".json")) {
        let read = stored.open().and_then(|content| content.read_all(MAX_SIGNATURE_SIZE));
        let Some(rest) = read.as_ref().map_or(Some(left), |it| left.checked_sub(it.len())) else {
            return;
        };
        left = rest;
        let map = read.ok().and_then(|it| serde_json::from_slice::<ConfigMap>(&it).ok());
        for (key, value) in map.into_iter().flat_map(|it| it.binary_data) {
            let parts: Vec<&str> = key.split('-').collect();
            let [algorithm, hex, number] = parts.as_slice() else { continue };
            let is_digest = format!("{algorithm}:{hex}").parse::<Digest>().is_ok();
            if let (true, Ok(number), Ok(bytes)) =
                (is_digest, number.parse::<u32>(), STANDARD.decode(value))
            {
                let path = format!("signatures/{algorithm}/{hex}/signature-{number}");
                files.insert(path, bytes);
            }
        }
    }
}

/// Reads a content from its beginning on.
struct Reader<'a> {
    content: &'a crate::extent::Content,
    position: u64,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = self.content.length().saturating_sub(self.position);
        let length = usize::try_from(rest).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = buffer.get_mut(..length).unwrap_or_default();
        self.content.read_at(buffer, self.position)?;
        self.position += length as u64;
        Ok(length)
    }
}
