//! Files that come and go: live, waiting, refused; bundles of ours in sequence and complete.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use shipperd::client::{Credentials, Remote, Retries, Settings, Trust};
use shipperd::content::live::{Served, State};
use shipperd::content::overlay::Overlay;
use shipperd::content::shelf::{Options, Shelf};
use shipperd::create::{self, Follows, Outcome, Progress, Request};
use shipperd::plan::Wanted;
use shipperd::plan::image::Referrers;
use shipperd::plan::wanted::Origin;
use shipperd::state::{Access, Aws, Location, Store};

use super::layout::Layout;

struct Silent;

impl Progress for Silent {
    fn resolved(&self, _: usize, _: usize) {}
    fn begin(&self, _: u64, _: u64) {}
    fn advance(&self, _: i64) {}
}

/// Makes a bundle of an image with this layer.
async fn bundle(output: &Path, name: &str, layer: &[u8]) -> create::Created {
    let source = tempfile::tempdir().unwrap();
    let mut layout = Layout::default();
    layout.image("quay.io/ns/app:v1", layer);
    layout.write(source.path());
    let request = Request {
        images: vec![Wanted::all_of(Origin::Local {
            paths: vec![source.path().into()],
            reference: None,
        })],
        config: None,
        name: name.to_owned(),
        output: output.to_owned(),
        referrers: Referrers::Carry,
        parallel: 2,
        created: Some("2026-11-21T07:00:00Z".parse().unwrap()),
        follows: Follows::Latest,
        archive_size: None,
        keep_going: false,
        dry_run: false,
    };
    let credentials = Credentials::default();
    let settings = Settings { credentials, trust: Trust::default(), retries: Retries::PATIENT };
    let access = Access { remote: Remote::new(settings), aws: Aws::default() };
    let location = Location::Local(source.path().join("state"));
    let store = Store::open(&location, name, &access).unwrap();
    let nothing = Overlay::new(vec![], false);
    match create::create(&nothing, Some(&store), &request, Arc::new(Silent)).await.unwrap() {
        Outcome::Created(created) => created,
        other => panic!("{other:?}"),
    }
}

fn states(served: &Served<Overlay>) -> Vec<(String, State)> {
    let bundles = served.bundles.iter();
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    bundles.map(|status| (name(&status.path), status.state)).collect()
}

fn shelf(directory: &Path) -> Shelf {
    Shelf::new(vec![directory.to_owned()], Options::default())
}

#[tokio::test]
async fn bundles_come_wait_are_refused_and_go() {
    let (site, work) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let made = bundle(work.path(), "app", b"layer").await;
    let mut shelf = shelf(site.path());
    assert_eq!(states(&shelf.scan().unwrap().unwrap()), [], "an empty directory is fine");
    assert!(shelf.scan().unwrap().is_none(), "nothing has changed");

    let bytes = fs::read(&made.paths[0]).unwrap();
    let place = site.path().join("app-1.sqfs");
    fs::write(&place, &bytes[..bytes.len() / 2]).unwrap();
    let served = shelf.scan().unwrap().unwrap();
    assert_eq!(states(&served), [("app-1.sqfs".to_owned(), State::Waiting)]);
    assert!(served.bundles[0].notes[0].contains("bytes"), "{:?}", served.bundles[0].notes);

    fs::write(&place, &bytes).unwrap();
    let served = shelf.scan().unwrap().unwrap();
    assert_eq!(states(&served), [("app-1.sqfs".to_owned(), State::Live)]);
    assert_eq!(served.source.image_count(), 1);

    fs::write(site.path().join("broken.sqfs"), [&b"hsqs"[..], &[7; 5000]].concat()).unwrap();
    fs::write(site.path().join("more.partial"), b"hsqs").unwrap();
    let served = shelf.scan().unwrap().unwrap();
    let expected =
        [("app-1.sqfs".to_owned(), State::Live), ("broken.sqfs".to_owned(), State::Refused)];
    assert_eq!(states(&served), expected);
    assert_eq!(served.source.image_count(), 1, "the rest goes on");

    fs::remove_file(&place).unwrap();
    assert_eq!(shelf.scan().unwrap().unwrap().source.image_count(), 0);
}

#[tokio::test]
async fn a_checksum_beside_a_bundle_is_passed_over() {
    let site = tempfile::tempdir().unwrap();
    bundle(site.path(), "app", b"layer").await;
    let checksum = site.path().join("app-1.sqfs.sha256");
    fs::write(&checksum, "00 app-1.sqfs\n").unwrap();
    let served = shelf(site.path()).scan().unwrap().unwrap();
    assert!(states(&served).contains(&("app-1.sqfs.sha256".to_owned(), State::Ignored)));
    // Whoever gives it by itself takes it for a bundle.
    let served = shelf(&checksum).scan().unwrap().unwrap();
    assert_eq!(states(&served), [("app-1.sqfs.sha256".to_owned(), State::Refused)]);
}

#[tokio::test]
async fn the_same_bundle_twice_is_served_once() {
    let site = tempfile::tempdir().unwrap();
    let made = bundle(site.path(), "app", b"layer").await;
    fs::copy(&made.paths[0], site.path().join("copy.sqfs")).unwrap();
    bundle(site.path(), "other", b"other").await;
    let served = shelf(site.path()).scan().unwrap().unwrap();
    let expected = [
        ("app-1.sqfs".to_owned(), State::Live),
        ("copy.sqfs".to_owned(), State::Ignored),
        ("other-1.sqfs".to_owned(), State::Live),
    ];
    assert_eq!(states(&served), expected);
    let first = made.paths[0].display();
    assert_eq!(served.bundles[1].notes, [format!("the same bundle is here twice: {first}")]);
    let ambiguous: Vec<_> = served.source.ambiguous().iter().map(ToString::to_string).collect();
    let name = "quay.io/ns/app:v1 means different images in different imagesets";
    assert_eq!(ambiguous, [format!("{name}; that of app is served")]);
    assert_eq!(served.ambiguous, 1);
}

#[tokio::test]
async fn the_same_content_gives_the_same_bytes() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let one = bundle(here.path(), "app", b"layer").await;
    let two = bundle(there.path(), "app", b"layer").await;
    assert_eq!(one.digest, two.digest);
    assert!(fs::read(&one.paths[0]).unwrap() == fs::read(&two.paths[0]).unwrap());
}
