//! Where content comes from: the registries, and each local file.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;

use super::local::Local;
use super::resolved::{Resolution, Resolved, Unresolved};
use super::target::Target;
use super::{Progress, Request};
use crate::copy;
use crate::oci::{Digest, Name, Reference};
use crate::plan::image::{Image, Referrers, Tags};
use crate::plan::wanted::Origin;
use crate::plan::{Blob, Plan, Wanted};
use crate::source::Source;

/// Everything that content comes from.
pub(super) struct Origins<'a, R> {
    remote: &'a R,
    locals: BTreeMap<Vec<PathBuf>, Local>,
    /// Local files that cannot be opened: which of them, and why.
    failed: BTreeMap<Vec<PathBuf>, (PathBuf, Unresolved)>,
}

/// One image to plan.
struct Job<'w> {
    wanted: &'w Wanted,
    /// Which of the origins it comes from.
    origin: usize,
    name: Name,
    /// What its origin calls it.
    reference: Reference,
    /// What it is carried under.
    names: Vec<Reference>,
}

/// The place of the registries among the origins; local files come after it.
const REMOTE: usize = 0;

impl<'a, R: Source> Origins<'a, R> {
    /// Opens the local files among what is wanted.
    pub(super) async fn open(remote: &'a R, request: &Request) -> Self {
        let mut origins = Self { remote, locals: BTreeMap::new(), failed: BTreeMap::new() };
        let all: BTreeSet<_> = request.images.iter().filter_map(Wanted::paths).collect();
        for paths in all {
            let (opened, scratch) = (paths.to_vec(), request.output.clone());
            match tokio::task::spawn_blocking(move || Local::open(&opened, &scratch)).await {
                Ok(Ok(local)) => drop(origins.locals.insert(paths.to_vec(), local)),
                Ok(Err((path, error))) => {
                    origins.failed.insert(paths.to_vec(), (path, error.into()));
                }
                Err(error) => {
                    let path = paths.first().cloned().unwrap_or_default();
                    origins.failed.insert(paths.to_vec(), (path, Unresolved::Lost(error)));
                }
            }
        }
        origins
    }

    fn local(&self, origin: usize) -> Option<&Local> {
        self.locals.values().nth(origin.checked_sub(REMOTE + 1)?)
    }

