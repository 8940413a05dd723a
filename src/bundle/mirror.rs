//! A file of an archive of oc-mirror v2: a part of the storage of its cache, and files of its own.
//!
//! ```text
//! docker/registry/v2/repositories/…  all names of the cache, in the first file of the archive
//! docker/registry/v2/blobs/…         what no archive before this one holds
//! working-dir/.history/.history-<time>     what the archives up to that one hold
//! working-dir/isc_pinned_<time>.yaml       what was asked for, catalogs by their digests
//! working-dir/operator-catalogs/<name>/<hex>/filtered-catalogs/<filter>/digest
//! isc_<time>                         the last file: all before it was written
//! ```
//!
//! A catalog that was filtered is in the storage under a tag made of the filter; oc-mirror gives it
//! the tag that was asked for when it pushes it, and so do we.
//! <https://github.com/openshift/oc-mirror/tree/main/internal/pkg/archive>

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jiff::Timestamp;

use super::index::Root;
use super::storage::{self, Storage};
use super::tree::Tree;
use super::{ContentIndex, Error, Meaning, Problem, Understood, read};
use crate::imageset::config::operators::Catalog;
use crate::imageset::config::{AdditionalImage, Config, ImageName};
use crate::oci::{Digest, Name, Reference, Repository, Tag};

/// Where the names are.
const NAMES: &str = "docker/registry/v2/repositories/";
/// Where oc-mirror keeps what is no storage.
const WORK: &str = "working-dir/";
/// How the name of the last file begins.
const MARK: &str = "isc_";
const HISTORY: &str = "working-dir/.history/.history-";
const CATALOGS: &str = "working-dir/operator-catalogs/";
const PINNED: &str = "working-dir/isc_pinned_";
/// The largest configuration read, in bytes.
const MAX_CONFIG_SIZE: u64 = 4 << 20;
/// The largest history read, in bytes: most of a million blobs.
const MAX_HISTORY_SIZE: u64 = 64 << 20;
/// The largest file read that holds one digest, in bytes.
const MAX_DIGEST_SIZE: u64 = 256;

/// What a file of an archive says about the archive.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    /// Whether it has the names, as the first file of an archive does.
    pub begins: bool,
    /// When the archive was made, in the last of its files: a file without is not the last one, or
    /// oc-mirror did not finish it.
    pub made: Option<Timestamp>,
    /// What is needed and not here, and when the archive was made that has it.
    pub earlier: BTreeMap<Digest, Timestamp>,
}

impl Archive {
    /// Reads what a file of an archive says; `index` is what it holds.
    pub(super) fn of(tree: &Tree, index: &ContentIndex) -> Self {
        let begins = tree.below(NAMES).next().is_some();
        Self { begins, made: made(tree), earlier: find_earlier(tree, index) }
    }
}

/// Whether these are the files of such an archive: nothing else is in them.
///
/// A file of an archive may hold blobs alone: then only its name tells, as it does to oc-mirror.
#[must_use]
pub fn recognise(tree: &Tree, path: &Path) -> bool {
    let known = |path: &str| {
        path.starts_with(storage::TREE) || path.starts_with(WORK) || mark(path).is_some()
    };
    let own = tree.below(WORK).next().is_some() || made(tree).is_some();
    (own || is_named_so(path)) && !tree.is_empty() && tree.below("").all(|(path, _)| known(path))
}

/// `mirror_000001.tar`, whatever comes before it.
fn is_named_so(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let number = name
        .and_then(|name| name.strip_suffix(".tar"))
        .and_then(|name| name.rsplit_once("mirror_"))
        .map(|(_, number)| number);
    number.is_some_and(|it| it.len() == 6 && it.bytes().all(|byte| byte.is_ascii_digit()))
}

/// When an archive was made, by the file that ends it.
fn made(tree: &Tree) -> Option<Timestamp> {
    tree.below(MARK).filter_map(|(path, _)| mark(path)).max()
}

fn mark(path: &str) -> Option<Timestamp> {
    path.strip_prefix(MARK)?.parse().ok()
}

/// Reads which blobs there are and what they are called: as oc-mirror would push them, and as their
/// source has them where that can be told.
///
/// # Errors
///
/// Never by what it holds: what cannot be used is a problem.
pub(super) fn understand(tree: &Tree) -> Result<Understood, Error> {
    let mut storage = Storage::default();
    for (path, stored) in tree.below(storage::TREE) {
        storage.add(path, stored)?;
    }
    let here: BTreeSet<Digest> = storage.blobs.iter().map(|(digest, _)| digest.clone()).collect();
    // All that the cache ever held is listed. Without a tag, what is not here is only what an index
    // that is not here needs.
    storage.roots.retain(|root| root.tag.is_some() || here.contains(&root.descriptor.digest));
    match config(tree) {
        Ok(None) => {}
        Ok(Some(config)) => {
            let tags = tags(&storage.roots);
            for catalog in &config.mirror.operators {
                rename(tree, catalog, &tags, &here, &mut storage.roots)?;
            }
            for image in &config.mirror.additional_images {
                storage.roots.extend(upstream(image, &tags)?);
            }
        }
        Err(path) => {
            let reason = "it is no ImageSetConfiguration that can be read: the names of catalogs \
                          and of sources are not known";
            storage.problems.push(Problem::Omitted { path, reason });
        }
    }
    let Storage { blobs, roots, problems, .. } = storage;
    Ok(Understood { meaning: Meaning::Mirror, blobs, roots, problems })
}

