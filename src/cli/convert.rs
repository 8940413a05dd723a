//! `shipperd convert`: makes a bundle of what is in files, whoever wrote them.

use std::path::{Path, PathBuf};

use super::ExitStatus;
use super::create::arguments::{ArchiveSize, created};
use super::create::make;
use super::hint::Advised;
use super::printer::Printer;
use crate::content::overlay::Overlay;
use crate::create::{Follows, Request};
use crate::imageset::name::Name;
use crate::plan::Wanted;
use crate::plan::image::Referrers;
use crate::plan::wanted::Origin;

/// How many blobs are copied at the same time: the disk is the limit.
const PARALLEL: usize = 4;

/// Make one bundle of archives, layouts and bundles
///
/// What `serve` would serve of them goes into DIR/NAME-1.sqfs, with the same digests: archives of
/// other tools as well as all sequences and parts of an imageset. Every digest is checked on the
/// way. The bundle is the first of an imageset of its own, and no state remembers it. The path of
/// the bundle is printed on stdout.
///
/// Exit status 1 if some of the images are not carried; without --keep-going there is no bundle
/// then.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Bundle files, archives, layouts, or directories of them
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// The directory of the bundle
    #[arg(long, short, value_name = "DIR", default_value = ".")]
    output: PathBuf,
    /// The name of the imageset [default: the name of the first file without its endings]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Make no file larger than this: `4GiB`, `4700MB`; a number alone means GiB
    #[arg(long, value_name = "SIZE")]
    archive_size: Option<ArchiveSize>,
    /// Leave out what is damaged or not whole, and say so at the end and in the bundle
    #[arg(long)]
    keep_going: bool,
    /// Only say what would be made, and what it takes; writes nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let Arguments { paths, output, name, archive_size, keep_going, dry_run } = arguments;
    let name = match name {
        Some(name) => name.parse::<Name>()?,
        None => named(paths)?,
    };
    let origin = Origin::Local { paths: paths.clone(), reference: None };
    let request = Request {
        images: vec![Wanted::all_of(origin)],
        config: None,
        name: name.to_string(),
        output: output.clone(),
        follows: Follows::Nothing,
        referrers: Referrers::Carry,
        archive_size: archive_size.map(|ArchiveSize(bytes)| bytes),
        parallel: PARALLEL,
        created: created()?,
        keep_going: *keep_going,
        dry_run: *dry_run,
    };
    let nowhere = Overlay::new(Vec::new(), false);
    make(&nowhere, None, &request, printer)
}

/// The name of the first file up to its first dot, as far as it can name an imageset.
fn named(paths: &[PathBuf]) -> anyhow::Result<Name> {
    let first = paths.first().map(PathBuf::as_path);
    let name = first.and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    let stem = name.split('.').next().unwrap_or_default();
    stem.parse().map_err(|_| {
        let message = format!("the name of {first:?} cannot name an imageset");
        let hint = "give it one with `--name`".to_owned();
        Advised { message, hint }.into()
    })
}
