//! Real archives of other tools, served where they lie: every manifest, child and blob that the
//! source registry had is answered with the same bytes, and what is not there is not.
//!
//! The archives and what is expected of them are in the fixtures (`foreign/`).

use std::fs;

use serde_json::Value;

use crate::fixtures::digest;
use crate::fixtures::real::real;
use crate::site::{Site, Transport};
use crate::spec::wire;

/// Serves an archive and compares all that its `expected.json` lists; answers how many images.
fn serves(kind: &str) -> Option<usize> {
    let directory = real(&format!("foreign/{kind}"))?;
    let expected = fs::read(directory.join("expected.json")).unwrap();
    let expected: Value = serde_json::from_slice(&expected).unwrap();
    let archive = directory.join(expected["archive"].as_str().unwrap());
    let site = Site::serve(&[&archive], Transport::Http);
    let images = expected["images"].as_array().unwrap();
    for image in images {
        let reference = image["reference"].as_str().unwrap();
        let (path, target) = place(reference);
        let target = target.unwrap_or(image["digest"].as_str().unwrap());
        is_answered(&site, &path, target, image, reference);
        for child in image["children"].as_array().unwrap() {
            is_answered(&site, &path, child["digest"].as_str().unwrap(), child, reference);
        }
        for child in image["absent_children"].as_array().unwrap() {
            let address = format!("{path}/manifests/{}", child["digest"].as_str().unwrap());
            assert_eq!(wire::get(site.address(), &with_query(&address)).status, 404, "{reference}");
        }
        for blob in image["blobs"].as_array().unwrap() {
            let expected = blob["digest"].as_str().unwrap();
            let answer =
                wire::get(site.address(), &with_query(&format!("{path}/blobs/{expected}")));
            assert_eq!(answer.status, 200, "{reference}: {expected}");
            assert_eq!(digest(&answer.body), expected, "{reference}");
            assert_eq!(answer.body.len() as u64, blob["size"].as_u64().unwrap());
        }
    }
    Some(images.len())
}

/// The path of a reference, with its registry as `?ns=` behind it, and its tag.
fn place(reference: &str) -> (String, Option<&str>) {
    let (name, _) = reference.split_once('@').unwrap_or((reference, ""));
    let (name, tag) = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (name, None),
    };
    let tag = tag.filter(|_| !reference.contains('@'));
    match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => {
            (format!("{path}?ns={host}"), tag)
        }
        _ => (name.to_owned(), tag),
    }
}

/// `PATH?ns=HOST/REST` as the address `/v2/PATH/REST?ns=HOST`.
fn with_query(address: &str) -> String {
    let Some((path, rest)) = address.split_once("?ns=") else { return format!("/v2/{address}") };
    let (host, rest) = rest.split_once('/').unwrap();
    format!("/v2/{path}/{rest}?ns={host}")
}

fn is_answered(site: &Site, path: &str, target: &str, expected: &Value, reference: &str) {
    let address = with_query(&format!("{path}/manifests/{target}"));
    let answer = wire::get(site.address(), &address);
    assert_eq!(answer.status, 200, "{reference}: {address}");
    let expected_digest = expected["digest"].as_str().unwrap();
    assert_eq!(digest(&answer.body), expected_digest, "{reference}");
    assert_eq!(answer.header("docker-content-digest"), Some(expected_digest));
    assert_eq!(answer.header("content-type"), expected["media_type"].as_str(), "{reference}");
}

#[test]
fn directories_of_skopeo() {
    assert!(serves("skopeo-dir").is_none_or(|images| images > 0));
}

#[test]
fn an_image_cache_of_talos() {
    assert!(serves("talos-flat-hand-made").is_none_or(|images| images > 0));
}

#[test]
fn a_directory_of_oc_image_mirror() {
    assert!(serves("oc-image-mirror-dir-hand-made").is_none_or(|images| images > 0));
}
