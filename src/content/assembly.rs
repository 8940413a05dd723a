//! Images that an archive of oc-mirror v1 names, made of what lies in several files.
//!
//! What is in one file is made when that is opened. A catalog may lie across the files of a split
//! archive, and the image that graph data is put on in an earlier sequence.

use std::sync::Arc;

use super::archives;
use super::snapshot::{Snapshot, Verify};
use crate::bundle::{Bundle, Problem, mirror_v1};
use crate::oci::Digest;

/// Makes what can be made now.
///
/// Reads manifests, and the content of catalogs, which may wait for the disk.
pub(super) fn assemble(open: &mut [Arc<Snapshot>]) {
    for place in 0..open.len() {
        if let Some(made) = open.get(place).and_then(|first| of(first, open))
            && let Some(snapshot) = open.get_mut(place)
        {
            *snapshot = made;
        }
    }
}

/// The first file of an archive with what was made; nothing if that is nothing new.
fn of(first: &Arc<Snapshot>, open: &[Arc<Snapshot>]) -> Option<Arc<Snapshot>> {
    let edition = first.bundle().archive_v1.as_ref()?.edition.as_ref()?;
    let key = archives::key(first);
    let others = open.iter().filter(|it| {
        let archive = it.bundle().archive_v1.as_ref();
        archive.is_some_and(|it| !it.begins) && archives::key(it) == key
    });
    let others: Vec<&Bundle> = others.map(|it| it.bundle()).collect();
    // Whatever has the right digest will do.
    let held = |digest: &Digest| {
        open.iter().find_map(|it| {
            let index = &it.bundle().index;
            index.find(digest).and_then(|blob| index.blob(blob)).map(|(_, stored)| stored.clone())
        })
    };
    let verifies = first.verify() != Verify::Never;
    match mirror_v1::assemble(first.bundle(), &others, &held, verifies) {
        Ok(made) => {
            let bundle = made?;
            if !bundle.problems.iter().any(|it| matches!(it, Problem::NotMade { .. })) {
                let path = bundle.path.display();
                tracing::info!(bundle = %path, "{path}: all its images are made, with other files");
            }
            Some(Arc::new(Snapshot::new(bundle, first.verify())))
        }
        Err(error) => {
            let (path, sequence) = (first.bundle().path.display(), edition.sequence);
            tracing::warn!(bundle = %path, "sequence {sequence}: {error}");
            None
        }
    }
}
