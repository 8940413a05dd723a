//! The sequences of each imageset at hand: which would be served, and what each adds.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::bundles;
use super::printer::{self, size};
use crate::bundle::Bundle;
use crate::content::acceptance::Fate;
use crate::content::live::State;
use crate::content::snapshot::Snapshot;
use crate::imageset::record::{Part, Record};
use crate::oci::Digest;

/// What is at hand of one imageset, the first sequence first.
#[derive(Serialize)]
pub(super) struct Timeline {
    id: Uuid,
    name: String,
    bundles: Vec<Step>,
}

/// One bundle of an imageset.
#[derive(Serialize)]
struct Step {
    path: PathBuf,
    sequence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<Part>,
    state: State,
    /// Why it would not be served.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    created: String,
    blobs: usize,
    bytes: u64,
    /// The references that none before it has.
    new: Vec<String>,
    /// Those that mean something else than before it.
    moved: Vec<Moved>,
    /// How many references were asked for and are not carried.
    failed: usize,
}

/// A reference that means something else than before.
#[derive(Serialize)]
struct Moved {
    reference: String,
    from: Digest,
    to: Digest,
}

/// The timelines of opened bundles, each with what would become of it, by the imagesets' names.
pub(super) fn of(opened: &[Arc<Snapshot>], fates: &[Fate]) -> Vec<Timeline> {
    let mut imagesets: BTreeMap<Uuid, Vec<(&Bundle, &Record, &Fate)>> = BTreeMap::new();
    for (snapshot, fate) in opened.iter().zip(fates) {
        let bundle = snapshot.bundle();
        let Some(edition) = &bundle.edition else { continue };
        let of = imagesets.entry(edition.record.id).or_default();
        of.push((bundle, &edition.record, fate));
    }
    let mut timelines: Vec<_> = imagesets.into_values().filter_map(Timeline::of).collect();
    timelines.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
    timelines
}

impl Timeline {
    fn of(mut bundles: Vec<(&Bundle, &Record, &Fate)>) -> Option<Self> {
        bundles.sort_by_key(|(bundle, record, _)| {
            (record.sequence, record.part.as_ref().map(|part| part.number), &bundle.path)
        });
        let (_, first, _) = bundles.first()?;
        let (id, name) = (first.id, first.name.clone());
        let mut known = HashMap::new();
        let step = |(bundle, record, fate)| Step::of(bundle, record, fate, &mut known);
        Some(Self { id, name, bundles: bundles.into_iter().map(step).collect() })
    }

    /// How many bundles there are.
    pub(super) fn len(&self) -> usize {
        self.bundles.len()
    }

    pub(super) fn text(&self) -> String {
        let mut lines = vec![format!("imageset {} ({})", printer::name(&self.name), self.id)];
        lines.extend(self.bundles.iter().flat_map(Step::lines));
        lines.join("\n")
    }
}

impl Step {
    /// What a bundle adds to the references `known` before it.
    fn of(
        bundle: &Bundle,
        record: &Record,
        fate: &Fate,
        known: &mut HashMap<String, Digest>,
    ) -> Self {
        let (mut new, mut moved) = (Vec::new(), Vec::new());
        if matches!(fate.state, State::Live | State::Waiting) {
            for (reference, digest) in references(bundle) {
                match known.insert(reference.clone(), digest.clone()) {
                    None => new.push(reference),
                    Some(from) if from != digest => {
                        moved.push(Moved { reference, from, to: digest });
                    }
                    Some(_) => {}
                }
            }
        }
        Self {
            path: bundle.path.clone(),
            sequence: record.sequence,
            part: record.part.clone(),
            state: fate.state,
            reason: fate.reason.clone(),
            created: record.created.clone(),
            blobs: bundle.index.blobs().len(),
            bytes: bundles::bytes_of(bundle),
            new,
            moved,
            failed: record.failed.len(),
        }
    }

    fn lines(&self) -> Vec<String> {
        let Self { sequence, blobs, bytes, new, moved, .. } = self;
        let part = self.part.as_ref();
        let part = part.map(|it| format!(", part {} of {}", it.number, it.count));
        let which = format!("sequence {sequence}{}", part.unwrap_or_default());
        let state = match self.state {
            State::Live => "live",
            State::Waiting => "waiting",
            State::Ignored => "ignored",
            State::Refused => "refused",
        };
        let created = printer::name(&self.created);
        let path = printer::name(self.path.display());
        let mut lines = vec![format!("  {which}: {state}, made {created}, {path}")];
        if let Some(reason) = &self.reason {
            lines.push(format!("    {}", printer::name(reason)));
        }
        if self.state == State::Ignored {
            return lines;
        }
        let counts = [(new.len(), "new"), (moved.len(), "moved"), (self.failed, "failed")];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let counts: Vec<_> = counts.map(|(count, what)| format!("{count} {what}")).collect();
        let references = match counts.is_empty() {
            true => String::new(),
            false => format!("; references: {}", counts.join(", ")),
        };
        lines.push(format!("    adds {blobs} blobs, {}{references}", size(*bytes)));
        // All of the first sequence is new.
        if *sequence > 1 {
            lines.extend(new.iter().map(|reference| format!("    new   {reference}")));
        }
        lines.extend(moved.iter().map(|Moved { reference, from, to }| {
            format!("    moved {reference} from {} to {}", printer::short(from), printer::short(to))
        }));
        lines
    }
}

/// The references of a bundle, whichever bundle holds what they mean.
fn references(bundle: &Bundle) -> BTreeMap<String, Digest> {
    let index = &bundle.index;
    let mut references = BTreeMap::new();
    for (name, repository) in index.names() {
        for (tag, place) in &repository.tags {
            let digest = index.digest(*place).cloned();
            references.extend(digest.map(|digest| (format!("{name}:{tag}"), digest)));
        }
        for place in repository.untagged() {
            let digest = index.digest(place).cloned();
            references.extend(digest.map(|digest| (format!("{name}@{digest}"), digest)));
        }
    }
    references
}
