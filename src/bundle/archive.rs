//! A tar archive as a container of files: one walk over its headers, no body is read.
//!
//! ```text
//! header 512 | body, padded to 512 | header | … | 1024 zeros
//! ```
//!
//! The body of a sparse file of GNU tar (`tar -S`) is what lies between its holes:
//!
//! ```text
//! header, with the places of 4 runs | 21 more each 512 | the bytes of all runs, padded to 512
//! ```
//!
//! ustar, GNU and pax headers: <https://pubs.opengroup.org/onlinepubs/9799919799/utilities/pax.html>,
//! <https://www.gnu.org/software/tar/manual/html_node/Old-GNU-Format.html>

use std::collections::BTreeMap;
use std::io::{self, BufReader};
use std::sync::Arc;

use super::pieces::{Pieces, Zeros};
use super::tree::{self, Tree};
use crate::extent::Content;

/// How many links may follow one another.
const MAX_HOPS: usize = 8;
/// Two zero blocks end an archive; without them it is a part of one.
const END: u64 = 1024;

/// Reads which files an archive holds.
///
/// Links count as the file they point to when the archive holds it.
///
/// # Errors
///
/// When the headers are not those of a tar archive, or the file ends before the archive does.
pub fn read(bytes: &Content) -> io::Result<(Tree, Vec<tree::Omission>)> {
    let length = bytes.length();
    let mut tree = Tree::default();
    let mut links = BTreeMap::new();
    let mut omissions = Vec::new();
    // Of one entry after the other only the headers are wanted: a small buffer, and seeks.
    let reader = BufReader::with_capacity(4096, At { bytes, position: 0 });
    let mut archive = tar::Archive::new(reader);
    let mut end = 0;
    for entry in archive.entries_with_seek()? {
        let entry = entry?;
        if tree.len() + links.len() >= tree::MAX_FILES {
            return Err(io::Error::other(format!("more than {} files", tree::MAX_FILES)));
        }
        let shown = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let (offset, size) = (entry.raw_file_position(), entry.size());
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            continue;
        }
        let Some(path) = tree::clean(&entry.path_bytes()) else {
            omissions.push(tree::Omission { path: shown, reason: "its name is no clean path" });
            continue;
        };
        if kind.is_hard_link() || kind.is_symlink() {
            let target = entry.link_name_bytes().unwrap_or_default();
            let base = if kind.is_symlink() { parent(&path) } else { "" };
            if let Some(target) = tree::join(base, &target) {
                links.insert(path, target);
            } else {
                let reason = "it is a link that points out";
                omissions.push(tree::Omission { path: shown, reason });
            }
            continue;
        }
        let sparse = entry.header().as_gnu().filter(|_| kind.is_gnu_sparse());
        if !kind.is_file() && !kind.is_contiguous() && sparse.is_none() {
            omissions.push(tree::Omission { path: shown, reason: "it is not a regular file" });
            continue;
        }
        let content = match sparse {
            None => bytes.slice(offset, size).map(|content| (content, offset + size)),
            Some(header) => filled(bytes, header, offset)?,
        };
        let Some((content, finish)) = content else {
            let message = format!("ends at byte {length}, within {shown:?}");
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
        };
        end = finish;
        // As extraction does: the last of a name wins.
        tree.replace(&path, content.into());
    }
    ended(bytes, end)?;
    resolve(&mut tree, &links, &mut omissions);
    Ok((tree, omissions))
}

/// A sparse file with zeros in its holes, and where its runs end; nothing if that is past the end
/// of the archive.
fn filled(
    bytes: &Content,
    header: &tar::GnuHeader,
    offset: u64,
) -> io::Result<Option<(Content, u64)>> {
    let mut places: Vec<(u64, u64)> = Vec::new();
    let add = |places: &mut Vec<_>, blocks: &[tar::GnuSparseHeader]| -> io::Result<()> {
        for block in blocks.iter().filter(|block| !block.is_empty()) {
            places.push((block.offset()?, block.length()?));
        }
        Ok(())
    };
    add(&mut places, &header.sparse)?;
    let mut data = offset;
    let mut more = header.is_extended();
    while more {
        let mut next = tar::GnuExtSparseHeader::new();
        let Some(block) = bytes.slice(data, 512) else { return Ok(None) };
        block.read_at(next.as_mut_bytes(), 0)?;
        add(&mut places, &next.sparse)?;
        if places.len() > tree::MAX_FILES {
            return Err(io::Error::other("a sparse file has too many runs"));
        }
        data += 512;
        more = next.is_extended();
    }
    let mut pieces = Vec::with_capacity(2 * places.len() + 1);
    let mut position = 0_u64;
    let odd = || io::Error::new(io::ErrorKind::InvalidData, "the runs of a sparse file overlap");
    let hole = |from: u64, to: u64| {
        let length = to.checked_sub(from).ok_or_else(odd)?;
        io::Result::Ok(Content::Packed(Arc::new(Zeros(length))))
    };
    for (at, length) in places {
        let Some(run) = bytes.slice(data, length) else { return Ok(None) };
        pieces.extend([hole(position, at)?, run]);
        position = at.checked_add(length).ok_or_else(odd)?;
        data += length;
    }
    pieces.push(hole(position, header.real_size()?)?);
    Ok(Some((Content::Packed(Arc::new(Pieces::of(pieces)?)), data)))
}

