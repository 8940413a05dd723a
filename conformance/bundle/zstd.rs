//! Archives in zstd, read in place: hauls, airgap images of k3s, and content of ours packed by the
//! real program in every way it has.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};

use super::damage::ask;
use super::storage::inspect;
use super::zarf::{in_full, layout, package};
use super::{compare, compare_all, expected, notes, pack, resolve, serve, text};
use crate::damage::Server;
use crate::fixtures::image::image;
use crate::fixtures::layer::{gzip, noise};
use crate::fixtures::{Content, digest, media};
use crate::program::{program, run};
use crate::spec::wire;

/// Text that becomes half as large.
pub fn words(seed: u64, length: usize) -> Vec<u8> {
    noise(seed, length.div_ceil(2)).iter().flat_map(|it| format!("{it:02x}").into_bytes()).collect()
}

/// Images with layers that compress by nothing, by half, and to nothing.
fn content() -> Content {
    let mut content = Content::default();
    let mixed =
        [noise(1, 700_000), words(2, 300_000), vec![0; 500_000], noise(3, 900_000)].concat();
    let far = [words(2, 200_000), noise(4, 300_000)].concat();
    let app = image("amd64").plain_layer(mixed).layer(noise(5, 150_000)).plain_layer(far);
    let app = app.add(&mut content);
    content.tag("quay.io/lab/app:v1", &app);
    let zeros = image("amd64").plain_layer(vec![0; 2_000_000]).layer(b"small".to_vec());
    let zeros = zeros.add(&mut content);
    content.tag("quay.io/lab/zeros:v1", &zeros);
    content
}

/// An archive of the content as hauler names it.
pub fn archive(content: &Content, path: &Path) {
    pack(path, &layout(content, "", in_full));
}

/// Compares all of the content, and parts of each blob.
#[track_caller]
fn check(file: &Path, content: &Content, what: &str) {
    let site = serve(&[file]);
    assert_eq!(notes(&site, file), [""; 0], "{what}");
    compare_all(&site, content);
    for (digest, bytes) in content.blobs().filter(|(_, bytes)| bytes.len() > 10) {
        for seed in 0..8 {
            let number = |seed| u64::from_le_bytes(noise(seed, 8).try_into().unwrap());
            let start = usize::try_from(number(seed + 1)).unwrap() % bytes.len();
            let length = usize::try_from(number(seed + 100)).unwrap() % 200_000 + 1;
            let end = (start + length).min(bytes.len());
            let range = format!("Range: bytes={start}-{}", end - 1);
            let target = format!("/v2/lab/app/blobs/{digest}");
            let answer = wire::ask(site.address(), "GET", &target, &[&range]);
            assert!(answer.status == 206 && answer.body == bytes[start..end], "{what}: {range}");
        }
    }
}

#[test]
fn archives_of_other_tools() {
    for directory in ["foreign/hauler", "foreign/k3s-airgap"] {
        let Some((file, expected)) = expected(directory) else { return };
        let site = serve(&[&file]);
        compare(&site, &expected);
        upstream(&site, &expected);
        assert_eq!(notes(&site, &file), [""; 0]);
        let inspected = inspect(&[&file]);
        assert!(inspected.contains("OCI layout (tar in zstd)"), "{inspected}");
    }
}

/// Compares the names that the images of a haul have at their source.
#[track_caller]
pub fn upstream(site: &crate::site::Site, expected: &Value) {
    let mut asked = 0;
    for image in expected["images"].as_array().unwrap() {
        let Some(upstream) = image["upstream"].as_str() else { continue };
        let reference = text(image, "reference");
        // What is kept under another name is asked for by that.
        let same = upstream.ends_with(reference);
        let Some((host, rest)) = upstream.split_once('/').filter(|_| same) else { continue };
        let (name, target) =
            rest.split_once('@').or_else(|| rest.rsplit_once(':')).unwrap_or((rest, "latest"));
        let found = resolve(site, name, &format!("{target}?ns={host}"));
        assert_eq!(found.as_deref(), image["digest"].as_str(), "{upstream}");
        asked += 1;
    }
    assert!(asked > 5, "{asked}");
}

