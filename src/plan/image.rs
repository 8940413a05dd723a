//! One image or artifact with everything that belongs to it: the manifests of an index, however
//! deep, configurations and layers, and what refers to any of them: referrers, signatures,
//! attestations.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;

use super::{Blob, Plan};
use crate::oci::{
    self, Child, Descriptor, Digest, Manifest, Platform, Reference, Role, Tag, TagOrDigest,
};
use crate::source::{self, Document, Source};

/// How many manifests one image may have: an index bomb is no image.
const MAX_MANIFESTS: usize = 2_000;
/// How many bytes these may have together: they are held until the bundle is written.
const MAX_BYTES: usize = 64 << 20;
/// How many requests for one image wait for their turn at once.
const AT_ONCE: usize = 16;
/// How many tags of a repository are asked for at once, to see which signatures there are.
const TAG_PAGE: usize = 1_000;
/// The annotation by which buildkit says which image an attestation is about.
const ATTESTED: &str = "vnd.docker.reference.digest";
/// The tags under which cosign keeps what belongs to `sha256-<hex>`.
const COSIGN_SUFFIXES: [&str; 3] = [".sig", ".att", ".sbom"];

/// Why an image cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source does not have it, or not all of it.
    #[error(transparent)]
    Source(#[from] source::Error),
    /// One of its manifests is none.
    #[error("manifest {digest} cannot be used")]
    Manifest {
        /// Which.
        digest: Digest,
        /// Why.
        source: oci::Error,
    },
    /// None of its images is for a platform that is wanted.
    #[error("it is not made for {wanted}, but for {offered}")]
    Platform {
        /// The platforms that are wanted.
        wanted: String,
        /// Those there are.
        offered: String,
    },
    /// It has too many manifests.
    #[error("it has more than {MAX_MANIFESTS} manifests, or more than {MAX_BYTES} bytes of them")]
    TooMany,
}

/// Whether what refers to an image is carried with it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Referrers {
    /// It is.
    #[default]
    Carry,
    /// It is left out.
    LeaveOut,
}

/// Which tags a repository has, as far as one page tells.
///
/// Asked once for all images of a repository: most have no signatures, and asking for
/// each by name would be several requests an image.
#[derive(Clone, Debug)]
pub struct Tags {
    listed: BTreeSet<Tag>,
    complete: bool,
}

impl Tags {
    /// Asks a source.
    pub async fn of<S: Source>(source: &S, name: &oci::Name) -> Self {
        match source.tags(name, "", TAG_PAGE).await {
            Ok(tags) => {
                Self { complete: tags.len() < TAG_PAGE, listed: tags.into_iter().collect() }
            }
            // Not every registry lets everyone list; then each tag is asked for.
            Err(_) => Self { complete: false, listed: BTreeSet::new() },
        }
    }

    fn may_have(&self, tag: &Tag) -> bool {
        !self.complete || self.listed.contains(tag)
    }
}

/// An image to plan.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// Which of all sources it comes from.
    pub origin: usize,
    /// The repository to ask the source for.
    pub name: &'a oci::Name,
    /// What to ask the source for.
    pub reference: &'a Reference,
    /// What it is carried under.
    pub names: &'a [Reference],
    /// The platforms to carry; all, if none is named.
    pub platforms: &'a [Platform],
    /// Whether what refers to it is carried with it.
    pub referrers: Referrers,
    /// The tags of its repository, if they matter.
    pub tags: Option<&'a Tags>,
    /// The manifests that the source leaves out of its indexes on purpose.
    pub left_out: &'a HashSet<Digest>,
    /// How many requests may be under way at once, for all images that are planned together.
    pub permits: &'a Semaphore,
}

impl Image<'_> {
    /// Plans it with all it needs.
    ///
    /// # Errors
    ///
    /// When the source does not have all of it.
    pub async fn plan<S: Source>(&self, source: &S) -> Result<Plan, Error> {
        let (seen, plan) = (HashSet::new(), Plan::default());
        let (fetched, bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let choice = Choice::default();
        let mut walk = Walk { source, image: self, seen, fetched, bytes, choice, plan };
        let root = walk.fetch(&self.reference.target()).await?;
        walk.plan.root = Some(root.digest.clone());
        for name in self.names {
            walk.root(name.clone(), &root);
        }
        walk.seen.insert(root.digest.clone());
        let mut level = vec![root];
        while !level.is_empty() {
            level = walk.descend(level).await?;
        }
        walk.choice.check(self.platforms)?;
        Ok(walk.plan)
    }

    /// Whether the manifest that `child` describes, one of `siblings`, is carried.
    ///
    /// What no platform is said of is, and so is what attests to an image that is carried.
    fn carries(&self, child: &Descriptor, siblings: &Siblings<'_>) -> bool {
        if self.platforms.is_empty() {
            return true;
        }
        let described = match child.annotations.get(ATTESTED) {
            None => Some(child),
            Some(attested) => siblings.of_digest(attested),
        };
        let Some(Descriptor { platform, .. }) = described else { return false };
        let platform = platform.as_ref();
        platform.is_none_or(|it| self.platforms.iter().any(|wanted| fits(wanted, it)))
    }
}

