//! `shipperd inspect`: what is inside bundles.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::ExitStatus;
use super::bundles;
use super::printer::{self, Printer, size};
use super::report::Report;
use super::timeline::{self, Timeline};
use crate::bundle::index::{Absent, Ordinal};
use crate::bundle::{Bundle, ContentIndex};
use crate::content::acceptance::{self, Accepted, Fate};
use crate::content::adoption::adopt;
use crate::content::ambiguity::Ambiguous;
use crate::content::archives::Archives;
use crate::content::live::State;
use crate::content::overlay::Overlay;
use crate::content::snapshot::{Snapshot, Verify};
use crate::imageset::record::{Failed, Part, Previous};
use crate::oci::{Digest, Role};

/// Show what is inside bundles
///
/// The imageset and its sequence, the references with their sizes, what is missing, and names
/// that mean different contents in different registries or imagesets. What one of the bundles
/// lacks and another one given has is not missing.
///
/// Of several bundles of imagesets it shows the timeline: which sequences are there, which of them
/// `serve` would serve, which wait and for what, which are refused and why, and what each adds.
///
/// Exit status 1 if a bundle would be refused, or if one of several would wait.
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
    imagesets: Vec<Timeline>,
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
    /// Which archive of oc-mirror v1 it is the first file of.
    #[serde(skip_serializing_if = "Option::is_none")]
    archive: Option<Archive>,
    blobs: usize,
    bytes: u64,
    references: Vec<Reference>,
    /// What earlier sequences carry.
    #[serde(skip_serializing_if = "Option::is_none")]
    needs: Option<Needs>,
    /// What is absent and the other parts must carry, which are not all here.
    #[serde(skip_serializing_if = "Option::is_none")]
    other_parts: Option<Needs>,
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
    part: Option<Part>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<Previous>,
    created: String,
    generator: String,
}

/// Which archive of oc-mirror v1 a bundle is the first file of.
#[derive(Serialize)]
struct Archive {
    uid: String,
    sequence: u64,
    single_use: bool,
}

/// One reference.
#[derive(Serialize)]
struct Reference {
    reference: String,
    digest: Digest,
    /// Whether its manifest is in this bundle, not in another one of the imageset.
    here: bool,
    /// The bytes of everything it needs that is here.
    bytes: u64,
}

/// What the images of a bundle need and others carry.
#[derive(Serialize)]
struct Needs {
    blobs: usize,
    bytes: u64,
}

/// Something that is needed and in none of the bundles.
#[derive(Serialize)]
struct Missing {
    digest: Digest,
    /// Its size, unless a mere name says that it is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    needed_by: Vec<String>,
    /// When the archive of oc-mirror was made that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    in_archive_of: Option<String>,
    /// The same in words, as far as the bundle says it.
    #[serde(skip)]
    elsewhere: Option<String>,
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
    let opened = adopt(opened);
    let here = |digest: &Digest| opened.iter().any(|it| it.bundle().index.find(digest).is_some());
    let Accepted { stacked, fates } = acceptance::accept(&opened, &acceptance::Served::new());
    let unfinished = Archives::unfinished(&stacked);
    let inside = |(snapshot, fate): (&Arc<Snapshot>, &Fate)| {
        let bundle = snapshot.bundle();
        let mut inside = Inside::of(bundle, fate.state == State::Waiting, &here);
        inside.problems.extend(unfinished.get(&bundle.path).map(|it| (*it).to_owned()));
        // Of a bundle of ours the timeline says it.
        if bundle.edition.is_none() {
            inside.problems.extend(fate.reason.clone());
        }
        inside
    };
    let bundles = opened.iter().zip(&fates).map(inside).collect();
    let is_no = |state| match state {
        State::Live | State::Ignored => false,
        State::Waiting => opened.len() > 1,
        State::Refused => true,
    };
    if status == ExitStatus::Done && fates.iter().any(|fate| is_no(fate.state)) {
        status = ExitStatus::No;
    }
    let imagesets = timeline::of(&opened, &fates);
    let answer = Answer { bundles, imagesets, ambiguous: Overlay::new(stacked, false).ambiguous() };
    if printer.json() {
        printer.document(&answer)?;
    } else {
        answer.print(printer)?;
    }
    Ok(status)
}

impl Needs {
    /// Nothing if there are none of these sizes.
    fn of(sizes: impl Iterator<Item = u64>) -> Option<Self> {
        let sum = |(blobs, bytes): (usize, u64), size| (blobs + 1, bytes.saturating_add(size));
        let (blobs, bytes) = sizes.fold((0, 0), sum);
        (blobs > 0).then_some(Self { blobs, bytes })
    }
}

