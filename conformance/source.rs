//! The contract of [`Source`], checked on whatever implements it.
//!
//! Whoever implements it loads [`Sample`] and runs [`contract`]:
//!
//! ```text
//! lab/app   :v1 :V2 :_x …  an index ─ two images ─ config and layers
//!                          a referrer, whose subject is the index
//! lab/other :v1            one of the images alone
//! ```

use std::cmp::min;
use std::ops::Range;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use serde_json::{Value, json};
use shipperd::oci::{Digest, MediaType, Registry, Repository, Tag, TagOrDigest};
use shipperd::source::{Blob, Body, Error, Name, Source};

/// The tags of the index, sorted by no rule but that of bytes in [`sorted`].
const TAGS: [&str; 6] = ["v1", "V2", "v10", "_x", "a", "v2"];
/// The artifact type of the referrer.
const SBOM: &str = "application/vnd.example.sbom.v1";

/// What a source under test must hold: no more in its repositories, no less.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Configurations and layers.
    pub blobs: Vec<Bytes>,
    /// Manifests, children before those that need them.
    pub manifests: Vec<SampleManifest>,
}

/// A manifest of the sample.
#[derive(Clone, Debug)]
pub struct SampleManifest {
    /// The repositories it is in, with its tags there.
    pub places: Vec<(&'static str, Vec<&'static str>)>,
    /// Its type.
    pub media_type: &'static str,
    /// Its bytes.
    pub bytes: Bytes,
}

impl SampleManifest {
    fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    fn descriptor(&self) -> Value {
        json!({"mediaType": self.media_type, "digest": self.digest(), "size": self.bytes.len()})
    }
}

/// The repository whose every corner is checked.
const APP: &str = "lab/app";
/// Another one.
const OTHER: &str = "lab/other";

/// The content that [`contract`] expects.
pub fn sample() -> Sample {
    let mut blobs = Vec::new();
    let mut blob = |media_type: &str, bytes: Vec<u8>| {
        let bytes = Bytes::from(bytes);
        let descriptor =
            json!({"mediaType": media_type, "digest": Digest::of(&bytes), "size": bytes.len()});
        blobs.push(bytes);
        descriptor
    };
    let layer = |seed: u32, length: usize| -> Vec<u8> {
        let bytes = (0..).map(|n: u32| n.wrapping_mul(2_654_435_761 + seed).to_be_bytes()[0]);
        bytes.take(length).collect()
    };
    let mut image = |architecture: &str, seed: u32| {
        let config = json!({"architecture": architecture, "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": []}});
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST,
            "config": blob(MediaType::OCI_CONFIG, config.to_string().into_bytes()),
            "layers": [
                blob("application/vnd.oci.image.layer.v1.tar", layer(seed, 100_003)),
                blob("application/vnd.oci.image.layer.v1.tar", layer(seed + 1, 1)),
            ],
        });
        Bytes::from(manifest.to_string())
    };
    let amd64 = SampleManifest {
        places: vec![(APP, vec![]), (OTHER, vec!["v1"])],
        media_type: MediaType::OCI_MANIFEST,
        bytes: image("amd64", 1),
    };
    let arm64 = SampleManifest {
        places: vec![(APP, vec![])],
        media_type: MediaType::OCI_MANIFEST,
        bytes: image("arm64", 3),
    };
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "manifests": [amd64.descriptor(), arm64.descriptor()],
    });
    let index = SampleManifest {
        places: vec![(APP, TAGS.to_vec())],
        media_type: MediaType::OCI_INDEX,
        bytes: Bytes::from(index.to_string()),
    };
    let referrer = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "artifactType": SBOM,
        "config": blob(MediaType::OCI_EMPTY, b"{}".to_vec()),
        "layers": [blob("text/plain", b"all of it".to_vec())],
        "subject": index.descriptor(),
    });
    let referrer = SampleManifest {
        places: vec![(APP, vec![])],
        media_type: MediaType::OCI_MANIFEST,
        bytes: Bytes::from(referrer.to_string()),
    };
    Sample { blobs, manifests: vec![amd64, arm64, index, referrer] }
}

impl Sample {
    /// The index with many tags.
    pub fn index(&self) -> &SampleManifest {
        self.manifests.iter().find(|it| it.media_type == MediaType::OCI_INDEX).unwrap()
    }

    /// The manifest whose subject is the index.
    pub fn referrer(&self) -> &SampleManifest {
        self.manifests.last().unwrap()
    }

