//! A file of an archive of oc-mirror v1: images as `oc image mirror` puts them on a disk.
//!
//! ```text
//! publish/.metadata.json               which archive it is, and what its images are called
//! catalogs/…, cincinnati/…             what images are made of when they are pushed: see there
//! blobs/<digest>                       layers, configurations and manifests, each once
//! v2/<path>/manifests/<digest>
//! v2/<path>/manifests/<tag>            a link to the one above
//! ```
//!
//! The metadata is in the first file of an archive; what other files hold is only told by paths.
//! A sequence has what no earlier one has.
//! <https://github.com/openshift/oc-mirror/blob/main/v1/pkg/cli/mirror/pack.go>

mod catalog;
mod graph;
mod image;
mod layer;
mod made;
pub mod metadata;
mod names;

use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::index::Root;
use super::tree::{self, Stored, Tree};
use super::{Error, Meaning, Problem, Understood, loose};
use crate::extent::Content;
use crate::oci::{Algorithm, Digest, Hasher, Name, Tag};
pub use made::assemble;
use made::{Made, Parts};
use metadata::Metadata;

const METADATA: &str = "publish/.metadata.json";
const BLOBS: &str = "blobs/";
pub(super) const IMAGES: &str = "v2/";
const MANIFESTS: &str = "/manifests/";
/// What an archive has besides.
const OTHERS: [&str; 5] =
    ["publish/", "charts/", "release-signatures/", "cincinnati/", "internal/"];
/// The largest metadata read, in bytes. It is not kept.
const MAX_METADATA_SIZE: u64 = 256 << 20;

/// What a file of an archive says about the archive.
#[derive(Clone, Debug)]
pub struct Archive {
    /// Whether it has the metadata, as the first file of an archive does.
    pub begins: bool,
    /// Which one it is, if the metadata is here and can be read.
    pub edition: Option<Edition>,
    /// What its images consist of and is not in this file, sorted.
    pub needs: Vec<Digest>,
    /// What further images are made of.
    parts: Arc<Parts>,
    /// The names of those that were made.
    made: Vec<(Name, Option<Tag>)>,
    /// Of how many files all of them were made; 0 if some were not.
    assembled: usize,
}

/// Which archive of which workspace a file is of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Edition {
    /// The workspace whose archives follow one another.
    pub uid: Uuid,
    /// Which one this is, from 1.
    pub sequence: u64,
    /// Whether it stands alone.
    pub single_use: bool,
    /// The digest of the metadata: of copies the same.
    pub digest: Digest,
}

impl Archive {
    /// Where that is which its images consist of and is not here, in words.
    #[must_use]
    pub fn elsewhere(&self) -> &'static str {
        match &self.edition {
            Some(edition) if edition.single_use || edition.sequence <= 1 => {
                "in another file of its archive"
            }
            _ => "in an earlier sequence or another file of its archive",
        }
    }
}

/// Whether these are the files of such an archive.
///
/// A file may hold some kinds of them only: then no other tool may have written them.
#[must_use]
pub fn recognise(tree: &Tree, path: &Path) -> bool {
    if tree.get(METADATA).is_some() {
        return true;
    }
    let known = |path: &str| {
        blob(path).is_some()
            || path.starts_with(catalog::CATALOGS)
            || path.starts_with(IMAGES) && path.contains(MANIFESTS)
            || OTHERS.iter().any(|other| path.starts_with(other))
    };
    let has_blobs = tree.below(BLOBS).any(|(path, _)| blob(path).is_some());
    (has_blobs || is_named_so(path)) && !tree.is_empty() && tree.below("").all(|(it, _)| known(it))
}

