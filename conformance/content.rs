//! What is served of files at hand: the contract of `Source` on each container, names, closure,
//! damage, the shelf as files come and go, and imagesets in sequences and parts.

pub mod imageset;
pub mod layout;
mod names;
pub mod pulled;
mod sequences;
mod stacked;
mod shelf;

use std::path::Path;
use std::sync::Arc;

use shipperd::bundle;
use shipperd::content::overlay::Overlay;
use shipperd::content::snapshot::{Snapshot, Verify};

use crate::source::{contract, sample};
use layout::Layout;

/// The overlay of one file.
pub fn overlay(path: &Path) -> Overlay {
    let bundle = bundle::open(path, true).unwrap();
    assert_eq!(bundle.problems, [], "{}", path.display());
    Overlay::new(vec![Arc::new(Snapshot::new(bundle, Verify::FirstRead))], false)
}

#[tokio::test]
async fn the_contract_on_every_container() {
    let directory = tempfile::tempdir().unwrap();
    let layout = Layout::of(&sample());
    let root = directory.path().join("layout");
    layout.write(&root);
    contract(&overlay(&root), None).await;
    let archive = directory.path().join("layout.tar");
    layout.archive(&archive);
    contract(&overlay(&archive), None).await;
    let squashfs = directory.path().join("layout.sqfs");
    layout.squashfs(&squashfs);
    contract(&overlay(&squashfs), None).await;
}
