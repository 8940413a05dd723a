//! `shipperd state forget`: for bundles that never arrived, and imagesets that are no more.

use clap::builder::RangedU64ValueParser;

use super::super::hint::Advised;
use super::super::printer::{Printer, name};
use super::super::{ExitStatus, runtime};
use super::{Arguments as Common, Summary, existing};
use crate::state::{Error, State, Store};

/// Forget the latest sequences of an imageset, or all of it
///
/// With --since N, for bundles that never arrived: what they carried is carried again, by a new
/// sequence N+1 that a site at sequence N takes. A site that did get one of the forgotten bundles
/// refuses the new one.
///
/// Without --since the state is removed: the next bundle is the first one of a new imageset, and
/// carries everything.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The latest sequence that arrived; those after it are forgotten
    #[arg(long, value_name = "N", value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    since: Option<u64>,
}

pub(super) fn run(
    common: &Common,
    arguments: &Arguments,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let store = common.store()?;
    let imageset = name(store.imageset());
    match arguments.since {
        Some(since) => {
            let (state, forgotten) = runtime()?.block_on(truncate(&store, since))?;
            if printer.json() {
                printer.document(&Summary::of(&store, &state))?;
            }
            printer.say(format!(
                "forgot {forgotten} of {imageset}: the next bundle is sequence {} and carries \
                 again what only they did; throw the forgotten bundles away, for a site that has \
                 one refuses the new one",
                since.saturating_add(1)
            ));
        }
        None => {
            runtime()?.block_on(remove(&store))?;
            if printer.json() {
                printer.document(&serde_json::json!({ "place": store.place(), "editions": [] }))?;
            }
            printer.say(format!(
                "forgot {imageset}: the next bundle is the first one of a new imageset and carries \
                 everything; a site serves it beside the old one until its files are removed"
            ));
        }
    }
    Ok(ExitStatus::Done)
}

/// Forgets what came after a sequence; answers what is left, and what was forgotten in words.
async fn truncate(store: &Store, since: u64) -> anyhow::Result<(State, String)> {
    let _lock = store.lock().await?;
    let (mut state, version) = existing(store).await?;
    let latest = state.latest().map_or(0, |latest| latest.sequence);
    if since >= latest {
        let (imageset, place) = (store.imageset(), store.place());
        let message =
            format!("the state of {imageset} in {place} knows nothing after sequence {since}");
        let hint = "`shipperd state show` lists what it knows".to_owned();
        return Err(Advised { message, hint }.into());
    }
    state.truncate(since);
    store.save(&state, Some(&version)).await?;
    let first = since.saturating_add(1);
    let forgotten = if first == latest {
        format!("sequence {latest}")
    } else {
        format!("sequences {first} to {latest}")
    };
    Ok((state, forgotten))
}

/// Removes a state, also a damaged one.
async fn remove(store: &Store) -> anyhow::Result<()> {
    let _lock = store.lock().await?;
    let version = match existing(store).await {
        Ok((_, version)) => version,
        Err(error) => match error.downcast()? {
            Error::Damaged { version, .. } => version,
            error => return Err(error.into()),
        },
    };
    store.remove(&version).await?;
    Ok(())
}
