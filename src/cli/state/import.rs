//! `shipperd state import`: the state made again of bundles, or taken from an exported one.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use super::super::bundles::{self, Candidate, Refused};
use super::super::hint::Advised;
use super::super::printer::{Printer, name};
use super::super::{ExitStatus, runtime};
use super::{Arguments as Common, Summary};
use crate::bundle;
use crate::imageset::record::Record;
use crate::oci::Digest;
use crate::state::{DocumentError, Error, MAX_SIZE, State, Store};

/// Make the state again of bundles, or of an exported state
///
/// All bundles of the imageset are needed, with all parts of those that were split, in any order.
/// What is missing is named, and that they follow each other is checked; their blobs are not
/// hashed. In a directory, bundles of other imagesets are passed over if --name is given.
///
/// A state that is there already is replaced if it is damaged, or if all it says is said by the
/// new one, too; else only with --replace.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Bundles or directories of them; or one file that `shipperd state export` wrote
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Replace a state that says otherwise
    #[arg(long)]
    replace: bool,
}

pub(super) fn run(
    common: &Common,
    arguments: &Arguments,
    printer: &Printer,
) -> anyhow::Result<ExitStatus> {
    let wanted = common.name.as_deref();
    let mut state = read(&arguments.paths, wanted, printer)?;
    if let Some(wanted) = wanted.filter(|wanted| *wanted != state.name) {
        bail!("what is imported is of imageset {:?}, not of {wanted:?}", state.name);
    }
    let store = common.store_of(&state.name)?;
    runtime()?.block_on(save(&store, &mut state, arguments.replace, printer))?;
    if printer.json() {
        printer.document(&Summary::of(&store, &state))?;
    } else {
        let (count, place) = (state.editions.len(), name(store.place()));
        printer.say(format!("the state of {} is in {place}, up to sequence {count}", state.name));
    }
    Ok(ExitStatus::Done)
}

/// Puts the state in its place, if that may be.
async fn save(
    store: &Store,
    state: &mut State,
    replace: bool,
    printer: &Printer,
) -> anyhow::Result<()> {
    let _lock = store.lock().await?;
    let expected = match store.load().await {
        Ok(None) => None,
        Ok(Some((there, _))) if there == *state => return Ok(()),
        Ok(Some((there, version))) if replace || there.is_extended_by(state) => {
            if state.unknown.is_empty() {
                state.unknown = there.unknown;
            }
            Some(version)
        }
        Ok(Some((there, _))) => return Err(otherwise(store, &there, state).into()),
        // A newer shipperd can still use it.
        Err(Error::Damaged { source: DocumentError::Newer { found }, .. }) if !replace => {
            return Err(DocumentError::Newer { found })
                .with_context(|| format!("cannot replace the state in {}", store.place()));
        }
        Err(Error::Damaged { version, source, .. }) => {
            printer.warn(format!("replacing the state in {}: {source}", store.place()));
            Some(version)
        }
        Err(error) => return Err(error.into()),
    };
    store.save(state, expected.as_ref()).await?;
    Ok(())
}

/// Why a state is not replaced.
fn otherwise(store: &Store, there: &State, new: &State) -> Advised {
    let what = if there.id == new.id {
        let same = there.editions.iter().zip(&new.editions).take_while(|(one, other)| one == other);
        match same.count() {
            same if same == new.editions.len() => {
                format!("it goes up to sequence {}, beyond {same}", there.editions.len())
            }
            same => format!("they differ from sequence {} on", same + 1),
        }
    } else {
        format!("it is of the imageset with the id {}, not {}", there.id, new.id)
    };
    let message = format!("the state in {} says otherwise: {what}", store.place());
    let hint = "look at it with `shipperd state show`; `--replace` puts what is imported in its \
                place, so that what only the other one says is forgotten"
        .to_owned();
    Advised { message, hint }
}

fn read(paths: &[PathBuf], wanted: Option<&str>, printer: &Printer) -> anyhow::Result<State> {
    if let [path] = paths
        && let Some(state) = exported(path)?
    {
        return Ok(state);
    }
    let mut records: Vec<(Digest, Record)> = Vec::new();
    for Candidate { path, found } in bundles::candidates(paths)? {
        let unknown = match bundle::record(&path) {
            Ok(Some(edition)) if found && wanted.is_some_and(|it| it != edition.record.name) => {
                continue;
            }
            Ok(Some(edition)) => {
                records.push((edition.digest, edition.record));
                continue;
            }
            Ok(None) => None,
            Err(error @ bundle::Error::UnknownContainer(_)) => Some(error),
            Err(error) => return Err(Refused { path, error }.explain()),
        };
        match unknown {
            _ if found => printer.detail(format!("passing over {path:?}: no bundle of ours")),
            None => bail!("{path:?} is not a bundle that shipperd made: it has no imageset record"),
            Some(error) => return Err(Refused { path, error }.explain()),
        }
    }
    State::rebuild(records).context("cannot make the state of these bundles")
}

/// The state in a file, if it is one that was exported.
fn exported(path: &Path) -> anyhow::Result<Option<State>> {
    let failed = || format!("cannot read {path:?}");
    if !std::fs::metadata(path).with_context(failed)?.is_file() {
        return Ok(None);
    }
    let file = File::open(path).with_context(failed)?;
    let mut bytes = Vec::new();
    (&file).take(1).read_to_end(&mut bytes).with_context(failed)?;
    if bytes != b"{" {
        return Ok(None);
    }
    file.take(MAX_SIZE).read_to_end(&mut bytes).with_context(failed)?;
    let state = State::parse(&bytes).with_context(|| format!("cannot use {path:?} as a state"))?;
    Ok(Some(state))
}
