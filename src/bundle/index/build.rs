//! Makes the index of a bundle: reads every manifest that its roots lead to, once.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::num::NonZero;
use std::thread;

use super::{Absent, ContentIndex, Elsewhere, Ordinal, Root, Roots};
use crate::bundle::tree::Stored;
use crate::bundle::{Error, Problem};
use crate::oci::{Child, Descriptor, Digest, MAX_MANIFEST_SIZE, Manifest, MediaType, Role};

/// Makes the index of a bundle of these blobs that was made to carry these roots.
///
/// Every manifest that the roots lead to is read; its digest is verified if `verify` says so,
/// and one that is damaged or no manifest becomes a problem while the rest goes on.
///
/// # Errors
///
/// When there are more blobs than an index can hold.
pub fn build(
    blobs: Vec<(Digest, Stored)>,
    roots: Vec<Root>,
    may_be: Roots,
    verify: bool,
) -> Result<(ContentIndex, Vec<Problem>), Error> {
    let mut builder = Builder::new(blobs, verify)?;
    if may_be == Roots::Elsewhere {
        builder.elsewhere(&roots)?;
    }
    for root in roots {
        builder.root(root);
    }
    builder.walk();
    Ok(builder.finish())
}

/// Reads further blobs of an index as manifests.
pub(super) fn extend(
    index: ContentIndex,
    manifests: impl IntoIterator<Item = (Digest, MediaType)>,
    verify: bool,
) -> (ContentIndex, Vec<Problem>) {
    let mut builder = Builder::of(index, verify);
    for (digest, media_type) in manifests {
        let blob = builder.index.find(&digest);
        builder.queue.extend(blob.map(|blob| (blob, media_type)));
    }
    builder.walk();
    builder.finish()
}

/// How many manifests are read at a time.
const BATCH: usize = 1024;
/// How many bytes of them; one more manifest may come on top.
const BATCH_BYTES: u64 = 16 << 20;
/// How many are worth a thread of their own.
const SHARE: usize = 32;

struct Builder {
    index: ContentIndex,
    problems: Vec<Problem>,
    verify: bool,
    /// Manifests that are still to be read, with the type that their parent gave them.
    queue: VecDeque<(Ordinal, MediaType)>,
    known: HashMap<Ordinal, Option<MediaType>>,
    /// The few media types there are, each kept once.
    types: HashSet<MediaType>,
    /// Roots that are named but not held: their absence is no manifest's need.
    missing_roots: BTreeSet<(Digest, String)>,
}

impl Builder {
    fn new(mut blobs: Vec<(Digest, Stored)>, verify: bool) -> Result<Self, Error> {
        blobs.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        blobs.dedup_by(|(a, _), (b, _)| a == b);
        blobs.shrink_to_fit();
        if Ordinal::try_from(blobs.len()).is_err() {
            return Err(Error::TooMany(blobs.len()));
        }
        Ok(Self::of(ContentIndex { blobs, ..ContentIndex::default() }, verify))
    }

    /// Goes on with an index; what it knows is not read again.
    fn of(mut index: ContentIndex, verify: bool) -> Self {
        let manifests = std::mem::take(&mut index.manifests).into_iter();
        let mut known: HashMap<_, _> =
            manifests.map(|(blob, media_type)| (blob, Some(media_type))).collect();
        known.extend(index.damaged.iter().chain(&index.unreadable).map(|blob| (*blob, None)));
        let types = known.values().flatten().cloned().collect();
        Self {
            index,
            problems: Vec::new(),
            verify,
            queue: VecDeque::new(),
            known,
            types,
            missing_roots: BTreeSet::new(),
        }
    }

    fn root(&mut self, root: Root) {
        let Root { name, tag, descriptor } = root;
        let Some(blob) = self.index.place(&descriptor.digest) else {
            let tag = tag.map_or_else(String::new, |tag| format!(":{tag}"));
            self.missing_roots.insert((descriptor.digest, format!("{name}{tag}")));
            return;
        };
        let repository = self.index.names.entry(name.clone()).or_default();
        repository.roots.insert(blob);
        if let Some(tag) = tag {
            let first = *repository.tags.entry(tag.clone()).or_insert(blob);
            if first != blob {
                let reference = format!("{name}:{tag}");
                self.problems.push(Problem::Duplicate { reference, digest: descriptor.digest });
            }
        }
        if self.index.blob(blob).is_some() {
            self.queue.push_back((blob, descriptor.media_type));
        }
    }

    /// Gives places to the roots that are not here.
    fn elsewhere(&mut self, roots: &[Root]) -> Result<(), Error> {
        let mut elsewhere = Vec::new();
        for Root { descriptor, .. } in roots {
            let Descriptor { digest, media_type, size, .. } = descriptor;
            if self.index.find(digest).is_none() {
                let media_type = self.intern(media_type.clone());
                elsewhere.push(Elsewhere { digest: digest.clone(), media_type, size: *size });
            }
        }
        elsewhere.sort_unstable_by(|a, b| a.digest.cmp(&b.digest));
        elsewhere.dedup_by(|a, b| a.digest == b.digest);
        elsewhere.shrink_to_fit();
        let places = self.index.blobs.len().saturating_add(elsewhere.len());
        if Ordinal::try_from(places).is_err() {
            return Err(Error::TooMany(places));
        }
        self.index.elsewhere = elsewhere;
        Ok(())
    }

