//! What trees of files are packed into.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::program::{program, run};

/// Left as it is.
#[expect(clippy::unnecessary_wraps, reason = "others need a program that may not be here")]
pub(super) fn directory(tree: &Path, into: &Path, name: &str) -> Option<PathBuf> {
    let path = into.join(name);
    fs::create_dir(&path).unwrap();
    // With its links, hard ones too.
    run(Command::new("cp").arg("-a").arg(tree.join(".")).arg(&path));
    Some(path)
}

/// By GNU tar.
#[expect(clippy::unnecessary_wraps, reason = "others need a program that may not be here")]
pub(super) fn tar(tree: &Path, into: &Path, name: &str) -> Option<PathBuf> {
    let path = into.join(format!("{name}.tar"));
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "-C"]).arg(tree);
    run(tar.arg("-cf").arg(&path).arg("."));
    Some(path)
}

/// The same in zstd, as hauler, zarf and k3s do.
pub(super) fn tar_zstd(tree: &Path, into: &Path, name: &str) -> Option<PathBuf> {
    let mut zstd = program("zstd")?;
    let tar = tar(tree, into, name)?;
    run(zstd.args(["-q", "--rm"]).arg(&tar));
    Some(into.join(format!("{name}.tar.zst")))
}

/// And that in three parts, as `hauler store save --chunk-size` does: the first stands for all.
pub(super) fn tar_zstd_in_parts(tree: &Path, into: &Path, name: &str) -> Option<PathBuf> {
    let whole = tar_zstd(tree, into, name)?;
    let bytes = fs::read(&whole).unwrap();
    let part = |number: usize| into.join(format!("{name}.tar.zst.{number:03}"));
    for (number, piece) in (1..).zip(bytes.chunks(bytes.len().div_ceil(3))) {
        fs::write(part(number), piece).unwrap();
    }
    fs::remove_file(whole).unwrap();
    Some(part(1))
}

/// With everything compressed.
pub(super) fn squashfs_gzip(tree: &Path, into: &Path, name: &str) -> Option<PathBuf> {
    squashfs(tree, into, name, &["-comp", "gzip"])
}

/// With everything compressed, otherwise.
pub(super) fn squashfs_zstd(tree: &Path, into: &Path, name: &str) -> Option<PathBuf> {
    squashfs(tree, into, name, &["-comp", "zstd"])
}

/// With nothing compressed.
pub(super) fn squashfs_none(tree: &Path, into: &Path, name: &str) -> Option<PathBuf> {
    squashfs(tree, into, name, &["-noI", "-noD", "-noF", "-noX", "-no-fragments"])
}

fn squashfs(tree: &Path, into: &Path, name: &str, options: &[&str]) -> Option<PathBuf> {
    let path = into.join(format!("{name}.sqfs"));
    let mut squash = program("mksquashfs")?;
    squash.arg(tree).arg(&path).args(["-quiet", "-no-progress", "-all-time", "0"]);
    run(squash.args(options));
    Some(path)
}

/// By `create`, of a layout.
#[expect(clippy::unnecessary_wraps, reason = "others need a program that may not be here")]
pub(super) fn ours(tree: &Path, into: &Path, name: &str) -> Option<PathBuf> {
    let mut create = Command::new(env!("CARGO_BIN_EXE_shipperd"));
    create.args(["--quiet", "create", "--name", name, "--output"]).arg(into);
    create.env("XDG_STATE_HOME", tree.join("state")).env("SHIPPERD_CONFIG", "/dev/null");
    run(create.arg(format!("oci:{}", tree.display())));
    Some(into.join(format!("{name}-1.sqfs")))
}
