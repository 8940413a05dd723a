//! States of imagesets: every place that can keep them keeps one contract.

mod registry;
pub mod s3;

use std::fs;

use shipperd::imageset::record::Blob;
use shipperd::oci::Digest;
use shipperd::state::{Access, Aws, Edition, Error, Location, State, Store};
use uuid::Uuid;

use crate::client::{Reach, chain};

/// A place that the contract is checked on.
struct Place<Damage> {
    location: Location,
    access: Access,
    /// Puts other bytes where the state of an imageset is kept.
    damage: Damage,
}

impl<Damage: AsyncFn(&str, &[u8])> Place<Damage> {
    fn store(&self, imageset: &str) -> Store {
        Store::open(&self.location, imageset, &self.access).unwrap()
    }

    /// All that a place promises.
    async fn keeps_the_contract(&self) {
        self.what_is_saved_is_loaded().await;
        self.only_what_was_seen_is_replaced().await;
        self.what_is_damaged_is_reported_and_can_be_replaced().await;
        self.imagesets_are_kept_apart().await;
        self.large_states_come_back().await;
    }

    async fn what_is_saved_is_loaded(&self) {
        let store = self.store("saved");
        assert!(store.load().await.unwrap().is_none());
        let first = state("saved", 1, 3);
        let version = store.save(&first, None).await.unwrap();
        assert_eq!(store.load().await.unwrap().unwrap(), (first.clone(), version.clone()));
        let mut second = first;
        second.append(edition(2, 5)).unwrap();
        let newer = store.save(&second, Some(&version)).await.unwrap();
        assert_ne!(version, newer);
        assert_eq!(self.store("saved").load().await.unwrap().unwrap(), (second, newer.clone()));
        assert_is_conflict(&store.remove(&version).await);
        store.remove(&newer).await.unwrap();
        assert!(store.load().await.unwrap().is_none());
        store.save(&state("saved", 1, 1), None).await.unwrap();
    }

    async fn only_what_was_seen_is_replaced(&self) {
        let (one, other) = (self.store("seen"), self.store("seen"));
        let first = state("seen", 1, 3);
        let version = one.save(&first, None).await.unwrap();
        assert_is_conflict(&other.save(&state("seen", 1, 9), None).await);
        assert_eq!(one.load().await.unwrap().unwrap(), (first, version.clone()));
        let second = state("seen", 2, 3);
        let newer = one.save(&second, Some(&version)).await.unwrap();
        assert_is_conflict(&other.save(&state("seen", 3, 4), Some(&version)).await);
        assert_is_conflict(&other.remove(&version).await);
        assert_eq!(one.load().await.unwrap().unwrap(), (second, newer.clone()));
        one.remove(&newer).await.unwrap();
        assert_is_conflict(&other.save(&state("seen", 3, 4), Some(&newer)).await);
        assert_is_conflict(&other.remove(&newer).await);
        assert!(one.load().await.unwrap().is_none());
    }

