//! Files that were cut into parts: served as the one that they were, by their first part.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use shipperd::content::live::{Served, State};
use shipperd::content::overlay::Overlay;
use shipperd::content::shelf::{Options, Shelf};

use super::zarf::{in_full, layout, package};
use super::zstd::upstream;
use super::{compare, compare_all, expected, notes, pack, serve};
use crate::fixtures::Content;
use crate::fixtures::digest;
use crate::fixtures::image::image;
use crate::fixtures::layer::noise;
use crate::spec::wire;

fn content() -> Content {
    let mut content = Content::default();
    for (tag, seed) in [("v1", 1), ("v2", 2)] {
        let image = image("amd64").layer(noise(seed, 90_000)).plain_layer(noise(seed + 7, 40_000));
        let image = image.add(&mut content);
        content.tag(&format!("quay.io/lab/app:{tag}"), &image);
    }
    content
}

/// Writes parts of `length` bytes, and answers their paths.
fn cut(bytes: &[u8], length: usize, path: impl Fn(usize) -> PathBuf) -> Vec<PathBuf> {
    let pieces = bytes.chunks(length).enumerate();
    let written = pieces.map(|(number, piece)| {
        let path = path(number);
        fs::write(&path, piece).unwrap();
        path
    });
    written.collect()
}

fn states(served: &Served<Overlay>) -> Vec<(String, State)> {
    let bundles = served.bundles.iter();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    bundles.map(|status| (name(&status.path), status.state)).collect()
}

fn note(served: &Served<Overlay>) -> String {
    served.bundles[0].notes.first().cloned().unwrap_or_default()
}

#[test]
fn a_haul_that_hauler_cut() {
    let Some((file, expected)) = expected("foreign/hauler-chunked") else { return };
    let site = serve(&[&file]);
    compare(&site, &expected);
    upstream(&site, &expected);
    assert_eq!(notes(&site, &file), [""; 0]);
    // All of them named, as a shell does, or the directory: one file.
    let parts = ["002", "001", "003"].map(|number| file.with_extension(number));
    let parts: Vec<_> = parts.iter().map(PathBuf::as_path).collect();
    for paths in [&parts[..], &[file.parent().unwrap()]] {
        let site = serve(paths);
        compare(&site, &expected);
        let report = wire::get(site.address(), "/readyz").json();
        let bundles = report["bundles"].as_array().unwrap().iter();
        let live = bundles.filter(|it| it["state"] == "live").map(|it| it["path"].as_str());
        assert_eq!(live.collect::<Vec<_>>(), [file.to_str()]);
    }
}

#[test]
fn every_way_to_cut() {
    let work = tempfile::tempdir().unwrap();
    let content = content();
    let plain = work.path().join("all.tar");
    pack(&plain, &layout(&content, "", in_full));
    let plain = fs::read(plain).unwrap();
    let packed = zstd::encode_all(&plain[..], 3).unwrap();
    type Name = fn(&Path, usize) -> PathBuf;
    let schemes: [Name; 3] = [
        |path, number| path.join(format!("all.{:03}", number + 1)),
        |path, number| path.join(format!("all_{number}.tar.zst")),
        |path, number| path.join(format!("all.part{number:03}")),
    ];
    for (kind, bytes) in [("tar", &plain), ("zstd", &packed)] {
        for (scheme, name) in schemes.iter().enumerate() {
            for length in [bytes.len() / 2 + 1, 100_000, 51_200, 9_999] {
                let directory = tempfile::tempdir().unwrap();
                let parts = cut(bytes, length, |number| name(directory.path(), number));
                assert!(parts.len() > 1);
                let what = format!("{kind}, scheme {scheme}, {length}");
                for path in [directory.path(), &parts[0], &parts[1]] {
                    let site = serve(&[path]);
                    assert_eq!(notes(&site, &parts[0]), [""; 0], "{what}");
                    compare_all(&site, &content);
                }
            }
        }
    }
}

