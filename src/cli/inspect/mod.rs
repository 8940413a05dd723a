//! `shipperd inspect`: what is inside bundles.

mod inside;
mod references;
mod text;

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::ExitStatus;
use super::bundles;
use super::printer::{self, Printer};
use super::report::Report;
use super::timeline::{self, Timeline};
use crate::content::acceptance::{self, Accepted, Fate};
use crate::content::adoption::adopt;
use crate::content::ambiguity::Ambiguous;
use crate::content::archives::Archives;
use crate::content::live::State;
use crate::content::overlay::Overlay;
use crate::content::snapshot::{Snapshot, Verify};
use crate::oci::Digest;
use inside::Inside;

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
