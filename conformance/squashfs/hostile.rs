//! Damaged images: an error, or files that can be read safely; no panic, and little memory.

use std::env;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use flate2::Crc;
use flate2::write::ZlibEncoder;
use shipperd::bundle::squashfs::{self, completeness, foreign, reader};
use shipperd::bundle::tree::Stored;

use super::foreign::squash;
use super::{NOISE, files, open, write};

/// Where the superblock's numbers are: counts, the length, and each table.
const INODE_COUNT: u64 = 4;
const FRAGMENT_COUNT: u64 = 16;
const BYTES_USED: u64 = 40;
const ID_TABLE: u64 = 48;
const XATTR_TABLE: u64 = 56;
const INODE_TABLE: u64 = 64;
const DIRECTORY_TABLE: u64 = 72;
const FRAGMENT_TABLE: u64 = 80;
const EXPORT_TABLE: u64 = 88;
const TABLES: [u64; 6] =
    [ID_TABLE, XATTR_TABLE, INODE_TABLE, DIRECTORY_TABLE, FRAGMENT_TABLE, EXPORT_TABLE];

/// Reads an image in every way, and what it then seems to hold.
fn read_all(file: &Arc<File>) {
    completeness(file).unwrap();
    let results = [reader::read(file), foreign::read(file), squashfs::read(file)];
    let length = file.metadata().unwrap().len();
    for tree in results.into_iter().flatten() {
        for (path, stored) in tree.below("") {
            let dots = |name: &str| matches!(name, "" | "." | "..");
            assert!(!path.split('/').any(dots), "{path:?}");
            if let Stored::Extent(extent) = stored {
                assert!(extent.offset() + extent.length() <= length, "{path:?}");
            }
            // Only decompression may fail.
            let read = stored.open().unwrap().read_all(4 << 20);
            assert!(read.is_ok() || matches!(stored, Stored::Packed(_)), "{path:?}");
        }
    }
}

/// Small images: one of ours, and one for each compressor.
fn images(directory: &Path) -> Vec<PathBuf> {
    let ours = directory.join("ours");
    write(&ours, &files(20, &[70_000]));
    let root = directory.join("root");
    fs::create_dir_all(root.join("a/b")).unwrap();
    for n in 0..12 {
        fs::write(root.join(format!("a/b/{n}")), &NOISE[..n * 50]).unwrap();
    }
    fs::write(root.join("text"), "all work and no play ".repeat(3000)).unwrap();
    fs::write(root.join("a/zeros"), vec![0; 40_000]).unwrap();
    let mut images = vec![ours];
    for compressor in ["gzip", "xz", "lz4", "zstd"] {
        let image = directory.join(compressor);
        squash(&root, &image, compressor, &["-nopad", "-b", "16K"]);
        images.push(image);
    }
    images
}

fn number(bytes: &[u8], at: u64) -> u64 {
    let at = usize::try_from(at).unwrap();
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// A copy of an image that can be damaged.
fn copy(bytes: &[u8]) -> Arc<File> {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(bytes, 0).unwrap();
    Arc::new(file)
}

#[test]
fn cut_images_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    for image in images(directory.path()) {
        let bytes = fs::read(&image).unwrap();
        let used = usize::try_from(number(&bytes, BYTES_USED)).unwrap();
        let near = |length: usize| length < 200 || used - length < 3000;
        for length in (0..used).filter(|length| near(*length) || length % 997 == 0) {
            let file = copy(&bytes[..length]);
            for read in [reader::read, foreign::read, squashfs::read] {
                assert!(read(&file).is_err(), "{length} of {image:?}");
            }
            // The same when the superblock claims that this is all.
            if length >= 96 {
                file.write_all_at(&(length as u64).to_le_bytes(), BYTES_USED).unwrap();
                read_all(&file);
            }
        }
    }
}

#[test]
fn flipped_bits_do_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    for image in images(directory.path()) {
        let bytes = fs::read(&image).unwrap();
        let tables = number(&bytes, INODE_TABLE);
        let used = number(&bytes, BYTES_USED);
        let file = copy(&bytes);
        let data = (96..tables).step_by(usize::try_from(tables / 50).unwrap());
        for at in (0..96).chain(tables..used).chain(data) {
            let good = bytes[usize::try_from(at).unwrap()];
            for flipped in [good ^ 1, good ^ 0x80, !good, 0] {
                file.write_all_at(&[flipped], at).unwrap();
                read_all(&file);
            }
            file.write_all_at(&[good], at).unwrap();
        }
        assert!(squashfs::read(&file).is_ok(), "all was put right again");
    }
}

/// The directory of images that this process is to read, when it was started for that.
const CHILD: &str = "SHIPPERD_TEST_HOSTILE";

