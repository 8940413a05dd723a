//! Blobs as they are verified, cut and broken off.

use std::thread;

use shipperd::content::memory::Memory;
use shipperd::oci::{Digest, MediaType};
use shipperd::server::Options;

use super::house::House;

/// Bytes that do not repeat soon.
fn bytes(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn house(blobs: &[(Digest, &[u8])]) -> House {
    let mut memory = Memory::new().unwrap();
    let manifest = r#"{"schemaVersion":2,"config":{"mediaType":"application/x","digest":"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855","size":0},"layers":[]}"#;
    let media_type: MediaType = MediaType::OCI_MANIFEST.parse().unwrap();
    let (repository, tag) = ("a/b".parse().unwrap(), "v1".parse().unwrap());
    memory.insert_manifest(&repository, Some(&tag), &media_type, manifest.as_bytes()).unwrap();
    for (digest, bytes) in blobs {
        memory.insert_blob_as(digest.clone(), bytes).unwrap();
    }
    House::open(memory, Options::default())
}

const SIZES: [usize; 6] = [0, 1, 256 << 10, (256 << 10) + 1, 3 << 20, (5 << 20) + 7];

#[test]
fn whole_blobs_of_every_size_twice() {
    for size in SIZES {
        let content = bytes(size);
        let digest = Digest::of(&content);
        let house = house(&[(digest.clone(), &content)]);
        for _ in 0..2 {
            let answer = house.get(&format!("/v2/a/b/blobs/{digest}"));
            assert_eq!(answer.status, 200);
            assert_eq!(answer.header("content-length"), Some(size.to_string().as_str()));
            assert!(answer.body == content, "{size}");
        }
    }
}

#[test]
fn a_damaged_blob_never_completes_and_is_gone_then() {
    for size in SIZES.into_iter().filter(|size| *size > 0) {
        let good = bytes(size);
        let digest = Digest::of(&good);
        let target = format!("/v2/a/b/blobs/{digest}");
        for at in [0, size / 2, size - 1] {
            let mut bad = good.clone();
            bad[at] ^= 1;
            let house = house(&[(digest.clone(), &bad)]);
            let answer = house.get(&target);
            assert!(answer.status == 404 || !answer.is_complete, "{size} {at}");
            assert!(answer.status == 404 || answer.body.len() < size, "{size} {at}");
            for headers in ["", "Range: bytes=0-0\r\n"] {
                let answer = house.ask("GET", &target, headers);
                assert_eq!(answer.status, 404, "{size} {at}");
                assert!(answer.text().contains("BLOB_UNKNOWN"));
            }
        }
    }
}

#[test]
fn a_range_waits_for_the_verification_that_all_share() {
    let content = bytes(5 << 20);
    let good = Digest::of(&content);
    let mut spoiled = content.clone();
    *spoiled.last_mut().unwrap() ^= 1;
    let bad = Digest::of(b"something else");
    let house = house(&[(good.clone(), &content), (bad.clone(), &spoiled)]);
    thread::scope(|scope| {
        for start in 0..16 {
            let (house, content, good, bad) = (&house, &content, &good, &bad);
            scope.spawn(move || {
                let range = format!("Range: bytes={start}-{}\r\n", start + 99);
                let answer = house.ask("GET", &format!("/v2/a/b/blobs/{good}"), &range);
                assert_eq!(answer.status, 206);
                assert!(answer.body == content[start..start + 100]);
                let answer = house.ask("GET", &format!("/v2/a/b/blobs/{bad}"), &range);
                assert_eq!(answer.status, 404, "{}", answer.text());
            });
        }
    });
}

#[test]
fn many_ranges_come_as_parts() {
    let content = bytes(1 << 20);
    let digest = Digest::of(&content);
    let house = house(&[(digest.clone(), &content)]);
    let target = format!("/v2/a/b/blobs/{digest}");
    let answer = house.ask("GET", &target, "Range: bytes=0-4,1000-600000,-3\r\n");
    assert_eq!(answer.status, 206);
    assert!(answer.is_complete);
    let kind = answer.header("content-type").unwrap();
    let boundary = kind.strip_prefix("multipart/byteranges; boundary=").unwrap();
    let mut expected = Vec::new();
    for (first, last) in [(0, 4), (1000, 600_000), ((1 << 20) - 3, (1 << 20) - 1)] {
        let begin = if first == 0 { "" } else { "\r\n" };
        let head = format!(
            "{begin}--{boundary}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {first}-{last}/1048576\r\n\r\n"
        );
        expected.extend_from_slice(head.as_bytes());
        expected.extend_from_slice(&content[first..=last]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert!(answer.body == expected);
}

#[test]
fn answers_in_a_row_come_in_order() {
    let (long, short) = (bytes((3 << 20) + 5), bytes(100));
    let [long_digest, short_digest] = [Digest::of(&long), Digest::of(&short)];
    let house = house(&[(long_digest.clone(), &long), (short_digest.clone(), &short)]);
    let [long_path, short_path] =
        [&long_digest, &short_digest].map(|digest| format!("/v2/a/b/blobs/{digest}"));
    let mut client = house.connect();
    for _ in 0..3 {
        client.send("GET", &long_path, "");
        client.send("HEAD", &long_path, "");
        client.send("GET", &short_path, "");
        client.send("GET", &long_path, "Range: bytes=1000000-3000000\r\n");
        client.send("GET", &long_path, "Range: bytes=0-99,100000-2999999\r\n");
        client.send("GET", &short_path, "");
        assert!(client.answer(false).body == long);
        assert_eq!(client.answer(true).status, 200);
        assert_eq!(client.answer(false).body, short);
        assert!(client.answer(false).body == long[1_000_000..=3_000_000]);
        let parts = client.answer(false).body;
        let middle = &long[100_000..3_000_000];
        assert!(parts.windows(middle.len()).any(|window| window == middle));
        assert_eq!(client.answer(false).body, short);
    }
}
