//! end-8a and end-8b: the tags of a repository, and docker's catalog, page by page.

use serde_json::Value;

use super::{Lab, TAGS, signature_tag};

/// The list in an answer that must be 200, and where the next page is.
fn page(lab: &Lab, target: &str) -> (Vec<String>, Option<String>) {
    let answer = lab.get(target);
    assert_eq!(answer.status, 200, "{target}: {}", String::from_utf8_lossy(&answer.body));
    assert_eq!(answer.header("content-type"), Some("application/json"), "{target}");
    let body = answer.json();
    let list = body.get("tags").or(body.get("repositories"));
    let list = list.and_then(Value::as_array).unwrap_or_else(|| panic!("{target}: {body}"));
    let list = list.iter().map(|item| item.as_str().unwrap().to_owned()).collect();
    let next = answer.header("link").map(|link| {
        let (uri, rest) = link.strip_prefix('<').and_then(|link| link.split_once('>')).unwrap();
        assert!(rest.contains("rel=\"next\"") || rest.contains("rel=next"), "{target}: {link}");
        uri.to_owned()
    });
    (list, next)
}

fn all_tags(lab: &Lab) -> Vec<String> {
    let mut tags: Vec<String> = TAGS.map(str::to_owned).into();
    tags.push(signature_tag(&lab.app));
    tags.sort();
    tags
}

#[test]
fn end_8a_all_tags_in_byte_order() {
    let lab = Lab::open();
    for target in [
        "/v2/lab/app/tags/list",
        "/v2/lab/app/tags/list?",
        "/v2/lab/app/tags/list?ns=quay.io",
        "/v2/quay.io/lab/app/tags/list",
        // crane asks so.
        "/v2/lab/app/tags/list?n=1000",
        "/v2/lab/app/tags/list?n=8",
        "/v2/lab/app/tags/list?n=1000000000000000000000000000000",
        "/v2/lab/app/tags/list?last=",
    ] {
        assert_eq!(page(&lab, target), (all_tags(&lab), None), "{target}");
    }
    let body = lab.get("/v2/lab/app/tags/list").json();
    assert_eq!(body["name"], "lab/app");
    assert_eq!(lab.head("/v2/lab/app/tags/list").status, 200);
}

#[test]
fn end_8b_pages_of_every_length_hold_every_tag_once() {
    let lab = Lab::open();
    for n in 1..=9 {
        let mut target = format!("/v2/lab/app/tags/list?n={n}");
        let mut seen = Vec::new();
        loop {
            let (tags, next) = page(&lab, &target);
            assert!(tags.len() <= n, "{target}: {tags:?}");
            seen.extend(tags);
            match next {
                Some(next) => target = resolve(&target, &next),
                None => break,
            }
            assert!(seen.len() <= 8, "{target}: goes round");
        }
        assert_eq!(seen, all_tags(&lab), "n={n}");
    }
}

/// What a link leads to from `base`.
fn resolve(base: &str, link: &str) -> String {
    match link {
        link if link.starts_with('/') => link.to_owned(),
        link if link.starts_with('?') => format!("{}{link}", base.split('?').next().unwrap()),
        other => panic!("a link that is not of this server: {other}"),
    }
}

#[test]
fn end_8b_last_may_be_anything() {
    let lab = Lab::open();
    let all = all_tags(&lab);
    let after = |last: &str| -> Vec<String> {
        all.iter().filter(|tag| tag.as_str() > last).cloned().collect()
    };
    for (last, meant) in [
        // The official suite: everything after a tag in the middle.
        ("v1", "v1"),
        ("latest", "latest"),
        ("V2", "V2"),
        // Not a tag of this repository, or no tag at all.
        ("a-tag-that-is-not-here", "a-tag-that-is-not-here"),
        ("v1.", "v1."),
        ("zzz", "zzz"),
        ("!", "!"),
        ("%76%31", "v1"),
        ("v1%2E0", "v1.0"),
        ("%00", "\0"),
        ("%C3%BC", "ü"),
        ("..%2F..%2Fetc%2Fpasswd", "../../etc/passwd"),
        ("%20", " "),
    ] {
        let (tags, _) = page(&lab, &format!("/v2/lab/app/tags/list?last={last}"));
        assert_eq!(tags, after(meant), "last={last}");
        let (tags, _) = page(&lab, &format!("/v2/lab/app/tags/list?n=2&last={last}"));
        let two: Vec<String> = after(meant).into_iter().take(2).collect();
        assert_eq!(tags, two, "n=2&last={last}");
    }
    let long = format!("/v2/lab/app/tags/list?last={}", "z".repeat(4000));
    assert_eq!(page(&lab, &long), (vec![], None));
}

#[test]
fn end_8b_n_may_be_junk() {
    let lab = Lab::open();
    for target in ["/v2/lab/app/tags/list", "/v2/_catalog"] {
        let (list, _) = page(&lab, &format!("{target}?n=0"));
        assert_eq!(list, Vec::<String>::new(), "{target}?n=0");
        for n in ["-1", "-0", "junk", "1.5", "", "0x10", "+1", "%00", "1e3", "%D9%A1", " "] {
            let answer = lab.get(&format!("{target}?n={}", n.replace(' ', "%20")));
            assert_eq!(answer.status, 400, "{target}?n={n}");
            assert!(answer.json()["errors"][0]["message"].is_string(), "{target}?n={n}");
        }
        for n in ["18446744073709551615", "18446744073709551616", "99999999999999999999999999"] {
            let (list, next) = page(&lab, &format!("{target}?n={n}"));
            assert!(!list.is_empty() && next.is_none(), "{target}?n={n}");
        }
    }
}

#[test]
fn end_8a_a_name_that_is_not_here() {
    let lab = Lab::open();
    for target in ["/v2/lab/none/tags/list", "/v2/lab/tags/list", "/v2/lab/app/x/tags/list"] {
        let answer = lab.get(target);
        assert_eq!(answer.status, 404, "{target}");
        assert_eq!(answer.json()["errors"][0]["code"], "NAME_UNKNOWN", "{target}");
    }
}

#[test]
fn the_catalog_lists_what_can_be_pulled() {
    let lab = Lab::open();
    let (all, next) = page(&lab, "/v2/_catalog");
    assert!(next.is_none());
    let mut sorted = all.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(all, sorted);
    for name in ["lab/app", "lab/docker", "lab/deep/er/path", "library/hello", "lab/twin"] {
        assert!(all.iter().any(|known| known == name), "{name} is not in {all:?}");
    }
    for name in &all {
        assert!(!page(&lab, &format!("/v2/{name}/tags/list")).0.is_empty(), "{name}");
    }
    let mut seen = Vec::new();
    let mut target = "/v2/_catalog?n=2".to_owned();
    loop {
        let (names, next) = page(&lab, &target);
        seen.extend(names);
        let Some(next) = next else { break };
        target = resolve(&target, &next);
        assert!(seen.len() <= all.len(), "{target}: goes round");
    }
    assert_eq!(seen, all);
}