#[test]
fn claims_cost_little_memory() {
    if let Some(directory) = env::var_os(CHILD) {
        for entry in fs::read_dir(directory).unwrap() {
            read_all(&open(&entry.unwrap().path()));
        }
        let status = fs::read_to_string("/proc/self/status").unwrap();
        println!("{}", status.lines().find(|line| line.starts_with("VmHWM")).unwrap());
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let claims = directory.path().join("claims");
    fs::create_dir(&claims).unwrap();
    let images = images(directory.path());
    let mut count = 0;
    let mut claim = |bytes: &[u8], damage: &dyn Fn(&File)| {
        count += 1;
        let path = claims.join(count.to_string());
        fs::write(&path, bytes).unwrap();
        damage(&File::options().write(true).open(path).unwrap());
    };
    let far = 1_u64 << 40;
    for image in &images {
        let bytes = fs::read(image).unwrap();
        for at in [INODE_COUNT, FRAGMENT_COUNT] {
            claim(&bytes, &|file| file.write_all_at(&[0xff; 4], at).unwrap());
        }
        // A file that is long but empty, and tables that are said to fill it.
        for table in TABLES {
            claim(&bytes, &|file| {
                file.set_len(far).unwrap();
                file.write_all_at(&far.to_le_bytes(), BYTES_USED).unwrap();
                file.write_all_at(&(far - 8).to_le_bytes(), table).unwrap();
            });
        }
    }
    let dictionary = large_dictionary(&fs::read(&images[2]).unwrap());
    assert!(squashfs::read(&copy(&dictionary)).is_ok(), "what is claimed is not needed");
    claim(&dictionary, &|_| {});
    let bomb = bomb(&fs::read(&images[1]).unwrap());
    let message = squashfs::read(&copy(&bomb)).unwrap_err().to_string();
    assert!(message.contains("bytes in a table"), "{message}");
    claim(&bomb, &|_| {});

    let output = Command::new(env::current_exe().unwrap())
        .args(["squashfs::hostile::claims_cost_little_memory", "--exact", "--nocapture"])
        .env(CHILD, &claims)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let peak = said.lines().find_map(|line| line.split_once("VmHWM:")).unwrap().1;
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    println!("{count} hostile images read in {} MiB", peak >> 10);
    // One table of 128 MiB is the most that is held.
    assert!(peak < 200 << 10, "{peak} kB");
}

/// An xz image whose blocks all claim to need a dictionary of 4 GiB.
fn large_dictionary(image: &[u8]) -> Vec<u8> {
    let mut image = image.to_vec();
    let magic = [0xfd, b'7', b'z', b'X', b'Z', 0];
    let mut patched = 0;
    for at in 0..image.len() - 24 {
        if image[at..].starts_with(&magic) {
            // A stream header of 12 bytes; a block header: its length, flags, two lengths of
            // seven bits a byte, the filter, the length of its properties, the dictionary.
            let header = at + 12;
            let end = header + 4 * usize::from(image[header]);
            assert_eq!(image[header + 1], 0xc0);
            let mut next = header + 2;
            for _ in 0..2 {
                next += image[next..].iter().take_while(|byte| **byte >= 0x80).count() + 1;
            }
            assert_eq!(image[next..next + 2], [0x21, 1]);
            image[next + 2] = 40;
            let mut crc = Crc::new();
            crc.update(&image[header..end]);
            image[end..end + 4].copy_from_slice(&crc.sum().to_le_bytes());
            patched += 1;
        }
    }
    assert!(patched > 3);
    image
}

/// A gzip image of some 700 KB whose inode table has 250 MB.
fn bomb(image: &[u8]) -> Vec<u8> {
    let tables = number(image, INODE_TABLE);
    let mut block = ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    block.write_all(&[0; 8192]).unwrap();
    let block = block.finish().unwrap();
    let block = [&u16::try_from(block.len()).unwrap().to_le_bytes()[..], &block].concat();
    let bomb = block.repeat(32_000);
    let (front, back) = image.split_at(usize::try_from(tables).unwrap());
    let mut image = [front, &bomb, back].concat();
    let mut shift = |at: u64| {
        let moved = number(&image, at) + bomb.len() as u64;
        let at = usize::try_from(at).unwrap();
        image[at..at + 8].copy_from_slice(&moved.to_le_bytes());
        moved
    };
    shift(BYTES_USED);
    shift(DIRECTORY_TABLE);
    // Of these, each points to a list that points to the table's one block.
    for list in [ID_TABLE, FRAGMENT_TABLE, EXPORT_TABLE] {
        let list = shift(list);
        shift(list);
    }
    image
}
