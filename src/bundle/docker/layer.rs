//! The layers of a docker-archive: how each is packed, and the digest of its bytes.

use std::collections::HashMap;
use std::io;

use super::super::tree::{self, Stored, Tree};
use super::hash;
use super::image::Fault;
use crate::extent::Content;
use crate::oci::Digest;

/// How a layer is packed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// What a file that is a layer holds.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) packing: Packing,
    /// The digest of the file, if it is not the one that the configuration says.
    pub(super) digest: Option<Digest>,
    pub(super) stored: Stored,
}

/// The layers of an archive, each looked at once however many images have it.
#[derive(Debug)]
pub(super) struct Layers<'t> {
    tree: &'t Tree,
    known: HashMap<String, Layer>,
}

impl<'t> Layers<'t> {
    pub(super) fn new(tree: &'t Tree) -> Self {
        Self { tree, known: HashMap::new() }
    }

    /// The layer at a path that `manifest.json` says, of which the configuration says `diff_id`.
    pub(super) fn find(&mut self, path: &str, diff_id: &Digest) -> Result<Layer, Fault> {
        let clean = tree::clean(path.as_bytes()).ok_or_else(|| Fault::Outside(path.to_owned()))?;
        if let Some(layer) = self.known.get(&clean) {
            return Ok(layer.clone());
        }
        let stored = self.tree.get(&clean).ok_or_else(|| Fault::Absent(path.to_owned()))?;
        let unread = |source| Fault::Unread(path.to_owned(), source);
        let content = stored.open().map_err(unread)?;
        let packing = packing(&content).map_err(unread)?;
        let packing = packing.map_err(|with| Fault::Packed(path.to_owned(), with))?;
        // Compressed bytes never have the digest of what they unpack to: that is a name only.
        let (packing, digest) = match (packing, named(&clean).filter(|it| it != diff_id)) {
            // Its beginning is damaged, or this is no digest: its first reader will know.
            (Packing::Plain, Some(named)) if let Some(said) = said(&clean) => (said, Some(named)),
            (Packing::Plain, _) => (packing, None),
            (_, Some(named)) => (packing, Some(named)),
            (_, None) => (packing, Some(hash(&content).map_err(unread)?)),
        };
        let layer = Layer { packing, digest, stored: stored.clone() };
        self.known.insert(clean, layer.clone());
        Ok(layer)
    }
}

/// How a layer is packed, or with what if no registry carries that.
fn packing(content: &Content) -> io::Result<Result<Packing, &'static str>> {
    let mut magic = [0; 6];
    let length = magic.len().min(usize::try_from(content.length()).unwrap_or(magic.len()));
    content.read_at(magic.get_mut(..length).unwrap_or_default(), 0)?;
    Ok(match magic {
        [0x1f, 0x8b, ..] => Ok(Packing::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => Ok(Packing::Zstd),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Err("xz"),
        [b'B', b'Z', b'h', b'1'..=b'9', b'1', b'A'] => Err("bzip2"),
        _ => Ok(Packing::Plain),
    })
}

/// How the name of a file says that it is packed.
fn said(path: &str) -> Option<Packing> {
    let known = [(".tar.gz", Packing::Gzip), (".tar.zst", Packing::Zstd)];
    known.into_iter().find_map(|(ending, packing)| path.ends_with(ending).then_some(packing))
}

/// The digest that the name of a file says: `<hex>.tar.gz`, `<hex>.json`, `sha256:<hex>`, `<hex>`.
pub(super) fn named(path: &str) -> Option<Digest> {
    let file = path.rsplit('/').next().unwrap_or(path);
    let word = file.split('.').next().unwrap_or(file);
    if word.contains(':') { word.parse().ok() } else { format!("sha256:{word}").parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_in_names() {
        let digest = Digest::of(b"");
        let hex = digest.hex();
        for (path, is_named) in [
            (format!("{hex}.tar.gz"), true),
            (format!("{hex}.json"), true),
            (format!("{hex}.tar"), true),
            (format!("sha256:{hex}"), true),
            (format!("blobs/sha256/{hex}"), true),
            (format!("{hex}/layer.tar"), false),
            ("layer.tar".to_owned(), false),
            (format!("{hex}0.tar"), false),
            (String::new(), false),
        ] {
            assert_eq!(named(&path), is_named.then(|| digest.clone()), "{path}");
        }
    }
}
