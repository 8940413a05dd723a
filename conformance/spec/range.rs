//! end-2 with `Range`: a part of a blob, exactly that part, or a plain refusal.
//!
//! <https://www.rfc-editor.org/rfc/rfc9110#section-14>

use std::ops::Range;

use super::wire::{Answer, ask};
use super::{Lab, blob, nobody};

/// The size of the blob that parts are asked of.
const SIZE: usize = 1 << 20;

/// What a header is worth.
#[derive(Debug)]
enum Expected {
    /// 206 with one part.
    Part(Range<usize>),
    /// 206 with several parts.
    Parts(Vec<Range<usize>>),
    /// 200 with everything: the header means nothing here.
    Whole,
    /// 416 with the size.
    Refused,
}

use Expected::{Part, Parts, Refused, Whole};

fn check(lab: &Lab, header: &str, expected: &Expected) {
    let whole = lab.bytes(&lab.layer);
    let answer = lab.get_with(&blob(&lab.layer), &[&format!("Range: {header}")]);
    let shown: String = header.chars().take(60).collect();
    match expected {
        Part(range) => {
            assert_eq!(answer.status, 206, "{shown}");
            let content_range = format!("bytes {}-{}/{SIZE}", range.start, range.end - 1);
            assert_eq!(answer.header("content-range"), Some(content_range.as_str()), "{shown}");
            assert_eq!(answer.header("content-encoding"), None, "{shown}");
            assert!(answer.body == whole[range.clone()], "{shown}: other bytes");
        }
        Parts(ranges) => {
            assert_eq!(answer.status, 206, "{shown}");
            let parts = parts(&answer);
            assert_eq!(parts.len(), ranges.len(), "{shown}");
            for ((content_range, body), range) in parts.iter().zip(ranges) {
                let expected = format!("bytes {}-{}/{SIZE}", range.start, range.end - 1);
                assert_eq!(content_range, &expected, "{shown}");
                assert!(body == &whole[range.clone()], "{shown}: other bytes at {expected}");
            }
        }
        Whole => {
            assert_eq!(answer.status, 200, "{shown}");
            assert!(answer.body == whole, "{shown}: other bytes");
        }
        Refused => {
            assert_eq!(answer.status, 416, "{shown}");
            let content_range = format!("bytes */{SIZE}");
            assert_eq!(answer.header("content-range"), Some(content_range.as_str()), "{shown}");
            assert!(answer.json()["errors"][0]["code"].is_string(), "{shown}");
        }
    }
}

/// The parts of a multipart/byteranges body: their `Content-Range` and bytes.
fn parts(answer: &Answer) -> Vec<(String, Vec<u8>)> {
    let media_type = answer.header("content-type").unwrap();
    let boundary = media_type.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let delimiter = format!("\r\n--{boundary}").into_bytes();
    let mut rest: Vec<u8> = b"\r\n".iter().chain(&answer.body).copied().collect();
    let mut parts = Vec::new();
    loop {
        assert!(rest.starts_with(&delimiter), "no delimiter where a part ends");
        rest.drain(..delimiter.len());
        if rest == b"--\r\n" {
            return parts;
        }
        let end = rest.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(rest.drain(..end + 4).collect()).unwrap();
        let line = head.lines().find_map(|line| line.strip_prefix("Content-Range: ")).unwrap();
        let (first, last) = line.trim_start_matches("bytes ").split_once('-').unwrap();
        let (last, _) = last.split_once('/').unwrap();
        let length = last.parse::<usize>().unwrap() + 1 - first.parse::<usize>().unwrap();
        parts.push((line.to_owned(), rest.drain(..length).collect()));
    }
}

#[test]
fn end_2_every_edge_of_a_range() {
    let lab = Lab::open();
    for (header, expected) in [
        ("bytes=500-1499", Part(500..1500)),
        ("bytes=0-0", Part(0..1)),
        ("bytes=0-", Part(0..SIZE)),
        ("bytes=0-1048575", Part(0..SIZE)),
        ("bytes=1048575-", Part(SIZE - 1..SIZE)),
        ("bytes=1048575-1048575", Part(SIZE - 1..SIZE)),
        ("bytes=262143-262145", Part(262_143..262_146)),
        ("bytes=-1", Part(SIZE - 1..SIZE)),
        ("bytes=-1048576", Part(0..SIZE)),
        ("bytes=-9999999", Part(0..SIZE)),
        ("bytes=1000000-9999999", Part(1_000_000..SIZE)),
        ("bytes=7-18446744073709551615", Part(7..SIZE)),
        ("bytes=7-18446744073709551616", Part(7..SIZE)),
        ("bytes=7-9999999999999999999999999999999999", Part(7..SIZE)),
        ("BYTES=1-2", Part(1..3)),
        ("bytes= 1-2", Part(1..3)),
        ("bytes=1-2 ", Part(1..3)),
        ("bytes=00001-00002", Part(1..3)),
        ("bytes=,1-2,", Part(1..3)),
        ("bytes=1-2,1048576-", Part(1..3)),
        ("bytes=-0", Refused),
        ("bytes=1048576-", Refused),
        ("bytes=1048576-1048577", Refused),
        ("bytes=9223372036854775807-", Refused),
        ("bytes=9223372036854775808-9223372036854775809", Refused),
        ("bytes=18446744073709551615-18446744073709551615", Refused),
        ("bytes=99999999999999999999999999-", Refused),
        ("bytes=5-2", Refused),
        ("bytes=--1", Refused),
        ("bytes=-1-", Refused),
        ("bytes=1--2", Refused),
        ("bytes=-", Refused),
        ("bytes=", Refused),
        ("bytes", Refused),
        ("bytes=abc", Refused),
        ("bytes=a-b", Refused),
        ("bytes=0x1-0x2", Refused),
        ("bytes=1.5-2", Refused),
        ("bytes=+1-2", Refused),
        ("bytes=1 - 2", Refused),
        ("bytes=1-2;3-4", Refused),
        ("bytes=1-2,junk", Refused),
        ("", Refused),
        ("1-2", Refused),
        ("items=0-1", Whole),
        ("pages=1-2", Whole),
    ] {
        check(&lab, header, &expected);
    }
}

