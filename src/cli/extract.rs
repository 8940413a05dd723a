//! `shipperd extract`: writes what bundles hold as one OCI image layout.
//!
//! Into a directory beside the one asked for, which takes its name when all is there.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, bail};
use serde::Serialize;

use super::ExitStatus;
use super::bundles;
use super::hint::Advised;
use super::printer::{Printer, size};
use super::progress::{self, Progress, Unit};
use super::union::Union;
use crate::bundle::tree::Stored;
use crate::content::acceptance::{self, Accepted, Fate};
use crate::content::adoption::adopt;
use crate::content::live::State;
use crate::content::snapshot::{Snapshot, Verify};
use crate::oci::{self, Algorithm, Digest, Hasher};

/// How much is read at a time, in bytes; each thread has a buffer of this size.
const PIECE: usize = 1 << 20;

/// Write what bundles hold as an OCI image layout
///
/// Every digest is checked on the way. The directory appears when all of it is there; one that
/// is not empty is refused. Of several bundles, such as the sequences and parts of an imageset,
/// what `serve` would serve goes into one layout, where the newest sequence says what a tag means;
/// exit status 1 if some would not be served.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Bundle files, archives, layouts, or directories of them
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// The directory to make [default: the name of the one bundle without its ending]
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
    let Arguments { paths, output } = arguments;
    let (stack, status) = stack(paths, printer)?;
    let stem = || match paths.as_slice() {
        [path] => path.file_stem().map(PathBuf::from),
        _ => None,
    };
    let Some(output) = output.clone().or_else(stem) else {
        let message = format!("cannot tell which directory to extract {paths:?} into");
        let hint = "name it with `--output`".to_owned();
        return Err(Advised { message, hint }.into());
    };
    let union = Union::of(&stack);
    let draft = Draft::begin(&output)?;
    let progress = Progress::new(printer, "extracting", union.bytes(), Unit::Bytes);
    let written = write_blobs(&union, &draft.path, &progress);
    let (bytes, time) = progress.finish();
    written?;
    let index = union.index()?;
    let references = index.manifests.len();
    draft.write(oci::INDEX_FILE, &index.to_bytes()?)?;
    draft.write(oci::LAYOUT_FILE, oci::LAYOUT_TEXT.as_bytes())?;
    draft.finish(&output)?;
    union.say_what_is_absent(printer);
    let blobs = union.blobs.len();
    if printer.json() {
        printer.document(&Answer { directory: &output, references, blobs, bytes })?;
    } else {
        let rate = size(progress::rate(bytes, time));
        printer.say(format!(
            "extracted {references} references, {blobs} blobs, {}, {rate}/s",
            size(bytes)
        ));
    }
    Ok(status)
}

/// The bundles to extract, the uppermost first: of several, those that would be served.
fn stack(paths: &[PathBuf], printer: &Printer) -> anyhow::Result<(Vec<Arc<Snapshot>>, ExitStatus)> {
    let mut opened = Vec::new();
    for bundle in bundles::open(paths, true, printer) {
        let bundle = bundle.map_err(bundles::Refused::explain)?;
        // What is written is verified on the way.
        opened.push(Arc::new(Snapshot::new(bundle, Verify::Never)));
    }
    if opened.is_empty() {
        bail!("there is no bundle to extract in {paths:?}");
    }
    let opened = adopt(opened);
    if opened.len() == 1 {
        return Ok((opened, ExitStatus::Done));
    }
    let Accepted { stacked, fates } = acceptance::accept(&opened, &acceptance::Served::new());
    let mut status = ExitStatus::Done;
    for (snapshot, Fate { state, reason }) in opened.iter().zip(fates) {
        if matches!(state, State::Waiting | State::Refused) {
            let (path, reason) = (&snapshot.bundle().path, reason.unwrap_or_default());
            printer.warn(format!("{path:?} is left out: {reason}"));
            status = ExitStatus::No;
        }
    }
    Ok((stacked, status))
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
fn write_blobs(union: &Union<'_>, directory: &Path, progress: &Progress) -> anyhow::Result<()> {
    let blobs = &union.blobs;
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some((digest, stored, bundle)) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
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