impl Inside {
    fn of(bundle: &Bundle, waits: bool, here: &impl Fn(&Digest) -> bool) -> Self {
        let index = &bundle.index;
        let record = bundle.edition.as_ref().map(|edition| &edition.record);
        let imageset = bundle.edition.as_ref().map(|edition| Imageset {
            id: edition.record.id.to_string(),
            name: edition.record.name.clone(),
            sequence: edition.record.sequence,
            part: edition.record.part.clone(),
            digest: edition.digest.clone(),
            previous: edition.record.previous.clone(),
            created: edition.record.created.clone(),
            generator: edition.record.generator.clone(),
        });
        let edition_v1 = bundle.archive_v1.as_ref().and_then(|it| it.edition.as_ref());
        let needs: HashSet<&Digest> =
            record.into_iter().flat_map(|it| &it.needs).map(|blob| &blob.digest).collect();
        let sparse = sparse(bundle, here);
        let left_out: HashSet<&Digest> = sparse.iter().collect();
        let children = index.absent().iter().map(|it| (&it.digest, it.size, it.parent));
        let roots = index.elsewhere().iter();
        let roots = roots.filter_map(|it| Some((&it.digest, it.size, index.place(&it.digest)?)));
        let mut missing = BTreeMap::new();
        for (digest, bytes, needed_by) in children.chain(roots) {
            if here(digest) || left_out.contains(digest) || needs.contains(digest) {
                continue;
            }
            let entry = missing.entry(digest.clone()).or_insert_with(|| {
                let earlier = bundle.archive.as_ref().and_then(|it| it.earlier.get(digest));
                let in_archive_of = earlier.map(ToString::to_string);
                let bytes = Some(bytes).filter(|bytes| *bytes > 0);
                let (needed_by, elsewhere) = (Vec::new(), bundle.elsewhere(digest));
                Missing { digest: digest.clone(), bytes, needed_by, in_archive_of, elsewhere }
            });
            entry.needed_by.extend(index.references(needed_by));
            entry.needed_by.sort_unstable();
            entry.needed_by.dedup();
        }
        let is_part = record.is_some_and(|it| it.part.is_some());
        // What a part lacks, the others have.
        let others = if is_part && waits { std::mem::take(&mut missing) } else { BTreeMap::new() };
        let needs = record.into_iter().flat_map(|it| &it.needs);
        Self {
            path: bundle.path.clone(),
            format: bundle.format.to_string(),
            imageset,
            archive: edition_v1.map(|it| Archive {
                uid: it.uid.to_string(),
                sequence: it.sequence,
                single_use: it.single_use,
            }),
            blobs: index.blobs().len(),
            bytes: bundles::bytes_of(bundle),
            references: references(index),
            needs: Needs::of(needs.map(|need| need.size)),
            other_parts: Needs::of(others.values().filter_map(|it| it.bytes)),
            missing: missing.into_values().collect(),
            sparse,
            failed: record.map(|it| it.failed.clone()).unwrap_or_default(),
            problems: bundle.problems.iter().map(ToString::to_string).collect(),
        }
    }
}

/// The platforms that were left out on purpose. Where no record says which, it is those of an index
/// that are in no other file, while others of it are here: that is how tools leave them out.
fn sparse(bundle: &Bundle, here: &impl Fn(&Digest) -> bool) -> Vec<Digest> {
    if let Some(edition) = &bundle.edition {
        return edition.record.sparse.clone();
    }
    let index = &bundle.index;
    let manifests = index.manifests().iter();
    let served: HashSet<Ordinal> =
        manifests.flat_map(|(manifest, _)| index.parents(*manifest)).collect();
    let is_left_out = |it: &&Absent| {
        it.role == Role::Manifest
            && served.contains(&it.parent)
            && !here(&it.digest)
            && bundle.elsewhere(&it.digest).is_none()
    };
    let mut sparse: Vec<_> =
        index.absent().iter().filter(is_left_out).map(|it| it.digest.clone()).collect();
    sparse.dedup();
    sparse
}

/// The references of a bundle: tags, and digests that no tag names.
fn references(index: &ContentIndex) -> Vec<Reference> {
    let children = Children::of(index);
    let mut references = Vec::new();
    for (name, repository) in index.names() {
        let tags = repository.tags.iter().map(|(tag, place)| (*place, Some(tag)));
        for (place, tag) in tags.chain(repository.untagged().map(|place| (place, None))) {
            let Some(digest) = index.digest(place) else { continue };
            let reference = match tag {
                Some(tag) => format!("{name}:{tag}"),
                None => format!("{name}@{digest}"),
            };
            let here = index.blob(place).is_some();
            let bytes = children.size(index, place);
            references.push(Reference { reference, digest: digest.clone(), here, bytes });
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
        // Of a single bundle all was said.
        if self.imagesets.iter().map(Timeline::len).sum::<usize>() > 1 {
            blocks.extend(self.imagesets.iter().map(Timeline::text));
        }
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
            let part = imageset.part.as_ref();
            let part = part.map(|it| format!(", part {} of {}", it.number, it.count));
            let part = part.unwrap_or_default();
            lines.push(format!("  imageset   {name} ({id}), sequence {sequence}{part}"));
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
        if let Some(Archive { uid, sequence, single_use }) = &self.archive {
            let alone = if *single_use { ", which stands alone" } else { "" };
            lines.push(format!("  archive    {uid}, sequence {sequence}{alone}"));
        }
        let (bytes, count) = (size(self.bytes), self.references.len());
        lines.push(format!("  content    {} blobs, {bytes}; {count} references", self.blobs));
        let widest = self.references.iter().map(|it| it.reference.len()).max().unwrap_or(0);
        for Reference { reference, digest, here, bytes } in &self.references {
            let digest = printer::short(digest);
            let bytes = if *here { size(*bytes) } else { "elsewhere".to_owned() };
            lines.push(format!("    {reference:widest$}  {digest}  {bytes:>10}"));
        }
        if let Some(Needs { blobs, bytes }) = &self.needs {
            let bytes = size(*bytes);
            lines.push(format!("  builds on  {blobs} blobs, {bytes}, of earlier sequences"));
        }
        if let Some(Needs { blobs, bytes }) = &self.other_parts {
            let what = format!("{blobs} blobs, {}, of what it names", size(*bytes));
            lines.push(format!("  belongs    to other parts, which hold {what}"));
        }
        for Missing { digest, bytes, needed_by, elsewhere, .. } in &self.missing {
            let bytes = bytes.map_or_else(String::new, |bytes| format!(" ({})", size(bytes)));
            let place = elsewhere.as_ref();
            let place = place.map_or_else(String::new, |place| format!(", {place}"));
            let needed_by = needed_by.join(", ");
            lines.push(format!("  missing    {digest}{bytes}, needed by {needed_by}{place}"));
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
