//! Bundles stacked: what is served is what the uppermost that has it says.
//!
//! Resolves names as docs/architecture.md lays down, and answers a manifest only if
//! everything it needs is here and not damaged.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::ops::{Bound, Range};
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;

use super::closure;
use super::holdings::Holdings;
use super::snapshot::Snapshot;
use crate::bundle::index::{Ordinal, Repository};
use crate::extent::Content;
use crate::oci::{
    self, Descriptor, Digest, MAX_MANIFEST_SIZE, MediaType, Name, Registry, Tag, TagOrDigest,
};
use crate::source::{Blob, Body, Document, Error, Source, Stored};

/// Bundles stacked, the uppermost first.
#[derive(Debug)]
pub struct Overlay {
    snapshots: Vec<Arc<Snapshot>>,
    holdings: Holdings,
    /// The repositories that a requested path may mean.
    paths: BTreeMap<oci::Repository, BTreeSet<Name>>,
    registries: BTreeSet<Registry>,
    strict: bool,
    /// Manifests that cannot be used, as of so many damaged blobs.
    unusable: ArcSwap<(usize, HashSet<Digest>)>,
}

impl Overlay {
    /// Stacks bundles, the uppermost first.
    ///
    /// If `strict`, a manifest or blob is found by its digest only in repositories that hold it.
    #[must_use]
    pub fn new(snapshots: Vec<Arc<Snapshot>>, strict: bool) -> Self {
        let mut paths = BTreeMap::<_, BTreeSet<_>>::new();
        let mut registries = BTreeSet::new();
        for name in snapshots.iter().flat_map(|it| it.bundle().index.names().keys()) {
            registries.extend(name.registry.clone());
            for path in paths_of(name) {
                paths.entry(path).or_default().insert(name.clone());
            }
        }
        let overlay = Self {
            holdings: Holdings::of(&snapshots),
            snapshots,
            paths,
            registries,
            strict,
            unusable: ArcSwap::from_pointee(Default::default()),
        };
        overlay.judge(overlay.damaged_count());
        overlay
    }

    /// The bundles, the uppermost first.
    #[must_use]
    pub fn snapshots(&self) -> &[Arc<Snapshot>] {
        &self.snapshots
    }

    /// How many references are served.
    #[must_use]
    pub fn image_count(&self) -> usize {
        let mut tags: BTreeMap<&Name, BTreeSet<&Tag>> = BTreeMap::new();
        for snapshot in &self.snapshots {
            let index = &snapshot.bundle().index;
            for (name, repository) in index.names() {
                let answered = repository.tags.iter().filter(|(_, manifest)| {
                    index.digest(**manifest).is_some_and(|digest| self.is_answered(digest))
                });
                tags.entry(name).or_default().extend(answered.map(|(tag, _)| tag));
            }
        }
        tags.values().map(|tags| tags.len().max(1)).sum()
    }

