//! `shipperd inspect`: what is inside bundles.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::ExitStatus;
use super::bundles;
use super::printer::{self, Printer, size};
use super::report::Report;
use crate::bundle::index::Ordinal;
use crate::bundle::{Bundle, ContentIndex};
use crate::content::ambiguity::Ambiguous;
use crate::content::overlay::Overlay;
use crate::content::snapshot::{Snapshot, Verify};
use crate::imageset::record::{Failed, Previous};
use crate::oci::Digest;

/// Show what is inside bundles
///
/// The imageset and its sequence, the references with their sizes, what is missing, and names
/// that mean different contents in different registries or imagesets. What one of the bundles
/// lacks and another one given has is not missing.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Bundle files, archives, layouts, or directories of them
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
}

/// What is inside all the bundles.
#[derive(Serialize)]
struct Answer {
    bundles: Vec<Inside>,
    /// The requested names that mean different contents in different registries or imagesets.
    ambiguous: Vec<Ambiguous>,
}

/// What is inside one bundle.
#[derive(Serialize)]
struct Inside {
    path: PathBuf,
    format: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    imageset: Option<Imageset>,
    blobs: usize,
    bytes: u64,
    references: Vec<Reference>,
    missing: Vec<Missing>,
    /// Platforms and others left out on purpose.
    sparse: Vec<Digest>,
    /// What was asked for and is not carried.
    failed: Vec<Failed>,
    problems: Vec<String>,
}

/// Which edition a bundle is.
#[derive(Serialize)]
struct Imageset {
    id: String,
    name: String,
    sequence: u64,
    digest: Digest,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<Previous>,
    created: String,
    generator: String,
}

/// One reference.
#[derive(Serialize)]
struct Reference {
    reference: String,
    digest: Digest,
    /// The bytes of everything it needs that is here.
    bytes: u64,
}

/// Something that is needed and in none of the bundles.
#[derive(Serialize)]
struct Missing {
    digest: Digest,
    bytes: u64,
    /// Whether the imageset says that an earlier sequence carries it.
    earlier: bool,
    needed_by: Vec<String>,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let mut status = ExitStatus::Done;
    let mut opened = Vec::new();
    for bundle in bundles::open(&arguments.paths, false, printer) {
        match bundle {
            Ok(bundle) => opened.push(Arc::new(Snapshot::new(bundle, Verify::Never))),
            Err(refused) => {
                printer.report(&Report::of(&refused.explain()));
                status = ExitStatus::Failed;
            }
        }
    }
    let here = |digest: &Digest| opened.iter().any(|it| it.bundle().index.find(digest).is_some());
    let bundles = opened.iter().map(|snapshot| Inside::of(snapshot.bundle(), &here)).collect();
    // The first one given is the uppermost, as it is when they are served.
    let stacked = opened.clone();
    let answer = Answer { bundles, ambiguous: Overlay::new(stacked, false).ambiguous() };
    if printer.json() {
        printer.document(&answer)?;
    } else {
        answer.print(printer)?;
    }
    Ok(status)
}

