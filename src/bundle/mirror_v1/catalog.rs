//! The filtered catalogs of an archive as images.
//!
//! ```text
//! catalogs/<host>/<path>/<tag or digest>/layout/…            the image as its source has it
//! catalogs/<host>/<path>/<tag or digest>/index/index.json    what was left of its content
//! ```
//!
//! oc-mirror makes an image of both when it pushes them; we make the same kind of image, with the
//! same digest at every opening: on top of each platform a layer that takes `/configs` away and one
//! with the filtered content, which stays where it lies. It is read once for its digest, as nothing
//! else in the archive has one of it. `opm` is told of no cache: it makes its own at its start.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Map, Value, json};

use super::image::{Fault, Maker};
use super::layer;
use super::metadata::Catalog;
use super::names;
use crate::bundle::index::Root;
use crate::bundle::tree::{Stored, Tree};
use crate::bundle::{Error, Problem, read};
use crate::oci::{self, Descriptor, Digest};

/// Where the catalogs are.
pub(super) const CATALOGS: &str = "catalogs/";
const LAYOUT: &str = "/layout/";
const INDEX: &str = "/index/index.json";
/// The largest `index.json` of a layout that is read, in bytes.
const MAX_LAYOUT_SIZE: u64 = 4 << 20;
/// How many catalogs one archive may have.
const MAX_CATALOGS: usize = 1024;
/// Where the content of a catalog is, and the label that says so.
const CONFIGS: &str = "configs";
const LABEL: &str = "operators.operatorframework.io.index.configs.v1";

/// The catalogs as images.
#[derive(Default)]
pub(super) struct Catalogs {
    pub(super) blobs: Vec<(Digest, Stored)>,
    pub(super) roots: Vec<Root>,
    pub(super) problems: Vec<Problem>,
}

impl Catalogs {
    /// Makes an image of each catalog; `asked_for` tells what their sources call them.
    pub(super) fn of(tree: &Tree, asked_for: &[Catalog]) -> Self {
        let mut catalogs = Self::default();
        let mut directories: BTreeMap<&str, Parts<'_>> = BTreeMap::new();
        for (path, stored) in tree.below(CATALOGS) {
            let path = path.strip_prefix(CATALOGS).unwrap_or_default();
            if let Some((directory, file)) = path.split_once(LAYOUT) {
                directories.entry(directory).or_default().layout.push((file, stored));
            } else if let Some(directory) = path.strip_suffix(INDEX) {
                directories.entry(directory).or_default().content = Some(stored);
            }
        }
        let many = directories.len() > MAX_CATALOGS;
        if many {
            let reason = "there are more catalogs than an archive may have";
            catalogs.problems.push(Problem::Omitted { path: CATALOGS.to_owned(), reason });
        }
        for (directory, parts) in directories.into_iter().take(MAX_CATALOGS) {
            if let Err(fault) = catalogs.add(tree, directory, &parts, asked_for) {
                let path = format!("{CATALOGS}{directory}");
                catalogs.problems.push(fault.of(&path));
            }
        }
        catalogs
    }

    fn add(
        &mut self,
        tree: &Tree,
        directory: &str,
        parts: &Parts<'_>,
        asked_for: &[Catalog],
    ) -> Result<(), Fault> {
        let names = names::of_catalog(directory, asked_for);
        if names.is_empty() {
            return Err(Fault::from("its directory names no image"));
        }
        let path = format!("{CATALOGS}{directory}{LAYOUT}{}", oci::INDEX_FILE);
        let text = |error: Error| Fault::Text(error.to_string());
        let bytes = read(tree, &path, MAX_LAYOUT_SIZE).map_err(text)?;
        let index = oci::Index::<Descriptor>::parse(&bytes);
        let index = index.map_err(|error| text(error.into()))?;
        let blobs = parts.blobs();
        // What its source has would be another image under the same name.
        let content = parts.content.ok_or("its content, index/index.json, is not here")?;
        let layers = [layer::without(CONFIGS), layer::holding(CONFIGS, "index.json", content)];
        let layers = layers.into_iter().collect::<Result<Vec<_>, _>>();
        let layers = layers.map_err(|error| Fault::Text(error.to_string()))?;
        let (descriptor, made) = image(&blobs, &layers, &index.manifests)?;
        self.blobs.extend(layers.into_iter().map(|it| (it.digest, it.stored)));
        self.blobs.extend(blobs);
        self.blobs.extend(made);
        self.roots.extend(names.into_iter().map(|(name, tag)| Root {
            name,
            tag,
            descriptor: descriptor.clone(),
        }));
        Ok(())
    }
}

/// The image of these manifests with the layers on top, and the documents that were made for it.
fn image(
    blobs: &HashMap<Digest, Stored>,
    layers: &[super::image::Layer],
    of: &[Descriptor],
) -> Result<(Descriptor, Vec<(Digest, Stored)>), Fault> {
    let configure = |config: &mut Map<String, Value>| {
        let labels = config.entry("Labels").or_insert_with(|| json!({}));
        if !labels.is_object() {
            *labels = json!({});
        }
        if let Some(labels) = labels.as_object_mut() {
            labels.insert(LABEL.to_owned(), format!("/{CONFIGS}").into());
        }
        config.insert("Cmd".to_owned(), json!(["serve", format!("/{CONFIGS}")]));
    };
    let held = |digest: &Digest| blobs.get(digest).cloned();
    let mut maker = Maker::new(&held, layers, &configure);
    let descriptor = maker.image(of)?;
    Ok((descriptor, maker.made))
}

/// What a catalog consists of.
#[derive(Default)]
struct Parts<'a> {
    /// The files of the layout of its original.
    layout: Vec<(&'a str, &'a Stored)>,
    /// What was left of its content.
    content: Option<&'a Stored>,
}

impl Parts<'_> {
    fn blobs(&self) -> HashMap<Digest, Stored> {
        let blobs = self.layout.iter().filter_map(|(file, stored)| {
            let (algorithm, hex) = file.strip_prefix("blobs/")?.split_once('/')?;
            let digest = format!("{algorithm}:{hex}").parse().ok()?;
            Some((digest, (*stored).clone()))
        });
        blobs.collect()
    }
}
