//! end-1: is this a registry, and of which version.

use super::Lab;

#[test]
fn end_1_ping_is_200_for_whoever_asks() {
    let lab = Lab::open();
    let basic = "Authorization: Basic dXNlcjpwYXNzd29yZA==";
    for headers in [
        &[][..],
        &["Accept: text/html"],
        &[basic],
        &["Authorization: Bearer x.y.z"],
        &["Authorization: junk"],
    ] {
        for target in ["/v2/", "/v2", "/v2/?ns=quay.io"] {
            let answer = lab.get_with(target, headers);
            assert_eq!(answer.status, 200, "{target} {headers:?}");
            assert_eq!(lab.head(target).status, 200, "{target}");
        }
    }
}

#[test]
fn end_1_skopeo_needs_no_sign_of_signatures() {
    let answer = Lab::open().get("/v2/");
    // With it, containers/image asks for /extensions/v2/<name>/signatures.
    assert_eq!(answer.header("x-registry-supports-signatures"), None);
    assert_eq!(answer.header("www-authenticate"), None);
    assert_eq!(answer.header("docker-distribution-api-version"), Some("registry/2.0"));
}

#[test]
fn end_1_nothing_else_is_a_registry() {
    let lab = Lab::open();
    for target in ["/v1/", "/v1/_ping", "/v2x/", "/v2//", "/V2/", "/", "/v3/", "/api/v2/"] {
        assert_eq!(lab.get(target).status, 404, "{target}");
    }
}
