//! The storage of distribution's registry: in a directory, a tar, a squashfs, at any depth.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{compare, compare_all, expected, notes, resolve, serve, small, tags};
use crate::fixtures::Content;
use crate::fixtures::image::image;
use crate::fixtures::layer::files;
use crate::fixtures::samples;
use crate::program::{program, run};

#[test]
fn archives_of_others_hold_what_their_source_had() {
    for (directory, format) in [
        ("foreign/distribution-tar", "registry storage (tar)"),
        ("foreign/distribution-squashfs-gzip", "registry storage (squashfs)"),
        ("foreign/distribution-squashfs-zstd", "registry storage (squashfs)"),
        ("foreign/koffer", "registry storage (tar)"),
        ("foreign/upgrade-tool", "registry storage (tar)"),
    ] {
        let Some((archive, expected)) = expected(directory) else { continue };
        let site = serve(&[&archive]);
        compare(&site, &expected);
        assert_eq!(notes(&site, &archive), [""; 0], "{directory}");
        let inspect = inspect(&[&archive]);
        assert!(inspect.contains(&format!(": {format}\n")), "{inspect}");
        // Each of the images has one reference: what an index needs is none of its own.
        let count = expected["images"].as_array().unwrap().len();
        assert!(inspect.contains(&format!("; {count} references\n")), "{inspect}");
        assert!(!inspect.contains("missing") && !inspect.contains("problem"), "{inspect}");
    }
}

#[test]
fn every_kind_of_image_in_every_container() {
    let work = tempfile::tempdir().unwrap();
    let content = samples::all().only(|it| it.starts_with("quay.io/"));
    let root = work.path().join("root");
    content.write_registry("quay.io", &root);
    let upload = root.join("docker/registry/v2/repositories/lab/app/_uploads/1");
    fs::create_dir_all(&upload).unwrap();
    fs::write(upload.join("data"), "half of it").unwrap();
    compare_all(&serve(&[&root]), &content);
    for (prefix, name) in [("", "bare.tar"), ("./", "dot.tar"), ("platform/mirror/", "deep.tar")] {
        let file = work.path().join(name);
        let mut tar = Command::new("tar");
        tar.arg("-C").arg(&root).arg(format!("--transform=s,^docker,{prefix}docker,"));
        run(tar.arg("-cf").arg(&file).arg("docker"));
        let site = serve(&[&file]);
        compare_all(&site, &content);
        assert_eq!(notes(&site, &file), [""; 0], "{name}");
    }
    let Some(_) = program("mksquashfs") else { return };
    for compressor in ["gzip", "xz", "lz4", "zstd"] {
        let file = work.path().join(format!("{compressor}.sqfs"));
        let mut squash = program("mksquashfs").unwrap();
        squash.arg(&root).arg(&file).args(["-comp", compressor, "-quiet", "-no-progress"]);
        run(&mut squash);
        compare_all(&serve(&[&file]), &content);
    }
}

#[test]
fn a_directory_of_storage_is_looked_at_again_when_it_changes() {
    let work = tempfile::tempdir().unwrap();
    let root = work.path().join("registry");
    let mut content = Content::default();
    small(&mut content, "quay.io/lab/one:v1", b"one");
    content.write_registry("quay.io", &root);
    let site = serve(&[work.path()]);
    compare_all(&site, &content);
    let two = small(&mut content, "quay.io/lab/two:v1", b"two");
    content.write_registry("quay.io", &root);
    // It looks every few seconds: the kernel tells nothing about directories below.
    while resolve(&site, "lab/two", "v1").is_none() {
        std::thread::yield_now();
    }
    assert_eq!(resolve(&site, "lab/two", "v1"), Some(two));
}

#[test]
fn what_is_missing_is_named_and_another_file_may_have_it() {
    let work = tempfile::tempdir().unwrap();
    let mut content = Content::default();
    let whole = small(&mut content, "quay.io/lab/whole:v1", b"whole");
    let lacking = small(&mut content, "quay.io/lab/lacking:v1", b"lacking");
    let gone = small(&mut content, "quay.io/lab/gone:v1", b"gone");
    let root = work.path().join("here");
    content.write_registry("quay.io", &root);
    let manifest = content.parsed(&lacking).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
    let elsewhere = work.path().join("elsewhere");
    // The other file knows no names: only this one says that what it holds is a manifest.
    for digest in content.closure(&gone).iter().chain([&layer]) {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let place = format!("docker/registry/v2/blobs/sha256/{}/{hex}", &hex[..2]);
        fs::create_dir_all(elsewhere.join(&place).parent().unwrap()).unwrap();
        fs::rename(root.join(&place), elsewhere.join(&place)).unwrap();
    }
    let site = serve(&[&root]);
    assert_eq!(resolve(&site, "lab/whole", "v1"), Some(whole.clone()));
    for (repository, digest) in [("lab/lacking", &lacking), ("lab/gone", &gone)] {
        assert_eq!(resolve(&site, repository, "v1"), None);
        assert_eq!(resolve(&site, repository, digest), None);
        assert!(tags(&site, repository).is_empty());
    }
    let said = notes(&site, &root).join("\n");
    for word in [&layer, "needed by lab/lacking:v1", &gone, "needed by lab/gone:v1"] {
        assert!(said.contains(word), "{word} in {said}");
    }
    let inspected = inspect(&[&root]);
    for word in [&layer, "needed by lab/lacking:v1", &gone, "needed by lab/gone:v1"] {
        assert!(inspected.contains(word), "{word} in {inspected}");
    }
    let site = serve(&[&root, &elsewhere]);
    compare_all(&site, &content);
    assert_eq!(notes(&site, &root), [""; 0]);
    assert_eq!(notes(&site, &elsewhere), [""; 0]);
}

pub fn inspect(paths: &[&Path]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shipperd"));
    run(command.env("SHIPPERD_CONFIG", "/dev/null").arg("inspect").args(paths))
}

#[test]
fn sparse_files_of_gnu_tar() {
    let work = tempfile::tempdir().unwrap();
    let mut content = Content::default();
    // More holes than the first header has room for, one at each end.
    let holes = (0..60).flat_map(|n: u8| [vec![0; 64 << 10], vec![n + 1; 3000]]);
    let layers = [holes.flatten().chain(vec![0; 100_000]).collect(), vec![0; 1 << 20]];
    for (number, layer) in (1..).zip(layers) {
        let reference = format!("quay.io/lab/sparse:v{number}");
        let image = image("amd64").plain_layer(files(&[("file", &layer)])).add(&mut content);
        content.tag(&reference, &image);
    }
    let (dense, root) = (work.path().join("dense"), work.path().join("root"));
    content.write_registry("quay.io", &dense);
    run(Command::new("cp").args(["-a", "--sparse=always"]).args([&dense, &root]));
    let file = work.path().join("registry.tar");
    let mut tar = Command::new("tar");
    tar.args(["-S", "--hole-detection=raw", "--format=gnu", "-C"]).arg(&root);
    run(tar.arg("-cf").arg(&file).arg("."));
    assert!(fs::metadata(&file).unwrap().len() < 1 << 20, "it has holes");
    let site = serve(&[&file]);
    assert_eq!(notes(&site, &file), [""; 0]);
    compare_all(&site, &content);
}
