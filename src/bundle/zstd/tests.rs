//! Content of every kind against the decoder of the format's authors; hostile files; indexes.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use ::zstd::stream::Encoder;

use super::*;
use crate::extent::{InMemory, ReadAt as _};

/// Bytes of which an encoder can make nothing smaller.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..length.div_ceil(8)).flat_map(|_| next().to_le_bytes()).take(length).collect()
}

/// Text that becomes half as large.
fn text(seed: u64, length: usize) -> Vec<u8> {
    hex::encode(noise(seed, length.div_ceil(2))).into_bytes()
}

/// All kinds one after the other, and matches that reach far back across bytes kept as they are.
fn mixture() -> Vec<u8> {
    let (one, two) = (noise(1, 700_000), text(2, 300_000));
    [
        &one[..],
        &two,
        &[0; 400_000],
        &two[..200_000],
        &noise(3, 1_200_000),
        &two[100_000..],
        &[7; 131_072],
        &[8; 131_072],
        &text(4, 90_000),
        &noise(5, 131_072 * 3),
        &one[..100_000],
        b"end",
    ]
    .concat()
}

fn memory(bytes: &[u8]) -> Content {
    Content::Packed(Arc::new(InMemory(bytes.to_vec())))
}

fn read(bytes: &[u8]) -> Result<Content, Error> {
    decompressed(&memory(bytes), &Indexes::default())
}

#[track_caller]
fn check(packed: &[u8], expected: &[u8], what: &str) {
    let content = read(packed).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(content.read_all(1 << 30).unwrap() == expected, "{what}");
    let mut state = 1;
    for _ in 0..200 {
        state = noise(state, 8).iter().fold(0, |all, byte| all << 8 | u64::from(*byte));
        let start = usize::try_from(state).unwrap() % (expected.len() + 1);
        let length = usize::try_from(state >> 32).unwrap() % 300_000;
        let end = (start + length).min(expected.len());
        let mut buffer = vec![0; end - start];
        content.read_at(&mut buffer, start as u64).unwrap();
        assert!(buffer == expected[start..end], "{what}: {start}..{end}");
        let slice = content.slice(start as u64, (end - start) as u64).unwrap();
        assert!(slice.read_all(1 << 30).unwrap() == buffer, "{what}: slice {start}..{end}");
    }
    assert!(content.read_at(&mut [0], expected.len() as u64).is_err(), "{what}");
}

