//! Trees that keep blobs and manifests as they are under names of their own.

use super::{compare, expected, serve};

#[track_caller]
fn is_served(kind: &str) {
    let Some((archive, expected)) = expected(&format!("foreign/{kind}")) else { return };
    compare(&serve(&[&archive]), &expected);
}

#[test]
fn directories_of_skopeo() {
    is_served("skopeo-dir");
}

#[test]
fn an_image_cache_of_talos() {
    is_served("talos-flat-hand-made");
}

#[test]
fn a_directory_of_oc_image_mirror() {
    is_served("oc-image-mirror-dir-hand-made");
}

#[test]
fn the_storage_of_zot() {
    is_served("zot-root");
}
