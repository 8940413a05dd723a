//! Imagesets of several bundles on the shelf: in any order, across bundles, damaged and hostile.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use shipperd::content::live::{Served, State};
use shipperd::content::overlay::Overlay;
use shipperd::content::shelf::{Options, Shelf};
use shipperd::oci::{Digest, Name, TagOrDigest};
use shipperd::source::{Body, Error, Source};

use super::imageset::{Imageset, Special, Yard};
use super::pulled::{app, first};
use crate::fixtures::image::{artifact, image};
use crate::fixtures::layer::noise;
use crate::fixtures::{Content, Descriptor, media};

fn name(text: &str) -> Name {
    Name { registry: None, repository: text.parse().unwrap() }
}

async fn found(overlay: &Overlay, path: &str, target: &str) -> Option<String> {
    match overlay.resolve(&name(path), &target.parse().unwrap()).await {
        Ok(descriptor) => Some(descriptor.digest.to_string()),
        Err(Error::NameUnknown(_) | Error::ManifestUnknown(_)) => None,
        Err(error) => panic!("{error}"),
    }
}

fn shelf(yard: &Yard) -> Shelf {
    Shelf::new(vec![yard.site.path().to_owned()], Options::default())
}

fn live(served: &Served<Overlay>) -> Vec<String> {
    let live = served.bundles.iter().filter(|it| it.state == State::Live);
    live.map(|it| it.path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

/// Every order of some things.
fn orders<T: Clone>(things: &[T]) -> Vec<Vec<T>> {
    if things.is_empty() {
        return vec![vec![]];
    }
    let mut all = Vec::new();
    for at in 0..things.len() {
        let mut rest = things.to_vec();
        let first = rest.remove(at);
        for mut order in orders(&rest) {
            order.insert(0, first.clone());
            all.push(order);
        }
    }
    all
}

/// Every tag that is listed is answered, and all that its manifest needs is there.
async fn assert_complete(overlay: &Overlay) {
    for repository in overlay.repositories("", usize::MAX).await.unwrap() {
        let name = Name { registry: None, repository };
        for tag in overlay.tags(&name, "", usize::MAX).await.unwrap() {
            let mut queue = vec![TagOrDigest::Tag(tag)];
            while let Some(target) = queue.pop() {
                let document = overlay.manifest(&name, &target).await.unwrap();
                assert!(document.digest.matches(&document.bytes));
                let manifest =
                    shipperd::oci::Manifest::parse(&document.bytes, Some(&document.media_type));
                for child in manifest.unwrap().children {
                    if child.descriptor.media_type.is_manifest() {
                        queue.push(TagOrDigest::Digest(child.descriptor.digest));
                    } else {
                        overlay.stat(&name, &child.descriptor.digest).await.unwrap();
                    }
                }
            }
        }
    }
}

/// Sequence 1, sequence 2 in two parts, with an index whose children lie in both, sequence 3.
fn four_files(work: &Path) -> Vec<PathBuf> {
    let mut set = Imageset::new("ocp");
    let mut content = first();
    let mut bundles = vec![set.next(&content, work)];
    let children = ["amd64", "arm64", "s390x"].map(|it| {
        image(it).layer(noise(it.len() as u64 + u64::from(it.as_bytes()[0]), 900)).add(&mut content)
    });
    let index = content.index(&children);
    content.tag("quay.io/lab/multi:v1", &index);
    bundles.extend(set.parts(&content, work, 2));
    app(&mut content, "quay.io/lab/third:v1", "third");
    bundles.push(set.next(&content, work));
    bundles
}

#[tokio::test]
async fn whatever_the_order_what_is_live_is_complete_and_at_last_all_of_it() {
    let work = tempfile::tempdir().unwrap();
    let bundles = four_files(work.path());
    for order in orders(&bundles) {
        let yard = Yard::new();
        let mut shelf = shelf(&yard);
        let mut here = BTreeSet::new();
        for bundle in &order {
            yard.bring(bundle);
            here.insert(bundle.clone());
            let served = shelf.scan().unwrap().unwrap();
            assert_complete(&served.source).await;
            // One is live when all before it are here, a part when the other one is, too.
            let has = |at: usize| here.contains(&bundles[at]);
            let expected = match (has(0), has(1) && has(2), has(3)) {
                (false, ..) => 0,
                (true, false, _) => 1,
                (true, true, false) => 3,
                (true, true, true) => 4,
            };
            assert_eq!(live(&served).len(), expected, "{order:?}");
        }
    }
}

#[tokio::test]
async fn many_bundles_are_one_registry_and_what_one_lacks_is_named() {
    let yard = Yard::new();
    let (mut set, mut content) = (Imageset::new("ocp"), first());
    let mut lost = String::new();
    for number in 1..=30 {
        let new = app(&mut content, &format!("quay.io/lab/app:v{number}"), &number.to_string());
        if number == 20 {
            // The same but for a layer that nobody else has; it is not the one that goes on.
            lost = content.parsed(&new.digest).unwrap()["layers"][0]["digest"].to_string();
            lost = lost.trim_matches('"').to_owned();
            let special = Special { lost: &[&lost], ..Special::default() };
            let damaged = set.clone().special(&content, yard.work(), &special).remove(0);
            fs::rename(damaged, yard.work().join("damaged")).unwrap();
        }
        yard.bring(&set.next(&content, yard.work()));
        let mut other = Content::default();
        app(&mut other, &format!("quay.io/other/app-{number}:v1"), &format!("other {number}"));
        yard.bring(&Imageset::new(&format!("other-{number}")).next(&other, yard.work()));
    }
    let mut shelf = shelf(&yard);
    let served = shelf.scan().unwrap().unwrap();
    assert_eq!(live(&served).len(), 60);
    assert_eq!(served.source.image_count(), 31 + 30);
    assert_complete(&served.source).await;
    for (number, newest) in [(1, "v1"), (17, "v17"), (30, "v30")] {
        let digest = &content.named(&format!("quay.io/lab/app:{newest}")).digest;
        assert_eq!(found(&served.source, "lab/app", newest).await.as_ref(), Some(digest));
        assert!(found(&served.source, &format!("other/app-{number}"), "v1").await.is_some());
    }
    // Without what sequence 20 brought it is refused, and those that build on it wait.
    yard.remove("ocp-20.sqfs");
    yard.bring_as(&yard.work().join("damaged"), "ocp-20.sqfs");
    let served = shelf.scan().unwrap().unwrap();
    assert_eq!(live(&served).len(), 19 + 30);
    assert_complete(&served.source).await;
    assert_eq!(found(&served.source, "lab/app", "v20").await, None);
    let refused = served.bundles.iter().find(|it| it.path.ends_with("ocp-20.sqfs")).unwrap();
    assert_eq!(refused.state, State::Refused);
    assert!(refused.notes[0].contains(&lost), "{:?}", refused.notes);
}

#[tokio::test]
async fn an_index_and_its_children_in_different_parts_are_found_by_everything() {
    let yard = Yard::new();
    let mut set = Imageset::new("ocp");
    let mut content = Content::default();
    let children =
        [1, 2, 3, 4].map(|seed| image("amd64").layer(noise(seed, 900)).add(&mut content));
    let index = content.index(&children);
    content.tag("quay.io/lab/multi:v1", &index);
    let sbom = artifact(&mut content, "application/vnd.example.sbom.v1", b"sbom", Some(&index));
    content.tag(&format!("quay.io/lab/multi@{}", sbom.digest), &sbom);
    app(&mut content, "quay.io/lab/other:v1", "other");
    for part in set.parts(&content, yard.work(), 5) {
        yard.bring(&part);
    }
    let options = Options { strict_repositories: true, ..Options::default() };
    let mut shelf = Shelf::new(vec![yard.site.path().to_owned()], options);
    let served = shelf.scan().unwrap().unwrap();
    let overlay = &served.source;
    assert_complete(overlay).await;
    assert_eq!(found(overlay, "lab/multi", "v1").await, Some(index.digest.clone()));
    for child in &children {
        let digest = Some(child.digest.clone());
        assert_eq!(found(overlay, "lab/multi", &child.digest).await, digest);
        assert_eq!(found(overlay, "lab/other", &child.digest).await, None, "strict");
        for needed in content.closure(&child.digest) {
            let needed: Digest = needed.parse().unwrap();
            assert!(overlay.stat(&name("lab/multi"), &needed).await.is_ok());
            assert!(overlay.stat(&name("lab/other"), &needed).await.is_err(), "strict");
        }
    }
    let index = index.digest.parse().unwrap();
    let referrers = overlay.referrers(&name("lab/multi"), &index).await.unwrap();
    let referrers: Vec<_> = referrers.iter().map(|it| it.digest.to_string()).collect();
    assert_eq!(referrers, [sbom.digest]);
    assert!(served.bundles.iter().all(|it| it.notes.is_empty()), "{:?}", served.bundles);
}

#[tokio::test]
async fn damage_in_a_lower_sequence_takes_the_images_of_the_upper_that_need_it() {
    let yard = Yard::new();
    let mut set = Imageset::new("ocp");
    let mut content = Content::default();
    let base = noise(5, 70_000);
    let lower = image("amd64").plain_layer(base.clone()).add(&mut content);
    content.tag("quay.io/lab/lower:v1", &lower);
    yard.bring(&set.next(&content, yard.work()));
    let upper = image("arm64").plain_layer(base.clone()).add(&mut content);
    let index = content.index(std::slice::from_ref(&upper));
    content.tag("quay.io/lab/upper:v1", &index);
    app(&mut content, "quay.io/lab/app:v1", "app");
    yard.bring(&set.next(&content, yard.work()));
    let place = yard.site.path().join("ocp-1.sqfs");
    let mut bytes = fs::read(&place).unwrap();
    let at = bytes.windows(64).position(|window| window == &base[..64]).unwrap();
    bytes[at] ^= 1;
    fs::write(&place, bytes).unwrap();
    let served = shelf(&yard).scan().unwrap().unwrap();
    let overlay = &served.source;
    assert_eq!(live(&served).len(), 2);
    assert!(found(overlay, "lab/upper", "v1").await.is_some(), "not read yet");
    let blob = overlay.blob(&name("lab/upper"), &Digest::of(&base), 0..u64::MAX).await.unwrap();
    let Body::Stored(stored) = blob.body else { panic!("not stored") };
    stored.verification.unwrap().complete(&stored.content).unwrap();
    for (path, target) in [("lab/lower", "v1"), ("lab/upper", "v1"), ("lab/upper", &*upper.digest)]
    {
        assert_eq!(found(overlay, path, target).await, None, "{path} {target}");
    }
    assert!(found(overlay, "lab/app", "v1").await.is_some());
    assert_eq!(served.bundles[0].damaged.list().len(), 1);
    assert_eq!(served.bundles[1].damaged.list().len(), 0);
}

/// A descriptor that calls the layer of an image a manifest.
fn posing(content: &Content, reference: &str) -> Descriptor {
    let image = content.parsed(&content.named(reference).digest).unwrap();
    let digest = image["layers"][0]["digest"].as_str().unwrap().to_owned();
    let size = content.bytes(&digest).len();
    let named = content.named(reference).clone();
    Descriptor { digest, size, media_type: media::MANIFEST.to_owned(), ..named }
}

#[tokio::test]
async fn what_is_no_manifest_does_not_become_one_by_being_named_so() {
    let yard = Yard::new();
    let mut set = Imageset::new("ocp");
    let mut content = first();
    // An index with a child that is a layer, which some of the parts hold.
    let posing = posing(&content, "quay.io/lab/app:v1");
    let app = content.named("quay.io/lab/app:v1").clone();
    let index = content.index(&[app, posing.clone()]);
    content.tag("quay.io/lab/odd:v1", &index);
    for part in set.parts(&content, yard.work(), 7) {
        yard.bring(&part);
    }
    let mut shelf = shelf(&yard);
    let served = shelf.scan().unwrap().unwrap();
    assert_eq!(live(&served).len(), 7);
    assert_eq!(found(&served.source, "lab/odd", &posing.digest).await, None);
    assert!(found(&served.source, "lab/app", "v1").await.is_some());
    let notes: Vec<_> = served.bundles.iter().flat_map(|it| &it.notes).collect();
    assert!(notes.len() == 1 && notes[0].contains(&posing.digest), "{notes:?}");
    // It is not read again.
    yard.remove("ocp-1.7-of-7.sqfs");
    shelf.scan().unwrap().unwrap();
    yard.bring(&yard.work().join("ocp-1.7-of-7.sqfs"));
    let served = shelf.scan().unwrap().unwrap();
    assert_eq!(served.bundles.iter().flat_map(|it| &it.notes).count(), 1);
}

#[tokio::test]
async fn what_a_later_sequence_says_changes_nothing_about_an_earlier_one() {
    let yard = Yard::new();
    let mut set = Imageset::new("ocp");
    let mut content = Content::default();
    // A manifest that lies in the first sequence as the layer of an artifact, alone.
    let mut aside = Content::default();
    let inner = app(&mut aside, "quay.io/lab/inner:v1", "inner");
    let mut needed = aside.closure(&inner.digest);
    needed.remove(&inner.digest);
    let lost: Vec<&str> = needed.iter().map(String::as_str).collect();
    let special = Special { lost: &lost, ..Special::default() };
    let bytes = aside.bytes(&inner.digest).to_vec();
    let carrier = artifact(&mut content, "application/vnd.example.manifest", &bytes, None);
    content.tag("quay.io/lab/carrier:v1", &carrier);
    yard.bring(&set.special(&content, yard.work(), &special)[0]);
    // The second names it as an image, and does not carry what that needs.
    let inner = content.blob(media::MANIFEST, bytes);
    content.tag("quay.io/lab/inner:v1", &inner);
    yard.bring(&set.special(&content, yard.work(), &special)[0]);
    let served = shelf(&yard).scan().unwrap().unwrap();
    assert!(live(&served).contains(&"ocp-1.sqfs".to_owned()), "{:?}", served.bundles);
    assert_eq!(found(&served.source, "lab/carrier", "v1").await, Some(carrier.digest));
    assert_eq!(found(&served.source, "lab/inner", "v1").await, None);
}

#[tokio::test]
async fn a_name_whose_manifest_nobody_carries_is_a_lack() {
    let yard = Yard::new();
    let mut set = Imageset::new("ocp");
    let mut content = Content::default();
    let lost = app(&mut content, "quay.io/lab/lost:v1", "lost");
    app(&mut content, "quay.io/lab/app:v1", "app");
    let special = Special { lost: &[&lost.digest], ..Special::default() };
    yard.bring(&set.special(&content, yard.work(), &special)[0]);
    let served = shelf(&yard).scan().unwrap().unwrap();
    assert_eq!(served.bundles[0].state, State::Refused);
    let (digest, size) = (&lost.digest, lost.size);
    let expected =
        format!("it is incomplete: {digest} (needed by quay.io/lab/lost:v1, {size} bytes)");
    assert_eq!(served.bundles[0].notes, [expected]);
}

#[tokio::test]
async fn a_file_that_was_given_by_its_name_may_be_removed_too() {
    let yard = Yard::new();
    let mut set = Imageset::new("ocp");
    let mut content = first();
    let one = set.next(&content, yard.work());
    app(&mut content, "quay.io/lab/two:v1", "two");
    let two = set.next(&content, yard.work());
    let mut shelf = Shelf::new(vec![one.clone(), two.clone()], Options::default());
    assert_eq!(live(&shelf.scan().unwrap().unwrap()).len(), 2);
    let bytes = fs::read(&two).unwrap();
    fs::remove_file(&two).unwrap();
    let served = shelf.scan().unwrap().unwrap();
    assert_eq!(live(&served), ["ocp-1.sqfs"]);
    assert!(shelf.scan().unwrap().is_none(), "nothing has changed");
    fs::write(&two, bytes).unwrap();
    assert_eq!(live(&shelf.scan().unwrap().unwrap()).len(), 2);
    let mut absent = Shelf::new(vec![yard.work().join("absent.sqfs")], Options::default());
    assert!(absent.scan().is_err(), "what never was there is a mistake");
    let mut twice = Shelf::new(vec![one.clone(), one], Options::default());
    let served = twice.scan().unwrap().unwrap();
    assert_eq!((served.bundles.len(), live(&served).len()), (1, 1));
}
