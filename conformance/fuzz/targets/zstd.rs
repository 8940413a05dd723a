//! A file in zstd frames, read in place; where the decoder of the format's authors takes it, too,
//! both give the same.
#![no_main]

use std::io::Read as _;

use libfuzzer_sys::fuzz_target;
use shipperd::bundle::zstd::{Indexes, decompressed};
use shipperd::extent::{Content, Extent};

#[path = "../file.rs"]
mod file;

/// How much is compared: with less than a window nothing is left out on the way to the decoder.
const COMPARED: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let extent = Extent::whole(file::holding(bytes).into()).unwrap();
    let Ok(content) = decompressed(&Content::Extent(extent), &Indexes::default()) else { return };
    let mut buffer = vec![0; 300_000];
    let mut length = 0;
    // What a few bytes stand for is read in part: they may stand for a terabyte.
    while length < content.length().min(4 * COMPARED) {
        let piece = usize::try_from(content.length() - length).unwrap_or(usize::MAX);
        let piece = piece.min(buffer.len());
        content.read_at(&mut buffer[..piece], length).unwrap();
        length += piece as u64;
    }
    assert!(content.read_at(&mut [0], content.length()).is_err());
    if content.length() > COMPARED {
        return;
    }
    let ours = content.read_all(COMPARED).unwrap();
    let mut theirs = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(bytes).unwrap();
    // It looks at checksums, and stops at what it does not know.
    if decoder.take(COMPARED + 1).read_to_end(&mut theirs).is_ok() {
        assert!(ours == theirs);
    }
});
