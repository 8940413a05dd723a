//! What a bundle will take: said beforehand, and held against what the disk has.

use std::io;
use std::path::{Path, PathBuf};

use super::assembly::Assembly;
use super::edition::Edition;
use super::leftovers::Survey;
use super::{Error, Request};
use crate::bundle::squashfs::Layout;
use crate::imageset::record::Failed;
use crate::plan::Plan;

/// What a bundle will take.
#[derive(Clone, Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// The sequence it will be.
    pub sequence: u64,
    /// How many references it names.
    pub references: usize,
    /// How many blobs it carries, manifests included.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// How many blobs are left to earlier sequences.
    pub carried_before: usize,
    /// The bytes that are to be fetched yet: an earlier run may have left some.
    pub download: u64,
    /// The bundles.
    pub bundles: Vec<Bundle>,
    /// The bytes of the disk that they take together.
    pub disk_needed: u64,
    /// The bytes of the disk that are free, what unfinished bundles hold of it included.
    pub disk_free: u64,
    /// What was asked for and is not to be had.
    pub failed: Vec<Failed>,
}

/// One bundle that will be made.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Bundle {
    /// Where it will lie.
    pub path: PathBuf,
    /// The size of its file, in bytes.
    pub size: u64,
}

impl Estimate {
    /// Looks at the disk; writes nothing.
    pub(super) fn of(
        plan: &Plan,
        edition: &Edition,
        assemblies: &[Assembly],
        request: &Request,
    ) -> Result<Self, Error> {
        let refused = |source| Error::Output { path: request.output.clone(), source };
        let survey = Survey::of(&request.output, &request.name).map_err(refused)?;
        let bundles = assemblies.iter().map(|assembly| {
            let size = Layout::plan(assembly.files())?.image_size();
            Ok(Bundle { path: assembly.path.clone(), size })
        });
        let bundles: Vec<Bundle> = bundles.collect::<Result<_, Error>>()?;
        let layers = edition.carried.iter().filter(|(digest, _)| plan.blobs.contains_key(digest));
        let left = |(digest, size): (_, &u64)| {
            size.saturating_sub(survey.kept.get(digest).copied().unwrap_or(0))
        };
        Ok(Self {
            sequence: edition.sequence,
            references: plan.roots.len(),
            blobs: edition.carried.len(),
            bytes: edition.carried.values().fold(0, |sum, size| sum.saturating_add(*size)),
            carried_before: edition.needs.len(),
            download: layers.map(left).fold(0, u64::saturating_add),
            disk_needed: bundles.iter().fold(0, |sum, it| sum.saturating_add(it.size)),
            disk_free: free(&request.output).map_err(refused)?.saturating_add(survey.held),
            bundles,
            failed: edition.failed.clone(),
        })
    }

    /// Fails if the disk has not enough.
    pub(super) fn check(&self, request: &Request) -> Result<(), Error> {
        let Self { disk_needed: needed, disk_free: free, .. } = *self;
        if needed <= free {
            return Ok(());
        }
        Err(Error::Full { output: request.output.clone(), needed, free })
    }
}

/// How many bytes are free where a directory is or will be made.
fn free(directory: &Path) -> io::Result<u64> {
    let there = directory.ancestors().find(|it| it.exists() && *it != Path::new(""));
    let found = rustix::fs::statvfs(there.unwrap_or(Path::new(".")))?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}