    /// The descriptor of the referrer, as a list of referrers has it.
    pub fn referrer_descriptor(&self) -> Value {
        let mut descriptor = self.referrer().descriptor();
        descriptor["artifactType"] = json!(SBOM);
        descriptor
    }
}

/// Checks what the comments of [`Source`] promise, on a source that holds [`sample`].
///
/// `registry` is the one to name in requests; nothing where the source knows but one.
pub async fn contract(source: &impl Source, registry: Option<Registry>) {
    let name = |repository: &str| Name {
        registry: registry.clone(),
        repository: repository.parse().unwrap(),
    };
    let sample = sample();
    manifests(source, &name, &sample).await;
    blobs(source, &name, &sample).await;
    tags(source, &name).await;
    repositories(source).await;
    referrers(source, &name, &sample).await;
}

async fn manifests(source: &impl Source, name: &impl Fn(&str) -> Name, sample: &Sample) {
    for manifest in &sample.manifests {
        for (repository, tags) in &manifest.places {
            let name = name(repository);
            let tags = tags.iter().map(|tag| TagOrDigest::Tag(tag.parse().unwrap()));
            for target in tags.chain([TagOrDigest::Digest(manifest.digest())]) {
                let at = format!("{name} {target}");
                let descriptor = source.resolve(&name, &target).await.expect(&at);
                assert_eq!(descriptor.digest, manifest.digest(), "{at}");
                assert_eq!(descriptor.size, manifest.bytes.len() as u64, "{at}");
                assert_eq!(descriptor.media_type.as_str(), manifest.media_type, "{at}");
                let document = source.manifest(&name, &target).await.expect(&at);
                assert_eq!(document.bytes, manifest.bytes, "{at}");
                assert_eq!(document.digest, manifest.digest(), "{at}");
                assert_eq!(document.media_type.as_str(), manifest.media_type, "{at}");
            }
        }
    }
    for absent in ["absent", "V1"] {
        let target = TagOrDigest::Tag(absent.parse().unwrap());
        assert_no_manifest(source, &name(APP), &target).await;
    }
    assert_no_manifest(source, &name(APP), &TagOrDigest::Digest(Digest::of(b"absent"))).await;
    let target: TagOrDigest = "v1".parse().unwrap();
    for error in [
        source.resolve(&name("lab/absent"), &target).await.unwrap_err(),
        source.manifest(&name("lab/absent"), &target).await.unwrap_err(),
    ] {
        // Over the wire, one 404 is like another.
        let expected = matches!(error, Error::NameUnknown(_) | Error::ManifestUnknown(_));
        assert!(expected, "{error:?}");
    }
}

async fn assert_no_manifest(source: &impl Source, name: &Name, target: &TagOrDigest) {
    for error in [
        source.resolve(name, target).await.unwrap_err(),
        source.manifest(name, target).await.unwrap_err(),
    ] {
        let expected = matches!(&error, Error::ManifestUnknown(found) if found == target);
        assert!(expected && !error.retryable(), "{name} {target}: {error:?}");
    }
}

async fn blobs(source: &impl Source, name: &impl Fn(&str) -> Name, sample: &Sample) {
    let app = name(APP);
    // A manifest is a blob, too.
    let all = sample.blobs.iter().chain(sample.manifests.iter().map(|manifest| &manifest.bytes));
    for bytes in all {
        let digest = Digest::of(bytes);
        let size = bytes.len() as u64;
        assert_eq!(source.stat(&app, &digest).await.unwrap(), size, "{digest}");
        for range in [
            0..u64::MAX,
            0..size,
            0..1,
            0..0,
            1..size,
            size / 3..size / 2,
            size / 2..u64::MAX,
            size - 1..size,
            size - 1..size + 100,
            0..size + 1,
            size..u64::MAX,
            size..size,
            size + 7..size + 9,
            u64::MAX - 1..u64::MAX,
        ] {
            let at = format!("{digest} {range:?}");
            let blob = source.blob(&app, &digest, range.clone()).await.expect(&at);
            assert_eq!(blob.size, size, "{at}");
            let place = |place: u64| usize::try_from(min(place, size)).unwrap();
            let (start, end) = (place(range.start), place(range.end));
            assert_eq!(read(blob, &range).await, bytes.slice(start..end), "{at}");
        }
    }
    let digest = Digest::of(b"absent");
    for error in [
        source.stat(&app, &digest).await.unwrap_err(),
        source.blob(&app, &digest, 0..u64::MAX).await.unwrap_err(),
        source.blob(&app, &digest, 5..7).await.unwrap_err(),
        source.blob(&app, &digest, 0..0).await.unwrap_err(),
    ] {
        assert!(matches!(&error, Error::BlobUnknown(found) if *found == digest), "{error:?}");
    }
    let nowhere = name("lab/absent");
    for error in [
        source.stat(&nowhere, &digest).await.unwrap_err(),
        source.blob(&nowhere, &digest, 0..u64::MAX).await.unwrap_err(),
    ] {
        let expected = matches!(error, Error::NameUnknown(_) | Error::BlobUnknown(_));
        assert!(expected, "{error:?}");
    }
}

