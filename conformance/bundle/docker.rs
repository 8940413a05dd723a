//! docker-archives in the shapes that tools give them, packed by hand; tools.rs has the tools.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::harm::Whole;
use super::made::Made;
use super::{Members, notes, pack, resolve, serve, storage::inspect, tags};
use crate::fixtures::image::image;
use crate::fixtures::layer::{files, gzip, noise, zstd};
use crate::fixtures::{Content, digest};
use crate::program::{attempt, run};

/// Where a tool puts what, and how it packs layers.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// `docker save` before 25.
    Legacy,
    /// podman, skopeo, buildah.
    Podman,
    /// crane: layers and configurations by their own digests, a colon in a file's name.
    Crane,
    /// Compressed, under names that say nothing.
    Wrapped,
}

const SHAPES: [Shape; 4] = [Shape::Legacy, Shape::Podman, Shape::Crane, Shape::Wrapped];

impl Shape {
    /// The members of one image, and what `manifest.json` says of it.
    fn image(self, content: &Content, tags: &[&str], manifest: &str) -> (Value, Members) {
        let own = &manifest[7..15];
        let manifest = content.parsed(manifest).unwrap();
        let config = manifest["config"]["digest"].as_str().unwrap();
        let hex = &config["sha256:".len()..];
        let path = match self {
            Self::Legacy | Self::Podman => format!("{hex}.json"),
            Self::Crane => config.to_owned(),
            Self::Wrapped => format!("{own}/config"),
        };
        let mut members = vec![(path.clone(), content.bytes(config).to_vec())];
        let mut layers = Vec::new();
        for (number, layer) in manifest["layers"].as_array().unwrap().iter().enumerate() {
            let layer = layer["digest"].as_str().unwrap();
            let archive = content.archive(layer);
            let plain = digest(archive);
            let (path, bytes) = match self {
                Self::Legacy => (format!("{}/layer.tar", &layer[7..]), archive.to_vec()),
                Self::Podman => (format!("{}.tar", &plain[7..]), archive.to_vec()),
                Self::Crane => (format!("{}.tar.gz", &layer[7..]), content.bytes(layer).to_vec()),
                Self::Wrapped if number % 2 == 0 => (format!("{own}/{number}"), gzip(archive)),
                Self::Wrapped => (format!("./{own}/{number}"), zstd(archive)),
            };
            layers.push(path.clone());
            members.push((path, bytes));
        }
        (json!({"Config": path, "RepoTags": tags, "Layers": layers}), members)
    }
}

/// The members of an archive of these images.
fn members(shape: Shape, content: &Content, images: &[(&[&str], &str)]) -> (Vec<Value>, Members) {
    let (mut list, mut all) = (Vec::new(), Members::new());
    for (tags, manifest) in images {
        let (said, members) = shape.image(content, tags, manifest);
        list.push(said);
        all.extend(members);
    }
    let mut seen = BTreeSet::new();
    all.retain(|(name, _)| seen.insert(name.clone()));
    (list, all)
}

fn write(file: &Path, list: &Value, members: &Members) {
    let manifest = ("manifest.json".to_owned(), list.to_string().into_bytes());
    pack(file, members.iter().chain([&manifest]));
}

/// Two images that share a layer, one of which has it twice; and one without layers.
fn content() -> (Content, [String; 3]) {
    let mut content = Content::default();
    let shared = files(&[("etc/base", &noise(1, 30_000))]);
    let one = image("amd64").layer(shared.clone()).layer(files(&[("etc/one", b"1")]));
    let one = one.layer(shared.clone()).add(&mut content).digest;
    let two = image("arm64").layer(shared).layer(files(&[])).add(&mut content).digest;
    let none = image("amd64").add(&mut content).digest;
    (content, [one, two, none])
}

