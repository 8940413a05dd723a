//! Makes a bundle: what is wanted → plan → layout → copy → finished file.
//!
//! Everything is resolved before a byte of a layer is asked for; then each blob is written
//! straight to its final place. The file gets its name when all of it is on the disk.

mod assembly;
mod wanted;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use uuid::Uuid;

pub use wanted::Wanted;

use crate::bundle;
use crate::bundle::squashfs::{self, Space, Writer};
use crate::content::overlay::Overlay;
use crate::copy::{self, Place};
use crate::oci::{self, Digest, Name, Reference};
use crate::plan::image::{self, Referrers, Tags};
use crate::plan::{Blob, Plan};
use crate::source::Source;
use assembly::Assembly;
use wanted::Local;

/// What bundle to make of what.
#[derive(Clone, Debug)]
pub struct Request {
    /// What it carries.
    pub images: Vec<Wanted>,
    /// The name of the imageset.
    pub name: String,
    /// The directory of the bundle.
    pub output: PathBuf,
    /// Whether what refers to an image is carried with it.
    pub referrers: Referrers,
    /// How many transfers run at the same time.
    pub parallel: usize,
    /// When it is made, in seconds since 1970.
    pub created: jiff::Timestamp,
    /// The id of the imageset; made from the content when nothing is given, so that the same
    /// content gives the same bytes.
    pub id: Option<Uuid>,
}

/// Who is told how far it has come. Called from many threads.
pub trait Progress: Send + Sync + 'static {
    /// So many of the images are resolved.
    fn resolved(&self, done: usize, total: usize);
    /// So many bytes are to be copied.
    fn begin(&self, bytes: u64);
    /// So many bytes more were copied, or were wrong and are taken back.
    fn advance(&self, bytes: i64);
}

/// A finished bundle.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Created {
    /// Where it lies.
    pub path: PathBuf,
    /// The digest of its record: its identity.
    pub digest: Digest,
    /// The id of its imageset.
    pub id: Uuid,
    /// Its sequence.
    pub sequence: u64,
    /// How many references it carries.
    pub references: usize,
    /// How many blobs, manifests included.
    pub blobs: usize,
    /// The size of the file, in bytes.
    pub size: u64,
}