    fn walk(&mut self) {
        loop {
            let batch = self.batch();
            if batch.is_empty() {
                return;
            }
            for (blob, read) in self.read_all(&batch) {
                match read {
                    Ok(manifest) => self.manifest(blob, manifest),
                    Err(problem) => {
                        match problem {
                            Problem::Damaged { .. } => self.index.damaged.push(blob),
                            _ => self.index.unreadable.push(blob),
                        }
                        self.problems.push(problem);
                    }
                }
            }
        }
    }

    /// The next manifests that are still to be read, as many as may be in memory at once.
    fn batch(&mut self) -> Vec<(Ordinal, MediaType)> {
        let (mut batch, mut bytes) = (Vec::new(), 0_u64);
        while batch.len() < BATCH && bytes < BATCH_BYTES {
            let Some((blob, declared)) = self.queue.pop_front() else { break };
            if self.known.contains_key(&blob) {
                continue;
            }
            self.known.insert(blob, None);
            let length = self.index.blob(blob).map_or(0, |(_, stored)| stored.length());
            bytes = bytes.saturating_add(length);
            batch.push((blob, declared));
        }
        batch
    }

    /// Reads manifests on all cores; answers in their order.
    fn read_all(
        &self,
        batch: &[(Ordinal, MediaType)],
    ) -> Vec<(Ordinal, Result<Manifest, Problem>)> {
        let read = |part: &[(Ordinal, MediaType)]| -> Vec<_> {
            part.iter().map(|(blob, declared)| (*blob, self.read(*blob, declared))).collect()
        };
        let cores = thread::available_parallelism().map_or(1, NonZero::get);
        let (first, rest) = batch.split_at(batch.len().div_ceil(cores).max(SHARE).min(batch.len()));
        let rest: Vec<_> = rest.chunks(first.len().max(1)).collect();
        thread::scope(|scope| {
            let others: Vec<_> =
                rest.into_iter().map(|part| scope.spawn(move || read(part))).collect();
            let mut all = read(first);
            for other in others {
                // A reader that panicked has nothing to say; its manifests stay unread.
                all.extend(other.join().unwrap_or_default());
            }
            all
        })
    }

    fn read(&self, blob: Ordinal, declared: &MediaType) -> Result<Manifest, Problem> {
        let Some((digest, stored)) = self.index.blob(blob) else {
            return Err(Problem::Unreadable { digest: Digest::of(b""), reason: String::new() });
        };
        let unreadable = |reason: String| Problem::Unreadable { digest: digest.clone(), reason };
        let content = stored.open().map_err(|error| unreadable(error.to_string()))?;
        let bytes =
            content.read_all(MAX_MANIFEST_SIZE).map_err(|error| unreadable(error.to_string()))?;
        if self.verify && !digest.matches(&bytes) {
            let offset = stored.offset();
            return Err(Problem::Damaged { digest: digest.clone(), offset });
        }
        Manifest::parse(&bytes, Some(declared)).map_err(|error| unreadable(error.to_string()))
    }

    fn manifest(&mut self, parent: Ordinal, manifest: Manifest) {
        let media_type = self.intern(manifest.media_type);
        self.known.insert(parent, Some(media_type.clone()));
        for child in manifest.children {
            if !child.required() {
                continue;
            }
            let Child { role, descriptor } = child;
            let Some(blob) = self.index.find(&descriptor.digest) else {
                let Descriptor { digest, size, media_type, .. } = descriptor;
                let media_type = (role == Role::Manifest).then(|| self.intern(media_type));
                self.index.absent.push(Absent { digest, size, role, media_type, parent });
                continue;
            };
            self.index.parents.push((blob, parent));
            if role == Role::Manifest {
                self.queue.push_back((blob, descriptor.media_type));
            }
        }
        if let (Some(subject), Some((digest, stored))) = (manifest.subject, self.index.blob(parent))
        {
            let mut descriptor = Descriptor::new(media_type, digest.clone(), stored.length());
            descriptor.artifact_type = manifest.artifact_type;
            descriptor.annotations = manifest.annotations;
            self.index.referrers.entry(subject.digest).or_default().push(descriptor);
        }
    }

    fn intern(&mut self, media_type: MediaType) -> MediaType {
        if let Some(known) = self.types.get(&media_type) {
            return known.clone();
        }
        self.types.insert(media_type.clone());
        media_type
    }

    fn finish(mut self) -> (ContentIndex, Vec<Problem>) {
        let manifests = self.known.into_iter();
        self.index.manifests =
            manifests.filter_map(|(blob, media_type)| Some((blob, media_type?))).collect();
        self.index.manifests.sort_unstable_by_key(|(blob, _)| *blob);
        self.index.parents.sort_unstable();
        self.index.parents.dedup();
        self.index.parents.shrink_to_fit();
        self.index.absent.sort_by(|a, b| a.digest.cmp(&b.digest));
        self.index.absent.shrink_to_fit();
        let missing = self.missing_roots.into_iter();
        self.problems
            .extend(missing.map(|(digest, reference)| Problem::MissingRoot { digest, reference }));
        (self.index, self.problems)
    }
}
