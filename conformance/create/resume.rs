//! Runs that are killed or cut off from their registry, and gone on with.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::proxy::Proxy;
use super::{Yard, say};
use crate::fixtures::Content;
use crate::fixtures::image::image;
use crate::fixtures::layer::noise;
use crate::site::{Site, Transport};

const MIB: usize = 1 << 20;
const HOST: &str = "registry.example";

/// Images of this many layers of this many bytes each, in repositories of their own.
fn images(count: usize, layers: usize, size: usize) -> (Content, Vec<String>) {
    let (mut content, mut names) = (Content::default(), Vec::new());
    for number in 0..count {
        let mut image = image("amd64");
        for layer in 0..layers {
            image = image.plain_layer(noise((number * layers + layer) as u64, size));
        }
        let image = image.add(&mut content);
        content.tag(&format!("{HOST}/lab/app{number}:v1"), &image);
        names.push(format!("lab/app{number}:v1"));
    }
    (content, names)
}

/// The images as a registry behind a proxy has them.
async fn behind_proxy(content: &Content, seed: u64) -> Option<(Site, Proxy)> {
    let site = Site::distribution(content, HOST, Transport::Http)?;
    let proxy = Proxy::start(site.address(), seed).await;
    Some((site, proxy))
}

fn named(proxy: &Proxy, names: &[String]) -> Vec<String> {
    names.iter().map(|name| format!("{}/{name}", proxy.registry())).collect()
}

/// What a journal says of each blob: its size, and how much is there.
fn journal(path: &Path) -> BTreeMap<String, (u64, u64)> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut blobs = BTreeMap::new();
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let words: Vec<_> = line.split(' ').collect();
        match words.as_slice() {
            ["blob", digest, _, size] => {
                blobs.insert((*digest).to_owned(), (size.parse().unwrap(), 0));
            }
            ["at", digest, bytes] => blobs.get_mut(*digest).unwrap().1 = bytes.parse().unwrap(),
            _ => {}
        }
    }
    blobs
}

