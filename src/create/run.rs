//! The making of a bundle, from the state before it to the state after it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::spawn_blocking;

use super::assembly::{Assembly, Identity, assemble};
use super::edition::Edition;
use super::estimate::Estimate;
use super::journal::Journal;
use super::moved::Moved;
use super::origins::{Lost, Origins};
use super::resolved::{self, Resolved};
use super::target::Target;
use super::{Created, Error, Follows, Outcome, Progress, Request, unsaved};
use crate::bundle::squashfs::writer::partial;
use crate::copy;
use crate::imageset::record;
use crate::oci::Digest;
use crate::plan::Plan;
use crate::source::{self, Source};
use crate::state::{self, State, Store, Version};

/// Makes the next bundle of what `request` wants, taking from `remote` what is not local.
///
/// Without a `store` it follows nothing and is remembered by nobody.
///
/// # Errors
///
/// When anything wanted is not to be had, the bundle cannot be written or the state not be
/// saved: there is no bundle then, and what was copied stays for the next run.
pub async fn create<R: Source>(
    remote: &R,
    store: Option<&Store>,
    request: &Request,
    progress: Arc<dyn Progress>,
) -> Result<Outcome, Error> {
    let _lock = match store {
        Some(store) if !request.dry_run => Some(store.lock().await?),
        _ => None,
    };
    let (past, version) = match store {
        Some(store) => past(store, request).await?,
        None => (None, None),
    };
    let request = &Arc::new(request.clone());
    let (past, replaces) = match request.follows {
        Follows::Latest => (past, None),
        Follows::Since(sequence) => (Some(since(past, sequence)?), None),
        Follows::Nothing => (None, past.map(|past| past.id)),
    };
    let identity = Identity { id: past.as_ref().map(|past| past.id), replaces };
    let mut origins = Origins::open(remote, request).await;
    let mut resolved = origins.resolve(request, &*progress).await;
    if !resolved.failed.is_empty() && !request.keep_going {
        let Resolved { failed, total, .. } = resolved;
        return Err(Error::Images { failed, total });
    }
    let mut failed: Vec<_> =
        resolved.failed.iter().map(|(it, error)| resolved::failed(it.clone(), error)).collect();
    loop {
        let plan = Arc::new(resolved.plan());
        if plan.roots.is_empty() {
            return Err(Error::Nothing { failed });
        }
        let edition = Edition { failed: failed.clone(), ..Edition::of(&plan, past.as_ref())? };
        if !edition.is_news(past.as_ref()) {
            let sequence = edition.previous.map_or(0, |it| it.sequence);
            return Ok(Outcome::Unchanged { sequence, failed });
        }
        let edition = Arc::new(edition);
        let Draft { assemblies, created, estimate } = {
            let (plan, edition) = (Arc::clone(&plan), Arc::clone(&edition));
            let of = Arc::clone(request);
            blocking(&request.output, move || Draft::of(&plan, &edition, &of, identity)).await?
        };
        if request.dry_run {
            return Ok(Outcome::Planned(estimate));
        }
        estimate.check(request)?;
        let target = {
            let (name, plan) = (request.name.clone(), Arc::clone(&plan));
            let assemblies = Arc::clone(&assemblies);
            let open = move || Target::open(&assemblies, &name, created, &plan);
            blocking(&request.output, open).await?
        };
        let kept = target.kept();
        progress.begin(target.size() - kept, kept);
        let lacking = match origins.fill(&plan, &target, request, &progress).await {
            Ok(lacking) => lacking,
            Err(lost) => return Err(give_up(lost, target, remote, &resolved).await),
        };
        if !lacking.is_empty() {
            // What is there moves to the places that it has without these.
            failed.extend(resolved.leave_out(&lacking));
            failed.sort_by(|a, b| a.reference.cmp(&b.reference));
            continue;
        }
        // What cannot be is known before anything has its name.
        let state = followed(past, &request.name, &edition, &assemblies, created)?;
        let target = Arc::new(target);
        let finished = async {
            let publishing = Arc::clone(&target);
            blocking(&request.output, move || publishing.publish()).await?;
            let Some(store) = store else { return Ok(()) };
            let saved = save(store, &state, version.as_ref()).await;
            // Where it is not known whether the state was saved, the next run takes the bundle up.
            if let Err(error) = &saved
                && !matches!(error, state::Error::Failed { .. })
            {
                let target = Arc::clone(&target);
                drop(spawn_blocking(move || target.withdraw()).await);
            }
            saved.map_err(Error::from)
        };
        // While the disk is waited for, registries are asked what became of the tags.
        let moved = Moved::among(remote, resolved.images.iter(), request.parallel);
        let (finished, moved) = tokio::join!(finished, moved);
        finished?;
        drop(spawn_blocking(move || target.tidy()).await);
        return Ok(Outcome::Created(Created {
            paths: assemblies.iter().map(|it| it.path.clone()).collect(),
            digest: assemblies.last().map_or_else(|| Digest::of(b""), |it| it.digest.clone()),
            id: state.id,
            sequence: edition.sequence,
            references: plan.roots.len(),
            blobs: edition.carried.len(),
            needs: edition.needs.len(),
            size: estimate.disk_needed,
            failed,
            moved,
        }));
    }
}

