//! end-2 and end-3: blobs and manifests, whole, as every client asks for them.

use super::wire::{Answer, ask};
use super::{Lab, blob, nobody, signature_tag};
use crate::fixtures::{Descriptor, media};

/// Requires that GET and HEAD of `target` answer exactly what `expected` names.
fn check(lab: &Lab, target: &str, headers: &[&str], expected: &Descriptor) {
    let got = lab.get_with(target, headers);
    assert_eq!(got.status, 200, "{target} {headers:?}: {}", String::from_utf8_lossy(&got.body));
    assert!(got.body == lab.bytes(expected), "{target}: other bytes");
    let head = ask(lab.address(), "HEAD", target, headers);
    assert_eq!(head.status, 200, "HEAD {target} {headers:?}");
    for answer in [&got, &head] {
        describes(answer, expected, target);
    }
}

fn describes(answer: &Answer, expected: &Descriptor, target: &str) {
    let length = expected.size.to_string();
    let is_blob = target.contains("/blobs/");
    let media_type = if is_blob { "application/octet-stream" } else { &expected.media_type };
    for (name, value) in [
        ("content-type", media_type),
        ("content-length", &length),
        ("docker-content-digest", &expected.digest),
    ] {
        assert_eq!(answer.header(name), Some(value), "{target}: {name}");
    }
    for name in ["content-encoding", "transfer-encoding", "location"] {
        assert_eq!(answer.header(name), None, "{target}: {name}");
    }
}

#[test]
fn end_3_manifest_by_tag_has_type_length_and_digest() {
    let lab = Lab::open();
    let [deep, hello] = ["quay.io/lab/deep/er/path:v1", "docker.io/library/hello:v1"]
        .map(|reference| lab.content.named(reference));
    for (target, expected) in [
        ("/v2/lab/app/manifests/v1", &lab.app),
        ("/v2/lab/app/manifests/V2", &lab.app),
        ("/v2/lab/app/manifests/_x", &lab.app),
        ("/v2/lab/docker/manifests/v1", &lab.list),
        ("/v2/lab/docker/manifests/single", &lab.docker),
        ("/v2/lab/deep/er/path/manifests/v1", deep),
        ("/v2/library/hello/manifests/v1", hello),
    ] {
        check(&lab, target, &[], expected);
    }
}

#[test]
fn end_3_manifest_by_digest_under_any_name() {
    let lab = Lab::open();
    for manifest in [&lab.app, &lab.child, &lab.list, &lab.docker, &lab.referrers[0]] {
        for name in ["lab/app", "openshift/lab/app", "some/mirror/prefix/app", "x"] {
            check(&lab, &format!("/v2/{name}/manifests/{}", manifest.digest), &[], manifest);
        }
    }
}

#[test]
fn end_3_stored_bytes_whatever_is_accepted() {
    let lab = Lab::open();
    let skopeo = [media::MANIFEST, media::DOCKER_MANIFEST, media::INDEX, media::DOCKER_LIST];
    let skopeo = skopeo.map(|media_type| format!("Accept: {media_type}"));
    let skopeo: Vec<&str> = skopeo.iter().map(String::as_str).collect();
    let containerd = format!("Accept: {}, */*", media::MANIFEST);
    let oci_only = format!("Accept: {}, {}", media::INDEX, media::MANIFEST);
    for accept in [
        &[][..],
        &skopeo,
        &[containerd.as_str()],
        &[oci_only.as_str()],
        &["Accept: application/vnd.docker.distribution.manifest.v1+prettyjws"],
        &["Accept: text/html;q=0.9"],
        &["Accept: */*;q=0"],
        &["Accept: ,,;junk"],
        &["Accept:"],
    ] {
        check(&lab, "/v2/lab/app/manifests/v1", accept, &lab.app);
        check(&lab, "/v2/lab/docker/manifests/v1", accept, &lab.list);
    }
}

#[test]
fn end_3_unknown_manifests_are_404() {
    let lab = Lab::open();
    let unknown = nobody();
    for (target, code) in [
        ("/v2/lab/app/manifests/no-such-tag".to_owned(), "MANIFEST_UNKNOWN"),
        (format!("/v2/lab/app/manifests/{unknown}"), "MANIFEST_UNKNOWN"),
        ("/v2/no/such/name/manifests/v1".to_owned(), "NAME_UNKNOWN"),
        // A layer is no manifest.
        (format!("/v2/lab/app/manifests/{}", lab.layer.digest), "MANIFEST_UNKNOWN"),
    ] {
        let answer = lab.get(&target);
        assert_eq!(answer.status, 404, "{target}");
        assert_eq!(answer.json()["errors"][0]["code"], code, "{target}");
        assert_eq!(lab.head(&target).status, 404, "HEAD {target}");
    }
}

