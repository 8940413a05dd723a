//! Trees that keep blobs and manifests as they are under names of their own: in a tar, and as the
//! directories that the tools write.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::storage::inspect;
use super::{compare, expected, notes, resolve, serve, small, tags};
use crate::fixtures::{Content, foreign};
use crate::program::run;

/// Compares a tar of another tool, and the directory that is in it, with what its source had.
#[track_caller]
fn is_served(kind: &str, meaning: &str) {
    let Some((archive, expected)) = expected(&format!("foreign/{kind}")) else { return };
    let work = tempfile::tempdir().unwrap();
    let directory = work.path().join("tree");
    fs::create_dir(&directory).unwrap();
    run(Command::new("tar").arg("-C").arg(&directory).arg("-xf").arg(&archive));
    for (path, container) in [(&archive, "tar"), (&directory, "directory")] {
        let site = serve(&[path]);
        compare(&site, &expected);
        assert_eq!(notes(&site, path), [""; 0], "{kind}");
        let inspect = inspect(&[path]);
        assert!(inspect.contains(&format!(": {meaning} ({container})\n")), "{inspect}");
        assert!(!inspect.contains("missing") && !inspect.contains("problem"), "{inspect}");
    }
    // It lies in a directory, perhaps beside others.
    compare(&serve(&[work.path()]), &expected);
}

#[test]
fn directories_of_skopeo() {
    is_served("skopeo-dir", "skopeo directories");
}

#[test]
fn an_image_cache_of_talos() {
    is_served("talos-flat-hand-made", "Talos image cache");
}

#[test]
fn a_directory_of_oc_image_mirror() {
    is_served("oc-image-mirror-dir-hand-made", "oc image mirror directory");
}

#[test]
fn the_storage_of_zot() {
    is_served("zot-root", "OCI layouts");
}

/// A directory that somebody writes to while it is served.
fn grows(write: fn(&Content, &Path)) {
    let work = tempfile::tempdir().unwrap();
    let root = work.path().join("tree");
    let mut content = Content::default();
    let one = small(&mut content, "quay.io/lab/one:v1", b"one");
    write(&content, &root);
    let site = serve(&[work.path()]);
    assert_eq!(resolve(&site, "lab/one", "v1"), Some(one.clone()));
    let two = small(&mut content, "quay.io/lab/two:v1", b"two");
    write(&content, &root);
    // It looks every few seconds: the kernel tells nothing about directories below.
    while resolve(&site, "lab/two", "v1").as_ref() != Some(&two) {
        std::thread::yield_now();
    }
    assert_eq!(resolve(&site, "lab/one", "v1"), Some(one));
    assert_eq!(tags(&site, "lab/two").len(), 1);
}

#[test]
fn an_image_copied_into_directories_of_skopeo_goes_live() {
    grows(foreign::skopeo);
}

#[test]
fn an_image_copied_into_a_cache_of_talos_goes_live() {
    grows(foreign::talos);
}

#[test]
fn an_image_mirrored_into_a_directory_goes_live() {
    grows(foreign::image_mirror);
}

#[test]
fn an_image_pushed_into_the_storage_of_zot_goes_live() {
    grows(foreign::zot);
}

#[test]
fn a_tag_that_moves_in_storage_is_noticed() {
    let work = tempfile::tempdir().unwrap();
    let mut content = Content::default();
    let one = small(&mut content, "quay.io/lab/app:v1", b"one");
    let two = small(&mut content, "quay.io/lab/app:v2", b"two");
    let root = work.path().join("registry");
    content.write_registry("quay.io", &root);
    let site = serve(&[work.path()]);
    assert_eq!(resolve(&site, "lab/app", "v1"), Some(one));
    let tag = root.join("docker/registry/v2/repositories/lab/app/_manifests/tags/v1/current/link");
    fs::write(tag, &two).unwrap();
    while resolve(&site, "lab/app", "v1").as_ref() != Some(&two) {
        std::thread::yield_now();
    }
}

#[test]
fn a_directory_of_bundles_is_not_taken_for_one() {
    let work = tempfile::tempdir().unwrap();
    let mut content = Content::default();
    let app = small(&mut content, "quay.io/lab/app:v1", b"app");
    for (name, write) in [
        ("skopeo", foreign::skopeo as fn(&Content, &Path)),
        ("talos", foreign::talos),
        ("mirror", foreign::image_mirror),
        ("zot", foreign::zot),
        ("koffer", foreign::koffer),
        ("layout", Content::write_layout),
    ] {
        write(&content, &work.path().join(name));
    }
    fs::write(work.path().join("notes.txt"), "what is here").unwrap();
    fs::create_dir_all(work.path().join("photos/2026")).unwrap();
    let inspect = inspect(&[work.path()]);
    for (name, meaning) in [
        ("skopeo", "skopeo directories"),
        ("talos", "Talos image cache"),
        ("mirror", "oc image mirror directory"),
        ("zot", "OCI layouts"),
        ("koffer", "registry storage"),
        ("layout", "OCI layout"),
    ] {
        assert!(inspect.contains(&format!("{name}: {meaning} (directory)\n")), "{inspect}");
    }
    let site = serve(&[work.path()]);
    for repository in ["lab/app", "quay.io/lab/app"] {
        assert_eq!(resolve(&site, repository, "v1").as_ref(), Some(&app), "{repository}");
    }
    let output = work.path().join("out");
    let mut convert = Command::new(env!("CARGO_BIN_EXE_shipperd"));
    convert.env("SHIPPERD_CONFIG", "/dev/null").args(["--quiet", "convert", "--name", "all"]);
    run(convert.arg("--output").arg(&output).arg(work.path()));
    let inspect = self::inspect(&[&output]);
    for name in ["quay.io/lab/app:v1", "localhost/lab/app:v1"] {
        assert!(inspect.contains(&format!("    {name} ")), "{inspect}");
    }
    assert!(inspect.contains("; 2 references\n"), "{inspect}");
}
