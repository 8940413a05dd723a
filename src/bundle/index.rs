//! What a bundle holds, found once when it is opened: blobs, manifests, names, and who needs whom.
//!
//! Blobs are known by their place in one sorted table, 32 bits each, so that memory grows
//! with the number of entries only, and slowly. Nothing of the manifests' text is kept.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::num::NonZero;
use std::thread;

use super::tree::Stored;
use super::{Error, Problem};
use crate::oci::{
    Child, Descriptor, Digest, MAX_MANIFEST_SIZE, Manifest, MediaType, Name, Role, Tag,
};

/// A blob's place in the table of its bundle.
pub type Ordinal = u32;

/// What a bundle holds.
#[expect(clippy::module_name_repetitions, reason = "`Index` is the OCI document")]
#[derive(Debug, Default)]
pub struct ContentIndex {
    /// Every blob, sorted by digest.
    blobs: Vec<(Digest, Stored)>,
    /// Which blobs are manifests, sorted by blob.
    manifests: Vec<(Ordinal, MediaType)>,
    /// Which manifests need a blob: (blob, manifest), sorted.
    parents: Vec<(Ordinal, Ordinal)>,
    /// What manifests here need and this bundle does not hold.
    absent: Vec<Absent>,
    /// The repositories.
    names: BTreeMap<Name, Repository>,
    /// The manifests that are about another one, by that one's digest.
    referrers: BTreeMap<Digest, Vec<Descriptor>>,
    /// Blobs found damaged when the bundle was opened.
    damaged: Vec<Ordinal>,
}

/// One repository of a bundle.
#[derive(Debug, Default)]
pub struct Repository {
    /// Its tags.
    pub tags: BTreeMap<Tag, Ordinal>,
    /// The manifests that were carried for it, with or without a tag.
    pub roots: BTreeSet<Ordinal>,
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

    /// What manifests here need and this bundle does not hold.
    #[must_use]
    pub fn absent(&self) -> &[Absent] {
        &self.absent
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
                let digests = roots.filter_map(|blob| Some(&self.blob(*blob)?.0));
                references.extend(digests.map(|digest| format!("{name}@{digest}")));
            }
        }
        references
    }
}

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
    verify: bool,
) -> Result<(ContentIndex, Vec<Problem>), Error> {
    let mut builder = Builder::new(blobs, verify)?;
    for root in roots {
        builder.root(root);
    }
    builder.walk();
    Ok(builder.finish())
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
        Ok(Self {
            index: ContentIndex { blobs, ..ContentIndex::default() },
            problems: Vec::new(),
            verify,
            queue: VecDeque::new(),
            known: HashMap::new(),
            types: HashSet::new(),
            missing_roots: BTreeSet::new(),
        })
    }

    fn root(&mut self, root: Root) {
        let Root { name, tag, descriptor } = root;
        let Some(blob) = self.index.find(&descriptor.digest) else {
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
        self.queue.push_back((blob, descriptor.media_type));
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
                        if matches!(problem, Problem::Damaged { .. }) {
                            self.index.damaged.push(blob);
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
                let Descriptor { digest, size, .. } = descriptor;
                self.index.absent.push(Absent { digest, size, role, parent });
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
        let missing = self.missing_roots.into_iter();
        self.problems
            .extend(missing.map(|(digest, reference)| Problem::MissingRoot { digest, reference }));
        (self.index, self.problems)
    }
}
