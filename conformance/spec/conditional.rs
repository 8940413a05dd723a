//! `If-None-Match` and `If-Range`: the entity tag is the digest, which never changes.
//!
//! <https://www.rfc-editor.org/rfc/rfc9110#section-13>

use super::wire::ask;
use super::{Lab, blob, nobody};

#[test]
fn end_2_and_end_3_not_modified() {
    let lab = Lab::open();
    let other = nobody();
    for (target, digest) in [
        (blob(&lab.layer), &lab.layer.digest),
        ("/v2/lab/app/manifests/v1".to_owned(), &lab.app.digest),
        (format!("/v2/lab/app/manifests/{}", lab.app.digest), &lab.app.digest),
    ] {
        for (value, matches) in [
            (format!("\"{digest}\""), true),
            (format!("W/\"{digest}\""), true),
            (format!("\"{other}\", \"{digest}\""), true),
            (format!("\"{other}\",W/\"{digest}\" "), true),
            ("*".to_owned(), true),
            (format!("\"{other}\""), false),
            ("\"\"".to_owned(), false),
            (",,,".to_owned(), false),
        ] {
            let header = format!("If-None-Match: {value}");
            for method in ["GET", "HEAD"] {
                let answer = ask(lab.address(), method, &target, &[&header]);
                let expected = if matches { 304 } else { 200 };
                assert_eq!(answer.status, expected, "{method} {target} {header}");
                let tag = format!("\"{digest}\"");
                assert_eq!(answer.header("etag"), Some(tag.as_str()), "{method} {target}");
                assert!(!matches || answer.body.is_empty(), "{method} {target} {header}");
            }
        }
    }
}

#[test]
fn end_2_what_is_not_here_is_404_whatever_the_condition() {
    let lab = Lab::open();
    let digest = nobody();
    for (target, condition) in [
        (format!("/v2/lab/app/blobs/{digest}"), format!("If-None-Match: \"{digest}\"")),
        (format!("/v2/lab/app/blobs/{digest}"), "If-None-Match: *".to_owned()),
        (format!("/v2/lab/app/manifests/{digest}"), format!("If-None-Match: \"{digest}\"")),
        ("/v2/lab/app/manifests/none".to_owned(), "If-None-Match: *".to_owned()),
    ] {
        assert_eq!(lab.get_with(&target, &[&condition]).status, 404, "{target} {condition}");
    }
}

#[test]
fn end_2_if_range_guards_a_part() {
    let lab = Lab::open();
    let digest = &lab.layer.digest;
    for (value, part) in [
        (format!("\"{digest}\""), true),
        // A part must not be glued to what is only like it: weak tags do not count.
        (format!("W/\"{digest}\""), false),
        (format!("\"{}\"", nobody()), false),
        ("Wed, 21 Oct 2015 07:28:00 GMT".to_owned(), false),
        ("junk".to_owned(), false),
    ] {
        let headers = ["Range: bytes=10-19".to_owned(), format!("If-Range: {value}")];
        let headers = headers.each_ref().map(String::as_str);
        let answer = lab.get_with(&blob(&lab.layer), &headers);
        let whole = lab.bytes(&lab.layer);
        let (status, bytes) = if part { (206, &whole[10..20]) } else { (200, whole) };
        assert_eq!(answer.status, status, "{value}");
        assert!(answer.body == bytes, "{value}: other bytes");
    }
}

#[test]
fn end_2_dates_do_not_matter() {
    let lab = Lab::open();
    for header in [
        "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT",
        "If-Modified-Since: junk",
        "If-None-Match: \u{ff}\u{fe}",
    ] {
        let answer = lab.get_with(&blob(&lab.layer), &[header]);
        assert_eq!(answer.status, 200, "{header}");
        assert!(answer.body == lab.bytes(&lab.layer), "{header}: other bytes");
    }
}
