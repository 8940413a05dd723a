//! Which sequence a bundle becomes, what it carries, and what it leaves to the sequences before it:
//! a pure function of the plan and of what was carried before.

use std::collections::BTreeMap;

use super::Error;
use crate::bundle::layout::MAX_INDEX_SIZE;
use crate::imageset::record::{Blob, Failed, Previous};
use crate::oci::{self, CONTAINERD_NAME, Descriptor, Digest, REF_NAME, Reference};
use crate::plan::Plan;
use crate::state::State;

/// What one sequence of an imageset is made of.
#[derive(Debug)]
pub(super) struct Edition {
    /// From 1.
    pub(super) sequence: u64,
    /// The record that it builds on.
    pub(super) previous: Option<Previous>,
    /// The document that names every reference, whichever sequence carries it.
    pub(super) index: Vec<u8>,
    /// The blobs that it carries, manifests included, with their sizes.
    pub(super) carried: BTreeMap<Digest, u64>,
    /// The blobs that its images need and earlier sequences carry.
    pub(super) needs: Vec<Blob>,
    /// The manifests of indexes that were left out and are in no sequence either.
    pub(super) sparse: Vec<Digest>,
    /// What was asked for and is not carried.
    pub(super) failed: Vec<Failed>,
}

impl Edition {
    /// The edition that follows what was carried before.
    ///
    /// # Errors
    ///
    /// When there are more references than one index may name.
    pub(super) fn of(plan: &Plan, past: Option<&State>) -> Result<Self, Error> {
        let roots = plan.roots.iter().map(|(reference, descriptor)| named(reference, descriptor));
        let index = oci::Index::new(roots.collect())?.to_bytes()?;
        readable(plan.roots.len(), index.len() as u64)?;
        let manifests = plan.manifests.iter();
        let manifests = manifests.map(|(digest, it)| (digest.clone(), it.bytes.len() as u64));
        let others = plan.blobs.iter().map(|(digest, blob)| (digest.clone(), blob.size));
        // A manifest may be another image's layer; it is carried once.
        let all: BTreeMap<Digest, u64> = others.chain(manifests).collect();
        let before = past.map(State::carried).unwrap_or_default();
        let absent = |digest: &&Digest| !all.contains_key(digest) && !before.contains_key(digest);
        let sparse = plan.sparse.iter().filter(absent).cloned().collect();
        let (old, carried): (BTreeMap<_, _>, BTreeMap<_, _>) =
            all.into_iter().partition(|(digest, _)| before.contains_key(digest));
        let needs = old.into_iter().map(|(digest, size)| Blob { digest, size }).collect();
        let latest = past.and_then(State::latest);
        let previous =
            latest.map(|it| Previous { sequence: it.sequence, digest: it.digest.clone() });
        let sequence = previous.as_ref().map_or(1, |it| it.sequence.saturating_add(1));
        Ok(Self { sequence, previous, index, carried, needs, sparse, failed: Vec::new() })
    }

    /// Whether a site that has everything up to `past` would gain anything by it.
    pub(super) fn is_news(&self, past: Option<&State>) -> bool {
        let latest = past.and_then(State::latest);
        !self.carried.is_empty() || latest.is_none_or(|it| it.index != Digest::of(&self.index))
    }
}

/// Checks that an index of so many references is not longer than whoever opens the bundle reads.
fn readable(references: usize, size: u64) -> Result<(), Error> {
    if size > MAX_INDEX_SIZE {
        return Err(Error::Index { references, size, limit: MAX_INDEX_SIZE });
    }
    Ok(())
}

fn named(reference: &Reference, descriptor: &Descriptor) -> Descriptor {
    let mut descriptor = descriptor.clone();
    for key in [REF_NAME, CONTAINERD_NAME] {
        descriptor.annotations.insert(key.to_owned(), reference.to_string());
    }
    descriptor
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::oci::MediaType;
    use crate::plan;
    use crate::source::Document;
    use crate::state;

    fn plan(blobs: &[&str]) -> Plan {
        let mut plan = Plan::default();
        let needed_by: Reference = "quay.io/a/b:v1".parse().unwrap();
        let bytes: bytes::Bytes = blobs.join(",").into_bytes().into();
        let digest = Digest::of(&bytes);
        let media_type: MediaType = MediaType::OCI_MANIFEST.parse().unwrap();
        let descriptor = Descriptor::new(media_type.clone(), digest.clone(), bytes.len() as u64);
        plan.roots.insert(needed_by.clone(), descriptor);
        plan.manifests.insert(digest.clone(), Document { media_type, digest, bytes });
        for text in blobs {
            let (name, needed_by) = (needed_by.name(), needed_by.clone());
            let blob = plan::Blob { size: 1, name, origin: 0, needed_by };
            plan.blobs.insert(Digest::of(text.as_bytes()), blob);
        }
        plan
    }

    fn made(mut past: State, edition: &Edition) -> State {
        let blobs = edition.carried.iter();
        let blobs = blobs.map(|(digest, size)| Blob { digest: digest.clone(), size: *size });
        let edition = state::Edition {
            sequence: edition.sequence,
            digest: Digest::of(&edition.sequence.to_le_bytes()),
            created: String::new(),
            parts: 1,
            index: Digest::of(&edition.index),
            blobs: blobs.collect(),
        };
        past.append(edition).unwrap();
        past
    }

    #[test]
    fn what_could_not_be_opened_is_not_made() {
        assert!(readable(100_000, MAX_INDEX_SIZE).is_ok());
        let refused = readable(100_001, MAX_INDEX_SIZE + 1).unwrap_err().to_string();
        assert!(refused.starts_with("cannot name 100001 references"), "{refused}");
    }

    #[test]
    fn each_sequence_carries_what_none_before_it_did() {
        let first = Edition::of(&plan(&["a", "b"]), None).unwrap();
        assert_eq!((first.sequence, first.carried.len(), first.needs.len()), (1, 3, 0));
        assert!(first.previous.is_none() && first.is_news(None));
        let past = made(State::new(Uuid::nil(), "x"), &first);

        let same = Edition::of(&plan(&["a", "b"]), Some(&past)).unwrap();
        assert!(!same.is_news(Some(&past)));

        let second = Edition::of(&plan(&["b", "c"]), Some(&past)).unwrap();
        assert_eq!(second.sequence, 2);
        assert_eq!(second.previous.as_ref().unwrap().digest, past.editions[0].digest);
        assert!(second.carried.contains_key(&Digest::of(b"c")));
        assert_eq!(second.needs, [Blob { digest: Digest::of(b"b"), size: 1 }]);
        assert!(second.is_news(Some(&past)));
        let past = made(past, &second);

        let back = Edition::of(&plan(&["a", "b"]), Some(&past)).unwrap();
        assert!(back.carried.is_empty() && back.is_news(Some(&past)), "a name moved back");
    }

    #[test]
    fn what_an_earlier_sequence_carries_is_not_left_out() {
        let mut wanted = plan(&["a"]);
        wanted.sparse.extend([Digest::of(b"a"), Digest::of(b"z")]);
        let edition = Edition::of(&wanted, None).unwrap();
        assert_eq!(edition.sparse, [Digest::of(b"z")]);
        let past = made(State::new(Uuid::nil(), "x"), &edition);
        let mut wanted = plan(&["b"]);
        wanted.sparse.insert(Digest::of(b"a"));
        assert_eq!(Edition::of(&wanted, Some(&past)).unwrap().sparse, []);
    }
}
