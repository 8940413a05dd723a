//! A registry over a sample that lists referrers and can misbehave.

use std::fmt::Display;

use bytes::Bytes;
use serde_json::{Value, json};
use shipperd::oci::{Digest, Manifest, MediaType};

use crate::client::scripted::{Answer, Seen, status, typed, with};
use crate::source::{Sample, SampleManifest};

/// What a registry that holds `sample` answers.
pub fn answer(sample: &Sample, seen: &Seen) -> Answer {
    let path = seen.path().strip_prefix("/v2/").unwrap();
    let mut words = path.rsplitn(3, '/');
    let (target, kind, repository) = (words.next(), words.next(), words.next());
    let (Some(target), Some(kind), Some(repository)) = (target, kind, repository) else {
        return status(200);
    };
    let mut manifests = sample.manifests.iter().filter(|it| tags(it, repository).is_some());
    match kind {
        "manifests" => {
            let found = manifests.find(|it| {
                digest(&it.bytes) == target || tags(it, repository).unwrap().contains(&target)
            });
            found.map_or_else(
                || unknown("MANIFEST_UNKNOWN"),
                |it| typed(it.media_type, it.bytes.clone()),
            )
        }
        "blobs" => match sample.blobs.iter().find(|bytes| digest(bytes) == target) {
            Some(bytes) => part(bytes, seen),
            None => unknown("BLOB_UNKNOWN"),
        },
        "tags" => {
            let mut all: Vec<_> =
                manifests.flat_map(|it| tags(it, repository).unwrap()).copied().collect();
            all.sort_unstable();
            let list = json!({"name": repository, "tags": all});
            typed("application/json", list.to_string())
        }
        "referrers" => {
            let about = manifests.filter(|it| {
                let subject = Manifest::parse(&it.bytes, None).unwrap().subject;
                subject.is_some_and(|subject| subject.digest.to_string() == target)
            });
            let found: Vec<Value> = about.map(descriptor).collect();
            let index = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX,
                "manifests": found});
            typed(MediaType::OCI_INDEX, index.to_string())
        }
        _ => status(404),
    }
}

/// A blob from the byte that is asked for.
pub fn part(bytes: &Bytes, seen: &Seen) -> Answer {
    match seen.start() {
        None => with(200, &[], bytes.clone()),
        Some(start) => {
            let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
            with(206, &[("content-range", &range)], bytes.slice(start..))
        }
    }
}

/// The digest of bytes, as text.
pub fn digest(bytes: &[u8]) -> String {
    Digest::of(bytes).to_string()
}

fn tags<'a>(manifest: &'a SampleManifest, repository: &str) -> Option<&'a Vec<&'static str>> {
    let place = manifest.places.iter().find(|(place, _)| *place == repository);
    place.map(|(_, tags)| tags)
}

fn descriptor(manifest: &SampleManifest) -> Value {
    json!({"mediaType": manifest.media_type, "digest": digest(&manifest.bytes),
        "size": manifest.bytes.len()})
}

fn unknown(code: impl Display) -> Answer {
    let body = format!(r#"{{"errors":[{{"code":"{code}","message":""}}]}}"#);
    with(404, &[("content-type", "application/json")], body)
}
