//! Content that is put together by hand: for tests and examples.
//!
//! Blobs lie in an anonymous file, so that they are served by the same path as
//! those of a bundle. A manifest is answered whether or not what it needs is here.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::ops::{Bound, Range};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use rustix::fs::{MemfdFlags, memfd_create};

use crate::extent::{Content, Extent};
use crate::oci::{Descriptor, Digest, Manifest, MediaType, Repository, Tag, TagOrDigest};
use crate::source::{Blob, Body, Document, Error, Name, Source, Stored};
use crate::verification::{Verdict, Verification};

/// Content that is put together by hand.
///
/// A registry in a name is ignored; a digest is found under every repository that is here.
#[derive(Debug)]
pub struct Memory {
    file: Arc<File>,
    end: u64,
    blobs: HashMap<Digest, Held>,
    documents: HashMap<Digest, Document>,
    repositories: BTreeMap<Repository, BTreeMap<Tag, Digest>>,
    referrers: HashMap<Digest, Vec<Descriptor>>,
}

#[derive(Debug)]
struct Held {
    extent: Extent,
    verification: Arc<Verification>,
}

impl Memory {
    /// Nothing yet.
    ///
    /// # Errors
    ///
    /// When the kernel gives no anonymous file.
    pub fn new() -> io::Result<Self> {
        let file = File::from(memfd_create("shipperd-memory", MemfdFlags::CLOEXEC)?);
        Ok(Self {
            file: Arc::new(file),
            end: 0,
            blobs: HashMap::new(),
            documents: HashMap::new(),
            repositories: BTreeMap::new(),
            referrers: HashMap::new(),
        })
    }

    /// Takes a blob; answers its digest.
    ///
    /// # Errors
    ///
    /// When the anonymous file cannot be written.
    pub fn insert_blob(&mut self, bytes: &[u8]) -> io::Result<Digest> {
        let digest = Digest::of(bytes);
        self.insert_blob_as(digest.clone(), bytes)?;
        Ok(digest)
    }

    /// Takes bytes as the blob of a digest that need not be theirs: a damaged one.
    ///
    /// # Errors
    ///
    /// When the anonymous file cannot be written.
    pub fn insert_blob_as(&mut self, digest: Digest, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.end)?;
        let length = bytes.len() as u64;
        let extent = Extent::new(Arc::clone(&self.file), self.end, length)
            .ok_or(io::ErrorKind::FileTooLarge)?;
        self.end += length;
        let verification = Arc::new(Verification::new(digest.clone(), length, |_| ()));
        self.blobs.insert(digest, Held { extent, verification });
        Ok(())
    }

    /// Takes a manifest, as the one of a tag if there is one; answers its digest.
    ///
    /// A manifest with a subject becomes a referrer of it; one that cannot be read as a
    /// manifest is served like any other.
    ///
    /// # Errors
    ///
    /// When the anonymous file cannot be written.
    pub fn insert_manifest(
        &mut self,
        repository: &Repository,
        tag: Option<&Tag>,
        media_type: &MediaType,
        bytes: &[u8],
    ) -> io::Result<Digest> {
        let digest = self.insert_blob(bytes)?;
        let tags = self.repositories.entry(repository.clone()).or_default();
        tags.extend(tag.map(|tag| (tag.clone(), digest.clone())));
        if let Ok(Manifest { subject: Some(subject), artifact_type, annotations, .. }) =
            Manifest::parse(bytes, Some(media_type))
        {
            let descriptor =
                Descriptor::new(media_type.clone(), digest.clone(), bytes.len() as u64);
            let referrer = Descriptor { artifact_type, annotations, ..descriptor };
            self.referrers.entry(subject.digest).or_default().push(referrer);
        }
        let document = Document {
            media_type: media_type.clone(),
            digest: digest.clone(),
            bytes: Bytes::copy_from_slice(bytes),
        };
        self.documents.insert(digest.clone(), document);
        Ok(digest)
    }

    fn tags_of(&self, name: &Name) -> Result<&BTreeMap<Tag, Digest>, Error> {
        self.repositories.get(&name.repository).ok_or_else(|| Error::NameUnknown(name.clone()))
    }

    fn held(&self, name: &Name, digest: &Digest) -> Result<&Held, Error> {
        self.tags_of(name)?;
        let is_good = |held: &&Held| held.verification.verdict() != Some(Verdict::Damaged);
        let held = self.blobs.get(digest).filter(is_good);
        held.ok_or_else(|| Error::BlobUnknown(digest.clone()))
    }
}

impl Source for Memory {
    async fn resolve(&self, name: &Name, target: &TagOrDigest) -> Result<Descriptor, Error> {
        let Document { media_type, digest, bytes } = self.manifest(name, target).await?;
        Ok(Descriptor::new(media_type, digest, bytes.len() as u64))
    }

    async fn manifest(&self, name: &Name, target: &TagOrDigest) -> Result<Document, Error> {
        let tags = self.tags_of(name)?;
        let digest = match target {
            TagOrDigest::Tag(tag) => tags.get(tag),
            TagOrDigest::Digest(digest) => Some(digest),
        };
        let document = digest.and_then(|digest| self.documents.get(digest));
        document.cloned().ok_or_else(|| Error::ManifestUnknown(target.clone()))
    }

    async fn stat(&self, name: &Name, digest: &Digest) -> Result<u64, Error> {
        Ok(self.held(name, digest)?.extent.length())
    }

    async fn blob(&self, name: &Name, digest: &Digest, range: Range<u64>) -> Result<Blob, Error> {
        let Held { extent, verification } = self.held(name, digest)?;
        let size = extent.length();
        let unknown = verification.verdict().is_none();
        let body = Body::Stored(Stored {
            content: Content::Extent(extent.clone()),
            range: range.start.min(size)..range.end.min(size),
            verification: unknown.then(|| Arc::clone(verification)),
        });
        Ok(Blob { size, body })
    }

    async fn tags(&self, name: &Name, after: &str, limit: usize) -> Result<Vec<Tag>, Error> {
        let later = (Bound::Excluded(after), Bound::Unbounded);
        let tags = self.tags_of(name)?.range::<str, _>(later);
        Ok(tags.map(|(tag, _)| tag.clone()).take(limit).collect())
    }

    async fn repositories(&self, after: &str, limit: usize) -> Result<Vec<Repository>, Error> {
        let later = (Bound::Excluded(after), Bound::Unbounded);
        let repositories = self.repositories.range::<str, _>(later);
        Ok(repositories.map(|(repository, _)| repository.clone()).take(limit).collect())
    }

    async fn referrers(&self, _: &Name, digest: &Digest) -> Result<Vec<Descriptor>, Error> {
        Ok(self.referrers.get(digest).cloned().unwrap_or_default())
    }
}