/// What was carried before, and which state says so.
async fn past(store: &Store, request: &Request) -> Result<(Option<State>, Option<Version>), Error> {
    let (past, version) = match store.load().await {
        Ok(loaded) => loaded.unzip(),
        // What is begun anew does not need it.
        Err(state::Error::Damaged { version, .. }) if request.follows == Follows::Nothing => {
            return Ok((None, Some(version)));
        }
        Err(error) => return Err(error.into()),
    };
    if request.dry_run {
        return Ok((past, version));
    }
    let (output, name) = (request.output.clone(), request.name.clone());
    let take_up = move || {
        past.iter().for_each(|past| unsaved::tidy(&output, &name, past));
        let taken = unsaved::take_up(&output, &name, past.as_ref())?;
        Ok((past, taken))
    };
    match blocking(&request.output, take_up).await? {
        (past, None) => Ok((past, version)),
        (_, Some(state)) => {
            let version = store.save(&state, version.as_ref()).await?;
            let sequence = state.latest().map_or(0, |it| it.sequence);
            tracing::info!(
                "sequence {sequence} was finished by a run that could not say so any more"
            );
            let (output, name) = (request.output.clone(), request.name.clone());
            let tidy = move || {
                unsaved::tidy(&output, &name, &state);
                Ok(state)
            };
            let state = blocking(&request.output, tidy).await?;
            Ok((Some(state), Some(version)))
        }
    }
}

/// Saves a state; if that seems to fail, it may be the answer that was lost.
async fn save(
    store: &Store,
    state: &State,
    expected: Option<&Version>,
) -> Result<(), state::Error> {
    let Err(error) = store.save(state, expected).await else { return Ok(()) };
    match store.load().await {
        Ok(Some((saved, _))) if saved == *state => Ok(()),
        _ => Err(error),
    }
}

/// The state as it was when `sequence` was the latest.
fn since(past: Option<State>, wanted: u64) -> Result<State, Error> {
    let latest = past.as_ref().and_then(State::latest).map_or(0, |it| it.sequence);
    match past {
        Some(mut past) if (1..=latest).contains(&wanted) => {
            past.truncate(wanted);
            Ok(past)
        }
        _ => Err(Error::Since { wanted, latest }),
    }
}

/// What is to be made, before a byte of it is written.
struct Draft {
    /// The bundles.
    assemblies: Arc<[Assembly]>,
    /// When they are said to be made.
    created: Timestamp,
    /// What they will take.
    estimate: Estimate,
}

impl Draft {
    /// Looks at the disk; writes nothing.
    fn of(
        plan: &Plan,
        edition: &Edition,
        request: &Request,
        identity: Identity,
    ) -> Result<Self, Error> {
        let (assemblies, created) = bundles(plan, edition, request, identity)?;
        let estimate = Estimate::of(plan, edition, &assemblies, request)?;
        Ok(Self { assemblies: assemblies.into(), created, estimate })
    }
}

/// The bundles to make, and when they are said to be made: when a run began that is gone on with.
fn bundles(
    plan: &Plan,
    edition: &Edition,
    request: &Request,
    identity: Identity,
) -> Result<(Vec<Assembly>, Timestamp), Error> {
    let assembled = |created: Timestamp| {
        assemble(edition, request, identity, &created.to_string()).map_err(|error| match error {
            Error::TooLarge { source, .. } => {
                let blob = plan.blobs.get(&source.digest);
                let needed_by = blob.map_or_else(String::new, |it| it.needed_by.to_string());
                Error::TooLarge { needed_by, source }
            }
            error => error,
        })
    };
    if let Some(created) = request.created {
        return Ok((assembled(created)?, created));
    }
    let now = Timestamp::now();
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let assemblies = assembled(now)?;
    let begun = assemblies.first().and_then(|first| {
        let journal = Journal::load(&partial(&first.path))?;
        let created = journal.created.parse::<Timestamp>().ok()?;
        (journal.layout == first.layout_digest()).then_some(created)
    });
    match begun {
        Some(created) => Ok((assembled(created)?, created)),
        None => Ok((assemblies, now)),
    }
}

/// The state after an edition.
fn followed(
    past: Option<State>,
    name: &str,
    edition: &Edition,
    assemblies: &[Assembly],
    created: Timestamp,
) -> Result<State, Error> {
    let Some(last) = assemblies.last() else { return Err(Error::Nothing { failed: Vec::new() }) };
    let mut state = past.unwrap_or_else(|| State::new(last.id, name));
    let blobs = edition.carried.iter();
    let blobs = blobs.map(|(digest, size)| record::Blob { digest: digest.clone(), size: *size });
    state.append(state::Edition {
        sequence: edition.sequence,
        digest: last.digest.clone(),
        created: created.to_string(),
        parts: u32::try_from(assemblies.len()).unwrap_or(u32::MAX),
        index: Digest::of(&edition.index),
        blobs: blobs.collect(),
    })?;
    Ok(state)
}

/// Says why it ends, and keeps what is worth it.
async fn give_up<R: Source>(lost: Lost, target: Target, remote: &R, resolved: &Resolved) -> Error {
    let Lost { needed_by, error } = lost;
    let kept = spawn_blocking(move || target.leave()).await.unwrap_or(false);
    if matches!(error, copy::Error::Source(source::Error::BlobUnknown(_))) {
        let image = resolved.images.iter().filter(|it| it.reference == needed_by);
        if let Some(moved) = Moved::among(remote, image, 1).await.pop() {
            return Error::Moved(Box::new(moved));
        }
    }
    Error::Copy { needed_by: Box::new(needed_by), kept, source: error }
}

/// Does what may wait for the disk.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let lost = |error| Error::Output { path: path.to_owned(), source: io::Error::other(error) };
    spawn_blocking(work).await.map_err(lost)?
}
