//! Registries that redirect: to storage, to themselves, to those who must not be asked.

use shipperd::oci::Digest;
use shipperd::source::Source as _;

use super::scripted::{PASSWORD, Scripted, USER, challenge, layer, redirect, with};
use super::{Reach, app, chain, read, whole};

#[tokio::test]
async fn credentials_stay_where_they_belong() {
    let storage = Scripted::start(|seen| match seen.start() {
        None => with(200, &[], layer()),
        Some(start) => {
            let range = format!("bytes {start}-{}/{}", layer().len() - 1, layer().len());
            with(206, &[("content-range", &range)], layer().slice(start..))
        }
    })
    .await;
    let to = format!("http://{}/bucket/key?signature=s", storage.registry());
    let registry = Scripted::start(move |seen| match seen.header("authorization") {
        None => challenge("Basic realm=lab"),
        Some(_) if seen.before == 1 => redirect("/v2/lab/app/elsewhere"),
        Some(_) => redirect(&to),
    })
    .await;
    let hosts = vec![registry.registry().clone(), storage.registry().clone()];
    let reach = Reach { plain_http: hosts, ..Reach::default() };
    let remote = reach.user(registry.registry(), USER, PASSWORD).remote();
    let name = app(registry.registry());
    let digest = Digest::of(&layer());
    assert_eq!(read(remote.blob(&name, &digest, whole()).await.unwrap()).await.unwrap(), layer());
    let part = remote.blob(&name, &digest, 5..u64::MAX).await.unwrap();
    assert_eq!(read(part).await.unwrap(), layer()[5..]);
    let authorized = |server: &Scripted| -> Vec<bool> {
        server.seen().iter().map(|seen| seen.header("authorization").is_some()).collect()
    };
    // Challenged; redirected on the same host; redirected away; known from then on.
    assert_eq!(authorized(&registry), [false, true, true, true]);
    assert_eq!(authorized(&storage), [false, false]);
}

#[tokio::test]
async fn storage_cannot_ask_who_asks() {
    let thief = Scripted::start(|_| challenge("Basic realm=lab")).await;
    let to = format!("http://{}/", thief.registry());
    let registry = Scripted::start(move |seen| match seen.header("authorization") {
        None => challenge("Basic realm=lab"),
        Some(_) => redirect(&to),
    })
    .await;
    let hosts = vec![registry.registry().clone(), thief.registry().clone()];
    let reach = Reach { plain_http: hosts, ..Reach::default() };
    let remote = reach.user(registry.registry(), USER, PASSWORD).remote();
    let outcome = remote.blob(&app(registry.registry()), &Digest::of(b"a"), whole()).await;
    let error = outcome.unwrap_err();
    assert!(chain(&error).ends_with(&format!("{} answered 401", thief.registry())), "{error:?}");
    assert!(thief.seen().iter().all(|seen| seen.header("authorization").is_none()));
}

#[tokio::test]
async fn redirects_end_and_lead_to_no_plain_http() {
    let elsewhere = Scripted::start(|_| with(200, &[], "x")).await;
    let elsewhere_url = format!("http://{}/?signature=hunter2", elsewhere.registry());
    for (to, expected) in [
        (elsewhere_url.clone(), format!("plain HTTP is not allowed for {}", elsewhere.registry())),
        ("/v2/again".to_owned(), "redirected too often".to_owned()),
        ("http://".to_owned(), "redirected to what is no URL".to_owned()),
        ("https://user:p@127.0.0.1/".to_owned(), "to a URL with credentials".to_owned()),
        ("file:///etc/passwd".to_owned(), "plain HTTP is not allowed for ".to_owned()),
    ] {
        let registry = Scripted::start(move |_| redirect(&to)).await;
        let remote = Reach::plain(registry.registry()).remote();
        let outcome = remote.blob(&app(registry.registry()), &Digest::of(b"a"), whole()).await;
        let text = chain(&outcome.unwrap_err());
        assert!(text.contains(&expected) && !text.contains("hunter2"), "{text}");
        assert!(registry.seen().len() < 12);
    }
    assert!(elsewhere.seen().is_empty());
}
