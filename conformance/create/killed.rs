//! Runs that are killed, and runs whose layers are larger than memory should be.

use std::time::{Duration, Instant};

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use serde_json::json;
use shipperd::bundle;
use shipperd::oci::{Algorithm, Hasher, MediaType};

use super::fleet::{APP, CHART, LIST, fleet, noise};
use super::stand_in::{self, digest};
use super::{Yard, say};
use crate::client::scripted::{Answer, Scripted, typed, with};

const MIB: usize = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_run_leaves_is_no_bundle() {
    let sample = fleet();
    let stand_in = Scripted::start(move |seen| stand_in::answer(&sample, seen)).await;
    let registry = stand_in.registry();
    let images = [APP, LIST, CHART].map(|repository| format!("{registry}/{repository}:v1"));
    let images = images.each_ref().map(String::as_str);
    let yard = Yard::plain(registry);
    let begun = Instant::now();
    yard.bundle("whole", &images).await;
    let whole = begun.elapsed();
    let (mut killed, mut finished) = (0, 0);
    for share in 1..=20 {
        let name = format!("killed{share}");
        let mut child = yard.creating(&name, &images).spawn().unwrap();
        tokio::time::sleep(whole * share / 20).await;
        child.kill().await.unwrap();
        let path = yard.path().join("out").join(format!("{name}-1.sqfs"));
        let partial = path.with_extension("sqfs.partial");
        if path.exists() {
            super::bundle::assert_is_what_its_record_says(&path);
            finished += 1;
        } else if partial.exists() {
            // Between its completion and its name it is one already, for a moment.
            if bundle::open(&partial, true).is_ok() {
                continue;
            }
            let mut inspect = yard.shipperd(&["inspect", partial.to_str().unwrap()]);
            assert_eq!(inspect.output().await.unwrap().status.code(), Some(2));
            killed += 1;
            // The next run is not in its way.
            yard.bundle(&name, &images).await;
            assert!(!partial.exists());
        }
    }
    say(&format!("killed {killed} runs while they wrote, {finished} had finished"));
}

/// A layer of so many copies of a piece.
#[derive(Clone)]
struct Large {
    piece: Bytes,
    pieces: usize,
}

impl Large {
    fn size(&self) -> usize {
        self.piece.len() * self.pieces
    }

    fn digest(&self) -> String {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        (0..self.pieces).for_each(|_| hasher.update(&self.piece));
        hasher.finish().to_string()
    }

    fn answer(&self) -> Answer {
        let pieces = vec![self.piece.clone(); self.pieces].into_iter().map(Ok::<_, std::io::Error>);
        let (mut parts, _) = with(200, &[], "").into_parts();
        parts.headers.insert("content-length", self.size().into());
        Answer::from_parts(parts, Body::from_stream(stream::iter(pieces)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_does_not_grow_with_the_layers() {
    let layers = [(1, 1024), (2, 512)].map(|(seed, pieces)| {
        let large = Large { piece: noise(seed, MIB).into(), pieces };
        (large.digest(), large)
    });
    let config = "{}";
    let media_type = "application/vnd.oci.image.layer.v1.tar";
    let descriptors = layers.each_ref().map(
        |(digest, large)| json!({"mediaType": media_type, "digest": digest, "size": large.size()}),
    );
    let manifest = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
        "config": {"mediaType": MediaType::OCI_CONFIG, "digest": digest(config.as_bytes()),
            "size": config.len()}, "layers": descriptors})
    .to_string();
    let stand_in = Scripted::start(move |seen| {
        let (_, target) = seen.path().rsplit_once('/').unwrap();
        match layers.iter().find(|(digest, _)| digest == target) {
            Some((_, large)) => large.answer(),
            None if target == "v1" => typed(MediaType::OCI_MANIFEST, manifest.clone()),
            None if seen.path().contains("/blobs/") => with(200, &[], config),
            None => crate::client::scripted::status(404),
        }
    })
    .await;
    let yard = Yard::plain(stand_in.registry());
    let image = format!("{}/lab/large:v1", stand_in.registry());
    let mut child = yard.creating("large", &[&image]).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id().unwrap());
    let mut peak = 0;
    let ended = loop {
        let status = std::fs::read_to_string(&status).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0));
        if let Ok(ended) = tokio::time::timeout(Duration::from_millis(10), child.wait()).await {
            break ended.unwrap();
        }
    };
    assert!(ended.success());
    say(&format!("at most {} MiB of memory for 1.5 GiB of layers", peak >> 10));
    assert!(peak > 0 && peak < 128 << 10, "{peak} KiB");
}
