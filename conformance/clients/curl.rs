//! curl: what a person or a script does without a registry client.

use std::fs;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::{EVERYTHING, LAYOUT, SAMPLES, serve};
use crate::fixtures::layout::split;
use crate::fixtures::samples::BIG;
use crate::program::{program, run};
use crate::site::{Site, Transport};

/// A call of curl for a path of the site; it fails on every status of an error.
fn curl(site: &Site, path: &str) -> Command {
    let mut curl = program("curl").unwrap();
    curl.args(["--silent", "--show-error", "--fail"]);
    if let Some(trust) = site.trust() {
        curl.arg("--cacert").arg(trust.join("ca.crt"));
    }
    curl.arg(format!("{}{path}", site.url()));
    curl
}

/// The headers of a HEAD, names in small letters.
fn head(site: &Site, path: &str) -> Vec<String> {
    let answer = run(curl(site, path).arg("--head"));
    let lines = answer.lines().filter_map(|line| line.split_once(": "));
    lines.map(|(name, value)| format!("{}: {value}", name.to_ascii_lowercase())).collect()
}

/// The paths of what a reference names and needs, with the digest behind each.
fn paths(reference: &str) -> Vec<(String, String)> {
    let (repository, tag) = split(reference);
    let named = &SAMPLES.named(reference).digest;
    let tag = tag.map(|tag| (format!("/v2/{repository}/manifests/{tag}"), named.clone()));
    let needed = SAMPLES.closure(named).into_iter().map(|digest| {
        let kind = if SAMPLES.parsed(&digest).is_some() { "manifests" } else { "blobs" };
        (format!("/v2/{repository}/{kind}/{digest}"), digest)
    });
    tag.into_iter().chain(needed).collect()
}

/// Downloads every manifest and blob of every sample, and asks for its headers.
fn downloads_everything(site: &Site) {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("body");
    for (path, digest) in EVERYTHING.iter().flat_map(|reference| paths(reference)) {
        run(curl(site, &path).arg("--output").arg(&file));
        let bytes = SAMPLES.bytes(&digest);
        assert!(fs::read(&file).unwrap() == bytes, "{path} has other bytes");
        let headers = head(site, &path);
        let mut expected = vec![
            format!("content-length: {}", bytes.len()),
            format!("docker-content-digest: {digest}"),
        ];
        if let Some(manifest) = SAMPLES.parsed(&digest) {
            expected.push(format!("content-type: {}", text(&manifest["mediaType"])));
        }
        for header in expected {
            assert!(headers.contains(&header), "{path}: no {header} in {headers:#?}");
        }
    }
}

#[test]
fn curl_downloads_from_a_bundle() {
    for transport in [Transport::Http, Transport::Https] {
        downloads_everything(&serve(transport));
    }
}

#[test]
fn curl_downloads_from_a_layout() {
    downloads_everything(&Site::serve(&[&LAYOUT], Transport::Http));
}

#[test]
fn curl_resumes_and_takes_parts() {
    for transport in [Transport::Http, Transport::Https] {
        let site = serve(transport);
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("part");
        let manifest = SAMPLES.parsed(&SAMPLES.named(BIG).digest).unwrap();
        let digest = text(&manifest["layers"][0]["digest"]);
        let path = format!("/v2/lab/big/blobs/{digest}");
        let whole = SAMPLES.bytes(digest);
        let last = whole.len() - 1;
        for (range, expected) in [
            ("0-0".to_owned(), &whole[..1]),
            ("4096-1052671".to_owned(), &whole[4096..=1_052_671]),
            (format!("{last}-"), &whole[last..]),
            ("-65536".to_owned(), &whole[whole.len() - 65_536..]),
            (format!("5-{}", whole.len()), &whole[5..]),
        ] {
            run(curl(&site, &path).args(["--range", &range]).arg("--output").arg(&file));
            assert!(fs::read(&file).unwrap() == expected, "range {range} has other bytes");
        }
        fs::write(&file, &whole[..7_000_001]).unwrap();
        run(curl(&site, &path).args(["--continue-at", "-"]).arg("--output").arg(&file));
        assert!(fs::read(&file).unwrap() == whole, "the resumed file has other bytes");
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}
