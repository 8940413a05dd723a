//! Storage trees damaged in any way, beside a bundle that nobody touched.

use std::fs;

use super::{members, pack, small};
use crate::damage::Server;
use crate::fixtures::{Content, digest};

/// Asks for every digest and for these tags; whatever comes whole is right. Answers how much did.
pub(super) fn ask(server: &Server, content: &Content, what: &str) -> usize {
    let mut whole = 0;
    for (digest, bytes) in content.blobs() {
        for kind in ["blobs", "manifests"] {
            let target = format!("/v2/lab/app/{kind}/{digest}");
            if let Some((200, body)) = server.complete(&target, &[]) {
                assert!(body == bytes, "{what}: {target}");
                whole += 1;
            }
        }
    }
    for (reference, _) in content.references() {
        let (repository, tag) = crate::fixtures::layout::split(reference);
        let target = format!("/v2/{repository}/manifests/{}", tag.unwrap());
        if let Some((200, body)) = server.complete(&target, &[]) {
            let known = content.blobs().any(|(known, _)| known == digest(&body));
            assert!(known, "{what}: {target}");
            whole += 1;
        }
    }
    whole
}

/// Two small images.
pub(super) fn content() -> Content {
    let mut content = Content::default();
    small(&mut content, "quay.io/lab/app:v1", b"one");
    small(&mut content, "quay.io/lab/app:v2", b"two");
    content
}

#[test]
fn a_cut_archive_waits_and_says_so() {
    let work = tempfile::tempdir().unwrap();
    let content = content();
    let file = work.path().join("site/registry.tar");
    fs::create_dir(file.parent().unwrap()).unwrap();
    pack(&file, &members(&content, &work.path().join("root")));
    let bytes = fs::read(&file).unwrap();
    let all = ask(&Server::open(file.parent().unwrap()), &content, "whole");
    assert!(all > 6, "{all}");
    let mut harmed = 0;
    for cut in (0..bytes.len()).step_by(bytes.len() / 40).chain([511, 512, 513, bytes.len() - 1]) {
        fs::write(&file, &bytes[..cut]).unwrap();
        let server = Server::open(file.parent().unwrap());
        let what = format!("cut to {cut} of {} bytes", bytes.len());
        if ask(&server, &content, &what) < all {
            harmed += 1;
            let said = server.said_of(&file).unwrap_or_else(|| panic!("{what}: unsaid"));
            assert!(said["notes"].as_array().is_some_and(|it| !it.is_empty()), "{what}: {said}");
        }
    }
    assert!(harmed > 35, "{harmed}");
}

#[test]
fn a_flipped_byte_is_never_completed() {
    let work = tempfile::tempdir().unwrap();
    let content = content();
    let file = work.path().join("site/registry.tar");
    fs::create_dir(file.parent().unwrap()).unwrap();
    pack(&file, &members(&content, &work.path().join("root")));
    let mut bytes = fs::read(&file).unwrap();
    let all = ask(&Server::open(file.parent().unwrap()), &content, "whole");
    let mut harmed = 0;
    // Steps that meet headers, links, manifests and layers at ever other places.
    for position in (0..bytes.len()).step_by(331) {
        bytes[position] ^= [0x01, 0x80, 0xff][position % 3];
        fs::write(&file, &bytes).unwrap();
        let server = Server::open(file.parent().unwrap());
        let what = format!("byte {position}");
        if ask(&server, &content, &what) < all {
            harmed += 1;
            server.tells_of(&file, &what);
        }
        bytes[position] ^= [0x01, 0x80, 0xff][position % 3];
    }
    assert!(harmed > 5, "{harmed}: the flips do not hit what matters");
}