    /// The paths that a request may name, and the repositories that each may mean.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&oci::Repository, &BTreeSet<Name>)> {
        self.paths.iter()
    }

    fn damaged_count(&self) -> usize {
        self.snapshots.iter().map(|snapshot| snapshot.damaged_count()).sum()
    }

    /// Whether a manifest may be answered.
    fn is_usable(&self, digest: &Digest) -> bool {
        let count = self.damaged_count();
        let judged = self.unusable.load();
        if judged.0 == count {
            return !judged.1.contains(digest);
        }
        !self.judge(count).1.contains(digest)
    }

    /// Whether a manifest is here, in whichever bundle, and may be answered.
    fn is_answered(&self, digest: &Digest) -> bool {
        self.is_usable(digest) && self.describe(digest).is_some()
    }

    fn judge(&self, damaged_count: usize) -> Arc<(usize, HashSet<Digest>)> {
        let judged = Arc::new((damaged_count, closure::unusable(&self.snapshots, &self.holdings)));
        self.unusable.store(Arc::clone(&judged));
        judged
    }

    /// The repositories that a request means.
    fn meant(&self, name: &Name) -> Result<BTreeSet<Name>, Error> {
        let unknown = || Error::NameUnknown(name.clone());
        let named = self.paths.get(&name.repository);
        let Some(registry) = name.registry.clone().map(Registry::canonical) else {
            return named.cloned().ok_or_else(unknown);
        };
        let of = |registry: Option<&Registry>| -> BTreeSet<Name> {
            let names = named.into_iter().flatten();
            names.filter(|name| name.registry.as_ref() == registry).cloned().collect()
        };
        let (meant, from_anywhere) = (of(Some(&registry)), of(None));
        match named {
            _ if !meant.is_empty() => Ok(meant),
            // A registry that nothing here comes from is the mirror's own name: no help.
            Some(named) if !self.registries.contains(&registry) => Ok(named.clone()),
            // Where these come from nobody said: it may be from there.
            _ if !from_anywhere.is_empty() => Ok(from_anywhere),
            _ => Err(unknown()),
        }
    }

    fn repositories_of<'a>(
        &'a self,
        names: impl IntoIterator<Item = &'a Name> + Clone,
    ) -> impl Iterator<Item = (&'a Snapshot, &'a Repository)> {
        self.snapshots.iter().flat_map(move |snapshot| {
            let held = snapshot.bundle().index.names();
            names.clone().into_iter().filter_map(|name| Some((&**snapshot, held.get(name)?)))
        })
    }

    /// The uppermost usable manifest of a tag.
    pub(super) fn tagged<'a>(
        &'a self,
        names: impl IntoIterator<Item = &'a Name> + Clone,
        tag: &Tag,
    ) -> Option<(&'a Snapshot, Digest)> {
        self.all_tagged(names, tag).next()
    }

    /// Every usable manifest of a tag, and the bundle that names it, the uppermost first.
    pub(super) fn all_tagged<'a>(
        &'a self,
        names: impl IntoIterator<Item = &'a Name> + Clone,
        tag: &Tag,
    ) -> impl Iterator<Item = (&'a Snapshot, Digest)> {
        self.repositories_of(names).filter_map(|(snapshot, repository)| {
            let manifest = *repository.tags.get(tag)?;
            let digest = snapshot.bundle().index.digest(manifest)?;
            self.is_answered(digest).then(|| (snapshot, digest.clone()))
        })
    }

    pub(super) fn tags_of(
        &self,
        names: &BTreeSet<Name>,
        after: &str,
        limit: usize,
    ) -> BTreeSet<Tag> {
        let mut tags = BTreeSet::new();
        for (snapshot, repository) in self.repositories_of(names) {
            let later = (Bound::Excluded(after), Bound::Unbounded);
            let usable = |manifest: Ordinal| {
                let digest = snapshot.bundle().index.digest(manifest);
                digest.is_some_and(|digest| self.is_answered(digest))
            };
            let found = repository.tags.range::<str, _>(later);
            tags.extend(
                found
                    .filter(|(_, manifest)| usable(**manifest))
                    .map(|(tag, _)| tag.clone())
                    .take(limit),
            );
        }
        tags.into_iter().take(limit).collect()
    }

    /// Whether a repository that the request means holds a blob.
    fn holds(&self, names: &BTreeSet<Name>, digest: &Digest) -> bool {
        closure::reaches(&self.snapshots, names, digest)
    }

    /// Where a digest may be looked for, whatever repository is named.
    fn check_repository(&self, name: &Name, digest: &Digest) -> Result<bool, Error> {
        if !self.strict {
            return Ok(true);
        }
        Ok(self.holds(&self.meant(name)?, digest))
    }

    /// The imageset that left a manifest out on purpose, if none of the bundles holds it.
    fn left_out(&self, digest: &Digest) -> Option<String> {
        if self.holders(digest).any(|it| it.bundle().index.find(digest).is_some()) {
            return None;
        }
        let editions = self.snapshots.iter().filter_map(|it| it.bundle().edition.as_ref());
        let mut records = editions.map(|edition| &edition.record);
        let record = records.find(|record| record.sparse.contains(digest))?;
        Some(record.name.escape_debug().to_string())
    }

    fn stored(&self, digest: &Digest, range: &Range<u64>) -> Option<io::Result<Stored>> {
        self.holders(digest).find_map(|snapshot| snapshot.open(digest, range.clone()))
    }

    /// The bundles that may hold a blob, the uppermost first.
    fn holders(&self, digest: &Digest) -> impl Iterator<Item = &Arc<Snapshot>> {
        self.holdings.of_digest(digest).filter_map(|place| self.snapshots.get(place))
    }

    /// The type and size of a manifest.
    fn describe(&self, digest: &Digest) -> Option<(MediaType, u64)> {
        self.holders(digest).find_map(|snapshot| {
            let index = &snapshot.bundle().index;
            let blob = index.find(digest).filter(|blob| !snapshot.is_damaged(*blob))?;
            let media_type = index.media_type(blob)?.clone();
            Some((media_type, index.blob(blob)?.1.length()))
        })
    }
}

