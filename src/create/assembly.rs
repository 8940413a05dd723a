//! The files of a bundle and its documents: a pure function of the plan and the request.
//!
//! Documents and small blobs come first, so that a bundle opens with few reads.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::{Error, Request};
use crate::imageset::record::{self, RECORD_FILE, Record, SCHEMA_VERSION};
use crate::oci::{
    self, CONTAINERD_NAME, Descriptor, Digest, INDEX_FILE, LAYOUT_FILE, LAYOUT_TEXT, REF_NAME,
    Reference, blob_path,
};
use crate::plan::Plan;

/// Blobs of this size and more lie behind all others, in bytes.
const LARGE: u64 = 64 << 10;

/// What a bundle consists of.
pub(super) struct Assembly {
    digest: Digest,
    id: Uuid,
    documents: Vec<(String, Vec<u8>)>,
    /// Every blob, manifests included, in the order in which they lie.
    blobs: Vec<(Digest, u64)>,
    /// The places of the blobs among all files.
    places: BTreeMap<Digest, usize>,
}

impl Assembly {
    pub(super) fn of(plan: &Plan, request: &Request) -> Result<Self, Error> {
        let roots = plan.roots.iter().map(|(reference, descriptor)| named(reference, descriptor));
        let index = oci::Index::new(roots.collect())?.to_bytes()?;
        let mut documents =
            vec![(LAYOUT_FILE.to_owned(), LAYOUT_TEXT.into()), (INDEX_FILE.to_owned(), index)];
        let manifests = plan.manifests.iter();
        let manifests = manifests.map(|(digest, it)| (digest.clone(), it.bytes.len() as u64));
        let others = plan.blobs.iter().map(|(digest, blob)| (digest.clone(), blob.size));
        // A manifest may be another image's layer; it is carried once.
        let all: BTreeMap<Digest, u64> = others.chain(manifests).collect();
        let listed =
            |(digest, size): (&Digest, &u64)| record::Blob { digest: digest.clone(), size: *size };
        let mut record = Record {
            schema_version: SCHEMA_VERSION,
            id: Uuid::nil(),
            name: request.name.clone(),
            sequence: 1,
            previous: None,
            part: None,
            created: request.created.to_string(),
            generator: concat!("shipperd ", env!("CARGO_PKG_VERSION")).to_owned(),
            files: documents.iter().map(|(path, bytes)| file(path, bytes)).collect(),
            blobs: all.iter().map(listed).collect(),
            needs: Vec::new(),
            sparse: plan.sparse.iter().filter(|it| !all.contains_key(it)).cloned().collect(),
            failed: Vec::new(),
            unknown: serde_json::Map::new(),
        };
        record.id = match request.id {
            Some(id) => id,
            None => id_of(&record)?,
        };
        let bytes = record.to_bytes()?;
        let digest = Digest::of(&bytes);
        documents.push((RECORD_FILE.to_owned(), bytes));
        let (large, mut blobs): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, size)| *size >= LARGE);
        blobs.extend(large);
        let places = blobs.iter().enumerate();
        let places =
            places.map(|(at, (digest, _))| (digest.clone(), documents.len() + at)).collect();
        Ok(Self { digest, id: record.id, documents, blobs, places })
    }

    /// The digest of the record.
    pub(super) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The id of the imageset.
    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    /// How many blobs there are, manifests included.
    pub(super) fn blob_count(&self) -> usize {
        self.blobs.len()
    }

    /// The paths and sizes of all files, in the order in which they lie.
    pub(super) fn files(&self) -> Vec<(String, u64)> {
        let documents = self.documents.iter();
        let documents = documents.map(|(path, bytes)| (path.clone(), bytes.len() as u64));
        let blobs = self.blobs.iter().map(|(digest, size)| (blob_path(digest), *size));
        documents.chain(blobs).collect()
    }

    /// The place of a blob among all files.
    pub(super) fn place(&self, digest: &Digest) -> Option<usize> {
        self.places.get(digest).copied()
    }

    /// The documents and manifests, with their places.
    pub(super) fn documents<'a>(
        &'a self,
        plan: &'a Plan,
    ) -> impl Iterator<Item = (usize, &'a [u8])> {
        let documents = self.documents.iter().enumerate().map(|(at, (_, bytes))| (at, &bytes[..]));
        let manifests = plan.manifests.iter();
        let manifests =
            manifests.filter_map(|(digest, it)| Some((self.place(digest)?, &it.bytes[..])));
        documents.chain(manifests)
    }
}

fn named(reference: &Reference, descriptor: &Descriptor) -> Descriptor {
    let mut descriptor = descriptor.clone();
    for key in [REF_NAME, CONTAINERD_NAME] {
        descriptor.annotations.insert(key.to_owned(), reference.to_string());
    }
    descriptor
}

fn file(path: &str, bytes: &[u8]) -> record::File {
    record::File { path: path.to_owned(), digest: Digest::of(bytes), size: bytes.len() as u64 }
}

/// An id made of the content: RFC 9562 version 8.
fn id_of(record: &Record) -> Result<Uuid, Error> {
    let digest = Digest::of(&record.to_bytes()?);
    let mut bytes = [0; 16];
    if let Digest::Sha256(digest) = digest {
        for (byte, from) in bytes.iter_mut().zip(digest) {
            *byte = from;
        }
    }
    Ok(uuid::Builder::from_custom_bytes(bytes).into_uuid())
}