#[test]
fn end_2_many_ranges_as_zstd_chunked_asks_for_them() {
    let lab = Lab::open();
    for (header, expected) in [
        ("bytes=0-9,20-29", Parts(vec![0..10, 20..30])),
        ("bytes=20-29, 0-9", Parts(vec![20..30, 0..10])),
        ("bytes=0-9,\t10-19 ,-5", Parts(vec![0..10, 10..20, SIZE - 5..SIZE])),
        ("bytes=0-9,1048576-,20-29", Parts(vec![0..10, 20..30])),
        ("bytes=0-9,5-14", Parts(vec![0..10, 5..15])),
        ("bytes=0-700000,300000-", Refused),
        ("bytes=0-,0-,0-,0-", Refused),
        ("bytes=1048576-,2000000-", Refused),
    ] {
        check(&lab, header, &expected);
    }
}

#[test]
fn end_2_a_thousand_ranges() {
    let lab = Lab::open();
    for (count, served) in [(1000, true), (1024, true), (1025, false), (8000, false)] {
        let ranges: Vec<Range<usize>> = (0..count).map(|n| n * 100..n * 100 + 10).collect();
        let texts: Vec<String> =
            ranges.iter().map(|range| format!("{}-{}", range.start, range.end - 1)).collect();
        let header = format!("bytes={}", texts.join(","));
        let target = blob(&lab.layer);
        if served {
            check(&lab, &header, &Parts(ranges));
        } else {
            let answer = lab.get_with(&target, &[&format!("Range: {header}")]);
            assert!(matches!(answer.status, 416 | 431), "{count}: {}", answer.status);
        }
    }
}

#[test]
fn end_2_any_part_is_that_part() {
    let lab = Lab::open();
    let mut seed = 12_345_u64;
    let mut draw = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).unwrap() % below
    };
    for _ in 0..100 {
        let start = draw(SIZE);
        let end = start + 1 + draw(SIZE - start);
        check(&lab, &format!("bytes={start}-{}", end - 1), &Part(start..end));
        check(&lab, &format!("bytes={start}-"), &Part(start..SIZE));
        check(&lab, &format!("bytes=-{}", SIZE - start), &Part(start..SIZE));
    }
}

#[test]
fn regctl_resumes_to_one_byte_past_the_end() {
    check(&Lab::open(), &format!("bytes=400000-{SIZE}"), &Part(400_000..SIZE));
}

#[test]
fn containerd_resumes_with_an_open_range() {
    check(&Lab::open(), "bytes=400000-", &Part(400_000..SIZE));
}

#[test]
fn docker_resumes_by_all_and_skopeo_by_what_is_left() {
    let lab = Lab::open();
    check(&lab, "bytes=0-", &Part(0..SIZE));
    // A 200 here makes containers/image give up, and so it must not come.
    check(&lab, &format!("bytes={}-", SIZE - 1), &Part(SIZE - 1..SIZE));
}

#[test]
fn end_2_an_empty_blob_has_no_parts() {
    let lab = Lab::open();
    for header in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0"] {
        let answer = lab.get_with(&blob(&lab.empty), &[&format!("Range: {header}")]);
        assert_eq!(answer.status, 416, "{header}");
        assert_eq!(answer.header("content-range"), Some("bytes */0"), "{header}");
    }
}

#[test]
fn end_2_only_get_has_ranges() {
    let lab = Lab::open();
    let head = ask(lab.address(), "HEAD", &blob(&lab.layer), &["Range: bytes=1-2"]);
    assert_eq!((head.status, head.header("content-length")), (200, Some("1048576")));
    assert_eq!(head.header("accept-ranges"), Some("bytes"));
    let unknown = format!("/v2/lab/app/blobs/{}", nobody());
    assert_eq!(lab.get_with(&unknown, &["Range: bytes=1-2"]).status, 404);
    let manifest = lab.get_with("/v2/lab/app/manifests/v1", &["Range: bytes=1-2"]);
    assert_eq!((manifest.status, manifest.body.as_slice()), (200, lab.bytes(&lab.app)));
}

#[test]
fn end_2_two_range_headers_are_not_guessed_at() {
    let lab = Lab::open();
    let both = &["Range: bytes=0-9", "Range: bytes=20-29"];
    let answer = lab.get_with(&blob(&lab.layer), both);
    let whole = lab.bytes(&lab.layer);
    match answer.status {
        200 => assert!(answer.body == whole),
        206 if answer.header("content-range") == Some("bytes 0-9/1048576") => {
            assert!(answer.body == whole[0..10]);
        }
        206 => assert_eq!(parts(&answer).len(), 2),
        status => assert!(matches!(status, 400 | 416), "{status}"),
    }
}