/// Why no bundle was made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is one already.
    #[error("{0:?} exists already")]
    Exists(PathBuf),
    /// A local image cannot be opened.
    #[error("cannot open {path:?}")]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: bundle::Error,
    },
    /// A local image has nothing of that name.
    #[error("{path:?} holds nothing named {reference:?}")]
    NotThere {
        /// Where was looked.
        path: PathBuf,
        /// For what.
        reference: String,
    },
    /// Nothing was asked for, or nothing is there.
    #[error("there is nothing to carry")]
    Nothing,
    /// Images cannot be resolved.
    #[error("{} of {total} images cannot be resolved", failed.len())]
    Images {
        /// Which, and why.
        failed: Vec<(Reference, image::Error)>,
        /// Of how many.
        total: usize,
    },
    /// A blob was not copied.
    #[error("cannot copy what {needed_by} needs")]
    Copy {
        /// Who needs it.
        needed_by: Box<Reference>,
        /// Why.
        source: copy::Error,
    },
    /// The content cannot be laid out as an image.
    #[error("cannot lay out the bundle")]
    Layout(#[from] squashfs::layout::Error),
    /// The disk is too full.
    #[error("the bundle needs {needed} bytes in {directory:?}, {free} are free")]
    Full {
        /// Where.
        directory: PathBuf,
        /// How many it needs.
        needed: u64,
        /// How many there are.
        free: u64,
    },
    /// The bundle cannot be written.
    #[error(transparent)]
    Write(#[from] squashfs::writer::Error),
    /// The directory cannot be made or looked at.
    #[error("cannot use {path:?}")]
    Output {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A document of the bundle cannot be made.
    #[error("cannot make the documents of the bundle")]
    Document(#[from] oci::Error),
    /// The record of the bundle cannot be made.
    #[error("cannot make the record of the bundle")]
    Record(#[from] crate::imageset::record::Error),
}

/// Makes a bundle of what `request` wants, taking from `remote` what is not local.
///
/// # Errors
///
/// When anything wanted is not to be had or the bundle cannot be written: there is no bundle then.
pub async fn create<R: Source>(
    remote: &R,
    request: &Request,
    progress: Arc<dyn Progress>,
) -> Result<Created, Error> {
    let path = request.output.join(format!("{}-1.sqfs", request.name));
    if path.exists() {
        return Err(Error::Exists(path));
    }
    let origins = Origins { remote, locals: open_locals(&request.images).await? };
    let plan = origins.plan(request, &*progress).await?;
    if plan.roots.is_empty() {
        return Err(Error::Nothing);
    }
    let assembly = Assembly::of(&plan, request)?;
    let layout = squashfs::Layout::plan(assembly.files())?;
    let size = layout.image_size();
    make_room(&request.output, size)?;
    progress.begin(plan.size());
    let mtime = u32::try_from(request.created.as_second()).unwrap_or(u32::MAX);
    let writer = Arc::new(Writer::create(&path, layout, mtime, Space::Reserve)?);
    let filled = origins.fill(&plan, &assembly, &writer, request.parallel, &progress).await;
    // Every place ends with its transfer, so this is the last owner.
    let writer = Arc::into_inner(writer);
    if let Err(error) = filled {
        if let Some(writer) = writer {
            writer.abandon();
        }
        return Err(error);
    }
    if let Some(writer) = writer {
        let finish = tokio::task::spawn_blocking(move || writer.finish());
        let output =
            |source| Error::Output { path: path.clone(), source: io::Error::other(source) };
        finish.await.map_err(output)??;
    }
    Ok(Created {
        path,
        digest: assembly.digest,
        id: assembly.id,
        sequence: 1,
        references: plan.roots.len(),
        blobs: plan.manifests.len() + plan.blobs.len(),
        size,
    })
}

/// Fails now rather than when the disk is full.
fn make_room(directory: &Path, needed: u64) -> Result<(), Error> {
    let failed = |source| Error::Output { path: directory.to_owned(), source };
    std::fs::create_dir_all(directory).map_err(failed)?;
    let found = rustix::fs::statvfs(directory).map_err(|error| failed(error.into()))?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    if free < needed {
        return Err(Error::Full { directory: directory.to_owned(), needed, free });
    }
    Ok(())
}

async fn open_locals(images: &[Wanted]) -> Result<BTreeMap<PathBuf, Arc<Local>>, Error> {
    let mut locals = BTreeMap::new();
    for wanted in images {
        let Wanted::Local { path, .. } = wanted else { continue };
        if !locals.contains_key(path) {
            let opened = path.clone();
            let open = tokio::task::spawn_blocking(move || Local::open(&opened));
            let output =
                |error| Error::Output { path: path.clone(), source: io::Error::other(error) };
            locals.insert(path.clone(), Arc::new(open.await.map_err(output)??));
        }
    }
    Ok(locals)
}

/// Everything that content comes from.
struct Origins<'a, R> {
    remote: &'a R,
    locals: BTreeMap<PathBuf, Arc<Local>>,
}

/// One image to plan.
struct Job {
    /// Which local file it comes from; the registry, if none.
    local: Option<usize>,
    name: Name,
    reference: Reference,
}

/// The place of the registries among the origins; local files come after it.
const REMOTE: usize = 0;

impl<R: Source> Origins<'_, R> {
    fn local(&self, origin: usize) -> Option<&Overlay> {
        let place = origin.checked_sub(1)?;
        self.locals.values().nth(place).map(|local| &local.overlay)
    }

    fn jobs(&self, request: &Request) -> Result<Vec<Job>, Error> {
        let mut jobs = Vec::new();
        for wanted in &request.images {
            match wanted {
                Wanted::Remote(reference) => {
                    let (name, reference) = (reference.name(), reference.clone());
                    jobs.push(Job { local: None, name, reference });
                }
                Wanted::Local { path, reference } => {
                    let place = self.locals.keys().position(|known| known == path);
                    let Some(local) = self.locals.get(path) else { continue };
                    let found = local.select(reference.as_deref(), request.referrers);
                    if found.is_empty() {
                        let reference = reference.clone().unwrap_or_default();
                        return Err(Error::NotThere { path: path.clone(), reference });
                    }
                    jobs.extend(found.into_iter().map(|(name, reference)| Job {
                        local: place,
                        name,
                        reference,
                    }));
                }
            }
        }
        Ok(jobs)
    }

    async fn plan(&self, request: &Request, progress: &dyn Progress) -> Result<Plan, Error> {
        let jobs = self.jobs(request)?;
        let total = jobs.len();
        let mut tags = BTreeMap::new();
        if request.referrers == Referrers::Carry {
            let names: BTreeMap<_, _> =
                jobs.iter().map(|job| ((job.local, job.name.clone()), ())).collect();
            let listed = stream::iter(names.into_keys()).map(|(local, name)| async move {
                let tags = match local.and_then(|place| self.local(place + 1)) {
                    Some(local) => Tags::of(local, &name).await,
                    None => Tags::of(self.remote, &name).await,
                };
                ((local, name), tags)
            });
            tags = listed.buffer_unordered(request.parallel).collect().await;
        }
        let tags = &tags;
        let plans = stream::iter(jobs).map(|job| async move {
            let none = Tags::none();
            let tags = tags.get(&(job.local, job.name.clone())).unwrap_or(&none);
            let Job { local, name, reference } = &job;
            let referrers = request.referrers;
            let plan = match local.and_then(|place| Some((place + 1, self.local(place + 1)?))) {
                Some((origin, local)) => {
                    image::plan(local, origin, name, reference, referrers, tags).await
                }
                None => image::plan(self.remote, REMOTE, name, reference, referrers, tags).await,
            };
            (job.reference, plan)
        });
        let mut plans = plans.buffer_unordered(request.parallel);
        let (mut whole, mut failed, mut done) = (Plan::default(), Vec::new(), 0);
        while let Some((reference, plan)) = plans.next().await {
            done += 1;
            match plan {
                Ok(plan) => whole.merge(plan),
                Err(error) => failed.push((reference, error)),
            }
            progress.resolved(done, total);
        }
        if failed.is_empty() {
            return Ok(whole);
        }
        failed.sort_by(|(a, _), (b, _)| a.cmp(b));
        Err(Error::Images { failed, total })
    }

    /// Writes everything to its place.
    async fn fill(
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
        let blobs = plan
            .blobs
            .iter()
            .filter_map(|(digest, blob)| Some((assembly.place(digest)?, digest, blob)));
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
            Some(local) => copy::blob(local, &blob.name, digest, blob.size, place, advance).await,
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