    async fn what_is_damaged_is_reported_and_can_be_replaced(&self) {
        let store = self.store("damaged");
        let whole = state("damaged", 2, 3);
        let bytes = whole.to_bytes().unwrap();
        store.save(&whole, None).await.unwrap();
        for (bytes, expected) in [
            (&bytes[..bytes.len() / 2], "it is not the state of an imageset: EOF while parsing"),
            (b"", "it is not the state of an imageset: EOF while parsing"),
            (br#"{"schemaVersion": 7}"#, "it has schema version 7, this shipperd reads up to 1"),
        ] {
            (self.damage)("damaged", bytes).await;
            let error = store.load().await.unwrap_err();
            let text = chain(&error);
            let place = store.place();
            let start = format!("the state of imageset damaged in {place} is damaged: {expected}");
            assert!(text.starts_with(&start), "{text}");
            assert_is_conflict(&store.save(&whole, None).await);
            let Error::Damaged { version, .. } = error else { panic!("{error:?}") };
            store.save(&whole, Some(&version)).await.unwrap();
            assert_eq!(store.load().await.unwrap().unwrap().0, whole);
        }
    }

    async fn imagesets_are_kept_apart(&self) {
        let (one, other) = (self.store("one"), self.store("one.more"));
        one.save(&state("one", 1, 1), None).await.unwrap();
        assert!(other.load().await.unwrap().is_none());
        other.save(&state("one.more", 1, 2), None).await.unwrap();
        assert_eq!(one.load().await.unwrap().unwrap().0, state("one", 1, 1));
        let error = one.save(&state("another", 1, 1), None).await.unwrap_err();
        assert!(matches!(&error, Error::Foreign { found, .. } if found == "another"), "{error}");
        (self.damage)("one", &state("another", 1, 1).to_bytes().unwrap()).await;
        let error = one.load().await.unwrap_err();
        assert!(matches!(&error, Error::Foreign { found, .. } if found == "another"), "{error}");
    }

    async fn large_states_come_back(&self) {
        let store = self.store("large");
        let large = state("large", 1, 50_000);
        store.save(&large, None).await.unwrap();
        let (loaded, _) = store.load().await.unwrap().unwrap();
        assert!(loaded == large);
        assert_eq!(loaded.carried().len(), 50_000);
    }

    /// Many save at once on top of the same state; answers how many were told that they did.
    async fn race(&self, imageset: &str) -> usize {
        let first = self.store(imageset).save(&state(imageset, 1, 1), None).await.unwrap();
        let version = &first;
        let runs = (0..8).map(|run| async move {
            let store = self.store(imageset);
            let state = state(imageset, 2, run + 2);
            let saved = store.save(&state, Some(version)).await;
            if let Err(error) = &saved {
                assert!(matches!(error, Error::Conflict { .. }), "{}", chain(error));
            }
            saved.ok().map(|version| (state, version))
        });
        let saved = futures_util::future::join_all(runs).await;
        let winners: Vec<_> = saved.into_iter().flatten().collect();
        let kept = self.store(imageset).load().await.unwrap().unwrap();
        assert!(winners.contains(&kept), "nobody was told that they saved what is there");
        winners.len()
    }
}

fn assert_is_conflict<T: std::fmt::Debug>(outcome: &Result<T, Error>) {
    assert!(matches!(outcome, Err(Error::Conflict { .. })), "{outcome:?}");
}

fn edition(sequence: u64, blobs: usize) -> Edition {
    let blob = |number: usize| {
        let digest = Digest::of(format!("{sequence} {number}").as_bytes());
        Blob { digest, size: number as u64 * 1000 }
    };
    let mut blobs: Vec<Blob> = (0..blobs).map(blob).collect();
    blobs.sort();
    Edition {
        sequence,
        digest: Digest::of(format!("record {sequence} {}", blobs.len()).as_bytes()),
        created: "2026-11-21T07:00:00Z".to_owned(),
        parts: 1,
        index: Digest::of(b"index"),
        blobs,
    }
}

/// A state of that many editions with that many blobs each.
fn state(imageset: &str, editions: u64, blobs: usize) -> State {
    let mut state = State::new(Uuid::from_u128(7), imageset);
    (1..=editions).for_each(|sequence| state.append(edition(sequence, blobs)).unwrap());
    state
}

/// How nothing is reached but what needs neither credentials nor trust.
fn access() -> Access {
    Access { remote: Reach::default().remote(), aws: Aws::default() }
}

#[tokio::test]
async fn a_directory_keeps_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    // It is made by the first save.
    let path = directory.path().join("a/b");
    let place = Place {
        location: Location::Local(path.clone()),
        access: access(),
        damage: async |imageset: &str, bytes: &[u8]| {
            fs::write(path.join(format!("{imageset}.json")), bytes).unwrap();
        },
    };
    place.store("none").load().await.unwrap();
    assert!(!path.exists(), "loading writes nothing");
    place.keeps_the_contract().await;
    assert_eq!(place.race("race").await, 1);
}

#[tokio::test]
async fn a_directory_can_be_locked() {
    let directory = tempfile::tempdir().unwrap();
    let location = Location::Local(directory.path().to_owned());
    let open = |imageset| Store::open(&location, imageset, &access()).unwrap();
    let (one, other) = (open("demo"), open("demo"));
    let lock = one.lock().await.unwrap();
    let error = other.lock().await.unwrap_err();
    let place = location.to_string();
    let expected = format!("another process works on imageset demo, whose state is in {place}");
    assert_eq!(error.to_string(), expected);
    open("more").lock().await.unwrap();
    one.save(&state("demo", 1, 1), None).await.unwrap();
    drop(lock);
    other.lock().await.unwrap();
}

#[tokio::test]
async fn what_the_operating_system_refuses_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let store = Store::open(&Location::Local(file.clone()), "demo", &access()).unwrap();
    let text = chain(&store.save(&state("demo", 1, 1), None).await.unwrap_err());
    let place = store.place();
    let expected = format!(
        "cannot save the state of imageset demo in {place}: cannot create {file:?}: File exists"
    );
    assert!(text.starts_with(&expected), "{text}");
    let error = Store::open(&Location::Local(file), "../demo", &access()).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("\"../demo\" cannot name an imageset: use at most 128 "), "{text}");
}
