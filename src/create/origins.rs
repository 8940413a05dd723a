//! Where content comes from: the registries, and each local file.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;

use super::assembly::Assembly;
use super::wanted::{Local, Wanted};
use super::{Error, Progress, Request};
use crate::bundle;
use crate::bundle::squashfs::Writer;
use crate::copy::{self, Place};
use crate::oci::{Digest, Name, Reference, TagOrDigest};
use crate::plan::image::{self, Image, Referrers, Tags};
use crate::plan::{Blob, Plan};
use crate::source::Source;

/// Why something wanted is not to be had.
#[derive(Debug, thiserror::Error)]
pub enum Unresolved {
    /// The local file cannot be opened.
    #[error(transparent)]
    Open(#[from] bundle::Error),
    /// The local file has nothing of that name.
    #[error("it holds nothing named {0:?}")]
    NotThere(String),
    /// The local file has nothing at all.
    #[error("it holds no images")]
    Empty,
    /// Its source does not have it, or not all of it.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// Two sources have it, and not the same.
    #[error("two different images of that name are wanted")]
    Ambiguous,
    /// Its task was lost.
    #[error("cannot open it")]
    Lost(#[source] tokio::task::JoinError),
}

/// Everything that content comes from.
pub(super) struct Origins<'a, R> {
    remote: &'a R,
    locals: BTreeMap<PathBuf, Local>,
    /// Local files that cannot be opened.
    failed: BTreeMap<PathBuf, Unresolved>,
}

/// One image to plan.
struct Job {
    /// Which of the origins it comes from.
    origin: usize,
    name: Name,
    reference: Reference,
}

/// The place of the registries among the origins; local files come after it.
const REMOTE: usize = 0;

impl<'a, R: Source> Origins<'a, R> {
    /// Opens the local files among what is wanted.
    pub(super) async fn open(remote: &'a R, images: &[Wanted]) -> Self {
        let mut origins = Self { remote, locals: BTreeMap::new(), failed: BTreeMap::new() };
        let paths: BTreeSet<_> = images.iter().filter_map(Wanted::path).collect();
        for path in paths {
            let opened = path.to_owned();
            let open = tokio::task::spawn_blocking(move || Local::open(&opened)).await;
            let open = open.map_err(Unresolved::Lost);
            match open.and_then(|open| Ok(open?)) {
                Ok(local) => drop(origins.locals.insert(path.to_owned(), local)),
                Err(error) => drop(origins.failed.insert(path.to_owned(), error)),
            }
        }
        origins
    }

    fn local(&self, origin: usize) -> Option<&Local> {
        self.locals.values().nth(origin.checked_sub(REMOTE + 1)?)
    }

    /// What to plan, and what is not there.
    fn jobs(&mut self, request: &Request) -> (Vec<Job>, Vec<(String, Unresolved)>) {
        let (mut jobs, mut failed) = (Vec::new(), Vec::new());
        for wanted in &request.images {
            match wanted {
                Wanted::Remote(reference) => {
                    let (name, mut reference) = (reference.name(), reference.clone());
                    // What no tag is said of is carried under the one that is meant.
                    if let TagOrDigest::Tag(tag) = reference.target() {
                        reference.tag = Some(tag);
                    }
                    jobs.push(Job { origin: REMOTE, name, reference });
                }
                Wanted::Local { path, reference } => {
                    let shown = path.display().to_string();
                    if let Some(error) = self.failed.remove(path) {
                        failed.push((shown.clone(), error));
                    }
                    let place = self.locals.keys().position(|known| known == path);
                    let (Some(place), Some(local)) = (place, self.locals.get(path)) else {
                        continue;
                    };
                    let found = local.select(reference.as_deref(), request.referrers);
                    if found.is_empty() {
                        let absent = reference.clone().map(Unresolved::NotThere);
                        failed.push((shown, absent.unwrap_or(Unresolved::Empty)));
                    }
                    let origin = REMOTE + 1 + place;
                    let job = |(name, reference)| Job { origin, name, reference };
                    jobs.extend(found.into_iter().map(job));
                }
            }
        }
        (jobs, failed)
    }

