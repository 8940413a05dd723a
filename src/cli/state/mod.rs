//! `shipperd state`: what was carried before, shown, taken along, rebuilt and forgotten.

mod forget;
mod import;
mod show;

use clap::Subcommand;
use serde::Serialize;
use uuid::Uuid;

use super::ExitStatus;
use super::hint::Advised;
use super::place::Place;
use super::printer::Printer;
use super::reach::Reach;
use crate::oci::Digest;
use crate::state::{Edition, State, Store, Version};

/// Show, rebuild or forget what was carried before
///
/// The state of an imageset says what each of its bundles carried, so that the next one carries
/// only what is new. It is kept on the connected side; nothing from the other side is needed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    place: Place,
    /// The name of the imageset
    #[arg(long, global = true, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

#[derive(Debug, Subcommand)]
enum Action {
    Show(show::Arguments),
    Export(show::ExportArguments),
    Import(import::Arguments),
    Forget(forget::Arguments),
}

/// What a state says, as a document: all but the lists of blobs.
#[derive(Serialize)]
struct Summary<'a> {
    place: &'a str,
    id: Uuid,
    name: &'a str,
    editions: Vec<Line<'a>>,
}

/// One sequence.
#[derive(Serialize)]
struct Line<'a> {
    sequence: u64,
    created: &'a str,
    blobs: usize,
    bytes: u64,
    parts: u32,
    digest: &'a Digest,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> anyhow::Result<ExitStatus> {
    match &arguments.action {
        Action::Show(_) => show::run(arguments, printer),
        Action::Export(_) => show::export(arguments, printer),
        Action::Import(import) => import::run(arguments, import, printer),
        Action::Forget(forget) => forget::run(arguments, forget, printer),
    }
}

impl Arguments {
    /// The place of the state that `--name` names.
    fn store(&self) -> anyhow::Result<Store> {
        let Some(name) = &self.name else {
            let message = "no imageset is named".to_owned();
            let hint = "name the one whose state is meant with `--name`".to_owned();
            return Err(Advised { message, hint }.into());
        };
        self.store_of(name)
    }

    fn store_of(&self, imageset: &str) -> anyhow::Result<Store> {
        self.place.store(None, imageset, self.reach.remote(None)?)
    }
}

/// Loads a state that has to be there.
async fn existing(store: &Store) -> anyhow::Result<(State, Version)> {
    if let Some(loaded) = store.load().await? {
        return Ok(loaded);
    }
    let (imageset, place) = (store.imageset(), store.place());
    let message = format!("there is no state of imageset {imageset} in {place}");
    let hint = "another place is named with `--state`; `shipperd state import BUNDLE…` makes the \
                state again of the bundles"
        .to_owned();
    Err(Advised { message, hint }.into())
}

impl<'a> Summary<'a> {
    fn of(store: &'a Store, state: &'a State) -> Self {
        let editions = state.editions.iter().map(Line::of).collect();
        Self { place: store.place(), id: state.id, name: &state.name, editions }
    }
}

impl<'a> Line<'a> {
    fn of(edition: &'a Edition) -> Self {
        let Edition { sequence, digest, created, parts, blobs, .. } = edition;
        let (blobs, bytes) = (blobs.len(), edition.bytes());
        Self { sequence: *sequence, created, blobs, bytes, parts: *parts, digest }
    }
}
