//! What a bundle holds, found once when it is opened: blobs, manifests, names, and who needs whom.
//!
//! Blobs are known by their place in one sorted table, 32 bits each, so that memory grows
//! with the number of entries only, and slowly. Nothing of the manifests' text is kept.
//! A bundle of a sequence names manifests that earlier ones hold: their places follow those
//! of the blobs.

mod build;

use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

pub use build::build;

use super::Problem;
use super::tree::Stored;
use crate::oci::{Descriptor, Digest, MediaType, Name, Role, Tag};

/// What the type of a manifest is said to be that nobody says it of but the manifest itself.
pub(super) const UNTYPED: &str = "application/octet-stream";

/// A blob's place in the table of its bundle; behind them, that of a manifest named here and
/// held elsewhere.
pub type Ordinal = u32;

/// Whether a bundle may name manifests that it does not hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Roots {
    /// Each must be here; that one is not is a problem.
    Here,
    /// Other bundles of the same imageset may hold them.
    Elsewhere,
}

/// What a bundle holds.
#[expect(clippy::module_name_repetitions, reason = "`Index` is the OCI document")]
#[derive(Clone, Debug, Default)]
pub struct ContentIndex {
    /// Every blob, sorted by digest.
    blobs: Vec<(Digest, Stored)>,
    /// The manifests that are named here and held elsewhere, sorted by digest: their places
    /// follow the blobs'.
    elsewhere: Vec<Elsewhere>,
    /// Which blobs are manifests, sorted by blob.
    manifests: Vec<(Ordinal, MediaType)>,
    /// Which manifests need a blob: (blob, manifest), sorted.
    parents: Vec<(Ordinal, Ordinal)>,
    /// What manifests here need and this bundle does not hold, sorted by digest.
    absent: Vec<Absent>,
    /// The repositories.
    names: BTreeMap<Name, Repository>,
    /// The manifests that are about another one, by that one's digest.
    referrers: BTreeMap<Digest, Vec<Descriptor>>,
    /// Blobs found damaged when the bundle was opened.
    damaged: Vec<Ordinal>,
    /// Blobs that should be manifests and cannot be read as such.
    unreadable: Vec<Ordinal>,
}

/// One repository of a bundle.
#[derive(Clone, Debug, Default)]
pub struct Repository {
    /// Its tags.
    pub tags: BTreeMap<Tag, Ordinal>,
    /// The manifests that were carried for it, with or without a tag.
    pub roots: BTreeSet<Ordinal>,
}

impl Repository {
    /// The manifests that were carried for it and that no tag names.
    pub fn untagged(&self) -> impl Iterator<Item = Ordinal> {
        let tagged: BTreeSet<_> = self.tags.values().copied().collect();
        self.roots.iter().copied().filter(move |root| !tagged.contains(root))
    }
}

/// A manifest that a bundle names and does not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Elsewhere {
    /// What it is.
    pub digest: Digest,
    /// Its type, as the bundle says.
    pub media_type: MediaType,
    /// Its size in bytes, as the bundle says; 0 if it does not say.
    pub size: u64,
}

/// Something that a manifest needs and the bundle does not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Absent {
    /// What it is.
    pub digest: Digest,
    /// Its size in bytes, as the manifest says.
    pub size: u64,
    /// What part it plays there.
    pub role: Role,
    /// Its type if it is a manifest, as its parent says.
    pub media_type: Option<MediaType>,
    /// The manifest.
    pub parent: Ordinal,
}

/// A manifest that the bundle was made to carry.
#[derive(Clone, Debug)]
pub struct Root {
    /// For which repository.
    pub name: Name,
    /// Under which tag.
    pub tag: Option<Tag>,
    /// What it is.
    pub descriptor: Descriptor,
}

impl ContentIndex {
    /// Where a blob stands in the table.
    #[must_use]
    pub fn find(&self, digest: &Digest) -> Option<Ordinal> {
        let place = self.blobs.binary_search_by(|(it, _)| it.cmp(digest)).ok()?;
        Ordinal::try_from(place).ok()
    }