/// The bytes of a body, whichever kind it is.
async fn read(blob: Blob, asked: &Range<u64>) -> Bytes {
    match blob.body {
        Body::Stream(stream) => {
            let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
            pieces.concat().into()
        }
        Body::Stored(stored) => {
            let Range { start, end } = stored.range;
            assert!(start <= end && end <= blob.size, "{asked:?} was not cut: {start}..{end}");
            let mut bytes = vec![0; usize::try_from(end - start).unwrap()];
            stored.content.read_at(&mut bytes, start).unwrap();
            bytes.into()
        }
    }
}

/// In byte order, as every list is.
fn sorted() -> Vec<Tag> {
    let mut tags = TAGS;
    tags.sort_unstable();
    tags.iter().map(|tag| tag.parse().unwrap()).collect()
}

async fn tags(source: &impl Source, name: &impl Fn(&str) -> Name) {
    let app = name(APP);
    // Those by which registries without a list of referrers are told are tags as well.
    let listed = |tags: Vec<Tag>| -> Vec<Tag> {
        tags.into_iter().filter(|tag| !tag.as_str().starts_with("sha256-")).collect()
    };
    let all = sorted();
    assert_eq!(listed(source.tags(&app, "", usize::MAX).await.unwrap()), all);
    for (at, tag) in all.iter().enumerate() {
        let after = source.tags(&app, tag.as_str(), usize::MAX).await.unwrap();
        assert_eq!(listed(after), all[at + 1..], "after {tag}");
        let two = source.tags(&app, tag.as_str(), 2).await.unwrap();
        let expected = source.tags(&app, tag.as_str(), usize::MAX).await.unwrap();
        assert_eq!(two, expected[..min(2, expected.len())], "two after {tag}");
    }
    // A place in the list need not be in it.
    let between = listed(source.tags(&app, "v100", usize::MAX).await.unwrap());
    assert_eq!(between, ["v2".parse().unwrap()]);
    assert!(source.tags(&app, "zzz", usize::MAX).await.unwrap().is_empty());
    assert!(source.tags(&app, "", 0).await.unwrap().is_empty());
    assert_eq!(source.tags(&app, "", 1).await.unwrap(), all[..1]);
    let error = source.tags(&name("lab/absent"), "", 10).await.unwrap_err();
    assert!(matches!(error, Error::NameUnknown(_)), "{error:?}");
}

async fn repositories(source: &impl Source) {
    let all: Vec<Repository> = source.repositories("", usize::MAX).await.unwrap();
    assert!(all.is_sorted(), "{all:?}");
    // Some sources list a repository under the name of its registry, too.
    let ends = |repository: &Repository, end: &str| {
        let path = repository.as_str();
        path == end || path.strip_suffix(end).is_some_and(|rest| rest.ends_with('/'))
    };
    for expected in [APP, OTHER] {
        assert!(all.iter().any(|it| ends(it, expected)), "{expected} not in {all:?}");
    }
    for (at, repository) in all.iter().enumerate() {
        let after = source.repositories(repository.as_str(), usize::MAX).await.unwrap();
        assert_eq!(after, all[at + 1..], "after {repository}");
        let one = source.repositories(repository.as_str(), 1).await.unwrap();
        assert_eq!(one, after[..min(1, after.len())], "one after {repository}");
    }
    assert!(source.repositories("", 0).await.unwrap().is_empty());
    assert!(source.repositories("zzz", 10).await.unwrap().is_empty());
}

async fn referrers(source: &impl Source, name: &impl Fn(&str) -> Name, sample: &Sample) {
    let app = name(APP);
    let found = source.referrers(&app, &sample.index().digest()).await.unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(found[0].digest, sample.referrer().digest());
    assert_eq!(found[0].size, sample.referrer().bytes.len() as u64);
    assert_eq!(found[0].media_type.as_str(), sample.referrer().media_type);
    assert_eq!(found[0].artifact_type.as_deref(), Some(SBOM));
    for nobody in [sample.referrer().digest(), Digest::of(b"absent")] {
        assert!(source.referrers(&app, &nobody).await.unwrap().is_empty(), "{nobody}");
    }
}
