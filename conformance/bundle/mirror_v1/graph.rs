//! The image of graph data, which oc-mirror makes when it pushes.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Members, UID, archive, blobs, metadata, notes, resolve, serve, walk};
use crate::bundle::small;
use crate::fixtures::image::image;
use crate::fixtures::layer::{files, gzip, unpacked};
use crate::fixtures::{Content, digest};
use crate::spec::wire;

const IMAGE: &str = "openshift/graph-image";
const DATA: &str = "cincinnati/cincinnati-graph-data.tar.gz";
const BASE: &str = "registry.access.redhat.com/ubi9/ubi:latest";

fn base() -> Content {
    let mut content = Content::default();
    let layer = || files(&[("bin/cp", b"cp")]);
    let platforms = ["amd64", "arm64"].map(|it| image(it).layer(layer()).add(&mut content));
    let index = content.index(&platforms);
    content.tag(BASE, &index);
    content
}

/// The graph data, and a signature of a release.
fn data(hex: &str) -> Members {
    let data = gzip(&files(&[("channels/stable.yaml", b"name: stable"), ("version", b"1.1.0")]));
    let key = format!("sha256-{hex}-1");
    let signature = json!({"kind": "ConfigMap", "binaryData": {
        key: STANDARD.encode("signed"), "../../etc": STANDARD.encode("x"), "sha256-00-1": "eA=="}});
    let path = format!("release-signatures/signature-sha256-{}.json", &hex[..16]);
    vec![(DATA.to_owned(), data), (path, signature.to_string().into_bytes())]
}

#[test]
fn graph_data_is_an_image_that_copies_it() {
    let (base, work) = (base(), tempfile::tempdir().unwrap());
    let file = work.path().join("mirror_seq1_000000.tar");
    let named = digest(b"release");
    let hex = named.strip_prefix("sha256:").unwrap();
    archive(&file, &metadata(&base, UID, 1), [data(hex), blobs(&base, &[])].concat());
    let site = serve(&[&file]);
    assert_eq!(notes(&site, &file), [""; 0]);
    let made = walk(&site, IMAGE, "latest");
    let get = |what: &str| wire::get(site.address(), &format!("/v2/{IMAGE}/{what}"));
    let index = get("manifests/latest").json();
    let platforms = index["manifests"].as_array().unwrap();
    assert_eq!(platforms.len(), 2);
    for platform in platforms {
        let manifest = get(&format!("manifests/{}", platform["digest"].as_str().unwrap())).json();
        let config = get(&format!("blobs/{}", manifest["config"]["digest"].as_str().unwrap()));
        let config: Value = config.json();
        let command = config["config"]["Cmd"].as_array().unwrap();
        assert_eq!(command[..2], ["/bin/bash", "-c"]);
        let copies = "cp -rp /var/lib/cincinnati-graph-data/* /var/lib/cincinnati/graph-data";
        assert!(command[2].as_str().unwrap().contains(copies), "{command:?}");
        let layer = manifest["layers"][1]["digest"].as_str().unwrap();
        assert_eq!(config["rootfs"]["diff_ids"][1], layer);
        let at = |path: &str, bytes: &[u8]| {
            (format!("var/lib/cincinnati-graph-data/{path}"), digest(bytes))
        };
        let expected = BTreeMap::from([
            at("channels/stable.yaml", b"name: stable"),
            at("version", b"1.1.0"),
            at(&format!("signatures/sha256/{hex}/signature-1"), b"signed"),
        ]);
        assert_eq!(unpacked(&get(&format!("blobs/{layer}")).body), expected);
    }
    assert_eq!(resolve(&serve(&[&file]), IMAGE, "latest"), Some(made), "the same again");
}

#[test]
fn graph_data_without_what_it_needs_is_told() {
    let base = base();
    let mut app = Content::default();
    small(&mut app, "quay.io/lab/app:v1", b"app");
    let index = base.named(BASE).digest.clone();
    let hex = index.strip_prefix("sha256:").unwrap();
    let with = |bytes: Vec<u8>| vec![(DATA.to_owned(), bytes)];
    // Zeros that would unpack to 64 MiB.
    let bomb = gzip(&files(&[("zeros", &vec![0; 64 << 20])]));
    let work = tempfile::tempdir().unwrap();
    for (what, content, elsewhere, data, expected) in [
        ("no base", &app, vec![], data(hex), "is not named"),
        ("base elsewhere", &base, vec![index.as_str()], data(hex), "an earlier sequence"),
        ("nonsense", &base, vec![], with(b"nonsense".to_vec()), DATA),
        ("cut", &base, vec![], with(data(hex)[0].1[..60].to_vec()), DATA),
        ("empty", &base, vec![], with(gzip(&files(&[]))), "holds no files"),
        ("a bomb", &base, vec![], with(bomb), DATA),
    ] {
        let file = work.path().join("mirror_seq1_000000.tar");
        let all = [data, blobs(content, &elsewhere)].concat();
        archive(&file, &metadata(content, UID, 1), all);
        let site = serve(&[&file]);
        let said = notes(&site, &file).join("\n");
        let begins = format!("no image is made of {IMAGE}: ");
        assert!(said.contains(&begins) && said.contains(expected), "{what}: {said}");
        assert_eq!(resolve(&site, IMAGE, "latest"), None, "{what}");
    }
}

#[test]
fn graph_data_of_a_later_sequence_is_put_on_the_image_of_an_earlier_one() {
    let (base, work) = (base(), tempfile::tempdir().unwrap());
    let mut app = Content::default();
    small(&mut app, "quay.io/lab/app:v2", b"app");
    let [one, two] = [1, 2].map(|it| work.path().join(format!("mirror_seq{it}_000000.tar")));
    let hex = |bytes: &[u8]| digest(bytes)[7..].to_owned();
    let first = metadata(&base, UID, 1);
    archive(&one, &first, [data(&hex(b"one")), blobs(&base, &[])].concat());
    let older = resolve(&serve(&[&one]), IMAGE, "latest").unwrap();
    // The image itself did not change, and is not carried again.
    let mut second = metadata(&app, UID, 2);
    second["pastAssociations"] = first["pastMirror"]["associations"].clone();
    archive(&two, &second, [data(&hex(b"two")), blobs(&app, &[])].concat());
    let alone = serve(&[&two]);
    assert!(notes(&alone, &two).join("\n").contains("an earlier sequence"));
    assert_eq!(resolve(&alone, IMAGE, "latest"), None);
    let mut made = Vec::new();
    for order in [[&one, &two], [&two, &one]] {
        let site = serve(&order.map(std::path::PathBuf::as_path));
        made.push(walk(&site, IMAGE, "latest"));
        for file in order {
            assert_eq!(notes(&site, file), [""; 0]);
        }
    }
    assert_eq!(made[0], made[1]);
    assert_ne!(made[0], older, "the newest says what the tag means");
}
