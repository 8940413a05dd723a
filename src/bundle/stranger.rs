//! Files that cannot be served as they are: what they look like, by their content, and the command
//! that makes something of them that can.

use std::io;
use std::path::Path;

use super::advice::quoted;
use crate::extent::Content;

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

const TEXT: &str = "text";
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
    pub fn of(content: &Content, path: &Path) -> io::Result<Option<Self>> {
        let mark = beginning(content, ISO_MARK.0, ISO_MARK.1.len())?;
        if mark == ISO_MARK.1 {
            return Ok(Some(Self::known(&ISO, path)));
        }
        Ok(Self::recognise(&beginning(content, 0, HEAD)?, path))
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
        // The beginning of a tar archive may be a name and nothing else; text has lines.
        let is_text =
            text.contains('\n') && text.chars().all(|c| !c.is_control() || c.is_whitespace());
        is_text.then_some(Self { what: TEXT, remedy: None })
    }

    fn known((_, what, remedy): &Known, path: &Path) -> Self {
        Self { what, remedy: remedy.map(|remedy| remedy.replace("{}", &quoted(path))) }
    }

    /// Whether it is text, as checksums and notes beside bundles are.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.what == TEXT
    }

    /// Whether there is a command that helps.
    #[must_use]
    pub fn has_remedy(&self) -> bool {
        self.remedy.is_some()
    }
}

/// At most `length` bytes from `position`.
fn beginning(content: &Content, position: u64, length: usize) -> io::Result<Vec<u8>> {
    let rest = content.length().saturating_sub(position);
    let mut bytes = vec![0; length.min(usize::try_from(rest).unwrap_or(length))];
    if !bytes.is_empty() {
        content.read_at(&mut bytes, position)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::extent::InMemory;

    fn said(content: &[u8]) -> Option<String> {
        let content = Content::Packed(Arc::new(InMemory(content.to_vec())));
        let found = Stranger::of(&content, Path::new("a b.x")).unwrap();
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
            (b"hsqs", None),
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
}
