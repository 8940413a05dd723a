//! Blobs that come in pieces, of wrong lengths and from wrong places.

use futures_util::StreamExt as _;
use shipperd::oci::Digest;
use shipperd::source::Source as _;

use super::scripted::{Scripted, chunked, cut, layer, status, with};
use super::{Reach, app, chain, read, stream_of, whole};

#[tokio::test]
async fn what_breaks_off_is_resumed_by_range() {
    const PIECE: usize = 30_000;
    let registry = Scripted::start(|seen| {
        let size = layer().len();
        match seen.start() {
            None => cut(200, &[], size, layer().slice(..PIECE)),
            Some(start) => {
                let range = format!("bytes {start}-{}/{size}", size - 1);
                let part = layer().slice(start..size.min(start + PIECE));
                cut(206, &[("content-range", &range)], size - start, part)
            }
        }
    })
    .await;
    let remote = Reach::plain(registry.registry()).remote();
    let name = app(registry.registry());
    let digest = Digest::of(&layer());
    let mut bytes = Vec::new();
    let mut failures = 0;
    while bytes.len() < layer().len() {
        let start = bytes.len() as u64;
        let blob = remote.blob(&name, &digest, start..u64::MAX).await.unwrap();
        assert_eq!(blob.size, layer().len() as u64);
        let mut stream = stream_of(blob);
        while let Some(piece) = stream.next().await {
            match piece {
                Ok(piece) => bytes.extend_from_slice(&piece),
                Err(error) => {
                    assert!(error.retryable(), "{error:?}");
                    assert!(error.to_string().starts_with("fetching blob "), "{error}");
                    failures += 1;
                    break;
                }
            }
        }
    }
    assert_eq!(bytes, layer());
    assert_eq!(failures, 3);
}

#[tokio::test]
async fn a_range_that_is_ignored_is_cut_out_here() {
    let registry = Scripted::start(|_| with(200, &[], layer())).await;
    let remote = Reach::plain(registry.registry()).remote();
    let name = app(registry.registry());
    let digest = Digest::of(&layer());
    for range in [1..u64::MAX, 50_000..50_001, 99_999..200_000, 100_000..100_001, 7..7] {
        let blob = remote.blob(&name, &digest, range.clone()).await.unwrap();
        assert_eq!(blob.size, 100_000);
        let place = |place: u64| usize::try_from(place.min(100_000)).unwrap();
        let expected = &layer()[place(range.start)..place(range.end)];
        assert_eq!(read(blob).await.unwrap(), expected, "{range:?}");
    }
}

#[tokio::test]
async fn wrong_ranges_are_refused() {
    for header in [
        "bytes 4-99999/100000",
        "bytes 5-99998/100000",
        "bytes 5-100000/100001",
        "bytes 0-99994/99995",
        "bytes 5-4/100000",
        "bytes 5-18446744073709551615/*",
        "bytes */100000",
        "nonsense",
        "",
    ] {
        let registry = Scripted::start(move |seen| match seen.method.as_str() {
            "HEAD" => with(200, &[], layer()),
            _ => with(206, &[("content-range", header)], layer().slice(5..)),
        })
        .await;
        let remote = Reach::plain(registry.registry()).remote();
        let digest = Digest::of(&layer());
        let outcome = remote.blob(&app(registry.registry()), &digest, 5..u64::MAX).await;
        match outcome {
            Err(error) => assert!(chain(&error).contains("wrong Content-Range"), "{header}"),
            // A size that is wrong in itself can only show in the bytes that do not come.
            Ok(blob) => assert!(read(blob).await.unwrap_err().retryable(), "{header}"),
        }
    }
    // Nothing there, it says, of what is there.
    let registry = Scripted::start(|_| with(416, &[("content-range", "bytes */100000")], "")).await;
    let remote = Reach::plain(registry.registry()).remote();
    let name = app(registry.registry());
    assert!(remote.blob(&name, &Digest::of(b"a"), 5..u64::MAX).await.is_err());
    let past = remote.blob(&name, &Digest::of(b"a"), 100_000..u64::MAX).await.unwrap();
    assert_eq!((past.size, read(past).await.unwrap().len()), (100_000, 0));
}

#[tokio::test]
async fn blobs_without_a_length() {
    for knows in ["HEAD", "range", "nothing"] {
        let registry = Scripted::start(move |seen| match (seen.method.as_str(), knows) {
            ("HEAD", "HEAD") => with(200, &[], layer()),
            ("HEAD", _) => status(405),
            (_, "range") if seen.header("range") == Some("bytes=0-0") => {
                with(206, &[("content-range", "bytes 0-0/100000")], layer().slice(..1))
            }
            _ => chunked(status(200), &layer()),
        })
        .await;
        let remote = Reach::plain(registry.registry()).remote();
        let name = app(registry.registry());
        let outcome = remote.blob(&name, &Digest::of(&layer()), whole()).await;
        if knows == "nothing" {
            assert!(chain(&outcome.unwrap_err()).contains("wrong length"));
            continue;
        }
        let blob = outcome.unwrap();
        assert_eq!(blob.size, 100_000, "{knows}");
        assert_eq!(read(blob).await.unwrap(), layer());
    }
}

#[tokio::test]
async fn a_chunked_blob_that_ends_early() {
    let registry = Scripted::start(|seen| match seen.method.as_str() {
        "HEAD" => with(200, &[], layer()),
        _ => chunked(status(200), &layer().slice(..10)),
    })
    .await;
    let remote = Reach::plain(registry.registry()).remote();
    let blob = remote.blob(&app(registry.registry()), &Digest::of(&layer()), whole()).await;
    let error = read(blob.unwrap()).await.unwrap_err();
    assert!(error.retryable() && chain(&error).contains("99990 bytes early"), "{}", chain(&error));
}
