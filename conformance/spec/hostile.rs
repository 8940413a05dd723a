//! Requests that no client of good will sends: answered in words or hung up on, never obeyed.

use super::errors;
use super::wire::Connection;
use super::{Lab, blob, nobody};

/// What may become of a malformed name, tag or digest.
const REFUSED: &[u16] = &[400, 404, 414];

#[test]
fn names_that_are_none() {
    let lab = Lab::open();
    let long = "a".repeat(256);
    let deep = "a/".repeat(200);
    let longest = "a".repeat(4000);
    for name in [
        "..",
        ".",
        "../lab/app",
        "lab/../lab/app",
        "lab/./app",
        "lab//app",
        "/lab/app",
        "lab/app/",
        "%2e%2e",
        "%2e%2e/lab/app",
        "lab/%2e%2e/app",
        "%2E%2E%2Flab",
        "..%2f..%2fetc",
        "%252e%252e",
        "..%5c..%5c",
        "..\\..\\etc",
        "%2flab%2fapp",
        "lab%2f%2fapp",
        "lab%00app",
        "%00",
        "lab/app%00",
        "%ff%fe",
        "lab/%c0%ae%c0%ae/app",
        "%e2%80%ae",
        "l%c3%a4b",
        "LAB/app",
        "lab/App",
        "-lab",
        "lab-",
        "lab/-app",
        "lab/app-",
        "_lab",
        "lab_",
        "lab___app",
        "lab..app",
        "lab._app",
        ".lab",
        "lab.",
        "lab:app",
        "lab@app",
        "lab app",
        "lab%20app",
        "lab+app",
        "lab~app",
        "lab*",
        "lab$(id)",
        "lab'or'1",
        "lab%0d%0aX-Injected:%201",
        "lab%0aapp",
        "%",
        "lab%",
        "lab%2",
        "lab%zz",
        "lab%u0041",
        "etc/passwd%00.json",
        &long,
        &deep,
        &longest,
        "\u{e4}",
        "%7f",
    ] {
        for rest in ["manifests/v1", "tags/list", &format!("blobs/{}", lab.layer.digest)] {
            let target = format!("/v2/{name}/{rest}");
            if target.contains([' ', '\u{e4}']) {
                continue;
            }
            errors::check(&lab, "GET", &target, REFUSED);
        }
    }
    lab.is_well();
}

#[test]
fn digests_that_are_none() {
    let lab = Lab::open();
    let hex = lab.layer.digest.strip_prefix("sha256:").unwrap();
    let upper = hex.to_uppercase();
    for digest in [
        "sha256:",
        "sha256:totallywrong",
        ":",
        "sha256",
        "sha256:..",
        "sha256:%00",
        "md5:00",
        ":abc",
        &format!("sha256:{}", &hex[1..]),
        &format!("sha256:{hex}0"),
        &format!("sha256:{}g", &hex[1..]),
        &format!("sha256:{upper}"),
        &format!("SHA256:{hex}"),
        &format!("sha512:{hex}"),
        &format!("sha256+b64:{hex}"),
        &format!("sha256:{hex}:{hex}"),
        &format!("sha256:{hex}%00"),
        &format!("sha256:{hex}%0a"),
        &format!("%20sha256:{hex}"),
        &format!("sha256:{}", "0".repeat(5000)),
        &format!("sha256:%2e%2e%2f{}", &hex[6..]),
        &format!("sha256/{hex}"),
        hex,
    ] {
        errors::check(&lab, "GET", &format!("/v2/lab/app/blobs/{digest}"), REFUSED);
        errors::check(&lab, "GET", &format!("/v2/lab/app/manifests/{digest}"), REFUSED);
        errors::check(&lab, "GET", &format!("/v2/lab/app/referrers/{digest}"), REFUSED);
    }
    lab.is_well();
}

#[test]
fn tags_that_are_none() {
    let lab = Lab::open();
    let long = "a".repeat(129);
    for tag in [
        ".v1",
        "-v1",
        "v1%20",
        "%20v1",
        "v1%2f..",
        "..",
        "%2e%2e",
        "v1%00",
        "v1%0d%0aX:%20y",
        "v1*",
        "v1~",
        "v%c3%bc",
        "%ff",
        "v1%",
        &long,
        "index.json%00",
        "v1;v2",
        "v1,v2",
        "",
    ] {
        errors::check(&lab, "GET", &format!("/v2/lab/app/manifests/{tag}"), REFUSED);
    }
    errors::check(&lab, "GET", &format!("/v2/lab/app/manifests/{}", "a".repeat(128)), &[404]);
}