impl Inside {
    fn of(bundle: &Bundle, here: &impl Fn(&Digest) -> bool) -> Self {
        let index = &bundle.index;
        let record = bundle.edition.as_ref().map(|edition| &edition.record);
        let imageset = bundle.edition.as_ref().map(|edition| Imageset {
            id: edition.record.id.to_string(),
            name: edition.record.name.clone(),
            sequence: edition.record.sequence,
            digest: edition.digest.clone(),
            previous: edition.record.previous.clone(),
            created: edition.record.created.clone(),
            generator: edition.record.generator.clone(),
        });
        let needs: HashSet<&Digest> =
            record.into_iter().flat_map(|it| &it.needs).map(|blob| &blob.digest).collect();
        let sparse = record.map(|it| it.sparse.clone()).unwrap_or_default();
        let mut missing = BTreeMap::new();
        for absent in index.absent() {
            if here(&absent.digest) || sparse.contains(&absent.digest) {
                continue;
            }
            let entry = missing.entry(absent.digest.clone()).or_insert_with(|| Missing {
                digest: absent.digest.clone(),
                bytes: absent.size,
                earlier: needs.contains(&absent.digest),
                needed_by: Vec::new(),
            });
            entry.needed_by.extend(index.references(absent.parent));
            entry.needed_by.sort_unstable();
            entry.needed_by.dedup();
        }
        Self {
            path: bundle.path.clone(),
            format: bundle.format.to_string(),
            imageset,
            blobs: index.blobs().len(),
            bytes: bundles::bytes_of(bundle),
            references: references(index),
            missing: missing.into_values().collect(),
            sparse,
            failed: record.map(|it| it.failed.clone()).unwrap_or_default(),
            problems: bundle.problems.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The references of a bundle: tags, and digests that no tag names.
fn references(index: &ContentIndex) -> Vec<Reference> {
    let children = Children::of(index);
    let mut references = Vec::new();
    for (name, repository) in index.names() {
        let tagged: BTreeSet<_> = repository.tags.values().copied().collect();
        let tags = repository.tags.iter().map(|(tag, blob)| (*blob, Some(tag)));
        let bare = repository.roots.difference(&tagged).map(|blob| (*blob, None));
        for (blob, tag) in tags.chain(bare) {
            let Some((digest, _)) = index.blob(blob) else { continue };
            let reference = match tag {
                Some(tag) => format!("{name}:{tag}"),
                None => format!("{name}@{digest}"),
            };
            let bytes = children.size(index, blob);
            references.push(Reference { reference, digest: digest.clone(), bytes });
        }
    }
    references
}

/// What each manifest needs directly.
struct Children(HashMap<Ordinal, Vec<Ordinal>>);

impl Children {
    fn of(index: &ContentIndex) -> Self {
        let mut children = HashMap::<_, Vec<_>>::new();
        for (blob, _) in (0..).zip(index.blobs()) {
            for parent in index.parents(blob) {
                children.entry(parent).or_default().push(blob);
            }
        }
        Self(children)
    }

    /// The bytes of a manifest and of everything that it needs, each counted once.
    fn size(&self, index: &ContentIndex, manifest: Ordinal) -> u64 {
        let mut seen = HashSet::from([manifest]);
        let mut queue = vec![manifest];
        let mut total = 0u64;
        while let Some(blob) = queue.pop() {
            let length = index.blob(blob).map_or(0, |(_, stored)| stored.length());
            total = total.saturating_add(length);
            let children = self.0.get(&blob).into_iter().flatten();
            queue.extend(children.filter(|child| seen.insert(**child)));
        }
        total
    }
}

impl Answer {
    fn print(&self, printer: &Printer) -> Result<(), printer::Error> {
        let mut blocks: Vec<String> = self.bundles.iter().map(Inside::text).collect();
        let ambiguous = self.ambiguous.iter();
        let ambiguous: Vec<_> = ambiguous.map(|it| format!("ambiguous: {it}")).collect();
        if !ambiguous.is_empty() {
            blocks.push(ambiguous.join("\n"));
        }
        if !blocks.is_empty() {
            printer.data(blocks.join("\n\n"))?;
        }
        Ok(())
    }
}

impl Inside {
    fn text(&self) -> String {
        let path = printer::name(self.path.display());
        let mut lines = vec![format!("{path}: {}", self.format)];
        if let Some(imageset) = &self.imageset {
            let Imageset { id, name, sequence, created, generator, .. } = imageset;
            let name = printer::name(name);
            lines.push(format!("  imageset   {name} ({id}), sequence {sequence}"));
            lines.push(format!("  identity   {}", imageset.digest));
            if let Some(previous) = &imageset.previous {
                lines.push(format!(
                    "  follows    sequence {}, {}",
                    previous.sequence, previous.digest
                ));
            }
            let (created, generator) = (printer::name(created), printer::name(generator));
            lines.push(format!("  made       {created} by {generator}"));
        }
        let (bytes, count) = (size(self.bytes), self.references.len());
        lines.push(format!("  content    {} blobs, {bytes}; {count} references", self.blobs));
        let widest = self.references.iter().map(|it| it.reference.len()).max().unwrap_or(0);
        for Reference { reference, digest, bytes } in &self.references {
            let digest: String = digest.to_string().chars().take(19).collect();
            lines.push(format!("    {reference:widest$}  {digest}  {:>10}", size(*bytes)));
        }
        let earlier: Vec<_> = self.missing.iter().filter(|missing| missing.earlier).collect();
        if !earlier.is_empty() {
            let bytes = size(earlier.iter().map(|missing| missing.bytes).sum());
            lines.push(format!(
                "  builds on  {} blobs, {bytes}, of earlier sequences",
                earlier.len()
            ));
        }
        for Missing { digest, bytes, needed_by, .. } in
            self.missing.iter().filter(|missing| !missing.earlier)
        {
            let bytes = size(*bytes);
            lines.push(format!(
                "  missing    {digest} ({bytes}), needed by {}",
                needed_by.join(", ")
            ));
        }
        if !self.sparse.is_empty() {
            lines.push(format!("  left out   {} manifests, on purpose", self.sparse.len()));
        }
        for failed in &self.failed {
            lines.push(format!(
                "  failed     {}: {}",
                failed.reference,
                printer::name(&failed.reason)
            ));
        }
        lines.extend(self.problems.iter().map(|it| format!("  problem    {}", printer::name(it))));
        lines.join("\n")
    }
}
