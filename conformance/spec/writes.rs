//! end-4 to end-7, end-9 to end-11: everything that would write is refused, whatever comes with it.

use std::time::{Duration, Instant};

use super::wire::{Connection, ask};
use super::{Lab, blob, nobody};

fn check(lab: &Lab, method: &str, target: &str, headers: &[&str]) {
    let answer = ask(lab.address(), method, target, headers);
    assert_eq!(answer.status, 405, "{method} {target}");
    let allow = answer.header("allow").unwrap();
    let allowed: Vec<&str> = allow.split(',').map(str::trim).collect();
    assert_eq!(allowed, ["GET", "HEAD"], "{method} {target}");
    assert_eq!(answer.json()["errors"][0]["code"], "UNSUPPORTED", "{method} {target}");
}

#[test]
fn end_4_to_end_11_are_405_and_say_so() {
    let lab = Lab::open();
    let digest = nobody();
    let uploads = "/v2/lab/app/blobs/uploads/";
    let session = format!("{uploads}0b0e0000-0000-4000-8000-000000000000");
    for (method, target) in [
        ("POST", uploads.to_owned()),
        ("POST", "/v2/lab/app/blobs/uploads".to_owned()),
        ("POST", format!("{uploads}?digest={digest}")),
        ("PATCH", session.clone()),
        ("PUT", format!("{session}?digest={digest}")),
        ("DELETE", session),
        ("PUT", "/v2/lab/app/manifests/v1".to_owned()),
        ("PUT", format!("/v2/lab/app/manifests/{digest}?tag=v1")),
        ("DELETE", "/v2/lab/app/manifests/v1".to_owned()),
        ("DELETE", format!("/v2/lab/app/manifests/{}", lab.app.digest)),
        ("DELETE", blob(&lab.layer)),
        ("POST", format!("{uploads}?mount={digest}&from=lab/docker")),
        ("POST", "/v2/new/name/blobs/uploads/".to_owned()),
        ("POST", "/v2/".to_owned()),
    ] {
        check(&lab, method, &target, &["Content-Length: 0"]);
    }
    assert_eq!(lab.get("/v2/lab/app/tags/list").json()["tags"].as_array().unwrap().len(), 8);
    lab.is_well();
}

#[test]
fn methods_of_every_kind() {
    let lab = Lab::open();
    for method in [
        "OPTIONS", "TRACE", "PROPFIND", "MKCOL", "COPY", "MOVE", "LOCK", "PURGE", "SEARCH", "LINK",
        "get", "Head", "FOO", "G", "GETT", "PRI",
    ] {
        for target in ["/v2/", "/v2/lab/app/manifests/v1"] {
            let answer = ask(lab.address(), method, target, &["Content-Length: 0"]);
            assert_eq!(answer.status, 405, "{method} {target}");
        }
    }
    for method in ["CONNECT / HTTP/1.1\r\n", "G@T", "", " ", "GET\0", "\u{fc}", "GET\tX"] {
        let mut connection = Connection::open(lab.address());
        connection.send(format!("{method} /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")).ok();
        // Refused in words, or hung up on; never taken for something else.
        let status = connection.answer().map_or(400, |answer| answer.status);
        assert!(matches!(status, 400 | 404 | 405), "{method:?}: {status}");
    }
    lab.is_well();
}

#[test]
fn a_body_is_refused_unread() {
    let lab = Lab::open();
    let target = "/v2/lab/app/blobs/uploads/";
    for length in ["1000000000000", "18446744073709551615", "1000"] {
        let asked = Instant::now();
        let mut connection = Connection::open(lab.address());
        let length = format!("Content-Length: {length}");
        connection.request("POST", target, &[&length, "Expect: 100-continue"]).unwrap();
        let answer = connection.answer().unwrap();
        // 100 would invite the terabyte; 2^64-1 is no length to some, and they say so.
        assert!(matches!(answer.status, 405 | 400 | 431), "{length}: {}", answer.status);
        assert!(asked.elapsed() < Duration::from_secs(2), "{length}");
    }
    // It comes all the same: the server hangs up long before the end.
    let mut connection = Connection::open(lab.address());
    connection.request("POST", target, &["Content-Length: 1000000000000"]).unwrap();
    let piece = vec![0; 1 << 20];
    let sent = (0..1024).take_while(|_| connection.send(&piece).is_ok()).count();
    assert!(sent < 64, "{sent} MiB were taken");
    lab.is_well();
}

#[test]
fn a_body_of_a_get_is_not_the_next_request() {
    let lab = Lab::open();
    let hidden = "DELETE /v2/ HTTP/1.1\r\nHost: x\r\n\r\n";
    let length = format!("Content-Length: {}", hidden.len());
    let mut connection = Connection::open(lab.address());
    connection.request("GET", "/v2/lab/app/manifests/v1", &[&length]).unwrap();
    connection.send(hidden).unwrap();
    connection.request("GET", "/v2/lab/none/tags/list", &[]).ok();
    assert_eq!(connection.answer().unwrap().status, 200);
    // The next answer, if the server reads on, is to the request after the body.
    if let Ok(next) = connection.answer() {
        assert_eq!(next.status, 404);
    }
}