#[test]
fn a_package_that_zarf_cut() {
    let work = tempfile::tempdir().unwrap();
    let content = content();
    let whole = work.path().join("all");
    pack(&whole, &package(&content, in_full));
    let bytes = zstd::encode_all(fs::File::open(&whole).unwrap(), 3).unwrap();
    fs::remove_file(&whole).unwrap();
    let name = |number| work.path().join(format!("zarf-package-demo.tar.zst.part{number:03}"));
    let parts = cut(&bytes, 100_000, |number| name(number + 1));
    let first = name(0);
    let header = |count: usize, length: usize| {
        let sum = digest(&bytes);
        let sum = sum.strip_prefix("sha256:").unwrap();
        json!({"sha256Sum": sum, "bytes": length, "count": count}).to_string()
    };
    fs::write(&first, header(parts.len(), bytes.len())).unwrap();
    let site = serve(&[work.path()]);
    compare_all(&site, &content);
    assert_eq!(notes(&site, &first), [""; 0]);
    drop(site);
    let mut shelf = Shelf::new(vec![work.path().to_owned()], Options::default());
    let missing = format!("its part {:?} is not here", name(parts.len() + 1));
    for (count, length, expected) in [
        (parts.len(), bytes.len() + 1, "its parts have "),
        (parts.len(), bytes.len() - 1, "its parts have "),
        (parts.len() + 1, bytes.len(), &missing),
        (parts.len() - 1, bytes.len(), "its parts have "),
        (1_000_000_000, bytes.len(), "it has 1000000000 parts, of at most"),
    ] {
        fs::write(&first, header(count, length)).unwrap();
        let served = shelf.scan().unwrap().unwrap();
        assert_eq!(served.bundles[0].state, State::Waiting, "{count} {length}");
        assert!(note(&served).contains(expected), "{}", note(&served));
    }
    fs::write(&first, "{\"count\": -1").unwrap();
    let said = note(&shelf.scan().unwrap().unwrap());
    assert!(said.contains("no list of it"), "{said}");
}

/// A set of shards as hauler writes them, here with one of parity.
fn shards(bytes: &[u8], count: usize, path: impl Fn(usize) -> PathBuf) -> Vec<PathBuf> {
    let length = bytes.len().div_ceil(count);
    let mut padded = bytes.to_vec();
    padded.resize(length * count, 0);
    let parity = noise(1, length);
    let bodies = padded.chunks(length).chain([&parity[..]]);
    let written = bodies.enumerate().map(|(number, body)| {
        let mut shard = b"HAULRSF1set-name".to_vec();
        for number in [count, 1, number] {
            shard.extend(u16::try_from(number).unwrap().to_be_bytes());
        }
        shard.extend((bytes.len() as u64).to_be_bytes());
        shard.extend([0; 4]);
        shard.extend(body);
        let path = path(number);
        fs::write(&path, shard).unwrap();
        path
    });
    written.collect()
}

#[test]
fn shards_are_read_while_those_with_data_are_there() {
    let work = tempfile::tempdir().unwrap();
    let content = content();
    let whole = work.path().join("all");
    pack(&whole, &layout(&content, "", in_full));
    let bytes = zstd::encode_all(fs::File::open(&whole).unwrap(), 3).unwrap();
    fs::remove_file(&whole).unwrap();
    let name = |number: usize| work.path().join(format!("haul.tar.zst.{:03}", number + 1));
    let parts = shards(&bytes, 3, name);
    compare_all(&serve(&[work.path()]), &content);
    fs::remove_file(&parts[3]).unwrap();
    compare_all(&serve(&[&parts[0]]), &content);
    let mut shelf = Shelf::new(vec![work.path().to_owned()], Options::default());
    let third = fs::read(&parts[2]).unwrap();
    fs::remove_file(&parts[2]).unwrap();
    let said = note(&shelf.scan().unwrap().unwrap());
    assert!(said.contains(&format!("its part {:?} is not here", parts[2])), "{said}");
    let mut other = third.clone();
    other[8] ^= 1;
    fs::write(&parts[2], other).unwrap();
    let said = note(&shelf.scan().unwrap().unwrap());
    assert!(said.contains("shard 3 is of another set"), "{said}");
    fs::write(&parts[2], third).unwrap();
    let served = shelf.scan().unwrap().unwrap();
    assert_eq!(served.bundles[0].state, State::Live, "{}", note(&served));
}

