//! What one bundle holds, as `inspect` says it.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use serde::Serialize;

use super::references::{Reference, references};
use crate::bundle::Bundle;
use crate::bundle::index::{Absent, Ordinal};
use crate::cli::bundles;
use crate::imageset::record::{Failed, Part, Previous};
use crate::oci::{Digest, Role};

/// What is inside one bundle.
#[derive(Serialize)]
pub(super) struct Inside {
    pub(super) path: PathBuf,
    pub(super) format: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) imageset: Option<Imageset>,
    /// Which archive of oc-mirror v1 it is the first file of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) archive: Option<Archive>,
    pub(super) blobs: usize,
    pub(super) bytes: u64,
    pub(super) references: Vec<Reference>,
    /// What earlier sequences carry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) needs: Option<Needs>,
    /// What is absent and the other parts must carry, which are not all here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) other_parts: Option<Needs>,
    pub(super) missing: Vec<Missing>,
    /// Platforms and others left out on purpose.
    pub(super) sparse: Vec<Digest>,
    /// What was asked for and is not carried.
    pub(super) failed: Vec<Failed>,
    pub(super) problems: Vec<String>,
}

/// Which edition a bundle is.
#[derive(Serialize)]
pub(super) struct Imageset {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) sequence: u64,
    pub(super) digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) part: Option<Part>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) previous: Option<Previous>,
    pub(super) created: String,
    pub(super) generator: String,
}

/// Which archive of oc-mirror v1 a bundle is the first file of.
#[derive(Serialize)]
pub(super) struct Archive {
    pub(super) uid: String,
    pub(super) sequence: u64,
    pub(super) single_use: bool,
}

/// What the images of a bundle need and others carry.
#[derive(Serialize)]
pub(super) struct Needs {
    pub(super) blobs: usize,
    pub(super) bytes: u64,
}

/// Something that is needed and in none of the bundles.
#[derive(Serialize)]
pub(super) struct Missing {
    pub(super) digest: Digest,
    /// Its size, unless a mere name says that it is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<u64>,
    pub(super) needed_by: Vec<String>,
    /// When the archive of oc-mirror was made that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) in_archive_of: Option<String>,
    /// The same in words, as far as the bundle says it.
    #[serde(skip)]
    pub(super) elsewhere: Option<String>,
}

impl Needs {
    /// Nothing if there are none of these sizes.
    fn of(sizes: impl Iterator<Item = u64>) -> Option<Self> {
        let sum = |(blobs, bytes): (usize, u64), size| (blobs + 1, bytes.saturating_add(size));
        let (blobs, bytes) = sizes.fold((0, 0), sum);
        (blobs > 0).then_some(Self { blobs, bytes })
    }
}

impl Inside {
    /// What is in a bundle that perhaps waits for its other parts; `here` tells what any of the
    /// bundles holds.
    pub(super) fn of(bundle: &Bundle, waits: bool, here: &impl Fn(&Digest) -> bool) -> Self {
        let index = &bundle.index;
        let record = bundle.edition.as_ref().map(|edition| &edition.record);
        let imageset = bundle.edition.as_ref().map(|edition| Imageset {
            id: edition.record.id.to_string(),
            name: edition.record.name.clone(),
            sequence: edition.record.sequence,
            part: edition.record.part.clone(),
            digest: edition.digest.clone(),
            previous: edition.record.previous.clone(),
            created: edition.record.created.clone(),
            generator: edition.record.generator.clone(),
        });
        let edition_v1 = bundle.archive_v1.as_ref().and_then(|it| it.edition.as_ref());
        let needs: HashSet<&Digest> =
            record.into_iter().flat_map(|it| &it.needs).map(|blob| &blob.digest).collect();
        let sparse = sparse(bundle, here);
        let left_out: HashSet<&Digest> = sparse.iter().collect();
        let children = index.absent().iter().map(|it| (&it.digest, it.size, it.parent));
        let roots = index.elsewhere().iter();
        let roots = roots.filter_map(|it| Some((&it.digest, it.size, index.place(&it.digest)?)));
        let mut missing = BTreeMap::new();
        for (digest, bytes, needed_by) in children.chain(roots) {
            if here(digest) || left_out.contains(digest) || needs.contains(digest) {
                continue;
            }
            let entry = missing.entry(digest.clone()).or_insert_with(|| {
                let earlier = bundle.archive.as_ref().and_then(|it| it.earlier.get(digest));
                let in_archive_of = earlier.map(ToString::to_string);
                let bytes = Some(bytes).filter(|bytes| *bytes > 0);
                let (needed_by, elsewhere) = (Vec::new(), bundle.elsewhere(digest));
                Missing { digest: digest.clone(), bytes, needed_by, in_archive_of, elsewhere }
            });
            entry.needed_by.extend(index.references(needed_by));
            entry.needed_by.sort_unstable();
            entry.needed_by.dedup();
        }
        let is_part = record.is_some_and(|it| it.part.is_some());
        // What a part lacks, the others have.
        let others = if is_part && waits { std::mem::take(&mut missing) } else { BTreeMap::new() };
        let needs = record.into_iter().flat_map(|it| &it.needs);
        Self {
            path: bundle.path.clone(),
            format: bundle.format.to_string(),
            imageset,
            archive: edition_v1.map(|it| Archive {
                uid: it.uid.to_string(),
                sequence: it.sequence,
                single_use: it.single_use,
            }),
            blobs: index.blobs().len(),
            bytes: bundles::bytes_of(bundle),
            references: references(index),
            needs: Needs::of(needs.map(|need| need.size)),
            other_parts: Needs::of(others.values().filter_map(|it| it.bytes)),
            missing: missing.into_values().collect(),
            sparse,
            failed: record.map(|it| it.failed.clone()).unwrap_or_default(),
            problems: bundle.problems.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The platforms that were left out on purpose. Where no record says which, it is those of an index
/// that are in no other file, while others of it are here: that is how tools leave them out.
fn sparse(bundle: &Bundle, here: &impl Fn(&Digest) -> bool) -> Vec<Digest> {
    if let Some(edition) = &bundle.edition {
        return edition.record.sparse.clone();
    }
    let index = &bundle.index;
    let manifests = index.manifests().iter();
    let served: HashSet<Ordinal> =
        manifests.flat_map(|(manifest, _)| index.parents(*manifest)).collect();
    let is_left_out = |it: &&Absent| {
        it.role == Role::Manifest
            && served.contains(&it.parent)
            && !here(&it.digest)
            && bundle.elsewhere(&it.digest).is_none()
    };
    let mut sparse: Vec<_> =
        index.absent().iter().filter(is_left_out).map(|it| it.digest.clone()).collect();
    sparse.dedup();
    sparse
}