    /// What to plan, and what is not there.
    fn jobs<'w>(&mut self, request: &'w Request) -> (Vec<Job<'w>>, Vec<(String, Unresolved)>) {
        let (mut jobs, mut failed) = (Vec::new(), Vec::new());
        for wanted in &request.images {
            let mut job = |origin, name, reference: Reference| {
                let names = wanted.names(&reference);
                jobs.push(Job { wanted, origin, name, reference, names });
            };
            match &wanted.origin {
                Origin::Remote(reference) => job(REMOTE, reference.name(), reference.clone()),
                Origin::Local { paths, reference } => {
                    if let Some((path, error)) = self.failed.remove(paths) {
                        failed.push((path.display().to_string(), error));
                    }
                    let place = self.locals.keys().position(|known| known == paths);
                    let (Some(place), Some(local)) = (place, self.locals.get_mut(paths)) else {
                        continue;
                    };
                    for (path, reason) in std::mem::take(&mut local.unfit) {
                        failed.push((path.display().to_string(), Unresolved::Unfit(reason)));
                    }
                    // Who names an image wants no other.
                    if reference.is_none() {
                        let unserved = std::mem::take(&mut local.unserved).into_iter();
                        failed.extend(unserved.map(|(it, why)| (it, Unresolved::Unfit(why))));
                    }
                    let shown = paths.first().map(|it| it.display().to_string());
                    let shown = shown.unwrap_or_default();
                    let found = local.select(reference.as_deref(), request.referrers);
                    if found.is_empty() {
                        let absent = reference.clone().map(Unresolved::NotThere);
                        failed.push((shown, absent.unwrap_or(Unresolved::Empty)));
                    }
                    for (name, reference) in found {
                        job(REMOTE + 1 + place, name, reference);
                    }
                }
            }
        }
        (jobs, failed)
    }

    /// Resolves everything, or says of all that is not to be had why.
    pub(super) async fn resolve(&mut self, request: &Request, progress: &dyn Progress) -> Resolved {
        let (jobs, mut failed) = self.jobs(request);
        let total = jobs.len() + failed.len();
        let permits = Semaphore::new(request.parallel);
        let tags = self.tags(request, &jobs).await;
        let (this, permits, tags, nothing) = (&*self, &permits, &tags, &HashSet::new());
        let plans = stream::iter(jobs.iter().enumerate()).map(|(at, job)| async move {
            let Job { wanted, origin, name, reference, names } = job;
            let tags = tags.get(&(*origin, name));
            let (origin, referrers) = (*origin, request.referrers);
            let local = this.local(origin);
            let left_out = local.map_or(nothing, |local| &local.left_out);
            let platforms = &wanted.platforms;
            let image = Image {
                origin,
                name,
                reference,
                names,
                platforms,
                referrers,
                tags,
                left_out,
                permits,
            };
            let plan = match local {
                Some(local) => image.plan(&local.overlay).await,
                None => image.plan(this.remote).await,
            };
            (at, origin == REMOTE, reference, plan)
        });
        let mut plans = plans.buffer_unordered(request.parallel);
        let (mut planned, mut done) = (BTreeMap::new(), failed.len());
        while let Some((at, is_remote, reference, plan)) = plans.next().await {
            done += 1;
            match plan {
                Ok(plan) => drop(planned.insert(at, (is_remote, reference, plan))),
                Err(error) => failed.push((reference.to_string(), error.into())),
            }
            progress.resolved(done, total);
        }
        // In the order wanted, so that of two that differ it is always the second that is refused.
        let (mut images, mut names) = (Vec::new(), Plan::default());
        for (is_remote, reference, plan) in planned.into_values() {
            if !names.agrees(&plan) {
                failed.push((reference.to_string(), Unresolved::Ambiguous));
                continue;
            }
            names.roots.extend(plan.roots.clone());
            images.push(Resolution { reference: reference.clone(), is_remote, plan });
        }
        failed.sort_by(|(a, _), (b, _)| a.cmp(b));
        Resolved { images, failed, total }
    }

    /// The tags of every repository that is asked, where they matter.
    async fn tags<'j>(
        &self,
        request: &Request,
        jobs: &'j [Job<'_>],
    ) -> BTreeMap<(usize, &'j Name), Tags> {
        let mut places = BTreeSet::new();
        if request.referrers == Referrers::Carry {
            places.extend(jobs.iter().map(|job| (job.origin, &job.name)));
        }
        let listed = stream::iter(places).map(|(origin, name)| async move {
            let tags = match self.local(origin) {
                Some(local) => Tags::of(&local.overlay, name).await,
                None => Tags::of(self.remote, name).await,
            };
            ((origin, name), tags)
        });
        listed.buffer_unordered(request.parallel).collect().await
    }

    /// Writes every blob to its place; answers those that could not be had, if the request
    /// keeps going.
    ///
    /// # Errors
    ///
    /// The first failure; if the request keeps going, only that of writing.
    pub(super) async fn fill(
        &self,
        plan: &Plan,
        target: &Target,
        request: &Request,
        progress: &Arc<dyn Progress>,
    ) -> Result<BTreeMap<Digest, copy::Error>, Lost> {
        let mut blobs: Vec<_> = plan
            .blobs
            .iter()
            .filter_map(|(digest, blob)| Some((target.place(digest)?, digest, blob)))
            .collect();
        // The largest last would be waited for alone.
        blobs.sort_by_key(|(.., blob)| Reverse(blob.size));
        let copies = stream::iter(blobs).map(|(place, digest, blob)| async move {
            let copied = self.copy(place, digest, blob, progress).await;
            let Err(error) = copied else { return Ok(None) };
            let is_ours = matches!(error, copy::Error::Write { .. });
            if request.keep_going && !is_ours {
                return Ok(Some((digest.clone(), error)));
            }
            Err(Lost { needed_by: blob.needed_by.clone(), error })
        });
        let failed = copies.buffer_unordered(request.parallel).try_collect::<Vec<_>>().await?;
        Ok(failed.into_iter().flatten().collect())
    }

    async fn copy(
        &self,
        place: Arc<dyn copy::Place>,
        digest: &Digest,
        blob: &Blob,
        progress: &Arc<dyn Progress>,
    ) -> Result<(), copy::Error> {
        let progress = Arc::clone(progress);
        let advance = Arc::new(move |bytes| progress.advance(bytes));
        match self.local(blob.origin) {
            Some(Local { overlay, .. }) => {
                copy::blob(overlay, &blob.name, digest, blob.size, place, advance).await
            }
            None => copy::blob(self.remote, &blob.name, digest, blob.size, place, advance).await,
        }
    }
}

/// A blob that could not be copied.
#[derive(Debug)]
pub(super) struct Lost {
    /// An image that needs it.
    pub(super) needed_by: Reference,
    /// Why.
    pub(super) error: copy::Error,
}