#[test]
fn nothing_of_the_disk_is_reached() {
    let lab = Lab::open();
    for target in [
        "/../../../../etc/passwd",
        "/v2/../../../../etc/passwd",
        "/v2/lab/app/blobs/../../../index.json",
        "/v2/lab/app/blobs/..%2f..%2f..%2findex.json",
        "/v2/lab/app/manifests/../../../oci-layout",
        "/index.json",
        "/oci-layout",
        "/blobs/sha256/",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/v2/%2e%2e/%2e%2e/etc/passwd",
        "/readyz/../v2/lab/app/tags/list",
    ] {
        let answer = lab.get(target);
        assert!(matches!(answer.status, 400 | 404), "{target}: {}", answer.status);
        let body = String::from_utf8_lossy(&answer.body);
        assert!(
            !body.contains("root:") && !body.contains("imageLayoutVersion"),
            "{target}: {body}"
        );
    }
}

#[test]
fn nothing_asked_comes_back_as_a_header() {
    let lab = Lab::open();
    for target in [
        "/v2/lab/app/tags/list?n=1&last=%0d%0aX-Injected:%201",
        "/v2/lab/app/tags/list?n=1&last=a%3e%3b%20rel%3d%22x%22",
        "/v2/_catalog?n=1&last=%0d%0aX-Injected:%201",
        "/v2/lab%0d%0aX-Injected:%201/tags/list?n=1",
        "/v2/lab/app/manifests/v1?ns=%0d%0aX-Injected:%201",
    ] {
        let answer = lab.get(target);
        assert_eq!(answer.header("x-injected"), None, "{target}");
        if let Some(link) = answer.header("link") {
            assert_eq!(link.matches('>').count(), 1, "{target}: {link}");
        }
    }
}

/// What may become of bytes on a connection.
enum Fate {
    /// The first answer has one of these statuses; or, with 0, the server hangs up unheard.
    First(&'static [u16]),
    /// Exactly these answers come.
    All(&'static [u16]),
}

use Fate::{All, First};

fn check(lab: &Lab, bytes: &[u8], fate: &Fate) {
    let mut connection = Connection::open(lab.address());
    connection.send(bytes).ok();
    let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]);
    // Nothing more will come: a server that waits for more must not wait for ever.
    connection.socket().shutdown(std::net::Shutdown::Write).ok();
    match fate {
        First(statuses) => {
            let status = connection.answer().map_or(0, |answer| answer.status);
            assert!(statuses.contains(&status), "{shown:?}: {status}");
        }
        All(statuses) => {
            for status in *statuses {
                let answer = connection.answer().unwrap_or_else(|e| panic!("{shown:?}: {e}"));
                assert_eq!(answer.status, *status, "{shown:?}");
            }
            assert!(connection.answer().is_err(), "{shown:?}: one answer too many");
        }
    }
}