#[test]
fn images_of_every_shape() {
    let work = tempfile::tempdir().unwrap();
    let (content, [one, two, none]) = content();
    let images: [(&[&str], &str); 3] = [
        (&["quay.io/lab/one:v1", "quay.io/lab/one:latest", "lab/hub:v1"], &one),
        (&["localhost:5000/lab/two:v1"], &two),
        (&["quay.io/lab/none:v1"], &none),
    ];
    for shape in SHAPES {
        let file = work.path().join(format!("{shape:?}.tar"));
        let (list, members) = members(shape, &content, &images[..]);
        write(&file, &json!(list), &members);
        let site = serve(&[&file]);
        assert_eq!(notes(&site, &file), [""; 0], "{shape:?}");
        for (repository, target, source) in [
            ("lab/one", "v1", &one),
            ("lab/one", "latest", &one),
            ("docker.io/lab/hub", "v1", &one),
            ("lab/two", "v1", &two),
            ("lab/none", "v1", &none),
        ] {
            Made::of(&site, repository, target).is_of(&content, source);
        }
        assert_eq!(notes(&site, &file), [""; 0], "{shape:?}");
        assert!(inspect(&[&file]).contains(": docker-archive (tar)\n"));
    }
}

#[test]
fn layers_that_are_links_and_the_list_first() {
    let work = tempfile::tempdir().unwrap();
    let (content, [one, two, _]) = content();
    let images: [(&[&str], &str); 2] =
        [(&["quay.io/lab/one:v1"], &one), (&["quay.io/lab/two:v1"], &two)];
    let (mut list, members) = members(Shape::Podman, &content, &images);
    let root = work.path().join("unpacked");
    fs::create_dir(&root).unwrap();
    for (name, bytes) in &members {
        fs::write(root.join(name), bytes).unwrap();
    }
    // As podman does beside its own names, and docker for a layer that it has written before.
    for image in &mut list {
        for layer in image["Layers"].as_array_mut().unwrap() {
            let name = layer.as_str().unwrap().to_owned();
            let directory = root.join(&name[..20]);
            if !directory.exists() {
                fs::create_dir(&directory).unwrap();
                symlink(format!("../{name}"), directory.join("layer.tar")).unwrap();
            }
            *layer = json!(format!("{}/layer.tar", &name[..20]));
        }
    }
    fs::write(root.join("manifest.json"), json!(list).to_string()).unwrap();
    fs::write(root.join("repositories"), "{}").unwrap();
    let file = work.path().join("linked.tar");
    // As RKE2 orders it.
    let first = ["manifest.json", "repositories"];
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(&root).arg("-cf").arg(&file).args(first);
    run(tar.args(["--exclude=./manifest.json", "--exclude=./repositories", "."]));
    let site = serve(&[&file]);
    Made::of(&site, "lab/one", "v1").is_of(&content, &one);
    Made::of(&site, "lab/two", "v1").is_of(&content, &two);
    assert_eq!(notes(&site, &file), [""; 0]);
}

#[test]
fn the_manifests_made_are_the_same_everywhere() {
    let work = tempfile::tempdir().unwrap();
    let mut content = Content::default();
    let one = image("amd64").layer(files(&[("etc/one", b"1")])).add(&mut content).digest;
    let mut found = BTreeSet::new();
    for (number, tag) in ["quay.io/lab/one:v1", "lab/one:v1"].into_iter().enumerate() {
        for shape in [Shape::Legacy, Shape::Podman] {
            let file = work.path().join(format!("{shape:?}-{number}.tar"));
            let (list, members) = members(shape, &content, &[(&[tag], &one)]);
            write(&file, &json!(list), &members);
            let site = serve(&[&file]);
            found.insert(Made::of(&site, "lab/one", "v1").digest);
        }
    }
    // Other bytes are another digest for every archive that sites have: they would notice.
    let config = &content.parsed(&one).unwrap()["config"];
    let layer = files(&[("etc/one", b"1")]);
    let expected = format!(
        "{{\"schemaVersion\":2,\
         \"mediaType\":\"application/vnd.docker.distribution.manifest.v2+json\",\
         \"config\":{{\"mediaType\":\"application/vnd.docker.container.image.v1+json\",\
         \"digest\":{},\"size\":{}}},\
         \"layers\":[{{\"mediaType\":\"application/vnd.docker.image.rootfs.diff.tar\",\
         \"digest\":\"{}\",\"size\":{}}}]}}",
        config["digest"],
        config["size"],
        digest(&layer),
        layer.len()
    );
    assert_eq!(found, BTreeSet::from([digest(expected.as_bytes())]));
}