#[test]
fn every_way_to_compress() {
    if program("zstd").is_none() {
        return;
    }
    let work = tempfile::tempdir().unwrap();
    let content = content();
    let (plain, file) = (work.path().join("all.tar"), work.path().join("all.tar.zst"));
    archive(&content, &plain);
    for options in [
        "-1",
        "-3",
        "-19",
        "--ultra -22 --long=27",
        "-3 -T0",
        "-T0 -16 --long=25",
        "-1 -T2 -B1MiB --rsyncable",
        "-3 --no-check",
        "--fast=5",
        "-3 --zstd=wlog=10",
        "-5 --zstd=wlog=16",
        "-3 --target-compressed-block-size=3000",
    ] {
        let mut zstd = program("zstd").unwrap();
        run(zstd.args(["-q", "-f"]).args(options.split(' ')).arg(&plain).arg("-o").arg(&file));
        check(&file, &content, options);
    }
    // From a stream the size of the content is not known, and not said.
    let output = program("zstd")
        .unwrap()
        .args(["-q", "-3"])
        .stdin(Stdio::from(File::open(&plain).unwrap()))
        .stdout(File::create(&file).unwrap())
        .status();
    assert!(output.unwrap().success());
    check(&file, &content, "a stream");
    if let Some(mut pzstd) = program("pzstd") {
        run(pzstd.args(["-q", "-f", "-p", "2"]).arg(&plain).arg("-o").arg(&file));
        check(&file, &content, "pzstd");
    }
    // As the seekable format has it: a frame for each piece, and a table that is to be skipped.
    let bytes = fs::read(&plain).unwrap();
    let mut seekable = Vec::new();
    for piece in bytes.chunks(200_000) {
        seekable.extend(zstd::encode_all(piece, 3).unwrap());
    }
    seekable.extend([0x5e, 0x2a, 0x4d, 0x18, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0xb1, 0xea, 0x92, 0x8f]);
    fs::write(&file, seekable).unwrap();
    check(&file, &content, "seekable");
    pack(&plain, &package(&content, in_full));
    fs::write(&file, zstd::encode_all(File::open(&plain).unwrap(), 3).unwrap()).unwrap();
    check(&file, &content, "a package of zarf");
}

#[test]
fn an_archive_of_docker_in_zstd() {
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("rke2-images.linux-amd64.tar.zst");
    let mut content = Content::default();
    let layers = [noise(1, 300_000), words(2, 200_000)];
    let ids: Vec<_> = layers.iter().map(|layer| digest(layer)).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": ids},
    });
    let config = content.blob(media::DOCKER_CONFIG, config.to_string());
    // As crane names its members: the configuration by its digest, a layer by what it is.
    let mut members = vec![(config.digest.clone(), content.bytes(&config.digest).to_vec())];
    let mut names = Vec::new();
    for (layer, kept) in layers.iter().zip([gzip(&layers[0]), layers[1].clone()]) {
        let digest = content.blob(media::DOCKER_LAYER, kept.clone()).digest;
        let ending = if kept == *layer { "tar" } else { "tar.gz" };
        names.push(format!("{}.{ending}", digest.replace("sha256:", "")));
        members.push((names.last().unwrap().clone(), kept));
    }
    let images = json!([{
        "Config": config.digest, "RepoTags": ["docker.io/rancher/app:v1"], "Layers": names,
    }]);
    members.insert(0, ("manifest.json".to_owned(), images.to_string().into_bytes()));
    let plain = work.path().join("plain.tar");
    pack(&plain, &members);
    fs::write(&file, zstd::encode_all(File::open(&plain).unwrap(), 16).unwrap()).unwrap();
    let digests = [&plain, &file].map(|file| {
        let site = serve(&[file]);
        for (digest, bytes) in content.blobs() {
            let answer = wire::get(site.address(), &format!("/v2/rancher/app/blobs/{digest}"));
            assert!(answer.status == 200 && answer.body == bytes, "{digest}");
        }
        assert_eq!(notes(&site, file), [""; 0]);
        resolve(&site, "rancher/app", "v1").unwrap()
    });
    assert_eq!(digests[0], digests[1]);
}

