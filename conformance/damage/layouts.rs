//! OCI layouts made to do harm, each in a directory beside a bundle that is whole.

use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use shipperd::oci::Digest;

use super::{NEIGHBOUR, Server, bundle};
use crate::fixtures::image::image;
use crate::fixtures::{Content, digest, media};
use crate::program::run;
use crate::site::{Site, Transport};
use crate::spec::wire;

/// The most memory that a server may have needed after it has opened all of them, in bytes.
const MEMORY: usize = 256 << 20;

/// What becomes of a layout.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Fate {
    /// Served, with something to say about it.
    Noted,
    /// Not served, with a reason.
    Refused,
    /// Either: the rest of this process's promises is what counts.
    Any,
}

use Fate::{Any, Noted, Refused};

type Make = fn(&Path);

/// Every layout: what it is, how it is made, and what becomes of it.
const LAYOUTS: &[(&str, Make, Fate)] = &[
    ("wrong-digest", wrong_digest, Any),
    ("wrong-manifest-digest", wrong_manifest_digest, Noted),
    ("missing-layer", missing_layer, Noted),
    ("missing-manifest", missing_manifest, Any),
    ("huge-layer-size", |path| sized(path, "18446744073709551615"), Any),
    ("overflowing-size", |path| sized(path, "18446744073709551616"), Any),
    ("negative-size", |path| sized(path, "-1"), Any),
    ("infinite-size", |path| sized(path, "1e400"), Any),
    ("huge-manifest-size", huge_manifest_size, Any),
    ("not-utf8", not_utf8, Noted),
    ("links-out", links_out, Any),
    ("index-links-out", index_links_out, Refused),
    ("links-around", links_around, Any),
    ("pipe", pipe, Any),
    ("endless", endless, Any),
    ("cycle", cycle, Any),
    ("deep", deep, Any),
    ("deep-json", |path| with_index(path, &"[".repeat(1_000_000)), Refused),
    ("deep-manifest", deep_manifest, Any),
    ("large-index", |path| with_entries(path, 80_000), Any),
    ("giant-index", |path| with_entries(path, 500_000), Refused),
    ("duplicate-names", duplicate_names, Noted),
    ("duplicate-keys", duplicate_keys, Any),
    ("no-json", |path| with_index(path, "\u{0}\u{0}"), Refused),
    ("no-index", |path| with_index(path, ""), Refused),
    ("other-schema", |path| with_index(path, r#"{"schemaVersion":7,"manifests":[]}"#), Refused),
    ("null-manifests", |path| with_index(path, r#"{"schemaVersion":2,"manifests":null}"#), Any),
    ("index-is-a-directory", index_is_a_directory, Any),
    ("blobs-is-a-file", blobs_is_a_file, Noted),
    ("names-that-climb", names_that_climb, Any),
    ("odd-algorithm", odd_algorithm, Any),
];

/// Makes all of them, and the bundle that is whole.
fn make(directory: &Path) -> Content {
    let mut neighbour = Content::default();
    let whole = image("amd64").layer(b"whole".to_vec()).add(&mut neighbour);
    neighbour.tag(NEIGHBOUR, &whole);
    bundle("neighbour", &neighbour, directory);
    for (name, make, _) in LAYOUTS {
        let path = directory.join(name);
        fs::create_dir_all(path.join("blobs/sha256")).unwrap();
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        make(&path);
    }
    neighbour
}

#[test]
fn each_is_refused_or_served_for_what_is_right_in_it() {
    let directory = tempfile::tempdir().unwrap();
    make(directory.path());
    for (name, _, fate) in LAYOUTS {
        let begun = Instant::now();
        let path = directory.path().join(name);
        let server = Server::open(&path);
        assert!(begun.elapsed() < Duration::from_secs(20), "{name}: {:?}", begun.elapsed());
        let said = server.said_of(&path).unwrap_or_else(|| panic!("{name}: unsaid"));
        let notes = said["notes"].as_array().map_or(0, Vec::len);
        let state = said["state"].as_str().unwrap();
        match fate {
            Noted => assert!(state == "live" && notes > 0, "{name}: {said}"),
            Refused => assert!(state == "refused" && notes > 0, "{name}: {said}"),
            Any => assert!(state == "live" || notes > 0, "{name}: {said}"),
        }
        let catalog = wire::get(&server.address, "/v2/_catalog").json();
        for repository in catalog["repositories"].as_array().unwrap() {
            everything_is_right(&server.address, repository.as_str().unwrap(), name);
        }
        blobs_are_right(&server.address, &path, name);
    }
}

/// Whatever can be pulled of a repository has the digest that it is asked by.
fn everything_is_right(address: &str, repository: &str, name: &str) {
    let tags = wire::get(address, &format!("/v2/{repository}/tags/list")).json();
    for tag in tags["tags"].as_array().unwrap() {
        let tag = tag.as_str().unwrap();
        let answer = wire::get(address, &format!("/v2/{repository}/manifests/{tag}"));
        let promised = answer.header("docker-content-digest").map(str::to_owned);
        if answer.status == 200 {
            assert_eq!(promised, Some(digest(&answer.body)), "{name}: {repository}:{tag}");
        }
    }
}

/// Every name under `blobs` is served with the bytes that it promises, or not at all.
fn blobs_are_right(address: &str, path: &Path, name: &str) {
    let Ok(files) = fs::read_dir(path.join("blobs/sha256")) else { return };
    for file in files.take(300) {
        let Ok(hex) = file.unwrap().file_name().into_string() else { continue };
        let target = format!("/v2/any/blobs/sha256:{hex}");
        let mut connection = wire::Connection::open(address);
        connection.request("GET", &target, &[]).unwrap();
        let Ok(answer) = connection.answer() else { continue };
        if answer.status == 200 {
            assert_eq!(digest(&answer.body), format!("sha256:{hex}"), "{name}");
        }
    }
}

#[test]
fn all_of_them_together_cost_little_and_harm_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let neighbour = make(directory.path());
    // Names beside the layouts, too.
    let odd = std::ffi::OsString::from_vec(b"odd-\xff\xfe.sqfs".to_vec());
    fs::write(directory.path().join(odd), "hsqs and no more").unwrap();
    run(Command::new("mkfifo").arg(directory.path().join("pipe.sqfs")));
    symlink("/dev/zero", directory.path().join("zero.sqfs")).unwrap();
    symlink("nowhere", directory.path().join("nowhere.sqfs")).unwrap();
    symlink(".", directory.path().join("round.sqfs")).unwrap();
    let site = Site::serve(&[directory.path()], Transport::Http);
    let answer = wire::get(site.address(), "/v2/whole/app/manifests/v1");
    assert_eq!(answer.status, 200);
    assert_eq!(digest(&answer.body), neighbour.named(NEIGHBOUR).digest);
    let ready = wire::get(site.address(), "/readyz");
    assert_eq!(ready.status, 200, "{}", String::from_utf8_lossy(&ready.body));
    let log = site.daemon.log();
    for (name, _, fate) in LAYOUTS {
        if *fate == Refused {
            let path = directory.path().join(name);
            let path = path.to_str().unwrap();
            let told = log.lines().any(|line| line.contains(path) && line.contains("refused"));
            assert!(told, "{name} is not in the log:\n{log}");
        }
    }
    let needed = site.daemon.peak_memory();
    assert!(needed < MEMORY, "{needed} bytes");
}

/// An image in a layout whose manifest is `change`d before it is written.
fn image_in(path: &Path, change: impl FnOnce(Value) -> String) {
    let config = put(path, br#"{"architecture":"amd64","os":"linux"}"#);
    let layer = put(path, b"layer");
    let manifest = change(json!({
        "schemaVersion": 2,
        "mediaType": media::MANIFEST,
        "config": {"mediaType": media::CONFIG, "digest": config, "size": 37},
        "layers": [{"mediaType": media::TAR, "digest": layer, "size": 5}],
    }));
    let digest = put(path, manifest.as_bytes());
    index_of(path, &[(media::MANIFEST, &digest, manifest.len(), "quay.io/hostile/app:v1")]);
}

fn put(path: &Path, bytes: &[u8]) -> String {
    let digest = digest(bytes);
    fs::write(blob(path, &digest), bytes).unwrap();
    digest
}

fn blob(path: &Path, digest: &str) -> std::path::PathBuf {
    path.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap())
}

fn index_of(path: &Path, entries: &[(&str, &str, usize, &str)]) {
    let entries: Vec<Value> = entries
        .iter()
        .map(|(media_type, digest, size, name)| {
            json!({"mediaType": media_type, "digest": digest, "size": size,
                "annotations": {"org.opencontainers.image.ref.name": name}})
        })
        .collect();
    with_index(path, &json!({"schemaVersion": 2, "manifests": entries}).to_string());
}

fn with_index(path: &Path, text: &str) {
    fs::write(path.join("index.json"), text).unwrap();
}

fn wrong_digest(path: &Path) {
    image_in(path, |manifest| manifest.to_string());
    fs::write(blob(path, &digest(b"layer")), "Layer").unwrap();
}

fn wrong_manifest_digest(path: &Path) {
    image_in(path, |manifest| manifest.to_string());
    let index = fs::read_to_string(path.join("index.json")).unwrap();
    let index: Value = serde_json::from_str(&index).unwrap();
    let manifest = blob(path, index["manifests"][0]["digest"].as_str().unwrap());
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(manifest, text.replace("amd64", "arm64").replace("\"size\":5", "\"size\":6"))
        .unwrap();
}

fn missing_layer(path: &Path) {
    image_in(path, |manifest| manifest.to_string());
    fs::remove_file(blob(path, &digest(b"layer"))).unwrap();
}

fn missing_manifest(path: &Path) {
    index_of(path, &[(media::MANIFEST, &digest(b"gone"), 4, "quay.io/hostile/app:v1")]);
}

fn sized(path: &Path, size: &str) {
    image_in(path, |manifest| {
        manifest.to_string().replace("\"size\":5", &format!("\"size\":{size}"))
    });
}

fn huge_manifest_size(path: &Path) {
    let digest = put(path, b"{}");
    index_of(path, &[(media::MANIFEST, &digest, usize::MAX, "quay.io/hostile/app:v1")]);
}

fn not_utf8(path: &Path) {
    image_in(path, |manifest| manifest.to_string());
    let name = std::ffi::OsString::from_vec(b"\xff\xfe\x80".to_vec());
    fs::write(path.join("blobs/sha256").join(name), "x").unwrap();
}

fn links_out(path: &Path) {
    image_in(path, |manifest| manifest.to_string());
    fs::remove_file(blob(path, &digest(b"layer"))).unwrap();
    // The bytes would even be right: they are not of this layout.
    let outside = path.parent().unwrap().join("outside");
    fs::write(&outside, "layer").unwrap();
    symlink(outside, blob(path, &digest(b"layer"))).unwrap();
    symlink("/etc/passwd", blob(path, &digest(b"passwd"))).unwrap();
    symlink("../../../../../etc/passwd", path.join("blobs/sha256/passwd")).unwrap();
}

fn index_links_out(path: &Path) {
    let outside = path.parent().unwrap().join("outside.json");
    fs::write(&outside, r#"{"schemaVersion":2,"manifests":[]}"#).unwrap();
    symlink(outside, path.join("index.json")).unwrap();
}

fn links_around(path: &Path) {
    image_in(path, |manifest| manifest.to_string());
    symlink("..", path.join("blobs/up")).unwrap();
    symlink(digest(b"b").replace("sha256:", ""), blob(path, &digest(b"a"))).unwrap();
    symlink(digest(b"a").replace("sha256:", ""), blob(path, &digest(b"b"))).unwrap();
}

fn pipe(path: &Path) {
    image_in(path, |manifest| manifest.to_string());
    fs::remove_file(blob(path, &digest(b"layer"))).unwrap();
    run(Command::new("mkfifo").arg(blob(path, &digest(b"layer"))));
}

fn endless(path: &Path) {
    image_in(path, |manifest| manifest.to_string());
    fs::remove_file(blob(path, &digest(b"layer"))).unwrap();
    symlink("/dev/zero", blob(path, &digest(b"layer"))).unwrap();
}

/// Two indexes that name each other, which only damaged ones can.
fn cycle(path: &Path) {
    let [a, b] = [digest(b"a"), digest(b"b")];
    let index = |child: &str| {
        json!({"schemaVersion": 2, "mediaType": media::INDEX,
            "manifests": [{"mediaType": media::INDEX, "digest": child, "size": 1}]})
        .to_string()
    };
    fs::write(blob(path, &a), index(&b)).unwrap();
    fs::write(blob(path, &b), index(&a)).unwrap();
    index_of(path, &[(media::INDEX, &a, 1, "quay.io/hostile/app:v1")]);
}

/// Ten thousand indexes, one in the other.
fn deep(path: &Path) {
    let mut inner: Option<(String, usize)> = None;
    for _ in 0..10_000 {
        let children: Vec<Value> = inner
            .iter()
            .map(
                |(digest, size)| json!({"mediaType": media::INDEX, "digest": digest, "size": size}),
            )
            .collect();
        let text = json!({"schemaVersion": 2, "mediaType": media::INDEX, "manifests": children});
        let text = text.to_string();
        inner = Some((put(path, text.as_bytes()), text.len()));
    }
    let (digest, size) = inner.unwrap();
    index_of(path, &[(media::INDEX, &digest, size, "quay.io/hostile/app:v1")]);
}

fn deep_manifest(path: &Path) {
    image_in(path, |manifest| {
        let annotations = format!("{}{}", "{\"a\":".repeat(50_000), "1");
        manifest.to_string().replacen('{', &format!("{{\"annotations\":{annotations},"), 1)
    });
}

/// Entries of 228 bytes that all say the same.
fn with_entries(path: &Path, count: usize) {
    let entry = json!({"mediaType": media::MANIFEST, "digest": digest(b"gone"), "size": 4,
        "annotations": {"org.opencontainers.image.ref.name": "quay.io/hostile/app:v1"}})
    .to_string();
    let entries = vec![entry; count].join(",");
    with_index(path, &format!("{{\"schemaVersion\":2,\"manifests\":[{entries}]}}"));
}

fn duplicate_names(path: &Path) {
    let manifest = |kind: &str| {
        json!({"schemaVersion": 2, "mediaType": media::INDEX, "manifests": [],
            "annotations": {"kind": kind}})
        .to_string()
    };
    let [one, two] = ["one", "two"].map(manifest);
    let [first, second] = [&one, &two].map(|text| put(path, text.as_bytes()));
    let name = "quay.io/hostile/app:v1";
    index_of(
        path,
        &[(media::INDEX, &first, one.len(), name), (media::INDEX, &second, two.len(), name)],
    );
}

fn duplicate_keys(path: &Path) {
    image_in(path, |manifest| {
        manifest.to_string().replacen('{', "{\"layers\":[],\"schemaVersion\":1,", 1)
    });
}

fn index_is_a_directory(path: &Path) {
    fs::create_dir(path.join("index.json")).unwrap();
}

fn blobs_is_a_file(path: &Path) {
    image_in(path, |manifest| manifest.to_string());
    fs::remove_dir_all(path.join("blobs")).unwrap();
    fs::write(path.join("blobs"), "no directory").unwrap();
}

fn names_that_climb(path: &Path) {
    let manifest = json!({"schemaVersion": 2, "mediaType": media::INDEX, "manifests": []});
    let text = manifest.to_string();
    let digest = put(path, text.as_bytes());
    let names = [
        "../../etc/passwd",
        "quay.io/../../etc:v1",
        "quay.io/a/../b:v1",
        "",
        ":",
        "@",
        "/",
        "a:b:c",
        "quay.io/UPPER/case:v1",
        "quay.io/a:..",
        "quay.io/a\u{0}b:v1",
        "quay.io/a\r\nX: y:v1",
    ];
    let entries: Vec<_> =
        names.map(|name| (media::INDEX, digest.as_str(), text.len(), name)).into();
    index_of(path, &entries);
    assert!(digest.parse::<Digest>().is_ok());
}

fn odd_algorithm(path: &Path) {
    fs::create_dir_all(path.join("blobs/md5")).unwrap();
    fs::write(path.join("blobs/md5/00"), "x").unwrap();
    fs::create_dir_all(path.join("blobs/sha512")).unwrap();
    fs::write(path.join("blobs/sha512").join("0".repeat(128)), "x").unwrap();
    image_in(path, |manifest| manifest.to_string());
}
