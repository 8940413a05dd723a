//! What cannot be served as it is, by its content: the command that helps is said by `serve` and
//! by the other commands.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{compare_all, notes, pack, serve, small};
use crate::fixtures::{Content, foreign};
use crate::program::{attempt, program, run};

/// What `inspect` says about a file; it fails.
fn refused(path: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shipperd"));
    let output = attempt(command.env("SHIPPERD_CONFIG", "/dev/null").arg("inspect").arg(path));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

/// Both say all of this about a file.
#[track_caller]
fn is_refused(path: &Path, words: &[&str]) {
    let site = serve(&[path]);
    for said in [refused(path), notes(&site, path).join("\n")] {
        for word in words {
            assert!(said.contains(word), "{word} in {said}");
        }
    }
}

fn tar(work: &Path) -> std::path::PathBuf {
    let mut content = Content::default();
    small(&mut content, "quay.io/lab/app:v1", b"app");
    let tree = work.join("tree");
    fs::create_dir(&tree).unwrap();
    content.write_layout(&tree);
    let file = work.join("a bundle.tar");
    run(Command::new("tar").arg("-C").arg(&tree).arg("-cf").arg(&file).arg("."));
    file
}

#[test]
fn what_is_compressed_as_a_whole_is_to_be_unwrapped() {
    let work = tempfile::tempdir().unwrap();
    let file = tar(work.path());
    let mut unwrapped = 0;
    for (compress, ending, unwrap) in
        [("gzip", "gz", "gunzip -k"), ("xz", "xz", "unxz -k"), ("bzip2", "bz2", "bunzip2 -k")]
    {
        let Some(mut command) = program(compress) else { continue };
        run(command.arg("-k").arg(&file));
        let wrapped = work.path().join(format!("a bundle.tar.{ending}"));
        let renamed = work.path().join(format!("{compress}'s"));
        // Its content tells, not its name.
        fs::copy(&wrapped, &renamed).unwrap();
        let command = format!("{unwrap} '{}'", wrapped.display());
        is_refused(&wrapped, &[&format!("it is compressed with {compress}; `{command}` unwraps")]);
        is_refused(&renamed, &["it is compressed with", r"'\''s.tar'` unwraps it"]);
        fs::remove_file(&file).unwrap();
        run(Command::new("sh").arg("-c").arg(&command));
        assert_eq!(notes(&serve(&[&file]), &file), [""; 0]);
        unwrapped += 1;
    }
    assert!(unwrapped > 0);
}

#[test]
fn an_iso_image_is_to_be_unpacked() {
    let work = tempfile::tempdir().unwrap();
    let mut content = Content::default();
    small(&mut content, "quay.io/lab/app:v1", b"app");
    let tree = work.path().join("tree");
    foreign::storage(&content, &tree);
    let file = work.path().join("registry.iso");
    let Some(mut make) = program("xorriso") else { return };
    run(make.args(["-as", "mkisofs", "-quiet", "-R", "-J", "-o"]).arg(&file).arg(&tree));
    let (name, unpacked) = (file.display(), work.path().join("unpacked"));
    let command = format!("xorriso -osirrox on -indev {name} -extract / ");
    let words = ["an ISO 9660 image", &format!("mount -o loop,ro {name} DIR"), &command];
    is_refused(&file, &words);
    run(Command::new("sh").arg("-c").arg(format!("{command}{}", unpacked.display())));
    compare_all(&serve(&[&unpacked]), &content);
}

#[test]
fn what_is_something_else_is_named() {
    let work = tempfile::tempdir().unwrap();
    let file = work.path().join("file");
    for (content, words) in [
        (
            &b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x0c\0\0\0share/sha256"[..],
            &["an archive of Hangar", "hangar load --source", "shipperd create"][..],
        ),
        (b"PK\x03\x04....", &["a zip archive", "unzip "]),
        (b"QFI\xfb\0\0\0\x03", &["a disk image (qcow2)", "guestmount -a "]),
        (b"\x01\x02\x03\x04", &["neither a squashfs image, a tar archive nor a directory"]),
    ] {
        fs::write(&file, content).unwrap();
        is_refused(&file, words);
    }
    let members = ["etc/passwd", "usr/bin/sh", "var/a", "var/b"];
    let members = members.map(|name| (name.to_owned(), b"x".to_vec()));
    pack(&file, &members);
    is_refused(
        &file,
        &[r#"its files (4: "etc/passwd", "usr/bin/sh", "var/a", …) are no OCI layout"#],
    );
}

#[test]
fn a_cache_of_talos_packed_into_an_image_is_asked_for_flat() {
    let work = tempfile::tempdir().unwrap();
    let mut content = Content::default();
    small(&mut content, "quay.io/lab/app:v1", b"app");
    let cache = work.path().join("image-cache.oci");
    fs::create_dir(&cache).unwrap();
    let mut outer = foreign::talos_image(&content, &cache);
    outer.write_layout(&cache);
    is_refused(&cache, &["an image cache of Talos", "talosctl image cache-create --layout=flat"]);
    // Beside other images it is one of them.
    small(&mut outer, "quay.io/lab/other:v1", b"other");
    outer.write_layout(&cache);
    let site = serve(&[&cache]);
    compare_all(&site, &outer);
    let said = notes(&site, &cache).join("\n");
    assert!(said.contains("whose images are not served; `talosctl image cache-create"), "{said}");
}