fn pack(bytes: &[u8], level: i32, set: impl Fn(&mut Encoder<'_, Vec<u8>>)) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new(), level).unwrap();
    set(&mut encoder);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn whatever_an_encoder_makes_reads_back() {
    let all = mixture();
    for level in [-5, 1, 3, 19] {
        for window in [10, 16, 20] {
            let packed = pack(&all, level, |it| it.window_log(window).unwrap());
            check(&packed, &all, &format!("level {level}, window {window}"));
        }
    }
    let sized = pack(&all, 3, |it| {
        it.include_checksum(true).unwrap();
        it.set_pledged_src_size(Some(all.len() as u64)).unwrap();
        it.include_contentsize(true).unwrap();
    });
    check(&sized, &all, "with its size and a checksum");
    check(&pack(b"", 3, |_| ()), b"", "nothing");
    check(&pack(b"x", 3, |_| ()), b"x", "one byte");
    check(&pack(&[0; 9_000_000], 3, |_| ()), &[0; 9_000_000], "zeros");
}

#[test]
fn frames_follow_one_another_and_some_are_skipped() {
    let all = mixture();
    let mut packed = vec![0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    for piece in all.chunks(250_000) {
        packed.extend(pack(piece, 3, |_| ()));
    }
    packed.extend(pack(b"", 3, |_| ()));
    packed.extend([0x5e, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]);
    check(&packed, &all, "many frames");
}

#[test]
fn what_lies_in_one_block_is_an_extent() {
    let all = noise(1, 1_000_000);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&pack(&all, 3, |_| ())).unwrap();
    let file = Content::Extent(crate::extent::Extent::whole(Arc::new(file)).unwrap());
    let content = decompressed(&file, &Indexes::default()).unwrap();
    let block = 128 << 10;
    let kind = |start, length| {
        let slice = content.slice(start, length).unwrap();
        let (start, length) = (usize::try_from(start).unwrap(), usize::try_from(length).unwrap());
        assert!(slice.read_all(1 << 20).unwrap() == all[start..start + length]);
        matches!(slice, Content::Extent(_))
    };
    assert!(kind(0, block) && kind(block, 10) && kind(3 * block + 5, block - 5));
    assert!(!kind(0, block + 1) && !kind(2 * block - 1, 2));
}

#[test]
fn cut_anywhere_it_is_not_whole() {
    let all = mixture();
    let packed = pack(&all, 3, |it| it.include_checksum(true).unwrap());
    for cut in (1..packed.len()).step_by(packed.len() / 97).chain([packed.len() - 1]) {
        let found = read(&packed[..cut]);
        assert!(matches!(found, Err(Error::NotWhole(_))), "{cut}: {found:?}");
    }
}

#[test]
fn what_is_not_copied_yet_is_not_whole() {
    let all = mixture();
    let frames = all.chunks(500_000).map(|piece| pack(piece, 3, |_| ()));
    let packed = frames.collect::<Vec<_>>();
    let first = packed[0].len();
    let packed = packed.concat();
    for cut in (1..packed.len() - 200).step_by(packed.len() / 97).chain([first, 7]) {
        let mut copied = vec![0; packed.len()];
        copied[..cut].copy_from_slice(&packed[..cut]);
        match read(&copied) {
            Err(Error::NotWhole(_)) => {}
            // Of a block the rest may be missing, which only a decoder or a digest can tell.
            Err(Error::Damaged { .. }) => assert!(cut != first && cut != 7, "{cut}"),
            Ok(_) if cut > packed.len() - (128 << 10) => {}
            other => panic!("{cut}: {other:?}"),
        }
    }
}

#[test]
fn flipped_bits_do_no_harm() {
    let all = [&noise(1, 3000)[..], &text(2, 5000), &[0; 4000]].concat();
    let mut packed = pack(&all, 3, |_| ());
    for position in 0..packed.len() {
        packed[position] ^= 1 << (position % 8);
        if let Ok(content) = read(&packed) {
            assert!(content.length() <= 1 << 20, "{position}");
            content.read_all(1 << 20).unwrap();
        }
        packed[position] ^= 1 << (position % 8);
    }
}

/// A header of a frame with this window descriptor.
fn frame(window: u8, blocks: &[u8]) -> Vec<u8> {
    [&[0x28, 0xb5, 0x2f, 0xfd, 0, window][..], blocks].concat()
}

#[test]
fn hostile_files_are_refused_by_their_headers() {
    let tiny = frame(0x58, &[&[8, 0, 0, b'x'].repeat(300_000)[..], &[1, 0, 0]].concat());
    let empty = frame(0x58, &[&[0, 0, 0].repeat(300_000)[..], &[1, 0, 0]].concat());
    let skipped = [0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0].repeat(300_000);
    let mut claims = [0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff].to_vec();
    claims.extend(frame(0, &[1, 0, 0]));
    for (what, bytes, expected) in [
        ("a huge window", frame(0xf8, &[1, 0, 0]), "wants a window of 2097152 MiB, of at most 128"),
        ("a window that is just too large", frame(0x89, &[1, 0, 0]), "144 MiB"),
        ("a reserved kind", frame(0x58, &[7, 0, 0]), "reserved kind"),
        ("a reserved bit", b"\x28\xb5\x2f\xfd\x08\x58\x01\0\0".to_vec(), "reserved bit"),
        ("a large block", frame(0x58, &[1, 0, 0x20, 0]), "has 262144 bytes, of at most 131072"),
        ("a block larger than its window", frame(0, &[9, 32, 0]), "1025 bytes, of at most 1024"),
        ("a dictionary", b"\x28\xb5\x2f\xfd\x01\x58\x09\x01\0\0".to_vec(), "a dictionary"),
        ("tiny blocks", tiny, "cut into more than"),
        ("empty blocks", empty, "still empty from byte 6 on"),
        ("skipped frames", skipped, "cut into more than"),
        ("a skipped frame of 4 GiB", claims, "within a skippable frame"),
        ("more than the frame", [&frame(0, &[1, 0, 0])[..], b"more"].concat(), "no frame begins"),
        ("no blocks", frame(0x58, &[]), "within the header of a block"),
        ("a bad block", frame(0x58, &[0x1d, 0, 0, 0, 0, 0]), "are damaged"),
        ("another size", b"\x28\xb5\x2f\xfd\x20\x05\x19\0\0abc".to_vec(), "its header says 5"),
    ] {
        let found = read(&bytes).err().unwrap_or_else(|| panic!("{what}"));
        assert!(found.to_string().contains(expected), "{what}: {found}");
    }
}

#[test]
fn a_gigabyte_of_one_byte_takes_no_memory() {
    let blocks = [&[2, 0, 0x10, 0].repeat(8191)[..], &[3, 0, 0x10, 0]].concat();
    let content = read(&frame(0x58, &blocks)).unwrap();
    assert_eq!(content.length(), 1 << 30);
    let mut buffer = [1; 10];
    content.read_at(&mut buffer, (1 << 30) - 10).unwrap();
    assert_eq!(buffer, [0; 10]);
}

/// Content of which more must be decoded than is kept in memory, and its archive.
fn large() -> (Vec<u8>, Vec<u8>) {
    let all = [text(1, 12 << 20), noise(2, 1 << 20)].concat();
    let packed = pack(&all, 1, |_| ());
    (all, packed)
}

fn only(directory: &Path) -> PathBuf {
    let entries: Vec<_> = fs::read_dir(directory).unwrap().map(|it| it.unwrap().path()).collect();
    let [path] = entries.as_slice() else { panic!("{entries:?}") };
    path.clone()
}

#[test]
fn an_index_is_made_once_and_again_when_it_is_not_right() {
    let directory = tempfile::tempdir().unwrap();
    let indexes = directory.path().join("state/indexes");
    let (all, packed) = large();
    let file = memory(&packed);
    let identity = index::identity(&file, &[]).unwrap();
    let kept = Indexes::Kept(indexes.clone());
    let made = map(&file, identity, &kept).unwrap();
    let read = |map: Map| Content::Packed(Arc::new(map)).read_all(1 << 30);
    assert!(read(made).unwrap() == all);
    let path = only(&indexes);
    let load = || index::load(&path, &identity, &file).unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    assert!(read(load().unwrap()).unwrap() == all);
    assert_eq!((only(&indexes), fs::metadata(&path).unwrap().ino()), (path.clone(), inode));

    let bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    for position in [0, 8, 16, 47, 48, 56, 64, 72, 103, last, last - 500] {
        let index = fs::File::options().write(true).open(&path).unwrap();
        index.write_all_at(&[bytes[position] ^ 4], position as u64).unwrap();
        assert!(load().is_none(), "byte {position}");
        index.write_all_at(&[bytes[position]], position as u64).unwrap();
    }
    for length in [0, 100, 128, bytes.len() / 2, last] {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(load().is_none(), "{length} bytes");
    }
    // It is of another state of the file.
    fs::write(&path, &bytes).unwrap();
    let other = index::identity(&file, &[(1, 0)]).unwrap();
    assert!(index::load(&path, &other, &file).unwrap().is_none());
    assert_ne!(index::path(&indexes, &other), path);
    // What was decoded is damaged: nothing of it is given, and the next one makes it anew.
    let index = fs::File::options().write(true).open(&path).unwrap();
    index.write_all_at(&[bytes[5_000_000] ^ 4], 5_000_000).unwrap();
    let damaged = load().unwrap();
    let mut buffer = vec![0; 1 << 20];
    damaged.read_at(&mut buffer, 0).unwrap();
    assert!(buffer == all[..1 << 20]);
    let error = read(damaged).unwrap_err().to_string();
    assert!(error.contains("was damaged and is removed"), "{error}");
    assert!(!path.exists());
    assert!(read(map(&file, identity, &kept).unwrap()).unwrap() == all);
    assert_eq!(only(&indexes), path);
}

#[test]
fn an_index_is_no_copy() {
    let directory = tempfile::tempdir().unwrap();
    let all = text(1, 70 << 20);
    let packed = pack(&all, 1, |_| ());
    let kept = Indexes::Kept(directory.path().join("kept"));
    let refused = decompressed(&memory(&packed), &kept);
    assert!(matches!(refused, Err(Error::Packed)), "{refused:?}");
    assert!(fs::read_dir(directory.path().join("kept")).unwrap().next().is_none());
    let temporary = Indexes::Temporary(directory.path().join("not/yet/there"));
    let content = decompressed(&memory(&packed), &temporary).unwrap();
    assert!(content.read_all(1 << 30).unwrap() == all);
    assert_eq!(only(directory.path()), directory.path().join("kept"), "it has no name");
}

#[test]
fn without_a_place_for_an_index_it_says_which() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, "").unwrap();
    let kept = Indexes::Kept(file.join("indexes"));
    let error = decompressed(&memory(&large().1), &kept).unwrap_err();
    assert!(matches!(&error, Error::Index { path, .. } if path.starts_with(&file)), "{error}");
    // What is little is kept in memory.
    assert!(decompressed(&memory(&pack(&mixture(), 3, |_| ())), &kept).is_ok());
}

#[test]
fn indexes_that_nobody_uses_go() {
    let directory = tempfile::tempdir().unwrap();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(40 * 24 * 3600);
    for (name, stays) in [("old.zidx", false), ("a.1.partial", false), ("notes.txt", true)] {
        let file = fs::File::create(directory.path().join(name)).unwrap();
        file.set_modified(long_ago).unwrap();
        fs::write(directory.path().join(format!("expected-{name}")), stays.to_string()).unwrap();
    }
    decompressed(&memory(&large().1), &Indexes::Kept(directory.path().to_owned())).unwrap();
    for name in ["old.zidx", "a.1.partial", "notes.txt"] {
        let stays = fs::read_to_string(directory.path().join(format!("expected-{name}"))).unwrap();
        assert_eq!(directory.path().join(name).exists().to_string(), stays, "{name}");
    }
}
