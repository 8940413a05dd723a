//! Imagesets as their users describe them: configuration files of oc-mirror, the schema that
//! editors take, and what the guide says of both.
//!
//! After a change of the fields: `UPDATE=1 cargo test --test conformance imageset`.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use shipperd::imageset::config::{ApiVersion, Config, schema};

use crate::fixtures::real::real;

fn documentation(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file)
}

#[test]
fn the_schema_in_the_documentation_is_that_of_the_program() {
    let path = documentation("imageset.schema.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap();
    assert!(written == text, "{} is out of date: run this with UPDATE=1", path.display());
}

/// The blocks of the guide in this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}\n");
    let rest = text.split(&begin).skip(1);
    rest.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_guide_shows_what_is_read_and_how_it_is_refused() {
    let guide = fs::read_to_string(documentation("guide/configuration.md")).unwrap();
    let files = blocks(&guide, "yaml");
    let [good @ .., bad] = files.as_slice() else { panic!("the guide shows no file") };
    assert!(good.len() >= 2);
    for file in good {
        Config::parse(file).unwrap_or_else(|error| panic!("{error} in\n{file}"));
    }
    let shown = blocks(&guide, "text").pop().unwrap();
    assert_eq!(Config::parse(bad).unwrap_err().to_string(), shown.trim_end());
}

/// The members of an archive whose names end so, as text.
fn members(archive: &Path, fits: fn(&str) -> bool) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut archive = tar::Archive::new(File::open(archive).unwrap());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        if fits(&name) {
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            found.push((name, text));
        }
    }
    found
}

/// Reads the configuration in an archive of oc-mirror v2, as written and as pinned.
fn read_all(archive: &str, images: usize, unsupported: &[&str]) {
    let Some(archive) = real(archive) else { return };
    let configuration = |name: &str| name.starts_with("isc_") || name.contains("/isc_pinned_");
    let files = members(&archive, configuration);
    assert!(files.len() >= 2, "{files:?}");
    for (name, text) in &files {
        let config = Config::parse(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(config.unsupported(), unsupported, "{name}");
        if name.starts_with("isc_") {
            assert_eq!(config.mirror.additional_images.len(), images, "{name}");
        }
    }
    for (name, text) in members(&archive, |name| name.contains("/disc_pinned_")) {
        let error = Config::parse(&text).unwrap_err().to_string();
        assert!(error.contains("shipperd deletes nothing"), "{name}: {error}");
    }
}

#[test]
fn configurations_of_real_runs_with_images() {
    read_all("oc-mirror/v2/full/mirror_000001.tar", 6, &[]);
    read_all("oc-mirror/v2/diff/mirror_000001.tar", 3, &[]);
}

#[test]
fn the_configuration_of_a_real_run_with_everything() {
    let unsupported = ["mirror.platform", "mirror.operators", "mirror.helm"];
    read_all("oc-mirror/v2-release/mirror_000001.tar", 1, &unsupported);
}

#[test]
fn the_configurations_of_real_runs_of_version_1() {
    for (archive, images, unsupported) in [
        ("oc-mirror/v1/mirror_seq1_000000.tar", 5, &[][..]),
        ("oc-mirror/v1-operators/mirror_seq1_000000.tar", 1, &["mirror.operators"]),
    ] {
        let Some(archive) = real(archive) else { continue };
        let (_, text) = members(&archive, |name| name == "publish/.metadata.json").remove(0);
        // What follows the document is a remnant of a longer one.
        let mut documents = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
        let metadata = documents.next().unwrap().unwrap();
        let file = json!({
            "kind": "ImageSetConfiguration",
            "apiVersion": metadata["apiVersion"],
            "mirror": metadata["pastMirror"]["mirror"],
        });
        let config = Config::parse(&file.to_string()).unwrap();
        assert_eq!(config.api, ApiVersion::V1Alpha2);
        assert_eq!(config.mirror.additional_images.len(), images);
        assert_eq!(config.unsupported(), unsupported);
    }
}