/// `mirror_seq1_000000.tar`, whatever comes before it.
fn is_named_so(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let numbers = name.strip_suffix(".tar").and_then(|name| name.rsplit_once("mirror_seq"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    let numbers = numbers.and_then(|(_, numbers)| numbers.split_once('_'));
    numbers.is_some_and(|(one, two)| is_number(one) && is_number(two) && two.len() == 6)
}

/// The blob that lies at a path.
fn blob(path: &str) -> Option<Digest> {
    path.strip_prefix(BLOBS)?.parse().ok()
}

/// Reads which blobs there are and what the images are called, and makes images of what is to be
/// one.
///
/// # Errors
///
/// When a manifest cannot be read; what else cannot be used is a problem.
pub(super) fn understand(tree: &Tree) -> Result<(Understood, Archive), Error> {
    let mut blobs: HashMap<Digest, Stored> = HashMap::new();
    let mut tags = Vec::new();
    for (path, stored) in tree.below(BLOBS) {
        blobs.extend(blob(path).map(|digest| (digest, stored.clone())));
    }
    for (path, stored) in tree.below(IMAGES) {
        let Some((repository, target)) = path.rsplit_once(MANIFESTS) else { continue };
        match target.parse::<Digest>() {
            Ok(digest) => drop(blobs.entry(digest).or_insert_with(|| stored.clone())),
            Err(_) => tags.push((repository, target, path, stored)),
        }
    }
    let mut problems = Vec::new();
    let read = metadata(tree).transpose();
    let known = read.unwrap_or_else(|path| {
        let reason = "it is no metadata that can be read: which sequence this is, and the names \
                      at the sources, are not known";
        problems.push(Problem::Omitted { path, reason });
        None
    });
    let (mut roots, mut needs, mut edition) = (Vec::new(), Vec::new(), None);
    if let Some((metadata, digest)) = &known {
        let Metadata { uid, sequence, single_use, .. } = *metadata;
        edition = Some(Edition { uid, sequence, single_use, digest: digest.clone() });
        roots = names::roots(metadata)?;
        needs = lacking(metadata, &blobs);
    }
    roots.extend(tagged(&tags, &roots, &mut problems)?);
    let parts = Parts::of(tree, known.as_ref().map(|(metadata, _)| metadata));
    let begins = tree.get(METADATA).is_some();
    let held = |digest: &Digest| blobs.get(digest).cloned();
    // Of a later file, only the first one knows the names.
    let made = begins.then(|| Made::of(&parts, &held));
    let mut blobs: Vec<_> = blobs.into_iter().collect();
    let (mut assembled, mut names) = (0, Vec::new());
    if let Some(made) = made {
        names = made.names();
        assembled = usize::from(made.problems.is_empty());
        blobs.extend(made.blobs);
        roots.extend(made.roots);
        problems.extend(made.problems);
    }
    let understood = Understood { meaning: Meaning::MirrorV1, blobs, roots, problems };
    let (parts, made) = (Arc::new(parts), names);
    Ok((understood, Archive { begins, edition, needs, parts, made, assembled }))
}

/// Whether something that was left out is only a link to a manifest that another file has.
pub(super) fn is_mere_link(problem: &Problem) -> bool {
    matches!(problem, Problem::Omitted { path, reason }
        if path.starts_with(IMAGES) && path.contains(MANIFESTS) && *reason == tree::DANGLING)
}

/// What the metadata says, and its digest; nothing if there is none, and its path if it cannot be
/// read.
fn metadata(tree: &Tree) -> Option<Result<(Metadata, Digest), String>> {
    let stored = tree.get(METADATA)?;
    let read = || {
        let content = stored.open().ok().filter(|it| it.length() <= MAX_METADATA_SIZE)?;
        let hasher = Hasher::new(Algorithm::Sha256);
        let mut reader = Reader { content, position: 0, hasher };
        let metadata = Metadata::read(&mut reader).ok()?;
        io::copy(&mut reader, &mut io::sink()).ok()?;
        Some((metadata, reader.hasher.finish()))
    };
    Some(read().ok_or_else(|| METADATA.to_owned()))
}

/// What the images consist of and is not here.
fn lacking(metadata: &Metadata, blobs: &HashMap<Digest, Stored>) -> Vec<Digest> {
    let images = metadata.images.iter();
    let parts = images.flat_map(|it| it.digest.iter().chain(&it.manifests).chain(&it.blobs));
    let lacking: HashSet<&Digest> = parts.filter(|digest| !blobs.contains_key(*digest)).collect();
    let mut lacking: Vec<Digest> = lacking.into_iter().cloned().collect();
    lacking.sort_unstable();
    lacking
}

/// A link that gives a tag to a manifest: its repository, the tag, its path and what it leads to.
type Link<'a> = (&'a str, &'a str, &'a str, &'a Stored);

/// The tags that only links tell.
fn tagged(
    links: &[Link<'_>],
    known: &[Root],
    problems: &mut Vec<Problem>,
) -> Result<Vec<Root>, Error> {
    let known: HashSet<(&str, &str)> = known
        .iter()
        .filter(|it| it.name.registry.is_none())
        .filter_map(|it| Some((it.name.repository.as_str(), it.tag.as_ref()?.as_str())))
        .collect();
    let mut reader = loose::Reader::new();
    let mut roots = Vec::new();
    for (repository, tag, path, stored) in links {
        let repository = repository.strip_prefix(IMAGES).unwrap_or_default();
        if known.contains(&(repository, tag)) {
            continue;
        }
        let (Ok(repository), Ok(tag)) = (repository.parse(), tag.parse::<Tag>()) else {
            let (path, reason) = ((*path).to_owned(), "it names no image");
            problems.push(Problem::Omitted { path, reason });
            continue;
        };
        match reader.read(path, stored, None)? {
            Err(problem) => problems.push(problem),
            Ok(descriptor) => {
                let name = names::nowhere(repository);
                roots.push(Root { name, tag: Some(tag), descriptor });
            }
        }
    }
    Ok(roots)
}

/// Reads a content from its beginning on, and hashes it on the way.
struct Reader {
    content: Content,
    position: u64,
    hasher: Hasher,
}

impl Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = self.content.length().saturating_sub(self.position);
        let length = usize::try_from(rest).unwrap_or(usize::MAX).min(buffer.len());
        let buffer = buffer.get_mut(..length).unwrap_or_default();
        self.content.read_at(buffer, self.position)?;
        self.hasher.update(buffer);
        self.position += length as u64;
        Ok(length)
    }
}
