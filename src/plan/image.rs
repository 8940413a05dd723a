//! One image or artifact with everything that belongs to it: the manifests of an index, however
//! deep, configurations and layers, and what refers to any of them: referrers, signatures,
//! attestations.

use std::collections::{BTreeSet, HashSet, VecDeque};

use super::{Blob, Plan};
use crate::oci::{self, Digest, Manifest, Reference, Role, Tag, TagOrDigest};
use crate::source::{self, Document, Source};

/// How many manifests one image may have: an index bomb is no image.
const MAX_MANIFESTS: usize = 10_000;
/// How many tags of a repository are asked for at once, to see which signatures there are.
const TAG_PAGE: usize = 1_000;
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
    /// It has too many manifests.
    #[error("it has more than {MAX_MANIFESTS} manifests")]
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

    /// Of a repository that is known to have none that matter.
    #[must_use]
    pub fn none() -> Self {
        Self { listed: BTreeSet::new(), complete: true }
    }

    fn may_have(&self, tag: &Tag) -> bool {
        !self.complete || self.listed.contains(tag)
    }
}

/// Plans the image that `source`, the `origin`-th of its kind, has under `reference`.
///
/// `name` is the repository to ask the source for; the plan carries `reference`.
///
/// # Errors
///
/// When the source does not have all of it.
pub async fn plan<S: Source>(
    source: &S,
    origin: usize,
    name: &oci::Name,
    reference: &Reference,
    referrers: Referrers,
    tags: &Tags,
) -> Result<Plan, Error> {
    let mut walk = Walk { source, origin, name, reference, plan: Plan::default() };
    let root = walk.fetch(&reference.target()).await?;
    walk.root(reference.clone(), &root);
    let mut queue = VecDeque::from([root]);
    let mut seen = HashSet::new();
    while let Some(document) = queue.pop_front() {
        if !seen.insert(document.digest.clone()) {
            continue;
        }
        if seen.len() > MAX_MANIFESTS {
            return Err(Error::TooMany);
        }
        queue.extend(walk.children(&document).await?);
        if referrers == Referrers::Carry {
            queue.extend(walk.referrers(&document.digest, tags).await?);
        }
        walk.plan.manifests.insert(document.digest.clone(), document);
    }
    Ok(walk.plan)
}

struct Walk<'a, S> {
    source: &'a S,
    origin: usize,
    name: &'a oci::Name,
    reference: &'a Reference,
    plan: Plan,
}

impl<S: Source> Walk<'_, S> {
    async fn fetch(&self, target: &TagOrDigest) -> Result<Document, Error> {
        Ok(self.source.manifest(self.name, target).await?)
    }

    fn root(&mut self, reference: Reference, document: &Document) {
        let Document { media_type, digest, bytes } = document;
        let size = bytes.len() as u64;
        let mut descriptor = oci::Descriptor::new(media_type.clone(), digest.clone(), size);
        if let Ok(manifest) = Manifest::parse(bytes, Some(media_type)) {
            descriptor.artifact_type =
                manifest.artifact_type.filter(|_| manifest.subject.is_some());
        }
        self.plan.roots.insert(reference, descriptor);
    }

    /// Plans what a manifest needs; answers the manifests among that.
    async fn children(&mut self, document: &Document) -> Result<Vec<Document>, Error> {
        let fault = |source| Error::Manifest { digest: document.digest.clone(), source };
        let manifest =
            Manifest::parse(&document.bytes, Some(&document.media_type)).map_err(fault)?;
        let mut documents = Vec::new();
        for child in manifest.children.into_iter().filter(oci::Child::required) {
            let oci::Descriptor { digest, size, .. } = child.descriptor;
            if child.role == Role::Manifest {
                documents.push(self.fetch(&TagOrDigest::Digest(digest)).await?);
                continue;
            }
            let (name, origin) = (self.name.clone(), self.origin);
            let needed_by = self.reference.clone();
            self.plan.blobs.insert(digest, Blob { size, name, origin, needed_by });
        }
        Ok(documents)
    }

    /// Plans what refers to a manifest, and answers it.
    async fn referrers(&mut self, digest: &Digest, tags: &Tags) -> Result<Vec<Document>, Error> {
        let mut documents = Vec::new();
        for referrer in self.source.referrers(self.name, digest).await? {
            let document = match self.fetch(&TagOrDigest::Digest(referrer.digest)).await {
                // Listed, but gone: nobody can have it.
                Err(Error::Source(source::Error::ManifestUnknown(_))) => continue,
                document => document?,
            };
            let reference = self.sibling(None, Some(document.digest.clone()));
            self.root(reference, &document);
            documents.push(document);
        }
        let stem = format!("{}-{}", digest.algorithm().name(), digest.hex());
        // Without a list of tags, the fallback tag is not asked for: its entries are carried above.
        let fallback = tags.complete.then(|| stem.clone());
        let cosign = COSIGN_SUFFIXES.iter().map(|suffix| format!("{stem}{suffix}"));
        for tag in fallback.into_iter().chain(cosign).filter_map(|tag| tag.parse::<Tag>().ok()) {
            if !tags.may_have(&tag) {
                continue;
            }
            let document = match self.fetch(&TagOrDigest::Tag(tag.clone())).await {
                Err(Error::Source(source::Error::ManifestUnknown(_))) => continue,
                document => document?,
            };
            self.root(self.sibling(Some(tag), None), &document);
            documents.push(document);
        }
        Ok(documents)
    }

    fn sibling(&self, tag: Option<Tag>, digest: Option<Digest>) -> Reference {
        let Reference { registry, repository, .. } = self.reference.clone();
        Reference { registry, repository, tag, digest }
    }
}