#[test]
fn bytes_that_are_hardly_http() {
    let lab = Lab::open();
    let h2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let tls = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let get = "GET /v2/lab/app/tags/list HTTP/1.1\r\nHost: x\r\n";
    let with = |lines: &str| format!("{get}{lines}\r\n").into_bytes();
    for (bytes, fate) in [
        (with(""), All(&[200])),
        (b"\r\n\r\nGET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), First(&[200, 400])),
        // Bare line feeds: an old client's way, taken or refused, never half.
        (b"GET /v2/ HTTP/1.1\nHost: x\n\n".to_vec(), First(&[200, 400])),
        (b"GET /v2/ HTTP/1.1\rHost: x\r\r".to_vec(), First(&[400, 0])),
        (b"GET /v2/ HTTP/1.0\r\n\r\n".to_vec(), All(&[200])),
        (b"GET /v2/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".to_vec(), All(&[200])),
        (b"GET /v2/\r\n\r\n".to_vec(), First(&[400, 0])),
        (b"GET /v2/ HTTP/0.9\r\nHost: x\r\n\r\n".to_vec(), First(&[400, 505, 0])),
        (b"GET /v2/ HTTP/1.2\r\nHost: x\r\n\r\n".to_vec(), First(&[400, 505, 0])),
        (b"GET /v2/ HTTP/9.9\r\nHost: x\r\n\r\n".to_vec(), First(&[400, 505, 0])),
        (b"GET /v2/ JUNK\r\n\r\n".to_vec(), First(&[400, 0])),
        (b"GET  /v2/  HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), First(&[400, 0])),
        (b"GET /v2/ HTTP/1.1\r\n\r\n".to_vec(), First(&[400])),
        (b"GET http://h/v2/lab/app/tags/list HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), All(&[200])),
        (b"GET file:///etc/passwd HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), First(&[400, 404])),
        (b"GET * HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), First(&[400, 404])),
        (b"GET v2/ HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(), First(&[400, 404])),
        (b"GET /v2/ HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n".to_vec(), First(&[200, 400])),
        (b"GET /v2/\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), First(&[400, 404])),
        (b"GET /v2/\0 HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), First(&[400, 0])),
        (b"GET /v2/#fragment HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), First(&[200, 400, 404])),
        (with("A: b\r\n folded: c\r\n"), First(&[400, 0])),
        (with(" A: b\r\n"), First(&[400, 0])),
        (with("A : b\r\n"), First(&[400, 0])),
        (with(": b\r\n"), First(&[400, 0])),
        (with("no colon\r\n"), First(&[400, 0])),
        (with("A: \0\r\n"), First(&[400, 0])),
        (with("\u{fc}: b\r\n"), First(&[400, 0])),
        (with("A: \u{fc}\r\n"), All(&[200])),
        (with("Range: bytes=0-1\r\nRange: bytes=2-3\r\n"), All(&[200])),
        (
            with(
                "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n",
            ),
            First(&[200]),
        ),
        (with("Upgrade: websocket\r\nConnection: Upgrade\r\n"), First(&[200])),
        (with("Content-Length: -1\r\n"), First(&[400, 0])),
        (with("Content-Length: 1, 2\r\n"), First(&[400, 0])),
        (with("Content-Length: 1\r\nContent-Length: 2\r\n"), First(&[400, 0])),
        (with("Content-Length: +1\r\n"), First(&[400, 0])),
        (with("Content-Length: 0x10\r\n"), First(&[400, 0])),
        (with("Content-Length: 99999999999999999999999\r\n"), First(&[400, 0])),
        (with("Transfer-Encoding: junk\r\n"), First(&[200, 400, 501, 0])),
        (with("Transfer-Encoding: chunked, identity\r\n"), First(&[400, 501, 0])),
        (h2.to_vec(), First(&[400, 405, 505, 0])),
        (tls.to_vec(), First(&[400, 0])),
        (b"\0\0\0\0\0\0\0\0\r\n\r\n".to_vec(), First(&[400, 0])),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), First(&[400, 0])),
        (Vec::new(), First(&[0])),
        (b"GET".to_vec(), First(&[400, 0])),
        (get.as_bytes().to_vec(), First(&[400, 408, 0])),
    ] {
        check(&lab, &bytes, &fate);
    }
    lab.is_well();
}

#[test]
fn no_request_is_smuggled_in_another() {
    let lab = Lab::open();
    let inner = "GET /v2/lab/app/manifests/v1 HTTP/1.1\r\nHost: x\r\n\r\n";
    for lines in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {}\r\n\r\n0\r\n\r\n", inner.len()),
        "Transfer-Encoding: xchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n".to_owned(),
        "Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n".to_owned(),
        "Content-Length: 0\r\nContent-Length: 5\r\n\r\n".to_owned(),
    ] {
        let mut connection = Connection::open(lab.address());
        let outer =
            format!("POST /v2/lab/app/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n{lines}{inner}");
        connection.send(&outer).ok();
        let status = connection.answer().map_or(0, |answer| answer.status);
        assert!(matches!(status, 0 | 400 | 405 | 501), "{lines:?}: {status}");
        // Two lengths: a proxy in front may have seen another end, so nothing may follow.
        let next = connection.answer().map_or(0, |answer| answer.status);
        assert!(matches!(next, 0 | 400), "{lines:?}: then {next}");
    }
    lab.is_well();
}

#[test]
fn a_hundred_requests_in_one_breath() {
    let lab = Lab::open();
    let mut connection = Connection::open(lab.address());
    let unknown = nobody();
    let one = |number: usize| match number % 4 {
        0 => ("GET", "/v2/lab/app/manifests/v1".to_owned(), 200),
        1 => ("HEAD", "/v2/lab/app/manifests/v1".to_owned(), 200),
        2 => ("GET", format!("/v2/lab/app/blobs/{unknown}"), 404),
        _ => ("GET", blob(&lab.app), 200),
    };
    let text: String = (0..100)
        .map(|number| {
            let (method, target, _) = one(number);
            format!("{method} {target} HTTP/1.1\r\nHost: x\r\n\r\n")
        })
        .collect();
    connection.send(text).unwrap();
    for number in 0..100 {
        let (method, target, status) = one(number);
        let answer =
            if method == "HEAD" { connection.head() } else { connection.answer() }.unwrap();
        assert_eq!(answer.status, status, "{number}: {method} {target}");
        assert!(
            method == "HEAD" || status == 404 || answer.body == lab.bytes(&lab.app),
            "{number}"
        );
    }
}
