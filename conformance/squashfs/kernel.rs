//! What the writer makes, through the kernel and `unsquashfs`.

use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{Advice, fadvise};
use shipperd::bundle::squashfs::{Layout, Space, Writer, foreign, reader};
use tempfile::TempDir;

use super::{assert_directory, assert_tree, files, open, run, write};

/// An image mounted by the kernel until it is dropped.
struct Mount {
    at: TempDir,
}

impl Mount {
    /// Mounts an image, or says why that is not possible here.
    fn new(image: &Path) -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        let options = ["-t", "squashfs", "-o", "loop,ro"].map(AsRef::as_ref);
        let arguments = [&options[..], &[image.as_os_str(), at.path().as_os_str()]].concat();
        let output = run("mount", &arguments);
        if output.status.success() {
            return Some(Self { at });
        }
        let message = String::from_utf8_lossy(&output.stderr);
        let denied = ["must be superuser", "only root", "permission denied", "loop device"];
        assert!(denied.iter().any(|reason| message.contains(reason)), "{message}");
        println!("skipped: mounting is not possible here: {}", message.trim());
        None
    }

    fn path(&self) -> &Path {
        self.at.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let output = run("umount", &[self.at.path().as_os_str()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn kernel_and_tools_see_what_was_written() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("bundle.sqfs");
    let mib = 1 << 20;
    let sizes = [8 << 10, 64 << 10, mib - 1, mib, mib + 1, 10 << 20, 100 << 20, 1 << 30];
    let files = files(20_000, &sizes);
    write(&image, &files);

    assert_tree(&reader::read(&open(&image)).unwrap(), &files);
    assert_tree(&foreign::read(&open(&image)).unwrap(), &files);
    if let Some(mount) = Mount::new(&image) {
        assert_directory(mount.path(), &files);
        let metadata = mount.path().join("index.json").metadata().unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.uid(), metadata.gid()), (0o644, 0, 0));
        assert_eq!(metadata.mtime(), 1_700_000_000);
        let metadata = mount.path().join("blobs").metadata().unwrap();
        assert_eq!((metadata.mode() & 0o7777, metadata.nlink()), (0o755, 4));
    }
    let extracted = directory.path().join("extracted");
    unsquash(&image, &extracted);
    assert_directory(&extracted, &files);
}

fn unsquash(image: &Path, to: &Path) {
    let options = ["-no-progress", "-dest"].map(AsRef::as_ref);
    let output = run("unsquashfs", &[&options[..], &[to.as_os_str(), image.as_os_str()]].concat());
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && message.is_empty(), "{message}");
}

#[test]
fn fifty_thousand_names_are_looked_up_cold() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("bundle.sqfs");
    let files = files(50_000, &[]);
    write(&image, &files);

    let started = Instant::now();
    let tree = reader::read(&open(&image)).unwrap();
    println!("{} files read in {:?}", tree.len(), started.elapsed());
    assert_eq!(tree.len(), files.len());

    // What was written is on the disk already, so its pages can be dropped.
    fadvise(open(&image), 0, None, Advice::DontNeed).unwrap();
    for wanted in [0, 1, 2, 3, 4].map(|n| 2 + n * 11_111) {
        let (path, size) = &files[wanted];
        let Some(mount) = Mount::new(&image) else { return };
        let path = mount.path().join(path);
        let started = Instant::now();
        let found = path.metadata().unwrap();
        println!("looked up cold in {:?}", started.elapsed());
        assert_eq!(found.len(), *size);
        let missing = path.with_file_name("missing").metadata().unwrap_err();
        assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    }
}

#[test]
fn a_tebibyte_has_its_first_and_last_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("bundle.sqfs");
    let tebibyte = 1_u64 << 40;
    let files = [("first", 8), ("huge", tebibyte), ("last", 9)];
    let files = files.map(|(path, size)| (path.to_owned(), size)).to_vec();
    let layout = Layout::plan(files).unwrap();
    let writer = Writer::create(&image, layout, 0, Space::Sparse).unwrap();
    writer.write_at(0, 0, b"in front").unwrap();
    writer.write_at(1, 0, b"begin").unwrap();
    writer.write_at(1, tebibyte - 3, b"end").unwrap();
    writer.write_at(2, 0, b"past that").unwrap();
    writer.finish().unwrap();
    assert!(image.metadata().unwrap().blocks() * 512 < 64 << 20, "the file should be sparse");

    let check = |length: u64, read: &dyn Fn(&mut [u8], u64)| {
        assert_eq!(length, tebibyte);
        for (position, expected) in [(0, *b"begin"), (tebibyte - 5, *b"\0\0end")] {
            let mut found = [1; 5];
            read(&mut found, position);
            assert_eq!(found, expected);
        }
    };
    let tree = reader::read(&open(&image)).unwrap();
    let huge = tree.get("huge").unwrap().open().unwrap();
    check(huge.length(), &|buffer, position| huge.read_at(buffer, position).unwrap());
    if let Some(mount) = Mount::new(&image) {
        let path: PathBuf = mount.path().join("huge");
        let file = File::open(&path).unwrap();
        check(path.metadata().unwrap().len(), &|buffer, position| {
            file.read_exact_at(buffer, position).unwrap();
        });
        assert_eq!(std::fs::read(mount.path().join("last")).unwrap(), b"past that");
    }
}