#[test]
fn end_2_blob_has_length_and_digest() {
    let lab = Lab::open();
    for name in ["lab/app", "any/other/name"] {
        // A manifest is a blob, too.
        for blob in [&lab.layer, &lab.empty, &lab.app] {
            let target = format!("/v2/{name}/blobs/{}", blob.digest);
            check(&lab, &target, &[], blob);
            check(&lab, &target, &["Accept: application/vnd.oci.image.layer.v1.tar, */*"], blob);
        }
    }
    let answer = lab.get(&format!("/v2/lab/app/blobs/{}", nobody()));
    assert_eq!((answer.status, &answer.json()["errors"][0]["code"]), (404, &"BLOB_UNKNOWN".into()));
}

#[test]
fn end_2_every_blob_of_every_image_has_its_bytes() {
    let lab = Lab::open();
    let mut seen = 0;
    for (_, root) in lab.content.references() {
        for digest in lab.content.closure(&root.digest) {
            let answer = lab.get(&format!("/v2/lab/app/blobs/{digest}"));
            assert_eq!(answer.status, 200, "{digest}");
            assert!(answer.body == lab.content.bytes(&digest), "{digest}: other bytes");
            seen += 1;
        }
    }
    assert!(seen > 50, "{seen} blobs");
}

#[test]
fn go_clients_offer_gzip_and_get_what_is_stored() {
    let lab = Lab::open();
    for encoding in ["gzip", "gzip, deflate, br, zstd", "identity;q=0", "*;q=0"] {
        let header = format!("Accept-Encoding: {encoding}");
        check(&lab, &blob(&lab.layer), &[&header], &lab.layer);
        check(&lab, "/v2/lab/app/manifests/v1", &[&header], &lab.app);
    }
}

#[test]
fn containerd_names_the_upstream_in_ns() {
    let lab = Lab::open();
    let [quay, other] = ["quay.io/lab/twin:v1", "registry.test:5000/lab/twin:v1"]
        .map(|reference| lab.content.named(reference));
    for (target, expected) in [
        ("/v2/lab/twin/manifests/v1?ns=quay.io", quay),
        ("/v2/lab/twin/manifests/v1?ns=registry.test:5000", other),
        ("/v2/lab/twin/manifests/v1?ns=registry.test%3A5000", other),
        ("/v2/lab/twin/manifests/v1?x=1&ns=quay.io&y", quay),
        ("/v2/quay.io/lab/twin/manifests/v1", quay),
        ("/v2/hello/manifests/v1?ns=docker.io", lab.content.named("docker.io/library/hello:v1")),
        ("/v2/docker.io/hello/manifests/v1", lab.content.named("docker.io/library/hello:v1")),
    ] {
        check(&lab, target, &[], expected);
    }
    check(&lab, &format!("{}?ns=nowhere.test", blob(&lab.layer)), &[], &lab.layer);
}

#[test]
fn clients_may_encode_and_ask_for_more_than_we_know() {
    let lab = Lab::open();
    let encoded = lab.app.digest.replace(':', "%3A");
    for target in [
        format!("/v2/lab/app/manifests/{encoded}"),
        format!("/v2/lab/app/manifests/{}", lab.app.digest.replace(':', "%3a")),
        "/v2/lab%2Fapp/manifests/v1".to_owned(),
        "/v2/lab/app/manifests/%761".to_owned(),
        "/v2/lab/app/manifests/v1?".to_owned(),
        "/v2/lab/app/manifests/v1?a=b&&c=%20&=".to_owned(),
    ] {
        check(&lab, &target, &[], &lab.app);
    }
}

#[test]
fn cosign_finds_signatures_by_their_tag() {
    let lab = Lab::open();
    let tag = signature_tag(&lab.app);
    let signature = lab.content.named(&format!("quay.io/lab/app:{tag}"));
    check(&lab, &format!("/v2/lab/app/manifests/{tag}"), &[], signature);
}
