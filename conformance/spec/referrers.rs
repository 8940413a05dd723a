//! end-12a and end-12b: what refers to a manifest.

use super::wire::Answer;
use super::{Lab, SBOM, SCAN, nobody};
use crate::fixtures::media;

/// The digests listed, of an answer that must be an index.
fn listed(answer: &Answer, target: &str) -> Vec<String> {
    assert_eq!(answer.status, 200, "{target}");
    assert_eq!(answer.header("content-type"), Some(media::INDEX), "{target}");
    let body = answer.json();
    assert_eq!(body["schemaVersion"], 2, "{target}");
    assert_eq!(body["mediaType"], media::INDEX, "{target}");
    let manifests = body["manifests"].as_array().unwrap();
    let mut digests: Vec<String> =
        manifests.iter().map(|it| it["digest"].as_str().unwrap().to_owned()).collect();
    digests.sort();
    digests
}

#[test]
fn end_12a_lists_what_refers_to_a_manifest() {
    let lab = Lab::open();
    let target = format!("/v2/lab/app/referrers/{}", lab.app.digest);
    let answer = lab.get(&target);
    let mut expected = lab.referrers.each_ref().map(|it| it.digest.clone());
    expected.sort();
    assert_eq!(listed(&answer, &target), expected);
    assert_eq!(answer.header("oci-filters-applied"), None);
    for referrer in answer.json()["manifests"].as_array().unwrap() {
        let known = lab.referrers.iter().find(|it| it.digest == referrer["digest"]).unwrap();
        assert_eq!(referrer["mediaType"], media::MANIFEST);
        assert_eq!(referrer["size"], known.size);
        assert_eq!(referrer["artifactType"], known.artifact_type.as_deref().unwrap());
    }
    assert_eq!(lab.head(&target).status, 200);
}

#[test]
fn end_12a_nothing_refers_to_what_nobody_knows() {
    let lab = Lab::open();
    let nobody = nobody();
    for digest in [
        nobody.as_str(),
        &format!("sha512:{}", "0".repeat(128)),
        &lab.child.digest,
        &lab.layer.digest,
    ] {
        let target = format!("/v2/lab/app/referrers/{digest}");
        assert_eq!(listed(&lab.get(&target), &target), Vec::<String>::new());
    }
}

#[test]
fn end_12b_filters_by_artifact_type() {
    let lab = Lab::open();
    let [sbom, scan] = &lab.referrers;
    for (filter, expected) in [
        (SBOM, vec![&sbom.digest]),
        (SCAN, vec![&scan.digest]),
        ("application%2Fvnd.example.sbom.v1", vec![&sbom.digest]),
        ("application/vnd.example.none.v1", vec![]),
        ("APPLICATION", vec![]),
        ("%00", vec![]),
    ] {
        let target = format!("/v2/lab/app/referrers/{}?artifactType={filter}", lab.app.digest);
        let answer = lab.get(&target);
        let expected: Vec<String> = expected.into_iter().cloned().collect();
        assert_eq!(listed(&answer, &target), expected, "{target}");
        assert_eq!(answer.header("oci-filters-applied"), Some("artifactType"), "{target}");
    }
}

#[test]
fn end_12a_a_malformed_digest_is_refused() {
    let lab = Lab::open();
    for digest in ["sha256:totallywrong", "sha256:", "latest", "md5:00", "..", "sha256:%00"] {
        let answer = lab.get(&format!("/v2/lab/app/referrers/{digest}"));
        assert!(matches!(answer.status, 400 | 404), "{digest}: {}", answer.status);
        assert!(answer.json()["errors"][0]["code"].is_string(), "{digest}");
    }
}

#[test]
fn regctl_and_oras_may_fall_back_to_a_tag() {
    let lab = Lab::open();
    // There is none in this content, and that is all that must be said.
    let tag = lab.app.digest.replace(':', "-");
    let answer = lab.get(&format!("/v2/lab/app/manifests/{tag}"));
    assert_eq!(
        (answer.status, &answer.json()["errors"][0]["code"]),
        (404, &"MANIFEST_UNKNOWN".into())
    );
}
