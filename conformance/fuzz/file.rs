//! Files that exist in memory only.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use rustix::fs::{MemfdFlags, memfd_create};

/// A file with this content.
pub fn holding(bytes: &[u8]) -> File {
    let mut file = File::from(memfd_create("fuzz", MemfdFlags::CLOEXEC).unwrap());
    file.write_all(bytes).unwrap();
    file
}

/// A tar archive of these files.
#[allow(dead_code, reason = "each target uses what it needs")]
pub fn archive(files: &[(&str, &[u8])]) -> File {
    let mut archive = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, path, *bytes).unwrap();
    }
    holding(&archive.into_inner().unwrap())
}

/// A path that opens it.
#[allow(dead_code, reason = "each target uses what it needs")]
pub fn path(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}
