//! Lists in pages: in order, out of order, without end.

use std::collections::BTreeMap;

use serde_json::json;
use shipperd::oci::{Digest, MediaType};
use shipperd::source::{Error, Source as _};

use super::scripted::{Answer, Scripted, Seen, status, typed, with};
use super::{Reach, app, chain};

/// The query of a request.
fn query(seen: &Seen) -> BTreeMap<&str, &str> {
    let (_, query) = seen.target.split_once('?').unwrap_or_default();
    query.split('&').filter_map(|pair| pair.split_once('=')).collect()
}

fn tags(tags: &[&str]) -> String {
    json!({"name": "lab/app", "tags": tags}).to_string()
}

/// A page of at most `n` of these tags after `last`, as the specification has it.
fn page(all: &[&str], seen: &Seen, size: usize, link: impl Fn(&str) -> String) -> Answer {
    let query = query(seen);
    let size = query.get("n").map_or(size, |n| n.parse::<usize>().unwrap().min(size));
    let after = query.get("last").and_then(|last| all.iter().position(|tag| tag == last));
    let rest = &all[after.map_or(0, |after| after + 1)..];
    let (page, more) = rest.split_at(size.min(rest.len()));
    if more.is_empty() {
        return with(200, &[], tags(page));
    }
    with(200, &[("link", &link(page[page.len() - 1]))], tags(page))
}

async fn listed(registry: &Scripted, after: &str, limit: usize) -> Result<Vec<String>, Error> {
    let remote = Reach::plain(registry.registry()).remote();
    let tags = remote.tags(&app(registry.registry()), after, limit).await?;
    Ok(tags.iter().map(ToString::to_string).collect())
}

