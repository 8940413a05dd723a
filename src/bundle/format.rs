//! Telling containers apart by what they hold, never by their names.

use std::io;

use crate::extent::Content;

/// The kinds of container.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Container {
    /// A directory.
    Directory,
    /// A squashfs image: `hsqs` at 0.
    Squashfs,
    /// A tar archive: a header whose checksum is right at 0.
    Tar,
    /// A file in zstd frames, which are read in place.
    Zstd,
    /// Something compressed as a whole, which must be unwrapped first.
    Compressed(Compression),
    /// A file without content yet, or of zeros: something that is still being written.
    Blank,
    /// None of them.
    Unknown,
}

/// Ways to compress a whole file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Compression {
    /// `.gz`
    Gzip,
    /// `.xz`
    Xz,
    /// `.bz2`
    Bzip2,
}

impl Compression {
    /// The name of the format.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        }
    }
}

/// Tells what a file is.
///
/// # Errors
///
/// When it cannot be read.
pub fn sniff(file: &Content) -> io::Result<Container> {
    let mut head = [0; 512];
    let length = usize::try_from(file.length()).unwrap_or(head.len()).min(head.len());
    let head = head.get_mut(..length).unwrap_or_default();
    file.read_at(head, 0)?;
    Ok(recognise(head))
}

/// Tells what a file is by its first 512 bytes (fewer, if it is shorter).
#[must_use]
pub fn recognise(head: &[u8]) -> Container {
    let compressions: [(&[u8], Compression); 3] = [
        (&[0x1f, 0x8b], Compression::Gzip),
        (&[0xfd, b'7', b'z', b'X', b'Z', 0], Compression::Xz),
        (b"BZh", Compression::Bzip2),
    ];
    if head.starts_with(b"hsqs") {
        return Container::Squashfs;
    }
    if head.iter().all(|byte| *byte == 0) {
        return Container::Blank;
    }
    // pzstd and others begin with a frame that is to be skipped: its last four bits are free.
    let is_skippable = matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
    if is_skippable || head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        return Container::Zstd;
    }
    if is_tar_header(head) {
        return Container::Tar;
    }
    let found = compressions.iter().find(|(magic, _)| head.starts_with(magic));
    found.map_or(Container::Unknown, |(_, compression)| Container::Compressed(*compression))
}

/// Whether these are a tar header: the sum of its bytes, the field of the sum itself
/// counted as spaces, stands in octal at 148.
fn is_tar_header(head: &[u8]) -> bool {
    if head.len() < 512 {
        return false;
    }
    let sum: u32 = head
        .iter()
        .take(512)
        .enumerate()
        .map(|(at, byte)| u32::from(if (148..156).contains(&at) { b' ' } else { *byte }))
        .sum();
    let field = head.get(148..156).unwrap_or_default();
    let text: String = field.iter().map(|byte| char::from(*byte)).collect();
    u32::from_str_radix(text.trim_matches(['\0', ' ']), 8) == Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_content() {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        builder.append_data(&mut header, "a", &b""[..]).unwrap();
        let tar = builder.into_inner().unwrap();
        for (head, expected) in [
            (&b"hsqs...."[..], Container::Squashfs),
            (&tar[..512], Container::Tar),
            (&tar[..511], Container::Unknown),
            (&[0x1f, 0x8b, 8], Container::Compressed(Compression::Gzip)),
            (&[0x28, 0xb5, 0x2f, 0xfd], Container::Zstd),
            (&[0x5e, 0x2a, 0x4d, 0x18], Container::Zstd),
            (b"BZh9", Container::Compressed(Compression::Bzip2)),
            (&[0; 512], Container::Blank),
            (b"", Container::Blank),
            (b"PK\x03\x04", Container::Unknown),
        ] {
            assert_eq!(recognise(head), expected, "{head:?}");
        }
    }
}