/// What was asked for; else the path of what cannot be read.
fn config(tree: &Tree) -> Result<Option<Config>, String> {
    let pinned = tree.below(PINNED).filter_map(|(path, _)| {
        let made: Timestamp = path.strip_prefix(PINNED)?.strip_suffix(".yaml")?.parse().ok()?;
        Some((made, path))
    });
    let marks = tree.below(MARK).filter_map(|(path, _)| Some((mark(path)?, path)));
    let Some((_, path)) = pinned.max().or_else(|| marks.max()) else { return Ok(None) };
    let read = || {
        let bytes = read(tree, path, MAX_CONFIG_SIZE).ok()?;
        Config::parse(std::str::from_utf8(&bytes).ok()?).ok()
    };
    read().map(Some).ok_or_else(|| path.to_owned())
}

type Tags = BTreeMap<(Repository, Tag), Digest>;

fn tags(roots: &[Root]) -> Tags {
    let tagged = roots.iter().filter_map(|root| {
        let place = (root.name.repository.clone(), root.tag.clone()?);
        Some((place, root.descriptor.digest.clone()))
    });
    tagged.collect()
}

/// Gives a catalog the tag that was asked for, be it filtered or not, and its name at its source.
fn rename(
    tree: &Tree,
    catalog: &Catalog,
    tags: &Tags,
    here: &BTreeSet<Digest>,
    roots: &mut Vec<Root>,
) -> Result<(), Error> {
    let ImageName::Remote(source) = &catalog.name else { return Ok(()) };
    let repository = catalog.target_repository.as_ref().unwrap_or(&source.repository);
    let nowhere = Name { registry: None, repository: repository.clone() };
    let tag = catalog.target_tag.as_ref().or(source.tag.as_ref());
    let filtered = source.digest.iter().flat_map(|it| filtered(tree, it));
    let mut filtered: Vec<Digest> = filtered.collect();
    // Catalogs that were filtered otherwise in earlier runs lie beside this one.
    filtered.sort_by_key(|digest| !here.contains(digest));
    if filtered.is_empty() {
        let Some(tag) = tag else { return Ok(()) };
        let Some(digest) = tags.get(&(repository.clone(), tag.clone())) else { return Ok(()) };
        roots.push(storage::root(source.name(), Some(tag.clone()), digest.clone())?);
        return Ok(());
    }
    if let Some(tag) = tag {
        roots.retain(|root| root.name != nowhere || root.tag.as_ref() != Some(tag));
    }
    for digest in filtered {
        let tag = tag.cloned().or_else(|| digest_tag(&digest));
        roots.push(storage::root(nowhere.clone(), tag.clone(), digest.clone())?);
        roots.push(storage::root(source.name(), tag, digest)?);
    }
    Ok(())
}

/// What a catalog was made into by filters, one after the other.
fn filtered(tree: &Tree, original: &Digest) -> impl Iterator<Item = Digest> {
    let original = original.hex();
    tree.below(CATALOGS).filter_map(move |(path, stored)| {
        let parts: Vec<&str> = path.strip_prefix(CATALOGS)?.split('/').collect();
        match parts.as_slice() {
            [_, hex, "filtered-catalogs", _, "digest"] if *hex == original => {
                let bytes = stored.open().ok()?.read_all(MAX_DIGEST_SIZE).ok()?;
                let hex = std::str::from_utf8(&bytes).ok()?.trim_ascii_end();
                format!("sha256:{hex}").parse().ok()
            }
            _ => None,
        }
    })
}

/// An additional image under the name that its source gives it.
fn upstream(image: &AdditionalImage, tags: &Tags) -> Result<Option<Root>, Error> {
    let ImageName::Remote(source) = &image.name else { return Ok(None) };
    let tag = image.target_tag.clone().or_else(|| source.tag.clone());
    let Some(tag) = tag.or_else(|| digest_tag(source.digest.as_ref()?)) else { return Ok(None) };
    let repository = image.target_repo.clone().unwrap_or_else(|| source.repository.clone());
    let place = |repository: Repository| tags.get(&(repository, tag.clone()));
    let digest = place(repository).or_else(|| place(short(source)?));
    let Some(digest) = digest.cloned() else { return Ok(None) };
    storage::root(source.name(), source.tag.clone(), digest).map(Some)
}

/// The repository of an image of Docker Hub as oc-mirror writes it: without `library/`.
fn short(source: &Reference) -> Option<Repository> {
    let short = source.repository.as_str().strip_prefix("library/");
    short.filter(|_| source.registry.is_docker())?.parse().ok()
}

/// The tag that oc-mirror gives to what was asked for by its digest.
fn digest_tag(digest: &Digest) -> Option<Tag> {
    digest.to_string().replace(':', "-").parse().ok()
}

/// Looks up in the histories which archive has what the index of this one lacks.
fn find_earlier(tree: &Tree, index: &ContentIndex) -> BTreeMap<Digest, Timestamp> {
    let absent = index.absent().iter().map(|it| &it.digest);
    let named = index.elsewhere().iter().map(|it| &it.digest);
    let mut missing: BTreeSet<&Digest> = absent.chain(named).collect();
    let histories = tree.below(HISTORY).filter_map(|(path, stored)| {
        Some((path.strip_prefix(HISTORY)?.parse::<Timestamp>().ok()?, stored))
    });
    let histories: BTreeMap<_, _> = histories.collect();
    let mut earlier = BTreeMap::new();
    // Each lists what those before it list, too: the first that has a digest tells.
    for (made, stored) in histories {
        if missing.is_empty() {
            break;
        }
        let read = stored.open().and_then(|content| content.read_all(MAX_HISTORY_SIZE));
        for line in read.unwrap_or_default().split(|byte| *byte == b'\n') {
            let digest = std::str::from_utf8(line).ok().and_then(|line| line.trim().parse().ok());
            if let Some(digest) = digest.filter(|digest| missing.remove(digest)) {
                earlier.insert(digest, made);
            }
        }
    }
    earlier
}