#[test]
fn hostile_members_do_no_harm() {
    const LINK: &str = "docker/registry/v2/repositories/evil/app/_manifests/tags";
    let work = tempfile::tempdir().unwrap();
    let content = content();
    let members = members(&content, &work.path().join("root"));
    let named = content.named("quay.io/lab/app:v1").digest.clone();
    let hex = named.strip_prefix("sha256:").unwrap();
    let blob = format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
    let tag = |tag: &str| format!("{LINK}/{tag}/current/link");
    let long = format!("{}{blob}", "x/".repeat(50_000));
    let huge = vec![b'x'; 1 << 20];
    let upper =
        format!("docker/registry/v2/repositories/UPPER/_manifests/revisions/sha256/{hex}/link");
    // What is added, and whether something is to be said about it.
    let nothing = digest(b"nothing");
    let cases: [(&str, String, &[u8], bool); 13] = [
        ("points up", format!("../{blob}"), b"wrong", true),
        ("absolute", format!("/{blob}"), b"wrong", true),
        ("points up within", format!("a/../../{blob}"), b"wrong", true),
        ("very long", long, b"wrong", false),
        ("empty link", tag("v1"), b"", true),
        ("link of no digest", tag("v1"), b"sha256:xyz", true),
        ("link of another algorithm", tag("v1"), b"md5:d41d8cd98f00b204e9800998ecf8427e", true),
        ("link of other bytes", tag("v1"), b"\xff\xfe\x00", true),
        ("huge link", tag("v1"), &huge, true),
        ("tag that is none", tag(".v1"), named.as_bytes(), true),
        ("tag of 200 bytes", tag(&"v".repeat(200)), named.as_bytes(), true),
        ("repository that is none", upper, named.as_bytes(), true),
        ("link to nothing", tag("v1"), nothing.as_bytes(), true),
    ];
    for (what, name, bytes, is_said) in cases {
        let site = work.path().join("site");
        fs::create_dir_all(&site).unwrap();
        let file = site.join("registry.tar");
        let mut members = members.clone();
        members.push((name, bytes.to_vec()));
        pack(&file, &members);
        let server = Server::open(&site);
        let all = content.blobs().count() + 2 + 2;
        assert_eq!(ask(&server, &content, what), all, "{what}: the rest is not served");
        let target = "/v2/evil/app/manifests/v1";
        assert!(server.complete(target, &[]).is_some_and(|it| it.0 == 404), "{what}");
        let said = server.said_of(&file).unwrap();
        assert_eq!(said["state"], "live", "{what}: {said}");
        assert_eq!(said["notes"].is_array(), is_said, "{what}: {said}");
    }
}

#[test]
fn of_members_of_one_name_the_last_counts_and_no_wrong_byte_is_sent() {
    let work = tempfile::tempdir().unwrap();
    let content = content();
    let members = members(&content, &work.path().join("root"));
    let all = content.blobs().count() + 2 + 2;
    for (number, (name, bytes)) in members.iter().enumerate() {
        let mut members = members.clone();
        let mut wrong = bytes.clone();
        wrong[bytes.len() / 2] ^= 1;
        members.insert(number + usize::from(name.ends_with("data")), (name.clone(), wrong));
        let file = work.path().join("registry.tar");
        pack(&file, &members);
        let server = Server::open(&work.path().join("registry.tar"));
        let whole = ask(&server, &content, name);
        if name.ends_with("data") {
            assert!(whole < all, "{name}: the last one counts");
        } else {
            assert_eq!(whole, all, "{name}");
        }
    }
}

#[test]
fn links_that_lead_out_are_not_followed() {
    let work = tempfile::tempdir().unwrap();
    let content = content();
    let root = work.path().join("root");
    content.write_registry("quay.io", &root);
    let digest = &content.named("quay.io/lab/app:v2").digest;
    fs::write(work.path().join("outside"), content.bytes(digest)).unwrap();
    fs::write(work.path().join("link"), digest).unwrap();
    let hex = digest.strip_prefix("sha256:").unwrap();
    let blob = root.join(format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]));
    let tags = root.join("docker/registry/v2/repositories/lab/app/_manifests/tags");
    fs::remove_file(&blob).unwrap();
    std::os::unix::fs::symlink(work.path().join("outside"), &blob).unwrap();
    fs::create_dir_all(tags.join("v3/current")).unwrap();
    std::os::unix::fs::symlink(work.path().join("link"), tags.join("v3/current/link")).unwrap();
    let server = Server::open(&root);
    for (tag, status) in [("v1", 200), ("v2", 404), ("v3", 404)] {
        let answer = server.complete(&format!("/v2/lab/app/manifests/{tag}"), &[]);
        assert_eq!(answer.unwrap().0, status, "{tag}");
    }
    let said = server.said_of(&root).unwrap().to_string();
    assert!(said.contains("points out") && said.contains(digest), "{said}");
}