#[test]
fn media_types_are_those_of_the_bytes() {
    let work = tempfile::tempdir().unwrap();
    let (content, [one, two, _]) = content();
    let images: [(&[&str], &str); 2] = [(&["lab/one:v1"], &one), (&["lab/two:v1"], &two)];
    for (shape, manifest, layers) in [
        (Shape::Podman, "docker.distribution.manifest.v2+json", ["rootfs.diff.tar"; 3]),
        (Shape::Crane, "docker.distribution.manifest.v2+json", ["rootfs.diff.tar.gzip"; 3]),
        (Shape::Wrapped, "oci.image.manifest.v1+json", ["tar+gzip", "tar+zstd", "tar+gzip"]),
    ] {
        let file = work.path().join("images.tar");
        let (list, members) = members(shape, &content, &images[..]);
        write(&file, &json!(list), &members);
        let made = Made::of(&serve(&[&file]), "lab/one", "v1");
        assert!(made.media_type.ends_with(manifest), "{shape:?}: {}", made.media_type);
        let found = made.manifest["layers"].as_array().unwrap().iter();
        for (layer, expected) in found.zip(layers) {
            let found = layer["mediaType"].as_str().unwrap();
            assert!(found.ends_with(expected), "{shape:?}: {found}");
        }
    }
}

#[test]
fn names_are_taken_as_docker_takes_them() {
    let work = tempfile::tempdir().unwrap();
    let (content, [one, two, _]) = content();
    let nothing: [&str; 0] = [];
    let (list, members) =
        members(Shape::Podman, &content, &[(&nothing, &one), (&["quay.io/lab/two:v1"], &two)]);
    let file = work.path().join("images.tar");
    // What the first image is called; what is answered then; how many notes there are.
    for (tags, answered, said) in [
        (json!(null), vec![], 0),
        (json!([]), vec![], 0),
        (json!(["x:v1"]), vec!["library/x:v1"], 0),
        (json!(["UPPER/x:v1", "lab/x:v1"]), vec!["lab/x:v1"], 1),
        (json!(["<none>:<none>"]), vec![], 1),
        (json!([""]), vec![], 1),
        (json!(["lab/x:v1", "lab/x:v1"]), vec!["lab/x:v1"], 0),
        // The first counts.
        (json!(["quay.io/lab/two:v1"]), vec!["lab/two:v1"], 1),
    ] {
        let mut list = list.clone();
        list[0]["RepoTags"] = tags.clone();
        write(&file, &json!(list), &members);
        let site = serve(&[&file]);
        assert_eq!(notes(&site, &file).len(), said, "{tags}: {:?}", notes(&site, &file));
        for name in &answered {
            let (repository, tag) = name.split_once(':').unwrap();
            Made::of(&site, repository, tag).is_of(&content, &one);
        }
        if answered.is_empty() {
            assert_eq!(tags_of(&file), ["images", "quay.io/lab/two"], "{tags}");
        }
    }
}

/// The repositories of a file.
fn tags_of(file: &Path) -> Vec<String> {
    let bundle = shipperd::bundle::open(file, true).unwrap();
    bundle.index.names().keys().map(ToString::to_string).collect()
}

/// What is done to the second image, and what is said of it.
type Case<'a> = (&'a str, fn(&mut Value, &mut Members), &'a str);