/// The manifests of an index that attest to none of the others, by their digests.
///
/// A map, because each that does is looked up: a hostile index has tens of thousands.
struct Siblings<'m> {
    images: HashMap<&'m Digest, &'m Descriptor>,
}

impl<'m> Siblings<'m> {
    fn of(manifest: &'m Manifest) -> Self {
        let mut images = HashMap::new();
        for Child { descriptor, .. } in &manifest.children {
            if !descriptor.annotations.contains_key(ATTESTED) {
                images.entry(&descriptor.digest).or_insert(descriptor);
            }
        }
        Self { images }
    }

    fn of_digest(&self, digest: &str) -> Option<&'m Descriptor> {
        self.images.get(&digest.parse::<Digest>().ok()?).copied()
    }
}

/// Whether an image for `offered` is one for `wanted`; any variant is, if none is wanted.
fn fits(wanted: &Platform, offered: &Platform) -> bool {
    let variant = |variant: &Option<String>| *variant == offered.variant;
    wanted.os == offered.os
        && wanted.architecture == offered.architecture
        && (wanted.variant.is_none() || variant(&wanted.variant))
}

/// What a filter of platforms met.
#[derive(Debug, Default)]
struct Choice {
    taken: usize,
    /// The platforms that were left out.
    left: BTreeSet<String>,
}

impl Choice {
    /// Fails if all there was to choose from was left out.
    fn check(self, wanted: &[Platform]) -> Result<(), Error> {
        if self.taken > 0 || self.left.is_empty() {
            return Ok(());
        }
        let joined = |words: Vec<String>| words.join(", ");
        Err(Error::Platform {
            wanted: joined(wanted.iter().map(ToString::to_string).collect()),
            offered: joined(self.left.into_iter().collect()),
        })
    }
}

/// The manifests of an image, level by level.
struct Walk<'a, S> {
    source: &'a S,
    image: &'a Image<'a>,
    /// Every manifest that was come across.
    seen: HashSet<Digest>,
    fetched: AtomicUsize,
    bytes: AtomicUsize,
    choice: Choice,
    plan: Plan,
}

/// A manifest that refers to another, and the tag that says so.
type Referrer = (Option<Tag>, Document);