/// Fails when the end marker is missing: the archive is a part of one.
fn ended(bytes: &Content, end: u64) -> io::Result<()> {
    let length = bytes.length();
    let rest = length.saturating_sub(end.next_multiple_of(512));
    let mut marker = [0; 512];
    let at = length.checked_sub(512);
    if rest < END || at.is_none_or(|at| bytes.read_at(&mut marker, at).is_err()) {
        let message = format!("ends at byte {length} without the end marker of a tar archive");
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, message));
    }
    Ok(())
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn resolve(tree: &mut Tree, links: &BTreeMap<String, String>, omissions: &mut Vec<tree::Omission>) {
    for (path, first) in links {
        let mut target = first;
        for _ in 0..MAX_HOPS {
            match links.get(target) {
                Some(next) => target = next,
                None => break,
            }
        }
        if let Some(stored) = tree.get(target).cloned() {
            tree.insert(path, stored);
        } else {
            omissions.push(tree::Omission { path: path.clone(), reason: tree::DANGLING });
        }
    }
}

/// The archive, read from a position of our own: other readers share the handle.
struct At<'a> {
    bytes: &'a Content,
    position: u64,
}

impl io::Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = self.bytes.length().saturating_sub(self.position);
        let length = usize::try_from(rest).unwrap_or(usize::MAX).min(buffer.len());
        self.bytes.read_at(buffer.get_mut(..length).unwrap_or_default(), self.position)?;
        self.position += length as u64;
        Ok(length)
    }
}

impl io::Seek for At<'_> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        let position = match to {
            io::SeekFrom::Start(position) => Some(position),
            io::SeekFrom::Current(by) => self.position.checked_add_signed(by),
            io::SeekFrom::End(by) => self.bytes.length().checked_add_signed(by),
        };
        self.position = position.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::extent::Extent;

    fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind, text) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(*kind);
            let body = if kind.is_file() { text.as_bytes() } else { b"" };
            header.set_size(body.len() as u64);
            if kind.is_file() || kind.is_dir() {
                // Not set_path: it refuses the hostile names that are wanted here.
                header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
                header.set_cksum();
                builder.append(&header, body).unwrap();
            } else {
                header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
                header.set_link_name_literal(text).unwrap();
                header.set_cksum();
                builder.append(&header, body).unwrap();
            }
        }
        builder.into_inner().unwrap()
    }

    fn open(bytes: &[u8]) -> io::Result<(Tree, Vec<tree::Omission>)> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        read(&Content::Extent(Extent::whole(Arc::new(file)).unwrap()))
    }

    #[test]
    fn files_and_links_but_nothing_outside() {
        use tar::EntryType as T;
        let bytes = archive(&[
            ("./a/file", T::Regular, "123"),
            ("a/link", T::Symlink, "../a/file"),
            ("a/hard", T::Link, "a/file"),
            ("a/hops", T::Symlink, "link"),
            ("a/out", T::Symlink, "../../etc/passwd"),
            ("../up", T::Regular, "x"),
            ("/abs", T::Regular, "x"),
            ("a/pipe", T::Fifo, ""),
        ]);
        let (tree, omissions) = open(&bytes).unwrap();
        let files: Vec<_> = tree.below("").map(|(path, it)| (path, it.length())).collect();
        assert_eq!(files, [("a/file", 3), ("a/hard", 3), ("a/hops", 3), ("a/link", 3)]);
        assert_eq!(omissions.len(), 4, "{omissions:?}");
        let content = tree.get("a/link").unwrap().open().unwrap();
        assert_eq!(content.read_all(9).unwrap(), b"123");
    }

    #[test]
    fn truncated_anywhere_is_an_error() {
        let bytes = archive(&[
            ("a", tar::EntryType::Regular, &"x".repeat(2000)),
            ("b", tar::EntryType::Regular, "y"),
        ]);
        assert!(open(&bytes).is_ok());
        for length in (0..bytes.len() - 512).step_by(100) {
            assert!(open(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn bit_flips_do_no_harm() {
        let bytes =
            archive(&[("a", tar::EntryType::Regular, "123"), ("b", tar::EntryType::Link, "a")]);
        for position in 0..bytes.len() {
            let mut copy = bytes.clone();
            copy[position] ^= 1 << (position % 8);
            if let Ok((tree, _)) = open(&copy) {
                for (_, stored) in tree.below("") {
                    assert!(stored.length() <= copy.len() as u64);
                }
            }
        }
    }
}
