//! Files that cannot be served as they are: what they look like, by their content, and the command
//! that makes something of them that can.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How much of the beginning is looked at, in bytes.
const HEAD: usize = 512;
/// Where the name of the first file of a zip archive stands.
const ZIP_NAME: usize = 30;
/// Where the first volume descriptor of an ISO 9660 image says that it is one.
const ISO_MARK: (u64, &[u8; 5]) = (0x8001, b"CD001");

/// What a file looks like, and what helps.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("it looks like {what}{}", remedy.as_ref().map_or_else(String::new, |it| format!("; {it}")))]
pub struct Stranger {
    what: &'static str,
    remedy: Option<String>,
}

/// What begins so, what it is, and what helps: `{}` stands for the file.
type Known = (&'static [u8], &'static str, Option<&'static str>);

const ZIP: &[u8] = b"PK\x03\x04";
const KNOWN: [Known; 9] = [
    (ZIP, "a zip archive", Some("`unzip {} -d DIR` unpacks it")),
    (b"\x7fELF", "a program", None),
    (b"\xed\xab\xee\xdb", "an RPM package", None),
    (b"!<arch>\n", "a Debian package", None),
    (
        b"QFI\xfb",
        "a disk image (qcow2)",
        Some("`guestmount -a {} -i --ro DIR` mounts it: serve the directory of images in it"),
    ),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", Some("`7z x {}` unpacks it")),
    (
        b"version https://git-lfs",
        "a Git LFS pointer: the file itself was not fetched",
        Some("`git lfs pull` fetches it"),
    ),
    (b"<!", "a web page: a download that met a login page, perhaps", None),
    (b"<html", "a web page: a download that met a login page, perhaps", None),
];
const HANGAR: Known = (
    b"share/",
    "an archive of Hangar",
    Some(
        "`hangar load --source {} --destination REGISTRY` loads it into a registry, of which \
         `shipperd create` makes a bundle",
    ),
);
const ISO: Known = (
    ISO_MARK.1,
    "an ISO 9660 image",
    Some(
        "`mount -o loop,ro {} DIR` mounts it and `xorriso -osirrox on -indev {} -extract / DIR` \
         unpacks it: serve DIR",
    ),
);

impl Stranger {
    /// What the file at `path` looks like; nothing if it looks like nothing that is known.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub fn of(file: &File, path: &Path) -> io::Result<Option<Self>> {
        let mut mark = [0; ISO_MARK.1.len()];
        let is_iso = match file.read_exact_at(&mut mark, ISO_MARK.0) {
            Ok(()) => mark == *ISO_MARK.1,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => false,
            Err(error) => return Err(error),
        };
        if is_iso {
            return Ok(Some(Self::known(&ISO, path)));
        }
        let mut head = [0; HEAD];
        let length = file.read_at(&mut head, 0)?;
        Ok(Self::recognise(head.get(..length).unwrap_or_default(), path))
    }

    fn recognise(head: &[u8], path: &Path) -> Option<Self> {
        let name = head.get(ZIP_NAME..).unwrap_or_default();
        if head.starts_with(ZIP) && name.starts_with(HANGAR.0) {
            return Some(Self::known(&HANGAR, path));
        }
        if let Some(known) = KNOWN.iter().find(|(magic, ..)| head.starts_with(magic)) {
            return Some(Self::known(known, path));
        }
        let text = std::str::from_utf8(head).ok().filter(|text| !text.is_empty())?;
        let is_text = text.chars().all(|c| !c.is_control() || c.is_whitespace());
        is_text.then_some(Self { what: "text", remedy: None })
    }

    fn known((_, what, remedy): &Known, path: &Path) -> Self {
        Self { what, remedy: remedy.map(|remedy| remedy.replace("{}", &quoted(path))) }
    }

    /// Whether there is a command that helps.
    #[must_use]
    pub fn has_remedy(&self) -> bool {
        self.remedy.is_some()
    }
}

/// A path as a shell takes it.
pub(super) fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%,=".contains(c);
    if !text.is_empty() && !text.starts_with('-') && text.chars().all(is_plain) {
        return text.into_owned();
    }
    let dashed = if text.starts_with('-') { "./" } else { "" };
    format!("'{dashed}{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn said(content: &[u8]) -> Option<String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let found = Stranger::of(&file, Path::new("a b.x")).unwrap();
        found.map(|it| it.to_string())
    }

    #[test]
    fn what_is_no_bundle_is_named_with_what_helps() {
        let zip = |name: &str| [ZIP, &[0; ZIP_NAME - 4], name.as_bytes()].concat();
        let iso = [&[0; 0x8001][..], b"CD001\x01"].concat();
        for (content, expected) in [
            (&zip("a")[..], Some("a zip archive; `unzip 'a b.x' -d DIR` unpacks it")),
            (&zip("share/sha256/x"), Some("an archive of Hangar; `hangar load --source 'a b.x' ")),
            (&iso, Some("an ISO 9660 image; `mount -o loop,ro 'a b.x' DIR`")),
            (b"QFI\xfb\0\0", Some("a disk image (qcow2); `guestmount -a 'a b.x'")),
            (b"hello\n", Some("text")),
            (b"\x00\x01\x02", None),
            (b"\xff\xfe", None),
            (b"", None),
        ] {
            let said = said(content);
            let found = said.as_deref().and_then(|said| said.strip_prefix("it looks like "));
            match expected {
                Some(expected) => assert!(found.unwrap().starts_with(expected), "{found:?}"),
                None => assert_eq!(said, None, "{content:?}"),
            }
        }
    }

    #[test]
    fn paths_are_quoted_for_a_shell() {
        for (path, expected) in [
            ("a/b-1.tar.gz", "a/b-1.tar.gz"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("$(x)", "'$(x)'"),
            ("-rf", "'./-rf'"),
        ] {
            assert_eq!(quoted(Path::new(path)), expected);
        }
    }
}
