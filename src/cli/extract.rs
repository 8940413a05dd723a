//! `shipperd extract`: writes what a bundle holds as an OCI image layout.
//!
//! Into a directory beside the one asked for, which takes its name when all is there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, bail};
use serde::Serialize;

use super::ExitStatus;
use super::bundles;
use super::hint::Advised;
use super::printer::{Printer, size};
use super::progress::{self, Progress, Unit};
use crate::bundle::tree::Stored;
use crate::bundle::{Bundle, ContentIndex};
use crate::oci::{self, Algorithm, Descriptor, Digest, Hasher};

/// How much is read at a time, in bytes; each thread has a buffer of this size.
const PIECE: usize = 1 << 20;

/// Write what a bundle holds as an OCI image layout
///
/// Every digest is checked on the way. The directory appears when all of it is there; one that
/// is not empty is refused.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The bundle file, archive or layout
    #[arg(value_name = "PATH")]
    path: PathBuf,
    /// The directory to make [default: the name of the bundle without its ending]
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
}

/// What was done.
#[derive(Serialize)]
struct Answer<'a> {
    directory: &'a Path,
    references: usize,
    blobs: usize,
    bytes: u64,
}

/// A layout that is being written; gone when it is dropped before it is finished.
struct Draft {
    path: PathBuf,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let Arguments { path, output } = arguments;
    let bundle = bundles::one(path, true).map_err(bundles::Refused::explain)?;
    let stem = || path.file_stem().map(PathBuf::from);
    let Some(output) = output.clone().or_else(stem) else {
        let message = format!("cannot tell which directory to extract {path:?} into");
        let hint = "name it with `--output`".to_owned();
        return Err(Advised { message, hint }.into());
    };
    let draft = Draft::begin(&output)?;
    let progress = Progress::new(printer, "extracting", bundles::bytes_of(&bundle), Unit::Bytes);
    let written = write_blobs(&bundle, &draft.path, &progress);
    let (bytes, time) = progress.finish();
    written?;
    let index = index_of(&bundle.index)?;
    let references = index.manifests.len();
    draft.write(oci::INDEX_FILE, &index.to_bytes()?)?;
    draft.write(oci::LAYOUT_FILE, oci::LAYOUT_TEXT.as_bytes())?;
    draft.finish(&output)?;
    for absent in bundle.index.absent() {
        printer.detail(format!("not in this bundle: {}", absent.digest));
    }
    let count = bundle.index.absent().len();
    if count > 0 {
        printer.warn(format!("{path:?} lacks {count} blobs that its manifests name"));
    }
    let blobs = bundle.index.blobs().len();
    if printer.json() {
        printer.document(&Answer { directory: &output, references, blobs, bytes })?;
    } else {
        let rate = size(progress::rate(bytes, time));
        printer.say(format!(
            "extracted {references} references, {blobs} blobs, {}, {rate}/s",
            size(bytes)
        ));
    }
    Ok(ExitStatus::Done)
}

impl Draft {
    /// Makes an empty directory beside `output`.
    fn begin(output: &Path) -> anyhow::Result<Self> {
        match fs::read_dir(output) {
            Ok(mut entries) => {
                if entries.next().is_some() {
                    let message = format!("will not extract into {output:?}: it is not empty");
                    let hint = "choose another directory with `--output`".to_owned();
                    return Err(Advised { message, hint }.into());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).context(format!("cannot extract into {output:?}")),
        }
        let name = output.file_name().context("cannot extract into a directory without a name")?;
        let mut name = name.to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        let path = output.with_file_name(name);
        for algorithm in Algorithm::ALL {
            let directory = path.join("blobs").join(algorithm.name());
            fs::create_dir_all(&directory).with_context(|| format!("cannot make {directory:?}"))?;
        }
        Ok(Self { path })
    }

    fn write(&self, name: &str, bytes: &[u8]) -> anyhow::Result<()> {
        let path = self.path.join(name);
        fs::write(&path, bytes).with_context(|| format!("cannot write {path:?}"))
    }

    /// Gives the directory its name.
    fn finish(self, output: &Path) -> anyhow::Result<()> {
        for algorithm in Algorithm::ALL {
            // Only the directories that hold something stay.
            drop(fs::remove_dir(self.path.join("blobs").join(algorithm.name())));
        }
        fs::rename(&self.path, output)
            .with_context(|| format!("cannot rename {:?} to {output:?}", self.path))
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        // After `finish` there is nothing left of that name.
        drop(fs::remove_dir_all(&self.path));
    }
}

/// Writes every blob, on all cores, and stops at the first that fails.
fn write_blobs(bundle: &Bundle, directory: &Path, progress: &Progress) -> anyhow::Result<()> {
    let blobs = bundle.index.blobs();
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((digest, stored)) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let path = directory.join(oci::blob_path(digest));
            write_blob(digest, stored, &path, progress)
                .with_context(|| format!("cannot extract {digest} from {:?}", bundle.path))
                .inspect_err(|_| next.store(blobs.len(), Ordering::Relaxed))?;
        }
        Ok(())
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| match worker.join() {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

fn write_blob(
    digest: &Digest,
    stored: &Stored,
    path: &Path,
    progress: &Progress,
) -> anyhow::Result<()> {
    let content = stored.open().context("cannot open it")?;
    let mut file = File::create_new(path).with_context(|| format!("cannot make {path:?}"))?;
    let mut hasher = Hasher::new(digest.algorithm());
    content.read_through(&mut vec![0; PIECE], |piece| {
        let piece = piece.context("cannot read it")?;
        hasher.update(piece);
        file.write_all(piece).with_context(|| format!("cannot write {path:?}"))?;
        progress.advance(piece.len() as u64);
        anyhow::Ok(())
    })?;
    let found = hasher.finish();
    if found != *digest {
        bail!("it is damaged: its bytes have the digest {found}");
    }
    Ok(())
}

/// The index of a layout that carries all references of a bundle.
fn index_of(index: &ContentIndex) -> Result<oci::Index, oci::Error> {
    let mut manifests = Vec::new();
    let mut carry = |blob, reference: Option<String>| {
        let (Some((digest, stored)), Some(media_type)) = (index.blob(blob), index.media_type(blob))
        else {
            return;
        };
        let mut descriptor = Descriptor::new(media_type.clone(), digest.clone(), stored.length());
        for key in [oci::REF_NAME, oci::CONTAINERD_NAME] {
            let reference = reference.clone().into_iter();
            descriptor.annotations.extend(reference.map(|reference| (key.to_owned(), reference)));
        }
        manifests.push(descriptor);
    };
    for (name, repository) in index.names() {
        for (tag, blob) in &repository.tags {
            carry(*blob, Some(format!("{name}:{tag}")));
        }
        for blob in &repository.roots {
            if !repository.tags.values().any(|tagged| tagged == blob) {
                let digest = index.blob(*blob).map(|(digest, _)| format!("{name}@{digest}"));
                carry(*blob, digest);
            }
        }
    }
    oci::Index::new(manifests)
}
