//! Which edition of which imageset a bundle of ours is, and whether it is all there.

use super::tree::Tree;
use super::{Error, read};
use crate::imageset::record::{RECORD_FILE, Record};
use crate::oci::{Digest, blob_path};

/// The largest record read, in bytes: more than a million blobs.
const MAX_RECORD_SIZE: u64 = 256 << 20;
/// The largest other file whose digest is verified when a bundle is opened, in bytes.
const MAX_DOCUMENT_SIZE: u64 = 128 << 20;

/// The record of a bundle and its digest.
#[derive(Clone, Debug)]
pub struct Edition {
    /// The digest of the record: the identity of the bundle.
    pub digest: Digest,
    /// The record; without its list of blobs where the index of the bundle has them.
    pub record: Record,
}

/// Whether there is a record to read.
pub(super) fn is_there(tree: &Tree) -> bool {
    tree.get(RECORD_FILE).is_some()
}

/// Reads the record of a bundle of ours, without its list of blobs; nothing when there is none.
///
/// Everything that it lists must be there with its size; with `verify`, the digests of the
/// files that are no blobs are verified.
///
/// # Errors
///
/// When the record is broken, or the bundle is not what it says.
pub fn find(tree: &Tree, verify: bool) -> Result<Option<Edition>, Error> {
    let mut found = whole(tree, verify)?;
    if let Some(edition) = &mut found {
        edition.record.blobs = Vec::new();
    }
    Ok(found)
}

/// The same, with the list of blobs.
pub(super) fn whole(tree: &Tree, verify: bool) -> Result<Option<Edition>, Error> {
    if !is_there(tree) {
        return Ok(None);
    }
    let (digest, record) = {
        // Of a long one it is worth it to let go of the text before the rest is looked at.
        let bytes = read(tree, RECORD_FILE, MAX_RECORD_SIZE)?;
        (Digest::of(&bytes), Record::parse(&bytes)?)
    };
    for file in &record.files {
        has(tree, &file.path, file.size)?;
        if verify && file.size <= MAX_DOCUMENT_SIZE {
            let found = Digest::of(&read(tree, &file.path, MAX_DOCUMENT_SIZE)?);
            if found != file.digest {
                let (found, expected) = (found.to_string(), file.digest.to_string());
                return Err(Error::Altered { path: file.path.clone(), expected, found });
            }
        }
    }
    for blob in &record.blobs {
        has(tree, &blob_path(&blob.digest), blob.size)?;
    }
    Ok(Some(Edition { digest, record }))
}

fn has(tree: &Tree, path: &str, size: u64) -> Result<(), Error> {
    let found = match tree.get(path) {
        Some(stored) if stored.length() == size => return Ok(()),
        Some(stored) => format!("{} bytes", stored.length()),
        None => "absent".to_owned(),
    };
    Err(Error::Altered { path: path.to_owned(), expected: format!("{size} bytes"), found })
}
