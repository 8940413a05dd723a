//! Bundles are squashfs images: as the kernel, `unsquashfs` and shipperd see them.
//!
//! Needs squashfs-tools. Tests that mount say `skipped: …` where mounting is not permitted.
#![expect(clippy::indexing_slicing, clippy::panic, reason = "tests fail by panicking")]
#![expect(clippy::print_stdout, reason = "what was skipped or measured is said aloud")]

mod foreign;
mod hostile;
mod kernel;
mod profile;

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::LazyLock;
use std::thread;

use shipperd::bundle::squashfs::{Layout, Space, Writer};
use shipperd::bundle::tree::{Stored, Tree};

const MIB: usize = 1 << 20;

/// Two equal MiB of noise.
static NOISE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 1_u64;
    let mut noise = Vec::with_capacity(2 * MIB);
    while noise.len() < MIB {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        noise.extend_from_slice(&state.to_be_bytes()[..4]);
    }
    noise.extend_from_within(..);
    noise
});

/// What MiB number `mib` of file number `file` holds, if it is that long.
fn content(file: usize, mib: usize) -> &'static [u8] {
    let shift = (file * 7919 + mib * 4099) % MIB;
    &NOISE[shift..shift + MIB]
}

/// The parts of file number `file`: where they begin, and their bytes.
fn parts(file: usize, size: u64) -> impl Iterator<Item = (u64, &'static [u8])> {
    let size = usize::try_from(size).unwrap();
    (0..size.div_ceil(MIB)).map(move |mib| {
        let length = MIB.min(size - mib * MIB);
        ((mib * MIB) as u64, &content(file, mib)[..length])
    })
}

/// The files of a bundle: so many small ones, and `blobs` of the sizes given.
fn files(small: usize, blobs: &[u64]) -> Vec<(String, u64)> {
    let mut files = vec![("oci-layout".to_owned(), 31), ("index.json".to_owned(), 0)];
    files.extend((0..small).map(|n| {
        let name =
            format!("blobs/sha256/{:016x}{n:048x}", (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        (name, n as u64 * 7 % 3000)
    }));
    files.extend(
        blobs.iter().enumerate().map(|(n, size)| (format!("blobs/sha512/{n:0128x}"), *size)),
    );
    files.push(("shipperd/a/b/c/record.json".to_owned(), 5));
    files
}

/// Writes a bundle of `files` from two threads, the later files first.
fn write(path: &Path, files: &[(String, u64)]) {
    let layout = Layout::plan(files.to_vec()).unwrap();
    let size = layout.image_size();
    let writer = Writer::create(path, layout, 1_700_000_000, Space::Reserve).unwrap();
    thread::scope(|scope| {
        for odd in [0, 1] {
            let writer = &writer;
            scope.spawn(move || {
                for (index, (_, size)) in files.iter().enumerate().rev() {
                    if index % 2 == odd {
                        for (position, bytes) in parts(index, *size) {
                            writer.write_at(index, position, bytes).unwrap();
                        }
                    }
                }
            });
        }
    });
    writer.finish().unwrap();
    assert_eq!(path.metadata().unwrap().len(), size);
}

/// Checks that a tree holds just `files`.
fn assert_tree(tree: &Tree, files: &[(String, u64)]) {
    assert_eq!(tree.len(), files.len());
    for (index, (path, size)) in files.iter().enumerate() {
        let stored = tree.get(path).unwrap();
        assert_eq!(stored.length(), *size, "{path}");
        let bytes = stored.open().unwrap();
        let mut buffer = vec![0; MIB];
        for (position, expected) in parts(index, *size) {
            let buffer = &mut buffer[..expected.len()];
            bytes.read_at(buffer, position).unwrap();
            assert!(buffer == expected, "{path} at {position}");
        }
    }
}

/// Checks that a directory of the system holds just `files`.
fn assert_directory(root: &Path, files: &[(String, u64)]) {
    // In the order of the names the kernel reads each metadata block once.
    let mut sorted: Vec<_> = files.iter().enumerate().collect();
    sorted.sort_unstable_by_key(|(_, (path, _))| path);
    for (index, (path, size)) in sorted {
        let file = Stored::Path(Arc::new(root.join(path)), *size).open().unwrap();
        let mut buffer = vec![0; MIB];
        for (position, expected) in parts(index, *size) {
            let buffer = &mut buffer[..expected.len()];
            file.read_at(buffer, position).unwrap();
            assert!(buffer == expected, "{path} at {position}");
        }
    }
    assert_eq!(count(root), files.len());
}

/// The number of files below a directory.
fn count(root: &Path) -> usize {
    let mut found = 0;
    for entry in root.read_dir().unwrap() {
        let entry = entry.unwrap();
        found += if entry.file_type().unwrap().is_dir() { count(&entry.path()) } else { 1 };
    }
    found
}

fn open(path: &Path) -> Arc<File> {
    Arc::new(File::open(path).unwrap())
}

/// Runs a tool that must be there.
fn run(tool: &str, arguments: &[&std::ffi::OsStr]) -> Output {
    Command::new(tool).args(arguments).output().unwrap_or_else(|error| {
        panic!("cannot run {tool}: {error}; install squashfs-tools and mount")
    })
}
