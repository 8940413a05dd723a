//! `shipperd verify`: reads everything in bundles and names every damaged file.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::ExitStatus;
use super::bundles::{self, Refused};
use super::printer::{self, Printer, size};
use super::progress::{self, Progress, Unit};
use super::report::Report;
use crate::bundle::{Bundle, Error};
use crate::content::check;
use crate::content::snapshot::{Snapshot, Verify};
use crate::imageset::record::{Part, Record};
use crate::oci::{self, Digest};

/// Hash everything in bundles again and name every damaged file
///
/// Reads each blob, manifest and document to its end, on all cores. A damaged file is named with
/// its bundle, its path and the offset in the bundle. Of a part of an imageset, or a later
/// sequence, its own bytes are verified, not those it builds on. Exit status 1 if there is damage.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Bundle files, archives, layouts, or directories of them
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
}

/// What is found.
#[derive(Serialize)]
struct Answer {
    good: bool,
    bundles: Vec<Verdict>,
}

/// What is found of one bundle.
#[derive(Serialize)]
struct Verdict {
    path: PathBuf,
    /// Why it cannot be used at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
    blobs: usize,
    bytes: u64,
    /// What it belongs to and builds on, if it is no whole imageset by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    builds_on: Option<BuildsOn>,
    damaged: Vec<Damage>,
}

/// What a bundle is of its imageset, and what of others its images need: that is not verified.
#[derive(Serialize)]
struct BuildsOn {
    sequence: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    part: Option<Part>,
    blobs: usize,
    bytes: u64,
}

/// One damaged file.
#[derive(Serialize)]
struct Damage {
    digest: Digest,
    /// Its path, as an OCI layout has it.
    path: String,
    /// Where it begins in the bundle's file, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    size: u64,
    found: String,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let mut bundles = Vec::new();
    let mut verdicts = Vec::new();
    let mut failed = false;
    for opened in bundles::open(&arguments.paths, true, printer) {
        match opened {
            Ok(bundle) => bundles.push(bundle),
            Err(refused) if is_damage(&refused.error) => verdicts.push(Verdict::refused(refused)),
            Err(refused) => {
                printer.report(&Report::of(&refused.explain()));
                failed = true;
            }
        }
    }
    verdicts.extend(verify(bundles, printer));
    let good = verdicts.iter().all(Verdict::is_good);
    let answer = Answer { good, bundles: verdicts };
    if printer.json() {
        printer.document(&answer)?;
    } else {
        answer.print(printer)?;
    }
    Ok(match (failed, good) {
        (true, _) => ExitStatus::Failed,
        (false, false) => ExitStatus::No,
        (false, true) => ExitStatus::Done,
    })
}

/// Whether a bundle that cannot be opened is one, but damaged.
fn is_damage(error: &Error) -> bool {
    !matches!(
        error,
        Error::Io(_)
            | Error::Compressed { .. }
            | Error::NotInPlace { .. }
            | Error::Part(_)
            | Error::Parts
            | Error::UnknownContainer(_)
            | Error::UnknownMeaning(_)
            | Error::PackedCache
            | Error::Ancient
            | Error::TooMany(_)
    )
}

fn verify(bundles: Vec<Bundle>, printer: &Printer) -> Vec<Verdict> {
    let total = bundles.iter().map(bundles::bytes_of).sum();
    let progress = Progress::new(printer, "verifying", total, Unit::Bytes);
    let judge = |bundle: Bundle| {
        let (path, blobs, bytes) =
            (bundle.path.clone(), bundle.index.blobs().len(), bundles::bytes_of(&bundle));
        let builds_on = bundle.edition.as_ref().and_then(|it| BuildsOn::of(&it.record));
        let snapshot = Snapshot::new(bundle, Verify::Open);
        let found = snapshot.verify_all(&|bytes| progress.advance(bytes));
        let damaged = found.into_iter().map(|damage| Damage::new(&snapshot, damage)).collect();
        Verdict { path, refused: None, blobs, bytes, builds_on, damaged }
    };
    let verdicts = bundles.into_iter().map(judge).collect();
    let (bytes, time) = progress.finish();
    let rate = size(progress::rate(bytes, time));
    printer.say(format!("read {} in {:.1} s, {rate}/s", size(bytes), time.as_secs_f64()));
    verdicts
}

impl Verdict {
    fn refused(refused: Refused) -> Self {
        let path = refused.path.clone();
        let refused = Some(Report::of(&refused.explain()).causes().join(": "));
        Self { path, refused, blobs: 0, bytes: 0, builds_on: None, damaged: Vec::new() }
    }

    fn is_good(&self) -> bool {
        self.refused.is_none() && self.damaged.is_empty()
    }
}

impl BuildsOn {
    /// Nothing for a bundle that is whole by itself.
    fn of(record: &Record) -> Option<Self> {
        let Record { sequence, part, needs, .. } = record;
        if part.is_none() && needs.is_empty() {
            return None;
        }
        let bytes = needs.iter().fold(0, |sum, need| need.size.saturating_add(sum));
        Some(Self { sequence: *sequence, part: part.clone(), blobs: needs.len(), bytes })
    }
}

impl fmt::Display for BuildsOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sequence, part, blobs, bytes } = self;
        if let Some(Part { number, count, .. }) = part {
            write!(f, "part {number} of {count} of ")?;
        }
        write!(f, "sequence {sequence}")?;
        match blobs {
            0 => Ok(()),
            _ => write!(f, ", builds on {blobs} blobs, {}, of earlier sequences", size(*bytes)),
        }
    }
}

impl Damage {
    fn new(snapshot: &Snapshot, damage: check::Damage) -> Self {
        let check::Damage { digest, offset, reason: found } = damage;
        let index = &snapshot.bundle().index;
        let stored = index.find(&digest).and_then(|blob| index.blob(blob));
        let size = stored.map_or(0, |(_, stored)| stored.length());
        Self { path: oci::blob_path(&digest), digest, offset, size, found }
    }
}

impl Answer {
    fn print(&self, printer: &Printer) -> Result<(), printer::Error> {
        for bundle in &self.bundles {
            let path = printer::name(bundle.path.display());
            if let Some(reason) = &bundle.refused {
                printer.data(format!("{path}: damaged: {reason}"))?;
                continue;
            }
            for Damage { path: file, offset, size: length, found, .. } in &bundle.damaged {
                let at = offset.map_or_else(String::new, |offset| format!(" at byte {offset}"));
                printer.data(format!("{path}: {file}{at}, {length} bytes: {found}"))?;
            }
            let found = match bundle.damaged.len() {
                0 => "good".to_owned(),
                count => format!("{count} damaged"),
            };
            let Verdict { blobs, bytes, builds_on, .. } = bundle;
            let more = builds_on.as_ref().map_or_else(String::new, |it| format!("; {it}"));
            printer.data(format!("{path}: {blobs} blobs, {}: {found}{more}", size(*bytes)))?;
        }
        Ok(())
    }
}
