//! Layers that are put on top of images: uncompressed tars of our own, the same for the same files.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::image::Layer;
use crate::bundle::docker::{hash, packed};
use crate::bundle::pieces::Pieces;
use crate::bundle::tree::Stored;
use crate::extent::{Content, InMemory};
use crate::oci::Digest;

/// Two zero blocks end a tar.
const END: usize = 1024;
const BLOCK: u64 = 512;

/// A layer that takes `path` away from those below.
pub(super) fn without(path: &str) -> io::Result<Layer> {
    let marker = match path.rsplit_once('/') {
        Some((above, name)) => format!("{above}/.wh.{name}"),
        None => format!(".wh.{path}"),
    };
    let mut bytes = header(&marker, tar::EntryType::Regular, 0)?;
    bytes.resize(bytes.len().saturating_add(END), 0);
    Ok(in_memory(bytes))
}

/// A layer of one file in one directory. The file stays where it is, and is read once for its
/// digest.
pub(super) fn holding(directory: &str, name: &str, file: &Stored) -> io::Result<Layer> {
    let mut before = header(&format!("{directory}/"), tar::EntryType::Directory, 0)?;
    let path = format!("{directory}/{name}");
    before.extend(header(&path, tar::EntryType::Regular, file.length())?);
    let padding = file.length().next_multiple_of(BLOCK) - file.length();
    let after = usize::try_from(padding).map_err(io::Error::other)?.saturating_add(END);
    let memory = |bytes| Content::Packed(Arc::new(InMemory(bytes)));
    let pieces = Pieces::of([memory(before), file.open()?, memory(vec![0; after])])?;
    let pieces = Arc::new(pieces);
    let digest = hash(&Content::Packed(Arc::clone(&pieces) as _))?;
    Ok(Layer { digest, stored: Stored::Packed(pieces) })
}

/// A layer of small files in one directory, by their paths in it.
pub(super) fn of(directory: &str, files: &BTreeMap<String, Vec<u8>>) -> io::Result<Layer> {
    let mut bytes = header(&format!("{directory}/"), tar::EntryType::Directory, 0)?;
    for (path, file) in files {
        let path = format!("{directory}/{path}");
        bytes.extend(header(&path, tar::EntryType::Regular, file.len() as u64)?);
        bytes.extend(file);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
    }
    bytes.resize(bytes.len().saturating_add(END), 0);
    Ok(in_memory(bytes))
}

fn in_memory(bytes: Vec<u8>) -> Layer {
    Layer { digest: Digest::of(&bytes), stored: packed(bytes) }
}

/// The header of a file of root, which was changed at the beginning of time.
///
/// Fails for a path that does not fit into one.
fn header(path: &str, kind: tar::EntryType, size: u64) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_path(path)?;
    header.set_entry_type(kind);
    header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    Ok(header.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn read(layer: &Layer) -> Vec<(String, Vec<u8>)> {
        let bytes = layer.stored.open().unwrap().read_all(1 << 20).unwrap();
        assert_eq!(layer.digest, Digest::of(&bytes));
        let mut archive = tar::Archive::new(&bytes[..]);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            assert_eq!(entry.header().uid().unwrap() + entry.header().mtime().unwrap(), 0);
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (entry.path().unwrap().to_str().unwrap().to_owned(), bytes)
        });
        entries.collect()
    }

    #[test]
    fn layers_are_tars_of_what_they_hold() {
        let named = |path: &str, bytes: &[u8]| (path.to_owned(), bytes.to_vec());
        assert_eq!(read(&without("configs").unwrap()), [named(".wh.configs", b"")]);
        for length in [0, 1, 511, 512, 513] {
            let bytes = vec![b'x'; length];
            let layer = holding("configs", "index.json", &packed(bytes.clone())).unwrap();
            let expected = [named("configs/", b""), named("configs/index.json", &bytes)];
            assert_eq!(read(&layer), expected);
            let files = BTreeMap::from([("index.json".to_owned(), bytes)]);
            assert_eq!(of("configs", &files).unwrap().digest, layer.digest);
        }
        let long = BTreeMap::from([("x".repeat(300), vec![])]);
        assert!(of("configs", &long).is_err());
    }
}