#[tokio::test(flavor = "multi_thread")]
async fn hundreds_of_faults_change_no_byte() {
    let (content, names) = images(8, 4, 2 * MIB);
    let Some((_site, proxy)) = behind_proxy(&content, 0x5eed).await else { return };
    let images = named(&proxy, &names);
    let images: Vec<_> = images.iter().map(String::as_str).collect();
    let (calm, stormy) = (Yard::plain(proxy.registry()), Yard::plain(proxy.registry()));
    let expected = calm.bundle("fleet", &images).await;
    proxy.set_bad(true);
    let mut runs = 0;
    let bundle = loop {
        runs += 1;
        let outcome = stormy.create("fleet", &images).await;
        if outcome.code == Some(0) {
            break outcome.bundle;
        }
        // Even patience ends; the next run goes on.
        assert!(runs < 20, "{}", outcome.stderr);
    };
    say(&format!("{} faults in {runs} runs", proxy.faults()));
    assert!(proxy.faults() > 100);
    assert!(fs::read(bundle).unwrap() == fs::read(expected).unwrap());
    assert_eq!(stormy.left(), ["fleet-1.sqfs"], "nothing else is left");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_run_is_gone_on_with_where_it_was() {
    let (content, names) = images(6, 3, 6 * MIB);
    let Some((_site, proxy)) = behind_proxy(&content, 1).await else { return };
    let images = named(&proxy, &names);
    let images: Vec<_> = images.iter().map(String::as_str).collect();
    let (calm, killed) = (Yard::plain(proxy.registry()), Yard::plain(proxy.registry()));
    let expected = calm.bundle("fleet", &images).await;
    let whole = proxy.bytes();
    let notes = killed.path().join("out/fleet-1.sqfs.journal");
    let mut kills = 0;
    loop {
        let before = journal(&notes);
        drop(proxy.asked());
        let mut child = killed.creating("fleet", &images).spawn().unwrap();
        // As soon as it has got a little further.
        let had: u64 = before.values().map(|(_, bytes)| bytes).sum();
        let ended = loop {
            if let Ok(ended) = tokio::time::timeout(Duration::from_millis(2), child.wait()).await {
                break Some(ended.unwrap());
            }
            let has: u64 = journal(&notes).values().map(|(_, bytes)| bytes).sum();
            if has > had + 9 * MIB as u64 {
                child.kill().await.unwrap();
                break None;
            }
        };
        for (digest, start) in proxy.asked() {
            let Some((size, at)) = before.get(&digest).filter(|(_, at)| *at > 0) else { continue };
            assert!(at < size, "{digest} was there whole and was fetched again");
            assert!(start >= *at, "{digest} was there up to {at}, and asked for from {start}");
        }
        match ended {
            None => kills += 1,
            Some(status) => {
                assert!(status.success());
                break;
            }
        }
        assert!(kills < 100, "it never ends");
    }
    say(&format!("killed {kills} times"));
    assert!(kills >= 3, "it was killed {kills} times only");
    let bundle = killed.path().join("out/fleet-1.sqfs");
    assert!(fs::read(bundle).unwrap() == fs::read(expected).unwrap());
    // What was under way and not noted is all that came twice, and what is under way in sockets.
    let again = proxy.bytes() - 2 * whole;
    let most = kills * 8 * 4 * MIB as u64;
    assert!(again < most, "{again} of {whole} bytes came again");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_taken_over_where_the_bundle_is_another() {
    let (content, names) = images(3, 4, 4 * MIB);
    let Some((_site, proxy)) = behind_proxy(&content, 1).await else { return };
    let images = named(&proxy, &names);
    let images: Vec<_> = images.iter().map(String::as_str).collect();
    let yard = Yard::plain(proxy.registry()).with(&["--parallel", "2"]);
    let notes = yard.path().join("out/fleet-1.sqfs.journal");
    let mut child = yard.creating("fleet", &images[..2]).spawn().unwrap();
    let finished = |journal: &BTreeMap<String, (u64, u64)>| {
        let whole = journal.iter().filter(|(_, (size, at))| size == at && *size > 1000);
        whole.map(|(digest, _)| digest.clone()).collect::<Vec<_>>()
    };
    while finished(&journal(&notes)).len() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    child.kill().await.unwrap();
    let before = finished(&journal(&notes));
    drop(proxy.asked());
    // One more image, and in parts: every blob has another place.
    let parts = [images.as_slice(), &["--archive-size", "20MiB"]].concat();
    let outcome = yard.create("fleet", &parts).await;
    assert_eq!(outcome.code, Some(0), "{}", outcome.stderr);
    for (digest, _) in proxy.asked() {
        assert!(!before.contains(&digest), "{digest} was there and was fetched again");
    }
    let mut left = yard.left();
    left.sort();
    let expected = ["1", "2", "3"].map(|it| format!("fleet-1.{it}-of-3.sqfs"));
    assert_eq!(left, expected, "nothing else is left");
    for name in left {
        super::bundle::assert_is_what_its_record_says(&yard.path().join("out").join(name));
    }
}

/// A run that has a MiB of one of its blobs.
async fn under_way(yard: &Yard, images: &[&str]) -> tokio::process::Child {
    let notes = yard.path().join("out/fleet-1.sqfs.journal");
    let mut create = yard.creating("fleet", images);
    let child = create.stderr(std::process::Stdio::piped()).spawn().unwrap();
    while journal(&notes).values().all(|(_, bytes)| *bytes < MIB as u64) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    child
}

#[tokio::test(flavor = "multi_thread")]
async fn who_interrupts_a_run_is_told_that_it_can_be_gone_on_with() {
    let (content, names) = images(2, 4, 8 * MIB);
    let Some((_site, proxy)) = behind_proxy(&content, 1).await else { return };
    let images = named(&proxy, &names);
    let images: Vec<_> = images.iter().map(String::as_str).collect();
    let yard = Yard::plain(proxy.registry()).with(&["--parallel", "1"]);
    let child = under_way(&yard, &images).await;
    let id = rustix::process::Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    let hint = "what was fetched is kept: run the same command again to go on";
    assert_eq!(said, format!("error: interrupted by SIGINT\n\nhint: {hint}\n"));
    yard.bundle("fleet", &images).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_is_down_ends_the_run_and_the_next_goes_on() {
    let (content, names) = images(2, 4, 8 * MIB);
    let Some((_site, proxy)) = behind_proxy(&content, 1).await else { return };
    let images = named(&proxy, &names);
    let images: Vec<_> = images.iter().map(String::as_str).collect();
    let yard = Yard::plain(proxy.registry()).with(&["--parallel", "1"]);
    let notes = yard.path().join("out/fleet-1.sqfs.journal");
    let child = under_way(&yard, &images).await;
    proxy.set_down(true);
    let output = child.wait_with_output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("\nhint: what was fetched is kept: run the same command"), "{said}");
    assert_eq!(yard.left().iter().filter(|name| name.ends_with(".sqfs")).count(), 0);
    let before = journal(&notes);
    proxy.set_down(false);
    drop(proxy.asked());
    yard.bundle("fleet", &images).await;
    for (digest, start) in proxy.asked() {
        assert!(start >= before[&digest].1, "{digest} from {start}");
    }
}