    /// A blob's digest and where its bytes are.
    #[must_use]
    pub fn blob(&self, blob: Ordinal) -> Option<&(Digest, Stored)> {
        self.blobs.get(usize::try_from(blob).ok()?)
    }

    /// The digest of a blob, or of a manifest held elsewhere.
    #[must_use]
    pub fn digest(&self, place: Ordinal) -> Option<&Digest> {
        let place = usize::try_from(place).ok()?;
        match place.checked_sub(self.blobs.len()) {
            None => self.blobs.get(place).map(|(digest, _)| digest),
            Some(behind) => self.elsewhere.get(behind).map(|it| &it.digest),
        }
    }

    /// Where a digest stands, be it that of a blob or of a manifest held elsewhere.
    #[must_use]
    pub fn place(&self, digest: &Digest) -> Option<Ordinal> {
        let behind = || {
            let place = self.elsewhere.binary_search_by(|it| it.digest.cmp(digest)).ok()?;
            Ordinal::try_from(self.blobs.len().checked_add(place)?).ok()
        };
        self.find(digest).or_else(behind)
    }

    /// The manifests that are named here and held elsewhere, sorted by digest.
    #[must_use]
    pub fn elsewhere(&self) -> &[Elsewhere] {
        &self.elsewhere
    }

    /// The type of a manifest; nothing when the blob is none.
    #[must_use]
    pub fn media_type(&self, blob: Ordinal) -> Option<&MediaType> {
        let place = self.manifests.binary_search_by_key(&blob, |(it, _)| *it).ok()?;
        self.manifests.get(place).map(|(_, media_type)| media_type)
    }

    /// Every blob, sorted by digest.
    #[must_use]
    pub fn blobs(&self) -> &[(Digest, Stored)] {
        &self.blobs
    }

    /// Every manifest with its type, sorted by blob.
    #[must_use]
    pub fn manifests(&self) -> &[(Ordinal, MediaType)] {
        &self.manifests
    }

    /// The manifests of this bundle that need a blob directly.
    pub fn parents(&self, blob: Ordinal) -> impl Iterator<Item = Ordinal> {
        let from = self.parents.partition_point(|(child, _)| *child < blob);
        let rest = self.parents.get(from..).unwrap_or_default();
        rest.iter().take_while(move |(child, _)| *child == blob).map(|(_, parent)| *parent)
    }

    /// What manifests here need and this bundle does not hold, sorted by digest.
    #[must_use]
    pub fn absent(&self) -> &[Absent] {
        &self.absent
    }

    /// The manifests of this bundle that need directly what it does not hold.
    pub fn absent_parents(&self, digest: &Digest) -> impl Iterator<Item = Ordinal> {
        let from = self.absent.partition_point(|absent| absent.digest < *digest);
        let rest = self.absent.get(from..).unwrap_or_default();
        rest.iter().take_while(move |absent| absent.digest == *digest).map(|it| it.parent)
    }

    /// The repositories, by their names.
    #[must_use]
    pub fn names(&self) -> &BTreeMap<Name, Repository> {
        &self.names
    }

    /// The manifests whose subject is `digest`.
    #[must_use]
    pub fn referrers(&self, digest: &Digest) -> &[Descriptor] {
        self.referrers.get(digest).map_or(&[], Vec::as_slice)
    }

    /// Whether a manifest is about another one.
    #[must_use]
    pub fn is_referrer(&self, digest: &Digest) -> bool {
        self.referrers.values().flatten().any(|descriptor| descriptor.digest == *digest)
    }

    /// Blobs found damaged when the bundle was opened.
    #[must_use]
    pub fn damaged(&self) -> &[Ordinal] {
        &self.damaged
    }

    /// Blobs that should be manifests and cannot be read as such.
    #[must_use]
    pub fn unreadable(&self) -> &[Ordinal] {
        &self.unreadable
    }