/// The paths under which a repository is found: bare, and with its registry before it.
fn paths_of(name: &Name) -> Vec<oci::Repository> {
    let bare = name.repository.as_str();
    let mut paths = vec![bare.to_owned()];
    if let Some(registry) = &name.registry {
        paths.push(format!("{registry}/{bare}"));
        if let (true, Some(short)) = (registry.is_docker(), bare.strip_prefix("library/")) {
            paths.push(short.to_owned());
            paths.push(format!("{registry}/{short}"));
        }
    }
    // A registry with a port makes no path: `?ns=` names it.
    paths.into_iter().filter_map(|path| path.parse().ok()).collect()
}

impl Source for Overlay {
    async fn resolve(&self, name: &Name, target: &TagOrDigest) -> Result<Descriptor, Error> {
        let unknown = || Error::ManifestUnknown(target.clone());
        let digest = match target {
            TagOrDigest::Tag(tag) => {
                let names = self.meant(name)?;
                self.tagged(&names, tag).ok_or_else(unknown)?.1
            }
            TagOrDigest::Digest(digest) => {
                if !self.check_repository(name, digest)? || !self.is_usable(digest) {
                    return Err(unknown());
                }
                if let Some(imageset) = self.left_out(digest) {
                    return Err(Error::LeftOut { digest: digest.clone(), imageset });
                }
                digest.clone()
            }
        };
        let (media_type, size) = self.describe(&digest).ok_or_else(unknown)?;
        Ok(Descriptor::new(media_type, digest, size))
    }

    async fn manifest(&self, name: &Name, target: &TagOrDigest) -> Result<Document, Error> {
        let Descriptor { media_type, digest, .. } = self.resolve(name, target).await?;
        let unavailable = |source: io::Error| Error::Unavailable {
            attempted: format!("reading manifest {digest}"),
            source: source.into(),
        };
        let stored = self
            .stored(&digest, &(0..u64::MAX))
            .ok_or_else(|| Error::ManifestUnknown(target.clone()))?
            .map_err(unavailable)?;
        let bytes = read_document(stored).await.map_err(unavailable)?;
        Ok(Document { media_type, digest, bytes })
    }

    async fn stat(&self, name: &Name, digest: &Digest) -> Result<u64, Error> {
        let found = self.check_repository(name, digest)?.then(|| {
            self.holders(digest).find_map(|snapshot| {
                let index = &snapshot.bundle().index;
                let blob = index.find(digest).filter(|blob| !snapshot.is_damaged(*blob))?;
                Some(index.blob(blob)?.1.length())
            })
        });
        found.flatten().ok_or_else(|| Error::BlobUnknown(digest.clone()))
    }

    async fn blob(&self, name: &Name, digest: &Digest, range: Range<u64>) -> Result<Blob, Error> {
        let unknown = || Error::BlobUnknown(digest.clone());
        if !self.check_repository(name, digest)? {
            return Err(unknown());
        }
        let stored = self.stored(digest, &range).ok_or_else(unknown)?.map_err(|source| {
            let attempted = format!("opening blob {digest}");
            Error::Unavailable { attempted, source: source.into() }
        })?;
        Ok(Blob { size: stored.content.length(), body: Body::Stored(stored) })
    }

    async fn tags(&self, name: &Name, after: &str, limit: usize) -> Result<Vec<Tag>, Error> {
        Ok(self.tags_of(&self.meant(name)?, after, limit).into_iter().collect())
    }

    async fn repositories(&self, after: &str, limit: usize) -> Result<Vec<oci::Repository>, Error> {
        let later = self.paths.range::<str, _>((Bound::Excluded(after), Bound::Unbounded));
        Ok(later.map(|(path, _)| path.clone()).take(limit).collect())
    }

    async fn referrers(&self, name: &Name, digest: &Digest) -> Result<Vec<Descriptor>, Error> {
        let names = if self.strict { Some(self.meant(name)?) } else { None };
        let mut seen = HashSet::new();
        let found = self.snapshots.iter().flat_map(|it| it.bundle().index.referrers(digest));
        let allowed = |it: &&Descriptor| {
            let held = names.as_ref().is_none_or(|names| self.holds(names, &it.digest));
            held && self.is_usable(&it.digest)
        };
        let found = found.filter(allowed).filter(|it| seen.insert(it.digest.clone()));
        Ok(found.cloned().collect())
    }
}

/// Reads a manifest: from the page cache at once, from the disk off the async threads.
async fn read_document(stored: Stored) -> io::Result<Bytes> {
    let length = usize::try_from(stored.content.length().min(MAX_MANIFEST_SIZE)).unwrap_or(0);
    let mut bytes = vec![0; length];
    if let Content::Extent(extent) = &stored.content
        && extent.read_cached(&mut bytes, 0)? == length
    {
        return Ok(bytes.into());
    }
    let read = move || {
        stored.content.read_at(&mut bytes, 0)?;
        Ok(Bytes::from(bytes))
    };
    tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
}
