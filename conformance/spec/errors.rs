//! Errors: the specification's JSON everywhere, with a code that fits.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes>

use super::wire::ask;
use super::{Lab, nobody};

/// The table of the specification, and what registries add to it.
const CODES: [&str; 15] = [
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "SIZE_INVALID",
    "UNAUTHORIZED",
    "DENIED",
    "UNSUPPORTED",
    "TOOMANYREQUESTS",
    "UNKNOWN",
];

/// Requires an error of one of these statuses, with a body that a client can show.
pub(super) fn check(lab: &Lab, method: &str, target: &str, statuses: &[u16]) -> String {
    let answer = ask(lab.address(), method, target, &[]);
    let shown: String = target.chars().take(100).collect();
    assert!(statuses.contains(&answer.status), "{method} {shown}: {}", answer.status);
    assert_eq!(answer.header("content-type"), Some("application/json"), "{method} {shown}");
    let body = answer.json();
    let errors = body["errors"].as_array().unwrap();
    assert!(!errors.is_empty(), "{method} {shown}: {body}");
    for error in errors {
        assert!(CODES.contains(&error["code"].as_str().unwrap()), "{method} {shown}: {body}");
        let message = error["message"].as_str().unwrap();
        assert!(!message.is_empty() && message.len() < 1000, "{method} {shown}: {message:?}");
    }
    errors[0]["code"].as_str().unwrap().to_owned()
}

#[test]
fn every_error_has_its_code() {
    let lab = Lab::open();
    let nobody = nobody();
    for (target, status, code) in [
        (format!("/v2/lab/app/blobs/{nobody}"), 404, "BLOB_UNKNOWN"),
        (format!("/v2/lab/app/manifests/{nobody}"), 404, "MANIFEST_UNKNOWN"),
        ("/v2/lab/app/manifests/none".into(), 404, "MANIFEST_UNKNOWN"),
        ("/v2/lab/none/manifests/v1".into(), 404, "NAME_UNKNOWN"),
        ("/v2/lab/none/tags/list".into(), 404, "NAME_UNKNOWN"),
        ("/v2/LAB/app/tags/list".into(), 400, "NAME_INVALID"),
        ("/v2/lab/app/blobs/sha256:totallywrong".into(), 400, "DIGEST_INVALID"),
        ("/v2/lab/app/manifests/sha256:totallywrong".into(), 400, "DIGEST_INVALID"),
        ("/v2/lab/app/referrers/sha256:totallywrong".into(), 400, "DIGEST_INVALID"),
        (format!("/v2/lab/app/manifests/{}", "a".repeat(129)), 400, "MANIFEST_INVALID"),
    ] {
        assert_eq!(check(&lab, "GET", &target, &[status]), code, "{target}");
        let head = lab.head(&target);
        assert_eq!(head.status, status, "HEAD {target}");
    }
}

#[test]
fn an_error_keeps_the_connection() {
    let lab = Lab::open();
    let mut connection = super::wire::Connection::open(lab.address());
    for _ in 0..10 {
        for (target, status) in [
            ("/v2/lab/none/manifests/v1", 404),
            ("/v2/LAB/app/tags/list", 400),
            ("/v2/lab/app/manifests/v1", 200),
        ] {
            connection.request("GET", target, &[]).unwrap();
            assert_eq!(connection.answer().unwrap().status, status, "{target}");
        }
    }
}