    /// What the bundle was made to carry.
    #[must_use]
    pub fn roots(&self) -> Vec<Root> {
        let mut roots = Vec::new();
        for (name, repository) in &self.names {
            let tagged = repository.tags.iter().map(|(tag, place)| (Some(tag.clone()), *place));
            for (tag, place) in tagged.chain(repository.untagged().map(|place| (None, place))) {
                let descriptor = self.describe(place);
                roots.extend(descriptor.map(|it| Root { name: name.clone(), tag, descriptor: it }));
            }
        }
        roots
    }

    /// What stands at a place: of a manifest here its type, else what is said of it.
    fn describe(&self, place: Ordinal) -> Option<Descriptor> {
        let digest = self.digest(place)?.clone();
        if let Some((_, stored)) = self.blob(place) {
            let media_type = self.media_type(place).cloned();
            let media_type = media_type.or_else(|| UNTYPED.parse().ok())?;
            return Some(Descriptor::new(media_type, digest, stored.length()));
        }
        let at = self.elsewhere.binary_search_by(|it| it.digest.cmp(&digest)).ok()?;
        let Elsewhere { media_type, size, .. } = self.elsewhere.get(at)?;
        Some(Descriptor::new(media_type.clone(), digest, *size))
    }

    /// The same index after these blobs were read as manifests too: other bundles of the
    /// imageset say that they are. Answers what is wrong with them as well.
    ///
    /// Blobs that are not here, or were read already, are passed over.
    #[must_use]
    pub fn with_manifests(
        &self,
        manifests: impl IntoIterator<Item = (Digest, MediaType)>,
        verify: bool,
    ) -> (Self, Vec<Problem>) {
        build::extend(self.clone(), manifests, verify)
    }

    /// Takes what was found damaged before the index was made.
    pub(super) fn take_damaged(&mut self, digests: &[Digest]) {
        let blobs: Vec<_> = digests.iter().filter_map(|digest| self.find(digest)).collect();
        let manifests = &self.manifests;
        // A whole one was found, too.
        let is_manifest = |blob: &Ordinal| manifests.binary_search_by_key(blob, |it| it.0).is_ok();
        self.damaged.extend(blobs.into_iter().filter(|blob| !is_manifest(blob)));
        self.damaged.sort_unstable();
        self.damaged.dedup();
    }

    /// Keeps of the roots of each repository those that it has a tag for, and those that no other
    /// root of it needs: a registry's storage lists the children of an index beside the index.
    pub(super) fn keep_outermost_roots(&mut self) {
        let mut names = std::mem::take(&mut self.names);
        for repository in names.values_mut() {
            let tagged: HashSet<Ordinal> = repository.tags.values().copied().collect();
            let is_needed = |root: &Ordinal| {
                let elsewhere = self.digest(*root).filter(|_| self.blob(*root).is_none());
                let absent = elsewhere.into_iter().flat_map(|digest| self.absent_parents(digest));
                let mut parents = self.parents(*root).chain(absent);
                parents.any(|parent| repository.roots.contains(&parent))
            };
            let outermost = |root: &&Ordinal| tagged.contains(*root) || !is_needed(root);
            repository.roots = repository.roots.iter().filter(outermost).copied().collect();
        }
        self.names = names;
    }

    /// The references through which a manifest can be reached, for messages.
    #[must_use]
    pub fn references(&self, manifest: Ordinal) -> Vec<String> {
        let mut reached = HashSet::from([manifest]);
        let mut queue = VecDeque::from([manifest]);
        while let Some(blob) = queue.pop_front() {
            queue.extend(self.parents(blob).filter(|parent| reached.insert(*parent)));
        }
        let mut references = Vec::new();
        for (name, repository) in &self.names {
            let tagged = repository.tags.iter().filter(|(_, blob)| reached.contains(blob));
            let before = references.len();
            references.extend(tagged.map(|(tag, _)| format!("{name}:{tag}")));
            if references.len() == before {
                let roots = repository.roots.iter().filter(|blob| reached.contains(blob));
                let digests = roots.filter_map(|blob| self.digest(*blob));
                references.extend(digests.map(|digest| format!("{name}@{digest}")));
            }
        }
        references
    }
}