#[test]
fn one_broken_image_does_not_stop_the_others() {
    let cases: [Case<'_>; 15] = [
        ("a layer is absent", |it, _| it["Layers"][0] = json!("none.tar"), "has no \"none.tar\""),
        ("a layer points up", |it, _| it["Layers"][0] = json!("../a.tar"), "points out"),
        ("an absolute layer", |it, _| it["Layers"][0] = json!("/etc/passwd"), "points out"),
        ("an empty path", |it, _| it["Layers"][0] = json!(""), "points out"),
        ("fewer layers", |it, _| it["Layers"] = json!(["config"]), "has 1 layers"),
        ("no layers", |it, _| it["Layers"] = json!(null), "has 0 layers"),
        ("many layers", |it, _| it["Layers"] = json!(vec!["config"; 100_000]), "more than 20000"),
        ("no configuration", |it, _| it["Config"] = json!("none"), "has no \"none\""),
        ("it points up", |it, _| it["Config"] = json!("a/../../b"), "points out"),
        ("no JSON", |it, all| named(it, all, b"{"), "is none"),
        ("no object", |it, all| named(it, all, b"7"), "is none"),
        ("no layers in it", |it, all| named(it, all, b"{}"), "configuration \"config\" says 0"),
        (
            "no digests in it",
            |it, all| {
                named(it, all, br#"{"rootfs":{"diff_ids":["x","y"]}}"#);
            },
            "is none",
        ),
        ("a long one", |it, all| named(it, all, &vec![b' '; (4 << 20) + 1]), "more than 4194304"),
        (
            "a damaged one",
            |it, all| {
                let path = it["Config"].as_str().unwrap();
                let member = all.iter_mut().find(|(name, _)| name == path).unwrap();
                member.1[20] ^= 1;
            },
            "is damaged",
        ),
    ];
    let work = tempfile::tempdir().unwrap();
    let mut content = Content::default();
    let good = image("amd64").layer(files(&[("good", b"1")])).add(&mut content).digest;
    let bad = image("amd64").layer(files(&[("bad", b"1")])).layer(files(&[("x", b"2")]));
    let bad = bad.add(&mut content).digest;
    let images: [(&[&str], &str); 2] = [(&["lab/good:v1"], &good), (&["lab/bad:v1"], &bad)];
    for (what, harm, expected) in cases {
        let (mut list, mut members) = members(Shape::Podman, &content, &images);
        let site = tempfile::tempdir_in(work.path()).unwrap();
        let file = site.path().join("images.tar");
        harm(&mut list[1], &mut members);
        // The broken one first, too.
        for list in [json!(list), json!([list[1], list[0]])] {
            write(&file, &list, &members);
            let site = serve(&[&file]);
            Made::of(&site, "lab/good", "v1").is_of(&content, &good);
            assert_eq!(resolve(&site, "lab/bad", "v1"), None, "{what}");
            assert!(tags(&site, "lab/bad").is_empty(), "{what}");
            let said = notes(&site, &file).join("\n");
            assert!(said.contains("lab/bad:v1 is not served: "), "{what}: {said}");
            assert!(said.contains(expected), "{what}: {said}");
        }
    }
}

/// What a command says of a file: its exit code and all it prints.
fn command(arguments: &[&str], file: &Path) -> (Option<i32>, String) {
    let mut shipperd = Command::new(env!("CARGO_BIN_EXE_shipperd"));
    shipperd.env("SHIPPERD_CONFIG", "/dev/null").env("XDG_STATE_HOME", file.parent().unwrap());
    let output = attempt(shipperd.current_dir(file.parent().unwrap()).args(arguments).arg(file));
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn every_command_says_that_an_image_is_broken() {
    let work = tempfile::tempdir().unwrap();
    let (content, [one, two, _]) = content();
    let images: [(&[&str], &str); 2] = [(&["lab/one:v1"], &one), (&["lab/two:v1"], &two)];
    let file = work.path().join("images.tar");
    let (list, mut members) = members(Shape::Podman, &content, &images);
    write(&file, &json!(list), &members);
    assert_eq!(command(&["verify"], &file).0, Some(0));
    let config = list[0]["Config"].as_str().unwrap();
    let member = members.iter_mut().find(|(name, _)| name == config).unwrap();
    member.1[3] ^= 1;
    write(&file, &json!(list), &members);
    let hex = config.strip_suffix(".json").unwrap();
    for (arguments, code, word) in [
        (&["verify"][..], Some(1), hex),
        (&["inspect"], Some(0), "lab/two"),
        (&["inspect"], Some(0), "lab/one:v1 is not served: its configuration"),
        (&["convert", "--quiet", "-o", "out"], Some(1), "lab/one:v1: "),
    ] {
        let (found, said) = command(arguments, &file);
        assert!(found == code && said.contains(word), "{arguments:?}: {found:?} {said}");
    }
    assert!(!work.path().join("out").exists(), "nothing is left out in silence");
    // Who asks for the other one gets it.
    let archive = format!("docker-archive:{}:lab/two:v1", file.display());
    let mut create = Command::new(env!("CARGO_BIN_EXE_shipperd"));
    create.env("SHIPPERD_CONFIG", "/dev/null").env("XDG_STATE_HOME", work.path());
    run(create
        .current_dir(work.path())
        .args(["--quiet", "create", "-o", "out", "--name", "two", &archive]));
}

#[test]
fn a_million_broken_images_are_told_in_short() {
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("images.tar");
    let (content, [one, ..]) = content();
    let (list, members) = members(Shape::Podman, &content, &[(&["lab/one:v1"], &one)]);
    // As many as fit.
    let broken = ",{\"Config\":\"\"}".repeat(1_100_000);
    let text = list[0].to_string();
    let manifest = ("manifest.json".to_owned(), format!("[{text}{broken}]").into_bytes());
    pack(&file, members.iter().chain([&manifest]));
    let site = serve(&[&file]);
    Made::of(&site, "lab/one", "v1").is_of(&content, &one);
    assert_eq!(notes(&site, &file).len(), 1001);
    assert!(site.daemon.peak_memory() < 400 << 20, "{}", site.daemon.peak_memory());
}

/// Gives an image a configuration under a name that says no digest.
fn named(image: &mut Value, members: &mut Members, bytes: &[u8]) {
    image["Config"] = json!("config");
    members.push(("config".to_owned(), bytes.to_vec()));
}

#[test]
fn a_layer_that_no_registry_carries_is_named() {
    let work = tempfile::tempdir().unwrap();
    let (content, [one, ..]) = content();
    let file = work.path().join("images.tar");
    for (magic, name) in [(&b"\xfd7zXZ\0"[..], "xz"), (b"BZh91AY", "bzip2")] {
        let (list, mut members) = members(Shape::Legacy, &content, &[(&["lab/one:v1"], &one)]);
        members[1].1[..magic.len()].copy_from_slice(magic);
        write(&file, &json!(list), &members);
        let said = notes(&serve(&[&file]), &file).join("\n");
        assert!(said.contains(&format!("is compressed with {name}, ")), "{said}");
    }
}

#[test]
fn of_members_of_one_name_the_last_counts() {
    let work = tempfile::tempdir().unwrap();
    let (content, [one, ..]) = content();
    let file = work.path().join("images.tar");
    let (list, members) = members(Shape::Podman, &content, &[(&["lab/one:v1"], &one)]);
    let wrong: Members =
        members.iter().map(|(name, _)| (name.clone(), b"wrong".to_vec())).collect();
    write(&file, &json!(list), &wrong.into_iter().chain(members).collect());
    Made::of(&serve(&[&file]), "lab/one", "v1").is_of(&content, &one);
}

#[test]
fn a_layer_that_is_not_what_the_configuration_says_is_never_completed() {
    let work = tempfile::tempdir().unwrap();
    let (content, [one, two, _]) = content();
    let images: [(&[&str], &str); 2] = [(&["lab/one:v1"], &one), (&["lab/two:v1"], &two)];
    for shape in [Shape::Legacy, Shape::Podman, Shape::Crane] {
        let file = work.path().join("site/images.tar");
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let (list, mut members) = members(shape, &content, &images);
        // The second layer of the first image is its own.
        let size = members[2].1.len();
        members[2].1[size - 1] ^= 1;
        write(&file, &json!(list), &members);
        let server = crate::damage::Server::open(file.parent().unwrap());
        let manifest = server.complete("/v2/lab/one/manifests/v1", &[]).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest.1).unwrap();
        let layer = manifest["layers"][1]["digest"].as_str().unwrap();
        let answer = server.complete(&format!("/v2/lab/one/blobs/{layer}"), &[]);
        assert!(answer.is_none_or(|(status, _)| status == 404), "{shape:?}");
        let again = server.complete("/v2/lab/one/manifests/v1", &[]);
        assert_eq!(again.unwrap().0, 404, "{shape:?}: its layer is known to be damaged");
        assert_eq!(server.complete("/v2/lab/two/manifests/v1", &[]).unwrap().0, 200, "{shape:?}");
    }
}

#[test]
fn what_is_no_docker_archive_is_refused() {
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("images.tar");
    let layer = ("0123/layer.tar".to_owned(), b"layer".to_vec());
    let json = ("0123/json".to_owned(), b"{}".to_vec());
    let repositories = ("repositories".to_owned(), br#"{"lab/app":{"v1":"0123"}}"#.to_vec());
    pack(&file, &[layer.clone(), json, repositories]);
    let said = notes(&serve(&[&file]), &file).join("\n");
    assert!(said.contains("saved by docker before 1.10; load it into a later one"), "{said}");
    for text in ["", "{", "[1]", "{\"Config\":1}", "[{\"Layers\":[]}]", "\u{0}"] {
        let manifest = ("manifest.json".to_owned(), text.as_bytes().to_vec());
        pack(&file, &[layer.clone(), manifest]);
        let said = notes(&serve(&[&file]), &file).join("\n");
        assert!(said.contains("is no docker-archive document"), "{text}: {said}");
    }
}

#[test]
fn cut_or_with_a_flipped_byte_it_gives_no_wrong_byte() {
    for shape in [Shape::Legacy, Shape::Podman, Shape::Crane] {
        let work = tempfile::tempdir().unwrap();
        let file = work.path().join("images.tar");
        let mut content = Content::default();
        let one = image("amd64").layer(files(&[("one", &noise(1, 2_000))])).add(&mut content);
        let two = image("amd64").layer(files(&[("two", &noise(2, 2_000))])).add(&mut content);
        let images: [(&[&str], &str); 2] =
            [(&["quay.io/lab/one:v1"], &one.digest), (&["quay.io/lab/two:v1"], &two.digest)];
        let (list, members) = members(shape, &content, &images);
        write(&file, &json!(list), &members);
        let whole = Whole::of(&file, &["lab/one:v1", "lab/two:v1"]);
        whole.survives_cuts(&file, 12);
        whole.survives_flips(&file, 97);
    }
}

#[test]
fn names_that_a_layout_lacks_are_taken_from_the_list_beside_it() {
    let work = tempfile::tempdir().unwrap();
    let mut content = Content::default();
    let children = ["amd64", "arm64"].map(|it| image(it).layer(files(&[])).add(&mut content));
    let index = content.index(&children);
    content.tag("quay.io/lab/app:v1", &index);
    let other = image("amd64").layer(files(&[("other", b"1")])).add(&mut content);
    let root = work.path().join("layout");
    content.write_layout(&root);
    let entry = |manifest: &str, tags: &[&str]| {
        let manifest = content.parsed(manifest).unwrap();
        let path = |it: &Value| format!("blobs/sha256/{}", &it["digest"].as_str().unwrap()[7..]);
        let layers: Vec<_> = manifest["layers"].as_array().unwrap().iter().map(path).collect();
        json!({"Config": path(&manifest["config"]), "RepoTags": tags, "Layers": layers})
    };
    let by_digest = format!("quay.io/lab/app:{}", index.digest.replace(':', "-"));
    let list = json!([
        // These the layout has under the same name, a fuller one, or by its digest.
        entry(&children[0].digest, &["quay.io/lab/app:v1", "lab/app:v1", &by_digest]),
        entry(&children[1].digest, &["quay.io/lab/app:v2", "BAD"]),
        // Of this it has not even a manifest.
        entry(&other.digest, &["quay.io/lab/other:v1"]),
        {"Config": "blobs/sha256/none", "RepoTags": ["lab/none:v1"], "Layers": []},
    ]);
    fs::write(root.join("manifest.json"), list.to_string()).unwrap();
    let site = serve(&[&root]);
    assert_eq!(resolve(&site, "lab/app", "v1"), Some(index.digest));
    assert_eq!(resolve(&site, "lab/app", "v2").as_ref(), Some(&children[1].digest));
    assert_eq!(tags(&site, "lab/app"), BTreeSet::from(["v1".to_owned(), "v2".to_owned()]));
    assert!(tags(&site, "docker.io/lab/app").is_empty(), "it is the one of quay.io");
    Made::of(&site, "lab/other", "v1").is_of(&content, &other.digest);
    let said = notes(&site, &root);
    assert!(said.len() == 2 && said.iter().any(|it| it.contains("\"BAD\"")), "{said:?}");
    assert!(said.iter().any(|it| it.starts_with("lab/none:v1 is not served: ")), "{said:?}");
    // What is no such list does no harm.
    for text in ["", "{}", "[1]", "null", "[{\"Image\":{}}]"] {
        fs::write(root.join("manifest.json"), text).unwrap();
        let site = serve(&[&root]);
        assert_eq!(tags(&site, "lab/app").len(), 1, "{text}");
        assert_eq!(notes(&site, &root), [""; 0], "{text}");
    }
}
