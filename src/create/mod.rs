//! Makes a bundle: what is wanted → plan → layout → copy → finished file.
//!
//! Everything is resolved before a byte of a layer is asked for; then each blob is written
//! straight to its final place. The file gets its name when all of it is on the disk.

mod assembly;
mod origins;
mod wanted;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use uuid::Uuid;

pub use origins::Unresolved;
pub use wanted::Wanted;

use crate::bundle::squashfs::{self, Space, Writer};
use crate::copy;
use crate::oci::{self, Digest, Reference};
use crate::plan::image::Referrers;
use crate::source::Source;
use assembly::Assembly;
use origins::Origins;

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
    /// Nothing was asked for.
    #[error("there is nothing to carry")]
    Nothing,
    /// Images cannot be resolved.
    #[error("{} of {total} images cannot be resolved", failed.len())]
    Images {
        /// Which, and why.
        failed: Vec<(String, Unresolved)>,
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
    /// The bundle cannot be written.
    #[error(transparent)]
    Write(#[from] squashfs::writer::Error),
    /// The directory cannot be made.
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
    let mut origins = Origins::open(remote, &request.images).await;
    let plan = origins.plan(request, &*progress).await?;
    if plan.roots.is_empty() {
        return Err(Error::Nothing);
    }
    let assembly = Assembly::of(&plan, request)?;
    let layout = squashfs::Layout::plan(assembly.files())?;
    let size = layout.image_size();
    progress.begin(plan.size());
    let mtime = u32::try_from(request.created.as_second()).unwrap_or(u32::MAX);
    let (output, target) = (request.output.clone(), path.clone());
    let begin = move || {
        let failed = |source| Error::Output { path: output.clone(), source };
        std::fs::create_dir_all(&output).map_err(failed)?;
        Ok(Writer::create(&target, layout, mtime, Space::Reserve)?)
    };
    let writer = Arc::new(blocking(&path, begin).await?);
    // Whoever made one meanwhile held the `.partial` that is ours now.
    let filled = if path.exists() {
        Err(Error::Exists(path.clone()))
    } else {
        origins.fill(&plan, &assembly, &writer, request.parallel, &progress).await
    };
    let finish = {
        let writer = Arc::clone(&writer);
        move || Ok(writer.finish()?)
    };
    let finished = match filled {
        Ok(()) => blocking(&path, finish).await,
        Err(error) => Err(error),
    };
    finished.inspect_err(|_| writer.abandon())?;
    Ok(Created {
        path,
        digest: assembly.digest().clone(),
        id: assembly.id(),
        sequence: 1,
        references: plan.roots.len(),
        blobs: assembly.blob_count(),
        size,
    })
}

/// Does what may wait for the disk.
async fn blocking<T: Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let lost = |error| Error::Output { path: path.to_owned(), source: io::Error::other(error) };
    tokio::task::spawn_blocking(work).await.map_err(lost)?
}
