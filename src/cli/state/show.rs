//! `shipperd state show` and `shipperd state export`.

use super::super::ExitStatus;
use super::super::printer::{Printer, name, size};
use super::{Summary, existing};

/// Show what each sequence of an imageset carried
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

/// Print the state as the JSON document that it is
///
/// It can be kept, and given to `shipperd state import` elsewhere.
#[derive(Debug, clap::Args)]
pub(super) struct ExportArguments {}

pub(super) fn run(arguments: &super::Arguments, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let store = arguments.store()?;
    let (state, _) = super::super::runtime()?.block_on(existing(&store))?;
    let summary = Summary::of(&store, &state);
    if printer.json() {
        printer.document(&summary)?;
    } else {
        printer.data(text(&summary))?;
    }
    Ok(ExitStatus::Done)
}

pub(super) fn export(
    arguments: &super::Arguments,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let store = arguments.store()?;
    let (state, _) = super::super::runtime()?.block_on(existing(&store))?;
    printer.document(&state)?;
    Ok(ExitStatus::Done)
}

fn text(summary: &Summary<'_>) -> String {
    let Summary { place, id, name: imageset, editions } = summary;
    let head = format!("imageset {} ({id}), state in {}", name(imageset), name(place));
    let columns = format!(
        "{:>8}  {:<20}  {:>7}  {:>11}  {:>5}  digest",
        "sequence", "created", "blobs", "bytes", "parts"
    );
    let lines = editions.iter().map(|line| {
        let (created, bytes) = (name(line.created), size(line.bytes));
        let digest: String = line.digest.to_string().chars().take(19).collect();
        let (sequence, blobs, parts) = (line.sequence, line.blobs, line.parts);
        format!("{sequence:>8}  {created:<20}  {blobs:>7}  {bytes:>11}  {parts:>5}  {digest}")
    });
    [head, columns].into_iter().chain(lines).collect::<Vec<_>>().join("\n")
}