#[test]
fn a_part_that_is_missing_is_waited_for_by_name() {
    let work = tempfile::tempdir().unwrap();
    let content = content();
    let whole = work.path().join("all.tar");
    pack(&whole, &layout(&content, "", in_full));
    let bytes = zstd::encode_all(fs::File::open(&whole).unwrap(), 3).unwrap();
    fs::remove_file(&whole).unwrap();
    let name = |number: usize| work.path().join(format!("haul.tar.zst.{:03}", number + 1));
    let parts = cut(&bytes, bytes.len() / 3, name);
    let mut shelf = Shelf::new(vec![work.path().to_owned()], Options::default());
    let served = shelf.scan().unwrap().unwrap();
    assert_eq!(states(&served), [("haul.tar.zst.001".to_owned(), State::Live)]);
    assert!(shelf.scan().unwrap().is_none(), "nothing changed");
    for missing in 0..parts.len() {
        let piece = fs::read(&parts[missing]).unwrap();
        fs::remove_file(&parts[missing]).unwrap();
        let served = shelf.scan().unwrap().unwrap();
        let (states, note) = (states(&served), note(&served));
        let lowest = if missing == 0 { "haul.tar.zst.002" } else { "haul.tar.zst.001" };
        assert_eq!(states, [(lowest.to_owned(), State::Waiting)], "{note}");
        if missing + 1 < parts.len() {
            assert!(note.contains(&format!("{:?}", parts[missing])), "{note}");
        } else {
            assert!(note.contains("is one missing?"), "{note}");
        }
        fs::write(&parts[missing], &piece[..piece.len() / 2]).unwrap();
        assert!(shelf.scan().unwrap().unwrap().bundles[0].state != State::Live);
        fs::write(&parts[missing], piece).unwrap();
        let served = shelf.scan().unwrap().unwrap();
        assert_eq!(served.bundles[0].state, State::Live);
    }
    // A number that is far away is a gap, too.
    fs::write(work.path().join("haul.tar.zst.4000000000"), "x").unwrap();
    let said = note(&shelf.scan().unwrap().unwrap());
    assert!(said.contains("haul.tar.zst.005\" is not here"), "{said}");
}

#[test]
fn files_of_their_own_are_no_parts() {
    let work = tempfile::tempdir().unwrap();
    let mut names = Vec::new();
    for (seed, names_of_it) in [["images_0.tar", "images_1.tar"], ["a_0.tar.zst", "a_1.tar.zst"]]
        .concat()
        .into_iter()
        .enumerate()
    {
        let mut content = Content::default();
        let layer = noise(seed as u64 + 1, 5000);
        let image = image("amd64").layer(layer).add(&mut content);
        content.tag(&format!("quay.io/lab/app:v{seed}"), &image);
        let path = work.path().join(names_of_it);
        pack(&path, &layout(&content, "", in_full));
        if names_of_it.ends_with(".zst") {
            let bytes = zstd::encode_all(fs::File::open(&path).unwrap(), 3).unwrap();
            fs::write(&path, bytes).unwrap();
        }
        names.push(names_of_it.to_owned());
    }
    names.sort();
    let mut shelf = Shelf::new(vec![work.path().to_owned()], Options::default());
    let served = shelf.scan().unwrap().unwrap();
    let live: Vec<_> = names.into_iter().map(|name| (name, State::Live)).collect();
    assert_eq!(states(&served), live);
}
