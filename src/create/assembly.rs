//! The files of each bundle and its documents: a pure function of the edition and the request.
//!
//! Documents and small blobs come first, so that a bundle opens with few reads.

use std::collections::BTreeMap;
use std::path::PathBuf;

use uuid::Uuid;

use super::edition::Edition;
use super::split::split;
use super::{Error, Request};
use crate::imageset::record::{
    self, CONFIG_FILE, Part, RECORD_FILE, Record, SCHEMA_VERSION, file_name,
};
use crate::oci::{Digest, INDEX_FILE, LAYOUT_FILE, LAYOUT_TEXT, blob_path};

/// Blobs of this size and more lie behind all others, in bytes.
const LARGE: u64 = 64 << 10;

/// Which imageset it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    /// Its id; nothing for a new one.
    pub(super) id: Option<Uuid>,
    /// The id of the one that a new one replaces.
    pub(super) replaces: Option<Uuid>,
}

/// What one bundle consists of: a sequence, or a part of one.
#[derive(Clone, Debug)]
pub(super) struct Assembly {
    /// Where it is to lie.
    pub(super) path: PathBuf,
    /// The digest of its record.
    pub(super) digest: Digest,
    /// The id of the imageset.
    pub(super) id: Uuid,
    documents: Vec<(String, Vec<u8>)>,
    /// Every blob, manifests included, in the order in which they lie.
    blobs: Vec<(Digest, u64)>,
}

/// The bundles of an edition: one, unless the request limits their size.
///
/// `created` is when they are said to be made. The digest of the last record stands for all.
///
/// # Errors
///
/// When a blob is larger than a bundle may be.
pub(super) fn assemble(
    edition: &Edition,
    request: &Request,
    identity: Identity,
    created: &str,
) -> Result<Vec<Assembly>, Error> {
    let mut documents = vec![
        (LAYOUT_FILE.to_owned(), LAYOUT_TEXT.into()),
        (INDEX_FILE.to_owned(), edition.index.clone()),
    ];
    let config = request.config.as_ref();
    documents.extend(config.map(|text| (CONFIG_FILE.to_owned(), text.clone().into_bytes())));
    let mut record = Record {
        schema_version: SCHEMA_VERSION,
        id: Uuid::nil(),
        name: request.name.clone(),
        sequence: edition.sequence,
        previous: edition.previous.clone(),
        part: None,
        created: created.to_owned(),
        generator: concat!("shipperd ", env!("CARGO_PKG_VERSION")).to_owned(),
        files: documents.iter().map(|(path, bytes)| file(path, bytes)).collect(),
        blobs: listed(&edition.carried),
        needs: edition.needs.clone(),
        sparse: edition.sparse.clone(),
        failed: edition.failed.clone(),
        unknown: serde_json::Map::new(),
    };
    record.id = match identity.id {
        Some(id) => id,
        None => id_of(&record, identity.replaces)?,
    };
    let parts = match request.archive_size {
        None => vec![edition.carried.clone()],
        Some(limit) => {
            record.blobs = Vec::new();
            let bare = record.to_bytes()?.len() + edition.index.len();
            let config = request.config.as_ref().map_or(0, String::len);
            let documents = (bare + config) as u64;
            split(&edition.carried, documents, limit)
                .map_err(|source| Error::TooLarge { needed_by: String::new(), source })?
        }
    };
    let count = u32::try_from(parts.len()).unwrap_or(u32::MAX);
    let mut assemblies: Vec<Assembly> = Vec::with_capacity(parts.len());
    for (number, blobs) in (1..).zip(parts) {
        let previous = assemblies.last().map(|before| before.digest.clone());
        record.part = (count > 1).then_some(Part { number, count, previous });
        record.blobs = listed(&blobs);
        let bytes = record.to_bytes()?;
        let digest = Digest::of(&bytes);
        let mut documents = documents.clone();
        documents.push((RECORD_FILE.to_owned(), bytes));
        let (large, mut blobs): (Vec<_>, Vec<_>) =
            blobs.into_iter().partition(|(_, size)| *size >= LARGE);
        blobs.extend(large);
        let part = (count > 1).then_some((number, count));
        let path = request.output.join(file_name(&request.name, edition.sequence, part));
        assemblies.push(Assembly { path, digest, id: record.id, documents, blobs });
    }
    Ok(assemblies)
}

impl Assembly {
    /// The paths and sizes of all files, in the order in which they lie.
    pub(super) fn files(&self) -> Vec<(String, u64)> {
        let documents = self.documents.iter();
        let documents = documents.map(|(path, bytes)| (path.clone(), bytes.len() as u64));
        let blobs = self.blobs.iter().map(|(digest, size)| (blob_path(digest), *size));
        documents.chain(blobs).collect()
    }

    /// The documents, with their places among all files.
    pub(super) fn documents(&self) -> impl Iterator<Item = (usize, &[u8])> {
        self.documents.iter().enumerate().map(|(at, (_, bytes))| (at, &bytes[..]))
    }

    /// The blobs and their sizes, with their places among all files.
    pub(super) fn blobs(&self) -> impl Iterator<Item = (usize, &Digest, u64)> {
        let blobs = self.blobs.iter().enumerate();
        blobs.map(|(at, (digest, size))| (self.documents.len() + at, digest, *size))
    }

    /// What tells whether another assembly lays out the same files.
    pub(super) fn layout_digest(&self) -> Digest {
        let lines = self.files().into_iter().map(|(path, size)| format!("{path} {size}\n"));
        Digest::of(lines.collect::<String>().as_bytes())
    }
}

fn listed(blobs: &BTreeMap<Digest, u64>) -> Vec<record::Blob> {
    let blobs = blobs.iter();
    blobs.map(|(digest, size)| record::Blob { digest: digest.clone(), size: *size }).collect()
}

fn file(path: &str, bytes: &[u8]) -> record::File {
    record::File { path: path.to_owned(), digest: Digest::of(bytes), size: bytes.len() as u64 }
}

/// An id made of the content, so that the same content gets the same one, but for what it
/// replaces: RFC 9562 version 8.
fn id_of(record: &Record, replaces: Option<Uuid>) -> Result<Uuid, Error> {
    let mut seed = record.to_bytes()?;
    seed.extend(replaces.iter().flat_map(Uuid::as_bytes));
    let mut bytes = [0; 16];
    if let Digest::Sha256(digest) = Digest::of(&seed) {
        for (byte, from) in bytes.iter_mut().zip(digest) {
            *byte = from;
        }
    }
    Ok(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}
