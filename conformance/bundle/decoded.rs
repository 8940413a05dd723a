//! What had to be decoded of an archive: kept by the server, once and for the next start, and never
//! believed; not kept where it is most of the archive.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::zstd::{archive, words};
use crate::daemon::Daemon;
use crate::fixtures::Content;
use crate::fixtures::image::image;
use crate::fixtures::layer::noise;
use crate::program::run;
use crate::spec::wire;

/// A server with its state in `state`, and its address.
fn start(file: &Path, state: &Path) -> (Daemon, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shipperd"));
    command.arg("serve").arg(file).arg("--state-dir").arg(state);
    command.args(["--listen", "127.0.0.1:0"]);
    Daemon::start(&command, |line| {
        let (_, port) = line.strip_prefix("serving ")?.rsplit_once(':')?;
        Some(format!("127.0.0.1:{port}"))
    })
}

/// How many blobs come whole; none is wrong.
fn whole(address: &str, content: &Content) -> usize {
    let whole = content.blobs().filter(|(digest, bytes)| {
        let mut connection = wire::Connection::open(address);
        connection.request("GET", &format!("/v2/lab/app/blobs/{digest}"), &[]).unwrap();
        let answer = connection.answer();
        answer.is_ok_and(|it| {
            assert!(it.status != 200 || it.body == *bytes, "{digest}");
            it.status == 200
        })
    });
    whole.count()
}

/// Content of which more must be decoded than is kept in memory.
fn large(layer: Vec<u8>) -> Content {
    let mut content = Content::default();
    let app = image("amd64").plain_layer(layer).layer(noise(9, 500_000)).add(&mut content);
    content.tag("quay.io/lab/app:v1", &app);
    content
}

#[test]
fn what_was_decoded_once_is_not_decoded_again() {
    let work = tempfile::tempdir().unwrap();
    let content = large(words(1, 12 << 20));
    let all = content.blobs().count();
    let (plain, file) = (work.path().join("all.tar"), work.path().join("all.tar.zst"));
    archive(&content, &plain);
    let packed = zstd::encode_all(File::open(&plain).unwrap(), 1).unwrap();
    fs::write(&file, &packed).unwrap();
    let state = work.path().join("state");
    let indexes = || -> Vec<PathBuf> {
        let entries = fs::read_dir(state.join("indexes")).unwrap();
        entries.map(|it| it.unwrap().path()).collect()
    };
    let (first, address) = start(&file, &state);
    assert_eq!(whole(&address, &content), all);
    drop(first);
    let made = indexes();
    let [index] = made.as_slice() else { panic!("{made:?}") };
    let inode = || fs::metadata(index).unwrap().ino();
    let before = inode();

    // The archive is damaged where it is compressed, and nothing tells: only the index is read.
    let changed = fs::metadata(&file).unwrap().modified().unwrap();
    let harmed = File::options().write(true).open(&file).unwrap();
    harmed.write_all_at(&[0; 4000], packed.len() as u64 / 3).unwrap();
    harmed.set_modified(changed).unwrap();
    let (second, address) = start(&file, &state);
    assert_eq!(whole(&address, &content), all, "it was decoded again");
    assert_eq!(inode(), before);
    drop(second);
    harmed.write_all_at(&packed, 0).unwrap();
    harmed.set_modified(changed).unwrap();

    // A damaged beginning: made again at once.
    let bytes = fs::read(index).unwrap();
    let flip = |at: usize| {
        let index = File::options().write(true).open(index).unwrap();
        index.write_all_at(&[bytes[at] ^ 1], at as u64).unwrap();
    };
    flip(60);
    let (third, address) = start(&file, &state);
    assert_eq!(whole(&address, &content), all);
    assert!(fs::read(index).unwrap() == bytes, "it is not made again");
    drop(third);
    // Damaged within: no wrong byte, and the next start makes it again.
    flip(bytes.len() / 2);
    let (fourth, address) = start(&file, &state);
    assert_eq!(whole(&address, &content), all - 1);
    drop(fourth);
    let (fifth, address) = start(&file, &state);
    assert_eq!(whole(&address, &content), all);
    drop(fifth);
    // Another file under the same name.
    let other = large(words(2, 12 << 20));
    archive(&other, &plain);
    fs::write(&file, zstd::encode_all(File::open(&plain).unwrap(), 1).unwrap()).unwrap();
    let (_sixth, address) = start(&file, &state);
    assert_eq!(whole(&address, &other), all);
    assert_eq!(indexes().len(), 2);
}

#[test]
fn without_a_place_for_an_index_it_says_so() {
    let work = tempfile::tempdir().unwrap();
    let content = large(words(1, 12 << 20));
    let (plain, file) = (work.path().join("all.tar"), work.path().join("all.tar.zst"));
    archive(&content, &plain);
    fs::write(&file, zstd::encode_all(File::open(&plain).unwrap(), 1).unwrap()).unwrap();
    let state = work.path().join("no directory");
    File::create(&state).unwrap().write_all(b"x").unwrap();
    let (_server, address) = start(&file, &state);
    let report = wire::get(&address, "/readyz").json();
    let note = report["bundles"][0]["notes"][0].as_str().unwrap();
    for word in ["cannot keep what was decoded of it", "no directory/indexes", "(os error 20)"] {
        assert!(note.contains(word), "{note}");
    }
}

#[test]
fn what_is_mostly_compressed_is_converted() {
    let work = tempfile::tempdir().unwrap();
    let content = large(words(1, 70 << 20));
    let (plain, file) = (work.path().join("all.tar"), work.path().join("all.tar.zst"));
    archive(&content, &plain);
    fs::write(&file, zstd::encode_all(File::open(&plain).unwrap(), 1).unwrap()).unwrap();
    let state = work.path().join("state");
    let (server, address) = start(&file, &state);
    let report = wire::get(&address, "/readyz").json();
    let note = report["bundles"][0]["notes"][0].as_str().unwrap();
    let shown = file.display();
    for word in [
        format!("`shipperd convert {shown} -o DIR` makes a bundle of it"),
        format!("`unzstd {shown}` unwraps it"),
        "more than a quarter of its content".to_owned(),
    ] {
        assert!(note.contains(&word), "{note}");
    }
    drop(server);
    assert_eq!(fs::read_dir(state.join("indexes")).unwrap().count(), 0, "something is left");

    let out = work.path().join("out");
    let mut convert = Command::new(env!("CARGO_BIN_EXE_shipperd"));
    convert.env("SHIPPERD_CONFIG", "/dev/null").arg("convert").arg("--quiet").arg(&file);
    run(convert.arg("-o").arg(&out));
    let left: Vec<_> = fs::read_dir(&out).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, ["all-1.sqfs"]);
    let (_server, address) = start(&out.join("all-1.sqfs"), &state);
    for (digest, bytes) in content.blobs() {
        let answer = wire::get(&address, &format!("/v2/lab/app/blobs/{digest}"));
        assert!(answer.status == 200 && answer.body == bytes, "{digest}");
    }
}