#[tokio::test]
async fn pages_are_followed_as_far_as_needed() {
    const ALL: [&str; 5] = ["a", "b", "c", "d", "e"];
    type Link = fn(&str) -> String;
    let links: [Link; 4] = [
        |last| format!(r#"</v2/lab/app/tags/list?last={last}>; rel="next""#),
        |last| format!("<?last={last}>; rel=next"),
        // As a registry behind a proxy names itself: only the path counts.
        |last| format!(r#"<http://inside:5000/v2/lab/app/tags/list?last={last}>; rel="next""#),
        |last| format!(r#"<x>; rel="first", <list?last={last}>; rel="next""#),
    ];
    for link in links {
        let registry = Scripted::start(move |seen| page(&ALL, seen, 2, link)).await;
        assert_eq!(listed(&registry, "", usize::MAX).await.unwrap(), ALL);
        assert_eq!(registry.seen().len(), 3);
        assert_eq!(listed(&registry, "b", 2).await.unwrap(), ["c", "d"]);
        assert_eq!(listed(&registry, "", 2).await.unwrap(), ["a", "b"]);
        let asked = registry.asked();
        assert_eq!(asked.len(), 6, "no further than needed: {asked:?}");
        assert_eq!(asked[5], "GET /v2/lab/app/tags/list?n=2");
    }
}

#[tokio::test]
async fn lists_that_are_in_no_order_are_sorted() {
    const ALL: [&str; 5] = ["v2", "a", "v10", "B", "v1"];
    let link = |last: &str| format!("<?last={last}>; rel=next");
    for size in [2, 10] {
        let registry = Scripted::start(move |seen| page(&ALL, seen, size, link)).await;
        let sorted = ["B", "a", "v1", "v10", "v2"];
        assert_eq!(listed(&registry, "", usize::MAX).await.unwrap(), sorted);
        assert_eq!(listed(&registry, "", 2).await.unwrap(), sorted[..2]);
        assert_eq!(listed(&registry, "v1", 10).await.unwrap(), sorted[3..]);
    }
    // Neither `n` nor `last` means anything here.
    let registry = Scripted::start(|_| with(200, &[], tags(&["a", "b", "c"]))).await;
    assert_eq!(listed(&registry, "", 1).await.unwrap(), ["a"]);
    assert_eq!(listed(&registry, "a", 1).await.unwrap(), ["b"]);
    assert_eq!(listed(&registry, "c", 1).await.unwrap(), [""; 0]);
}

#[tokio::test]
async fn names_that_are_none_are_left_out() {
    let all = ["../../etc", "", "a", "b c", "\u{1b}[31m", "z"];
    let registry = Scripted::start(move |_| with(200, &[], tags(&all))).await;
    assert_eq!(listed(&registry, "", 10).await.unwrap(), ["a", "z"]);
    let registry = Scripted::start(|_| with(200, &[], r#"{"tags":null}"#)).await;
    assert_eq!(listed(&registry, "", 10).await.unwrap(), [""; 0]);
    let registry = Scripted::start(|_| with(200, &[], "<html>")).await;
    let error = listed(&registry, "", 10).await.unwrap_err();
    assert!(chain(&error).contains("wrong list"), "{}", chain(&error));
}

#[tokio::test]
async fn lists_end() {
    for (next, most) in [("list?n=1000", 2), ("list?x=1", 4), ("other", 4)] {
        let link = format!("<{next}>; rel=next");
        let registry = Scripted::start(move |_| with(200, &[("link", &link)], tags(&["a"]))).await;
        let error = listed(&registry, "", usize::MAX).await.unwrap_err();
        assert!(chain(&error).contains(r#"wrong Link: "endless""#), "{}", chain(&error));
        assert!(registry.seen().len() <= most, "{:?}", registry.asked());
    }
}

#[tokio::test]
async fn repositories_come_from_the_catalog() {
    let registry = Scripted::start(|seen| match (seen.path(), query(seen).get("last")) {
        ("/v2/_catalog", None) => {
            let link = [("link", "</v2/_catalog?last=lab%2Fapp>; rel=next")];
            with(200, &link, r#"{"repositories":["lab/app"]}"#)
        }
        ("/v2/_catalog", Some(_)) => with(200, &[], r#"{"repositories":["lab/other","Bad"]}"#),
        _ => status(404),
    })
    .await;
    let remote = Reach::plain(registry.registry()).remote().at(registry.registry().clone());
    let found = remote.repositories("", usize::MAX).await.unwrap();
    let expected = ["lab/app", "lab/other"].map(|name| name.parse().unwrap());
    assert_eq!(found, expected);
}

fn index(digests: &[Digest]) -> String {
    let descriptors = digests.iter().map(|digest| {
        json!({"mediaType": MediaType::OCI_MANIFEST, "digest": digest, "size": 1,
            "artifactType": "application/vnd.example.sbom.v1", "annotations": {"a": "b"}})
    });
    let descriptors: Vec<_> = descriptors.collect();
    json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": descriptors})
        .to_string()
}

#[tokio::test]
async fn referrers_by_the_list_or_by_the_tag() {
    let subject = Digest::of(b"subject");
    let all = [Digest::of(b"a"), Digest::of(b"b"), Digest::of(b"c")];
    let list = format!("/v2/lab/app/referrers/{subject}");
    let tag = format!("/v2/lab/app/manifests/sha256-{}", subject.hex());
    for how in ["list", "404", "405", "html", "nothing"] {
        let (carried, list, tag) = (all.clone(), list.clone(), tag.clone());
        let registry = Scripted::start(move |seen| {
            let more = query(seen).contains_key("page");
            match (how, seen.path()) {
                ("list", path) if path == list && !more => {
                    let headers =
                        [("content-type", MediaType::OCI_INDEX), ("link", "<?page=2>; rel=next")];
                    with(200, &headers, index(&carried[..2]))
                }
                ("list", path) if path == list => typed(MediaType::OCI_INDEX, index(&carried[2..])),
                ("405", path) if path == list => status(405),
                ("html", path) if path == list => typed("text/html", "<html>"),
                ("404" | "405" | "html", path) if path == tag => {
                    typed(MediaType::OCI_INDEX, index(&carried))
                }
                _ => status(404),
            }
        })
        .await;
        let remote = Reach::plain(registry.registry()).remote();
        let found = remote.referrers(&app(registry.registry()), &subject).await.unwrap();
        let digests: Vec<_> = found.iter().map(|it| it.digest.clone()).collect();
        assert_eq!(digests, if how == "nothing" { &[][..] } else { &all[..] }, "{how}");
        assert!(found.iter().all(|it| it.annotations["a"] == "b" && it.artifact_type.is_some()));
        // Once is enough to learn that there is no list.
        remote.referrers(&app(registry.registry()), &Digest::of(b"other")).await.unwrap();
        let lists = registry.asked().iter().filter(|asked| asked.contains("/referrers/")).count();
        assert_eq!(lists, if how == "list" { 3 } else { 1 }, "{how}");
    }
}

#[tokio::test]
async fn the_tag_of_a_longer_digest_is_cut() {
    let registry = Scripted::start(|_| status(404)).await;
    let remote = Reach::plain(registry.registry()).remote();
    let subject = format!("sha512:{}", "0123456789abcdef".repeat(8)).parse().unwrap();
    remote.referrers(&app(registry.registry()), &subject).await.unwrap();
    let tag = format!("sha512-{}", "0123456789abcdef".repeat(4));
    assert_eq!(registry.asked()[1], format!("GET /v2/lab/app/manifests/{tag}"));
}

#[tokio::test]
async fn referrers_that_cannot_be_asked_for_are_not_none() {
    for failure in [403, 500] {
        let registry = Scripted::start(move |_| status(failure)).await;
        let remote = Reach::plain(registry.registry()).remote();
        assert!(remote.referrers(&app(registry.registry()), &Digest::of(b"a")).await.is_err());
    }
    let headers = [("content-type", MediaType::OCI_INDEX), ("link", "<?>; rel=next")];
    let registry = Scripted::start(move |_| with(200, &headers, index(&[]))).await;
    let remote = Reach::plain(registry.registry()).remote();
    let error = remote.referrers(&app(registry.registry()), &Digest::of(b"a")).await.unwrap_err();
    assert!(chain(&error).contains("endless"), "{}", chain(&error));
}
