//! The images that are made of files of an archive, be they in one file of it or in several.

use std::collections::HashSet;

use super::catalog::{CATALOGS, Catalogs};
use super::metadata::{Catalog, Metadata};
use super::{Archive, graph};
use crate::bundle::index::{self, Root};
use crate::bundle::tree::{Stored, Tree};
use crate::bundle::{Bundle, Error, Meaning, Problem};
use crate::oci::{Digest, Name, Tag};

/// What images are made of.
#[derive(Debug, Default)]
pub(super) struct Parts {
    tree: Tree,
    /// The catalogs that were asked for.
    catalogs: Vec<Catalog>,
    /// The images that graph data may be put on.
    bases: Vec<Digest>,
}

impl Parts {
    /// Those of one file; the metadata is in the first of an archive only.
    pub(super) fn of(tree: &Tree, metadata: Option<&Metadata>) -> Self {
        let mut parts = Self::default();
        parts.add(tree);
        if let Some(metadata) = metadata {
            parts.catalogs.clone_from(&metadata.catalogs);
            parts.bases.clone_from(&metadata.graph_bases);
        }
        parts
    }

    /// These, and those of other files of the same archive.
    pub(super) fn with<'a>(&self, others: impl IntoIterator<Item = &'a Self>) -> Self {
        let (catalogs, bases) = (self.catalogs.clone(), self.bases.clone());
        let mut all = Self { tree: Tree::default(), catalogs, bases };
        all.add(&self.tree);
        others.into_iter().for_each(|other| all.add(&other.tree));
        all
    }

    fn add(&mut self, tree: &Tree) {
        for prefix in [CATALOGS, graph::DATA, graph::SIGNATURES] {
            for (path, stored) in tree.below(prefix) {
                self.tree.insert(path, stored.clone());
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tree.is_empty()
    }
}

/// The images that were made.
pub(super) struct Made {
    pub(super) blobs: Vec<(Digest, Stored)>,
    pub(super) roots: Vec<Root>,
    /// Why some were not.
    pub(super) problems: Vec<Problem>,
}

impl Made {
    /// What they are called.
    pub(super) fn names(&self) -> Vec<(Name, Option<Tag>)> {
        self.roots.iter().map(|it| (it.name.clone(), it.tag.clone())).collect()
    }

    /// Makes all images of these parts; `held` are blobs of the archive and of those before it.
    pub(super) fn of(parts: &Parts, held: &dyn Fn(&Digest) -> Option<Stored>) -> Self {
        let Catalogs { mut blobs, mut roots, mut problems } =
            Catalogs::of(&parts.tree, &parts.catalogs);
        match graph::make(&parts.tree, &parts.bases, held) {
            Ok(None) => {}
            Ok(Some(graph)) => {
                blobs.extend(graph.blobs);
                roots.push(graph.root);
            }
            Err(fault) => problems.push(fault.of(graph::IMAGE)),
        }
        Self { blobs, roots, problems }
    }
}

/// Makes the images that the first file of an archive names of what is in it and in the `others` of
/// its files; `held` are the blobs at hand.
///
/// Nothing if that was done, or there is nothing to be made.
///
/// # Errors
///
/// When there are more blobs than an index can hold.
pub fn assemble(
    first: &Bundle,
    others: &[&Bundle],
    held: &dyn Fn(&Digest) -> Option<Stored>,
    verify: bool,
) -> Result<Option<Bundle>, Error> {
    let others = others.iter().filter_map(|it| it.archive_v1.as_ref()).map(|it| &*it.parts);
    let others: Vec<&Parts> = others.filter(|parts| !parts.is_empty()).collect();
    let Some(archive) = &first.archive_v1 else { return Ok(None) };
    let whole = others.len().saturating_add(1);
    if archive.edition.is_none() || archive.assembled == whole {
        return Ok(None);
    }
    let made = Made::of(&archive.parts.with(others), held);
    let names = made.names();
    let mut blobs = first.index.blobs().to_vec();
    let known = blobs.len();
    blobs.extend(made.blobs);
    let mut roots = first.index.roots();
    // What was made of less is made again.
    let before: HashSet<&(Name, Option<Tag>)> = archive.made.iter().collect();
    roots.retain(|it| !before.contains(&(it.name.clone(), it.tag.clone())));
    roots.extend(made.roots);
    let (index, more) = index::build(blobs, roots, Meaning::MirrorV1.roots(), verify)?;
    let not_made = |it: &Problem| matches!(it, Problem::NotMade { .. });
    let all_made = made.problems.is_empty();
    let said: Vec<&Problem> = first.problems.iter().filter(|it| not_made(it)).collect();
    let is_said = said.len() == made.problems.len()
        && made.problems.iter().all(|problem| said.contains(&problem));
    if index.blobs().len() == known && is_said && !all_made {
        return Ok(None);
    }
    let more = more.into_iter().filter(|it| !first.problems.contains(it));
    let old = first.problems.iter().filter(|it| !not_made(it)).cloned();
    let problems = old.chain(made.problems).chain(more).collect();
    let assembled = if all_made { whole } else { 0 };
    let archive = Archive { assembled, made: names, ..archive.clone() };
    let (path, format, edition) = (first.path.clone(), first.format, first.edition.clone());
    let archive_v1 = Some(archive);
    Ok(Some(Bundle { path, format, edition, archive: None, archive_v1, index, problems }))
}