impl<S: Source> Walk<'_, S> {
    /// Plans what a level of manifests needs, and what refers to them; answers the next level.
    async fn descend(&mut self, level: Vec<Document>) -> Result<Vec<Document>, Error> {
        let mut children = Vec::new();
        for document in &level {
            children.extend(self.needs(document)?);
        }
        children.retain(|digest| self.seen.insert(digest.clone()));
        let (left_out, children): (Vec<_>, Vec<_>) =
            children.into_iter().partition(|digest| self.image.left_out.contains(digest));
        self.plan.sparse.extend(left_out);
        let this = &*self;
        let fetches = stream::iter(children)
            .map(|digest| async move { this.fetch(&TagOrDigest::Digest(digest)).await });
        let mut next: Vec<_> = fetches.buffer_unordered(AT_ONCE).try_collect().await?;
        if self.image.referrers == Referrers::Carry {
            let digests = level.iter().map(|document| document.digest.clone());
            let searches =
                stream::iter(digests).map(|digest| async move { this.referrers(&digest).await });
            let found: Vec<_> = searches.buffer_unordered(AT_ONCE).try_collect().await?;
            for (tag, document) in found.into_iter().flatten() {
                let digest = tag.is_none().then(|| document.digest.clone());
                let Reference { registry, repository, .. } = self.image.reference.clone();
                self.root(Reference { registry, repository, tag, digest }, &document);
                if self.seen.insert(document.digest.clone()) {
                    next.push(document);
                }
            }
        }
        let held = level.into_iter().map(|document| (document.digest.clone(), document));
        self.plan.manifests.extend(held);
        Ok(next)
    }

    /// Plans the blobs that a manifest needs; answers the manifests that it needs.
    fn needs(&mut self, document: &Document) -> Result<Vec<Digest>, Error> {
        let fault = |source| Error::Manifest { digest: document.digest.clone(), source };
        let manifest =
            Manifest::parse(&document.bytes, Some(&document.media_type)).map_err(fault)?;
        let (siblings, mut manifests) = (Siblings::of(&manifest), Vec::new());
        for child in manifest.children.iter().filter(|child| child.required()) {
            let Descriptor { digest, size, .. } = child.descriptor.clone();
            if child.role == Role::Manifest {
                if self.choose(&child.descriptor, &siblings) {
                    manifests.push(digest);
                }
                continue;
            }
            let (name, origin) = (self.image.name.clone(), self.image.origin);
            let needed_by = self.image.reference.clone();
            self.plan.blobs.insert(digest, Blob { size, name, origin, needed_by });
        }
        Ok(manifests)
    }

    /// Whether a manifest of an index is carried; takes note of it.
    fn choose(&mut self, child: &Descriptor, siblings: &Siblings<'_>) -> bool {
        let carried = self.image.carries(child, siblings);
        if !carried {
            self.plan.sparse.insert(child.digest.clone());
        }
        let attests = child.annotations.contains_key(ATTESTED);
        match (&child.platform, carried) {
            (Some(_), true) if !attests => self.choice.taken += 1,
            (Some(platform), false) if !attests => {
                self.choice.left.insert(platform.to_string());
            }
            _ => {}
        }
        carried
    }

    /// Carries a manifest under a name.
    fn root(&mut self, reference: Reference, document: &Document) {
        let Document { media_type, digest, bytes } = document;
        let size = bytes.len() as u64;
        let mut descriptor = Descriptor::new(media_type.clone(), digest.clone(), size);
        if let Ok(manifest) = Manifest::parse(bytes, Some(media_type)) {
            descriptor.artifact_type =
                manifest.artifact_type.filter(|_| manifest.subject.is_some());
        }
        self.plan.roots.insert(reference, descriptor);
    }

    async fn fetch(&self, target: &TagOrDigest) -> Result<Document, Error> {
        // It is never closed, so there always is a permit in the end.
        let _permit = self.image.permits.acquire().await;
        if self.fetched.fetch_add(1, Ordering::Relaxed) >= MAX_MANIFESTS {
            return Err(Error::TooMany);
        }
        let document = self.source.manifest(self.image.name, target).await?;
        let held = self.bytes.fetch_add(document.bytes.len(), Ordering::Relaxed);
        if held + document.bytes.len() > MAX_BYTES {
            return Err(Error::TooMany);
        }
        Ok(document)
    }

    /// Fetches what a list or a tag says there is; nothing when it is gone.
    async fn fetch_listed(&self, target: &TagOrDigest) -> Result<Option<Document>, Error> {
        match self.fetch(target).await {
            Err(Error::Source(source::Error::ManifestUnknown(_))) => Ok(None),
            document => document.map(Some),
        }
    }

    /// Fetches what refers to a manifest.
    async fn referrers(&self, digest: &Digest) -> Result<Vec<Referrer>, Error> {
        let permit = self.image.permits.acquire().await;
        let listed = self.source.referrers(self.image.name, digest).await?;
        drop(permit);
        let mut found = Vec::new();
        for referrer in listed {
            let document = self.fetch_listed(&TagOrDigest::Digest(referrer.digest)).await?;
            found.extend(document.map(|document| (None, document)));
        }
        let Some(tags) = self.image.tags else { return Ok(found) };
        let stem = format!("{}-{}", digest.algorithm().name(), digest.hex());
        // Without a list of tags, the fallback tag is not asked for: its entries are carried above.
        let fallback = tags.complete.then(|| stem.clone());
        let cosign = COSIGN_SUFFIXES.iter().map(|suffix| format!("{stem}{suffix}"));
        for tag in fallback.into_iter().chain(cosign).filter_map(|tag| tag.parse::<Tag>().ok()) {
            if tags.may_have(&tag) {
                let document = self.fetch_listed(&TagOrDigest::Tag(tag.clone())).await?;
                found.extend(document.map(|document| (Some(tag), document)));
            }
        }
        Ok(found)
    }
}