    /// Resolves everything, or says of all that is not to be had why.
    pub(super) async fn plan(
        &mut self,
        request: &Request,
        progress: &dyn Progress,
    ) -> Result<Plan, Error> {
        let (jobs, mut failed) = self.jobs(request);
        let total = jobs.len() + failed.len();
        let permits = Semaphore::new(request.parallel);
        let tags = self.tags(request, &jobs).await;
        let (this, permits, tags, nothing) = (&*self, &permits, &tags, &HashSet::new());
        let plans = stream::iter(&jobs).map(|job| async move {
            let Job { origin, name, reference } = job;
            let tags = tags.get(&(*origin, name));
            let (origin, referrers) = (*origin, request.referrers);
            let local = this.local(origin);
            let left_out = local.map_or(nothing, |local| &local.left_out);
            let image = Image { origin, name, reference, referrers, tags, left_out, permits };
            let plan = match local {
                Some(local) => image.plan(&local.overlay).await,
                None => image.plan(this.remote).await,
            };
            (reference, plan)
        });
        let mut plans = plans.buffer_unordered(request.parallel);
        let (mut whole, mut done) = (Plan::default(), failed.len());
        while let Some((reference, plan)) = plans.next().await {
            done += 1;
            match plan {
                Ok(plan) if !whole.agrees(&plan) => {
                    failed.push((reference.to_string(), Unresolved::Ambiguous));
                }
                Ok(plan) => whole.merge(plan),
                Err(error) => failed.push((reference.to_string(), error.into())),
            }
            progress.resolved(done, total);
        }
        if failed.is_empty() {
            // A manifest may be another image's layer; it is here already.
            let Plan { manifests, blobs, .. } = &mut whole;
            blobs.retain(|digest, _| !manifests.contains_key(digest));
            return Ok(whole);
        }
        failed.sort_by(|(a, _), (b, _)| a.cmp(b));
        Err(Error::Images { failed, total })
    }

    /// The tags of every repository that is asked, where they matter.
    async fn tags<'j>(
        &self,
        request: &Request,
        jobs: &'j [Job],
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

    /// Writes everything to its place.
    pub(super) async fn fill(
        &self,
        plan: &Plan,
        assembly: &Assembly,
        writer: &Arc<Writer>,
        parallel: usize,
        progress: &Arc<dyn Progress>,
    ) -> Result<(), Error> {
        for (place, bytes) in assembly.documents(plan) {
            writer.write_at(place, 0, bytes)?;
        }
        let manifests: u64 =
            plan.manifests.values().map(|document| document.bytes.len() as u64).sum();
        progress.advance(i64::try_from(manifests).unwrap_or(0));
        let blobs = plan.blobs.iter();
        let blobs =
            blobs.filter_map(|(digest, blob)| Some((assembly.place(digest)?, digest, blob)));
        let mut blobs: Vec<_> = blobs.collect();
        // The largest last would be waited for alone.
        blobs.sort_by_key(|(.., blob)| Reverse(blob.size));
        stream::iter(blobs)
            .map(|(place, digest, blob)| self.copy(place, digest, blob, writer, progress))
            .buffer_unordered(parallel)
            .try_collect()
            .await
    }

    async fn copy(
        &self,
        file: usize,
        digest: &Digest,
        blob: &Blob,
        writer: &Arc<Writer>,
        progress: &Arc<dyn Progress>,
    ) -> Result<(), Error> {
        let place: Arc<dyn Place> = Arc::new(FileOf { writer: Arc::clone(writer), file });
        let progress = Arc::clone(progress);
        let advance = Arc::new(move |bytes| progress.advance(bytes));
        let copied = match self.local(blob.origin) {
            Some(Local { overlay, .. }) => {
                copy::blob(overlay, &blob.name, digest, blob.size, place, advance).await
            }
            None => copy::blob(self.remote, &blob.name, digest, blob.size, place, advance).await,
        };
        copied.map_err(|source| Error::Copy { needed_by: Box::new(blob.needed_by.clone()), source })
    }
}

/// The place of one blob in the bundle.
struct FileOf {
    writer: Arc<Writer>,
    file: usize,
}

impl Place for FileOf {
    fn write_at(&self, position: u64, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_at(self.file, position, bytes).map_err(io::Error::other)
    }
}