/// A small archive in a directory of its own, its bytes and what it holds.
fn small(work: &Path) -> (PathBuf, Vec<u8>, Content) {
    let mut content = Content::default();
    for (tag, seed) in [("v1", 1), ("v2", 2)] {
        let layer = [noise(seed, 3000), words(seed, 2000)].concat();
        let image = image("amd64").plain_layer(layer).add(&mut content);
        content.tag(&format!("quay.io/lab/app:{tag}"), &image);
    }
    let site = work.join("site");
    fs::create_dir(&site).unwrap();
    archive(&content, &work.join("all.tar"));
    let packed = fs::read(work.join("all.tar")).unwrap();
    let packed = zstd::encode_all(&packed[..], 3).unwrap();
    (site.join("all.tar.zst"), packed, content)
}

#[test]
fn cut_anywhere_it_waits_and_says_so() {
    let work = tempfile::tempdir().unwrap();
    let (file, bytes, content) = small(work.path());
    let site = file.parent().unwrap();
    for cut in (1..bytes.len()).step_by(bytes.len() / 40).chain([bytes.len() - 1]) {
        fs::write(&file, &bytes[..cut]).unwrap();
        let server = Server::open(site);
        assert_eq!(ask(&server, &content, &format!("cut to {cut}")), 0);
        let said = server.said_of(&file).unwrap();
        let note = said["notes"][0].as_str().unwrap_or_default();
        if cut >= 4 {
            assert_eq!(said["state"], "waiting", "cut to {cut}: {said}");
            assert!(note.contains(&format!("ends at byte {cut}")), "cut to {cut}: {said}");
        }
    }
    fs::write(&file, &bytes).unwrap();
    assert!(ask(&Server::open(site), &content, "whole") > 6);
}

#[test]
fn a_flipped_bit_is_never_completed() {
    let work = tempfile::tempdir().unwrap();
    let (file, mut bytes, content) = small(work.path());
    let site = file.parent().unwrap();
    fs::write(&file, &bytes).unwrap();
    let all = ask(&Server::open(site), &content, "whole");
    let mut harmed = 0;
    for position in (0..bytes.len()).step_by(61) {
        let bit = 1 << (position % 8);
        bytes[position] ^= bit;
        fs::write(&file, &bytes).unwrap();
        let server = Server::open(site);
        let what = format!("byte {position}");
        if ask(&server, &content, &what) < all {
            harmed += 1;
            server.tells_of(&file, &what);
        }
        bytes[position] ^= bit;
    }
    assert!(harmed > 50, "{harmed}: the flips do not hit what matters");
}

#[test]
fn what_is_not_read_in_place_is_refused_with_the_command_that_helps() {
    let work = tempfile::tempdir().unwrap();
    let frame = |window: u8, rest: &[u8]| [b"\x28\xb5\x2f\xfd\0", &[window][..], rest].concat();
    let no_tar = zstd::encode_all(&b"no tar archive".repeat(99)[..], 3).unwrap();
    for (name, bytes, state, expected) in [
        ("long.tar.zst", frame(0xa8, &[1, 0, 0]), "refused", "`unzstd --long=31 {}` unwraps it"),
        ("oddly named", frame(0xa8, &[1, 0, 0]), "refused", "unzstd --long=31 < '{}' > '{}.tar'"),
        ("kind.tar.zst", frame(0x58, &[7, 0, 0]), "refused", "a reserved kind"),
        ("cut.tar.zst", frame(0x58, &[9, 0]), "waiting", "it is not whole"),
        ("text.zst", no_tar, "refused", "neither a squashfs image, a tar archive"),
        ("a.tar.gz", vec![0x1f, 0x8b, 8, 0], "refused", "with gzip; `gunzip -k {}` unwraps it"),
        ("a.tgz.2", vec![0x1f, 0x8b, 8, 0], "refused", "`gunzip < {} > {}.tar` unwraps it"),
        ("a.tar.xz", b"\xfd7zXZ\0".to_vec(), "refused", "with xz; `unxz -k {}` unwraps it"),
        ("a.tar.bz2", b"BZh91AY".to_vec(), "refused", "with bzip2; `bunzip2 -k {}` unwraps it"),
    ] {
        let file = work.path().join(name);
        fs::write(&file, bytes).unwrap();
        let said = Server::open(work.path()).said_of(&file).unwrap();
        let note = said["notes"][0].as_str().unwrap();
        assert_eq!(said["state"], state, "{name}: {said}");
        let expected = expected.replace("{}", file.to_str().unwrap());
        assert!(note.contains(&expected), "{name}: {note}");
    }
}
