//! Images made by mksquashfs in any way, read through the foreign reader.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::thread;

use rustix::fs::{Mode, XattrFlags, mkfifoat, setxattr};
use shipperd::bundle::squashfs::{self, Completeness, completeness, foreign, reader};
use shipperd::bundle::tree::{Stored, Tree};

use super::{MIB, NOISE, open, run};

const COMPRESSORS: [&str; 6] = ["gzip", "lzma", "lzo", "xz", "lz4", "zstd"];

/// Ways to call mksquashfs.
const WAYS: [&[&str]; 9] = [
    &[],
    &["-no-fragments"],
    &["-no-fragments", "-no-sparse", "-noI", "-noD", "-noF", "-noX"],
    &["-noI", "-noD", "-noF", "-noX"],
    &["-noD", "-always-use-fragments"],
    &["-b", "4K"],
    &["-b", "1M", "-tailends"],
    &["-nopad", "-no-exports", "-no-duplicates"],
    &["-no-xattrs", "-all-root", "-noId"],
];

/// Files that each way stores differently.
fn source() -> BTreeMap<String, Vec<u8>> {
    let text: Vec<u8> =
        (0..60_000).flat_map(|n: u32| format!("line {n} of it\n").into_bytes()).collect();
    let zeros = vec![0; 700_000];
    let mut mixed = [&text[..MIB / 2], &zeros, &NOISE[..300_000], &zeros].concat();
    mixed.push(1);
    let mut files = BTreeMap::from([
        ("empty".to_owned(), vec![]),
        ("zeros".to_owned(), vec![0; 3 * MIB]),
        ("a/noise".to_owned(), NOISE[5..MIB].to_vec()),
        ("a/same".to_owned(), NOISE[5..MIB].to_vec()),
        ("a/aligned".to_owned(), text[..2 << 17].to_vec()),
        ("a/b/mixed".to_owned(), mixed),
        ("a/b/text".to_owned(), text),
    ]);
    files.extend((0..300).map(|n| (format!("small/{n:03}-é"), NOISE[n..n + n * 7].to_vec())));
    files
}

/// The source, and nodes that are none of files.
fn plant(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = source();
    for (path, bytes) in &files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    fs::hard_link(root.join("a/b/text"), root.join("linked")).unwrap();
    files.insert("linked".to_owned(), files["a/b/text"].clone());
    fs::create_dir(root.join("nothing")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", root.join("outside")).unwrap();
    std::os::unix::fs::symlink("a", root.join("inside")).unwrap();
    mkfifoat(rustix::fs::CWD, root.join("pipe"), Mode::RUSR).unwrap();
    if let Err(error) = setxattr(root.join("a/noise"), "user.note", b"value", XattrFlags::empty()) {
        println!("skipped: an image with extended attributes: {error}");
    }
    files
}

/// Makes an image of a directory.
pub(super) fn squash(root: &Path, image: &Path, compressor: &str, way: &[&str]) {
    let options = ["-comp", compressor, "-noappend", "-no-progress", "-quiet", "-processors", "1"];
    let arguments = [root.as_os_str(), image.as_os_str()]
        .into_iter()
        .chain(options.iter().chain(way).map(OsStr::new))
        .collect::<Vec<_>>();
    let output = run("mksquashfs", &arguments);
    assert!(output.status.success(), "{way:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Checks every file, whole and in parts.
fn assert_equal(tree: &Tree, files: &BTreeMap<String, Vec<u8>>, what: &str) {
    let found: Vec<&str> = tree.below("").map(|(path, _)| path).collect();
    assert_eq!(found, files.keys().collect::<Vec<_>>(), "{what}");
    for (path, expected) in files {
        let content = tree.get(path).unwrap().open().unwrap();
        let length = expected.len();
        assert!(content.read_all(u64::MAX).unwrap() == *expected, "{path} of {what}");
        assert!(content.read_at(&mut [0], length as u64).is_err());
        assert!(content.read_at(&mut [0; 2], u64::MAX).is_err());
        for n in 0..10 {
            let begin = (n * 104_729 + length / 3) % (length + 1);
            let end = (begin + n * n * 9_973).min(length);
            let mut part = vec![9; end - begin];
            content.read_at(&mut part, begin as u64).unwrap();
            assert!(part == expected[begin..end], "{path} from {begin} to {end} of {what}");
        }
    }
}

#[test]
fn any_compressor_in_any_way() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("source");
    let files = plant(&root);
    thread::scope(|scope| {
        for compressors in COMPRESSORS.chunks(2) {
            let (directory, root, files) = (&directory, &root, &files);
            scope.spawn(move || {
                for compressor in compressors {
                    for way in WAYS {
                        let image = directory.path().join(compressor);
                        squash(root, &image, compressor, way);
                        let tree = squashfs::read(&open(&image)).unwrap();
                        assert_equal(&tree, files, &format!("{compressor} {way:?}"));
                        assert_eq!(completeness(&open(&image)).unwrap(), Completeness::Whole);
                    }
                }
            });
        }
    });
}

#[test]
fn what_lies_in_one_run_is_an_extent() {
    let directory = tempfile::tempdir().unwrap();
    let (root, image) = (directory.path().join("source"), directory.path().join("image"));
    let files = plant(&root);
    squash(&root, &image, "zstd", WAYS[2]);
    let tree = foreign::read(&open(&image)).unwrap();
    assert!(tree.below("").all(|(_, stored)| matches!(stored, Stored::Extent(_))));
    squash(&root, &image, "zstd", WAYS[3]);
    let tree = foreign::read(&open(&image)).unwrap();
    let packed = |path: &&String| !matches!(tree.get(path), Some(Stored::Extent(_)));
    let packed: Vec<&String> = files.keys().filter(packed).collect();
    assert_eq!(packed, ["a/b/mixed", "zeros"], "those with holes");
    // Hard links cost nothing.
    squash(&root, &image, "zstd", WAYS[0]);
    let tree = foreign::read(&open(&image)).unwrap();
    let [Some(Stored::Packed(one)), Some(Stored::Packed(two))] =
        ["linked", "a/b/text"].map(|path| tree.get(path))
    else {
        panic!("compressed files are packed");
    };
    assert!(std::sync::Arc::ptr_eq(one, two));
}

#[test]
fn other_compressors_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let (root, image) = (directory.path().join("source"), directory.path().join("image"));
    fs::create_dir(&root).unwrap();
    squash(&root, &image, "gzip", &[]);
    let mut bytes = fs::read(&image).unwrap();
    bytes[20] = 7;
    fs::write(&image, bytes).unwrap();
    let message = squashfs::read(&open(&image)).unwrap_err().to_string();
    let expected = "images compressed with the unknown compressor 7 are not supported";
    assert!(message.starts_with(expected) && message.contains("`unsquashfs`"), "{message}");
}

#[test]
fn many_read_one_image() {
    let directory = tempfile::tempdir().unwrap();
    let (root, image) = (directory.path().join("source"), directory.path().join("image"));
    let files = plant(&root);
    squash(&root, &image, "zstd", WAYS[6]);
    let tree = squashfs::read(&open(&image)).unwrap();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_equal(&tree, &files, "one image"));
        }
    });
}

#[test]
fn our_own_profile_is_one_of_many() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("bundle.sqfs");
    let files = super::files(300, &[5 << 20]);
    super::write(&image, &files);
    for read in [foreign::read, reader::read, squashfs::read] {
        let tree = read(&open(&image)).unwrap();
        super::assert_tree(&tree, &files);
        assert!(tree.below("").all(|(_, stored)| matches!(stored, Stored::Extent(_))));
    }
}
