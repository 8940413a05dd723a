//! Manifests that are meant to harm whoever follows them.

use std::collections::HashMap;

use bytes::Bytes;
use serde_json::{Value, json};
use shipperd::oci::MediaType;

use super::stand_in::digest;
use super::{Yard, carried};
use crate::client::scripted::{Scripted, status, typed, with};

/// A registry of documents, the last one tagged.
#[derive(Default)]
struct Documents {
    held: HashMap<String, (&'static str, Bytes)>,
    last: String,
}

impl Documents {
    fn add(&mut self, media_type: &'static str, document: &Value) -> Value {
        let bytes = Bytes::from(document.to_string());
        self.last = digest(&bytes);
        let descriptor = json!({"mediaType": media_type, "digest": self.last, "size": bytes.len()});
        self.held.insert(self.last.clone(), (media_type, bytes));
        descriptor
    }

    fn index(&mut self, children: &[Value], note: usize) -> Value {
        let index = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX,
            "manifests": children, "annotations": {"note": note.to_string()}});
        self.add(MediaType::OCI_INDEX, &index)
    }

    fn manifest(&mut self, layers: &[Value]) -> Value {
        let config = self.add(MediaType::OCI_CONFIG, &json!({}));
        let manifest = json!({"schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
            "config": config, "layers": layers});
        self.add(MediaType::OCI_MANIFEST, &manifest)
    }

    async fn serve(self) -> Scripted {
        Scripted::start(move |seen| {
            let (_, target) = seen.path().rsplit_once('/').unwrap();
            let target = if target == "v1" { &self.last } else { target };
            match self.held.get(target) {
                Some((_, bytes)) if seen.path().contains("/blobs/") => {
                    with(200, &[], bytes.clone())
                }
                Some((media_type, bytes)) => typed(media_type, bytes.clone()),
                None => status(404),
            }
        })
        .await
    }
}

/// The program in front of that registry, and the image.
fn before(registry: &Scripted) -> (Yard, String) {
    let yard = Yard::plain(registry.registry()).with(&["--no-referrers"]);
    (yard, format!("{}/lab/app:v1", registry.registry()))
}

fn layer(media_type: &str, size: u64) -> Value {
    json!({"mediaType": media_type, "digest": digest(&size.to_be_bytes()), "size": size})
}

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

#[tokio::test(flavor = "multi_thread")]
async fn absurd_sizes_are_refused_before_a_byte_is_asked_for() {
    for sizes in [vec![u64::MAX], vec![u64::MAX / 2 + 1, u64::MAX / 2 + 2], vec![1 << 62]] {
        let mut documents = Documents::default();
        let layers: Vec<_> = sizes.iter().map(|size| layer(LAYER, *size)).collect();
        documents.manifest(&layers);
        let registry = documents.serve().await;
        let (yard, image) = before(&registry);
        let said = yard.no_bundle(2, &[&image]).await;
        assert!(said.starts_with("error: "), "{said}");
        assert!(!registry.asked().iter().any(|asked| asked.contains("/blobs/")), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_bomb_is_no_image() {
    let mut documents = Documents::default();
    let children: Vec<_> = (0..2_001).map(|note| documents.index(&[], note)).collect();
    documents.index(&children, 0);
    let registry = documents.serve().await;
    let (yard, image) = before(&registry);
    let said = yard.no_bundle(1, &[&image]).await;
    assert!(said.contains("more than 2000 manifests"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_that_is_named_often_is_fetched_once() {
    let mut documents = Documents::default();
    let child = documents.manifest(&[]);
    documents.index(&vec![child; 20_000], 0);
    let registry = documents.serve().await;
    let (yard, image) = before(&registry);
    yard.bundle("often", &[&image]).await;
    let asked = registry.asked();
    let of =
        |what: &str| asked.iter().filter(|it| it.starts_with("GET") && it.contains(what)).count();
    let tag = of("/manifests/v1");
    assert_eq!((of("/manifests/sha256:"), of("/blobs/")), (1, 1), "{asked:?}");
    assert!(tag <= 2, "once more in the end, if it moved: {asked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_indexes_in_one_another_are_carried() {
    let mut documents = Documents::default();
    let mut child = documents.manifest(&[]);
    for note in 0..1000 {
        child = documents.index(&[child], note);
    }
    let registry = documents.serve().await;
    let (yard, image) = before(&registry);
    let bundle = yard.bundle("deep", &[&image]).await;
    assert_eq!(carried(&bundle).len(), 1);
    let output = yard.shipperd(&["inspect", bundle.to_str().unwrap()]).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn layers_that_others_keep_are_not_asked_for() {
    let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    let mut documents = Documents::default();
    let mut elsewhere = layer(foreign, 1 << 40);
    elsewhere["urls"] = json!(["http://127.0.0.1:1/layer"]);
    documents.manifest(&[elsewhere]);
    let registry = documents.serve().await;
    let (yard, image) = before(&registry);
    let bundle = yard.bundle("windows", &[&image]).await;
    assert!(bundle.metadata().unwrap().len() < 1 << 20);
}
