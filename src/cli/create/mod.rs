//! `shipperd create`: makes the next bundle of an imageset.

pub(super) mod arguments;
mod configuration;
mod shown;

use std::sync::Arc;

use anyhow::{Context, anyhow};
use serde_json::json;

use super::ExitStatus;
use super::hint::Advised;
use super::printer::{Printer, name, size};
use super::report::Report;
use super::signals::Signals;
use crate::create::{self, Created, Error, Estimate, Outcome, Request};
use crate::imageset::record::Failed;
use crate::source::Source;
use crate::state::Store;
pub(super) use arguments::Arguments;
use shown::Shown;

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let configuration = arguments.configuration()?;
    let configuration = configuration.as_ref();
    let request = arguments.request(configuration, printer)?;
    let remote = arguments.remote(configuration)?;
    let store = arguments.store(configuration, &request.name, &remote)?;
    make(&remote, Some(&store), &request, printer)
}

/// Makes a bundle, shows how far it has come, and says what came of it.
pub(super) fn make<R: Source>(
    remote: &R,
    store: Option<&Store>,
    request: &Request,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let shown = Arc::new(Shown::new(printer));
    let runtime = super::runtime()?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::take().context("cannot take over the signals")?;
        let progress = Arc::clone(&shown) as _;
        tokio::select! {
            outcome = create::create(remote, store, request, progress) => Ok(outcome),
            signal = signals.next() => Err(interrupted(signal, shown.has_begun())),
        }
    });
    // What still runs when the outcome is known has nothing to add to it.
    runtime.shutdown_background();
    let summary = shown.finish();
    match outcome? {
        Ok(Outcome::Created(created)) => {
            summary.into_iter().for_each(|summary| printer.say(summary));
            announce(&created, request, printer)
        }
        Ok(Outcome::Unchanged { sequence, failed }) => {
            let imageset = &request.name;
            if printer.json() {
                printer.document(
                    &json!({"unchanged": true, "sequence": sequence, "failed": failed}),
                )?;
            }
            printer.say(format!(
                "nothing is new since sequence {sequence} of {imageset}: no bundle was made"
            ));
            Ok(report(&failed, printer))
        }
        Ok(Outcome::Planned(estimate)) => preview(&estimate, request, printer),
        Err(error @ (Error::Images { .. } | Error::Nothing { .. })) => {
            printer.report(&Report::of(&error.into()));
            Ok(ExitStatus::No)
        }
        Err(error) => Err(error.into()),
    }
}

fn interrupted(signal: &str, has_begun: bool) -> anyhow::Error {
    let message = format!("interrupted by {signal}");
    if !has_begun {
        return anyhow!(message);
    }
    let hint = "what was fetched is kept: run the same command again to go on".to_owned();
    Advised { message, hint }.into()
}

fn announce(created: &Created, request: &Request, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let Created { paths, references, blobs, needs, size: bytes, sequence, .. } = created;
    let imageset = &request.name;
    let bytes = size(*bytes);
    let before = match needs {
        0 => String::new(),
        _ => format!("; {needs} blobs are in earlier sequences"),
    };
    printer.say(format!(
        "sequence {sequence} of {imageset}: {references} references, {blobs} blobs, {bytes}{before}"
    ));
    if printer.json() {
        printer.document(created)?;
    } else {
        for path in paths {
            printer.data(name(path.display()))?;
        }
    }
    for moved in &created.moved {
        printer.warn(format!(
            "{} was given to another image meanwhile: {} is carried, now it is {}",
            name(&moved.reference),
            moved.carried,
            moved.now
        ));
    }
    Ok(report(&created.failed, printer))
}

/// Says what is not carried, last of all.
fn report(failed: &[Failed], printer: &Printer) -> ExitStatus {
    if failed.is_empty() {
        return ExitStatus::Done;
    }
    for Failed { reference, reason } in failed {
        printer.warn(format!("not carried: {}: {}", name(reference), name(reason)));
    }
    let count = failed.len();
    printer.warn(format!("{count} of what was asked for is not carried: run it again to try"));
    ExitStatus::No
}

fn preview(
    estimate: &Estimate,
    request: &Request,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let Estimate { sequence, references, blobs, carried_before, .. } = estimate;
    let imageset = &request.name;
    let (needed, free) = (estimate.disk_needed, estimate.disk_free);
    if printer.json() {
        printer.document(estimate)?;
    } else {
        let bytes = size(estimate.bytes);
        let mut text = format!("sequence {sequence} of {imageset}: {references} references\n");
        text += &format!("new: {blobs} blobs, {bytes}\n");
        text += &format!("in earlier sequences: {carried_before} blobs\n");
        text += &format!("to fetch: {}\n", size(estimate.download));
        for bundle in &estimate.bundles {
            text += &format!("bundle: {}, {}\n", name(bundle.path.display()), size(bundle.size));
        }
        text += &format!("disk: {} needed, {} free", size(needed), size(free));
        printer.data(text)?;
    }
    let failed = report(&estimate.failed, printer);
    if needed > free {
        printer.warn(format!("there is not enough space in {:?}", request.output));
        return Ok(ExitStatus::No);
    }
    Ok(failed)
}
