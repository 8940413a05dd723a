//! Every format cut, altered, and with names and sizes made to do harm.
//!
//! Whatever a client completes has its digest; what is not served any more is told.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::{Row, small};
use crate::bundle::{pack, walk};
use crate::damage::Server;
use crate::fixtures::layout::split;
use crate::fixtures::{Content, digest};

/// At how many places each is cut, and altered.
const PLACES: usize = 24;

/// A row's files, of which one is damaged at a time.
struct Victim {
    what: &'static str,
    content: Content,
    site: TempDir,
    path: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
    /// How many blobs and manifests come whole while nothing is damaged.
    all: usize,
}

/// All kinds of damage to a row.
pub(super) fn inflict(row: Row) {
    let Some(victim) = Victim::new(row) else { return };
    victim.cut();
    victim.alter();
    let tree = TempDir::new().unwrap();
    (row.write)(&victim.content, tree.path());
    match victim.path.extension().and_then(|it| it.to_str()) {
        Some("tar") => victim.with_hostile_members(tree.path()),
        None => victim.with_links_out(),
        _ => {}
    }
}

impl Victim {
    fn new(row: Row) -> Option<Self> {
        let content = row.keeps.of(&small());
        let site = TempDir::new().unwrap();
        let path = row.make(&content, site.path())?;
        let mut files = Vec::new();
        regular_files(&path, &mut files);
        let mut victim = Self { what: row.name, content, site, path, files, all: 0 };
        victim.all = victim.ask(&victim.serve(), "whole");
        assert!(victim.all > 6, "{}: {} come whole", row.name, victim.all);
        Some(victim)
    }

    fn serve(&self) -> Server {
        Server::open(if self.path.is_dir() { &self.path } else { self.site.path() })
    }

    /// Asks for every digest and every name; whatever comes whole is right. How many digests do.
    fn ask(&self, server: &Server, how: &str) -> usize {
        let what = self.what;
        let mut whole = 0;
        for (digest, bytes) in self.content.blobs() {
            for kind in ["blobs", "manifests"] {
                let target = format!("/v2/lab/one/{kind}/{digest}");
                if let Some((200, body)) = server.complete(&target, &[]) {
                    assert!(body == bytes, "{what}, {how}: {target}");
                    whole += 1;
                }
            }
        }
        for (reference, _) in self.content.references() {
            let (repository, tag) = split(reference);
            let target = format!("/v2/{repository}/manifests/{}", tag.unwrap());
            if let Some((200, body)) = server.complete(&target, &[]) {
                let known = self.content.blobs().any(|(known, _)| known == digest(&body));
                // Of these nothing says which manifest a name meant: it is what is there.
                let unsaid = ["skopeo", "docker"].iter().any(|it| what.starts_with(it));
                assert!(known || unsaid, "{what}, {how}: {target}");
            }
        }
        whole
    }

    /// Asks, and if something is not served any more, something is said. Whether that is so.
    fn is_harmed(&self, how: &str) -> bool {
        let server = self.serve();
        if self.ask(&server, how) >= self.all {
            return false;
        }
        server.tells_of(&self.path, &format!("{}, {how}", self.what));
        true
    }

    /// So many places in the files, evenly: which file, and where in it.
    fn places(&self) -> impl Iterator<Item = (&Path, &[u8], usize)> {
        let total: usize = self.files.iter().map(|(_, bytes)| bytes.len()).sum();
        let step = (total / PLACES) | 1;
        (0..total).step_by(step).filter_map(|mut at| {
            self.files.iter().find_map(|(path, bytes)| {
                let here = at < bytes.len();
                let place = here.then_some((&**path, &**bytes, at));
                at = at.saturating_sub(bytes.len());
                place
            })
        })
    }

    fn cut(&self) {
        let edges = |(path, bytes): &'_ (PathBuf, Vec<u8>)| {
            let edges = [0, 1, 511, 512, 513, bytes.len().saturating_sub(1)];
            let edges = edges.into_iter().filter(|at| *at < bytes.len()).collect::<Vec<_>>();
            (path.clone(), bytes.clone(), edges)
        };
        let mut harmed = 0;
        let is_one = self.files.len() == 1;
        let edges = self.files.first().filter(|_| is_one).map(edges);
        let edges = edges
            .iter()
            .flat_map(|(path, bytes, all)| all.iter().map(move |at| (&**path, &**bytes, *at)));
        for (path, bytes, at) in self.places().chain(edges) {
            fs::write(path, &bytes[..at]).unwrap();
            harmed += usize::from(self.is_harmed(&format!("{path:?} cut to {at} bytes")));
            fs::write(path, bytes).unwrap();
        }
        assert!(harmed >= PLACES / 4, "{}: {harmed} cuts are felt", self.what);
    }

    fn alter(&self) {
        let mut harmed = 0;
        for (path, bytes, at) in self.places() {
            let mut altered = bytes.to_vec();
            altered[at] ^= [0x01, 0x80, 0xff][at % 3];
            fs::write(path, &altered).unwrap();
            harmed += usize::from(self.is_harmed(&format!("{path:?} altered at {at}")));
            fs::write(path, bytes).unwrap();
        }
        assert!(harmed >= PLACES / 10, "{}: {harmed} flips are felt", self.what);
    }

    /// Further members that must change nothing, and others that may only take away.
    fn with_hostile_members(&self, tree: &Path) {
        let members = walk(tree);
        let largest = members.iter().max_by_key(|(_, bytes)| bytes.len()).unwrap();
        let name = &largest.0;
        let mut wrong = largest.1.clone();
        wrong[0] ^= 1;
        let long = format!("{}{name}", "x/".repeat(50_000));
        let up = ["../".to_owned() + name, format!("/{name}"), format!("a/../../{name}"), long];
        for hostile in up {
            let hostile = (hostile, wrong.clone());
            pack(&self.path, members.iter().chain([&hostile]));
            let how = format!("with {}…", &hostile.0[..hostile.0.len().min(40)]);
            assert_eq!(self.ask(&self.serve(), &how), self.all, "{}, {how}", self.what);
        }
        // Some formats keep a blob more than once.
        let copies = members.iter().filter(|(_, bytes)| *bytes == largest.1);
        let wrong: Vec<_> = copies.map(|(name, _)| (name.clone(), wrong.clone())).collect();
        pack(&self.path, wrong.iter().chain(&members));
        assert_eq!(self.ask(&self.serve(), "twice"), self.all, "{}: the last counts", self.what);
        pack(&self.path, members.iter().chain(&wrong));
        assert!(self.is_harmed("twice, the last one wrong"), "{}", self.what);
        pack(&self.path, &members);
        let bytes = fs::read(&self.path).unwrap();
        let at = bytes.windows(largest.1.len()).position(|it| it == largest.1).unwrap() - 512;
        for size in [*b"77777777777\0", *b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", [0xff; 12]]
        {
            let mut header = tar::Header::new_gnu();
            header.as_mut_bytes().copy_from_slice(&bytes[at..at + 512]);
            header.as_mut_bytes()[124..136].copy_from_slice(&size);
            header.set_cksum();
            let mut altered = bytes.clone();
            altered[at..at + 512].copy_from_slice(header.as_bytes());
            fs::write(&self.path, altered).unwrap();
            assert!(self.is_harmed(&format!("of size {size:?}")), "{}", self.what);
        }
    }

    /// Each file becomes a link to the same bytes outside.
    fn with_links_out(&self) {
        let outside = TempDir::new().unwrap();
        let target = outside.path().join("target");
        for (path, bytes) in &self.files {
            if self.content.blobs().all(|(_, known)| known != bytes) {
                continue;
            }
            fs::write(&target, bytes).unwrap();
            fs::remove_file(path).unwrap();
            symlink(&target, path).unwrap();
            self.is_harmed(&format!("{path:?} leads out"));
            fs::remove_file(path).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
}

/// The regular files of a row, links left alone.
fn regular_files(path: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    let metadata = fs::symlink_metadata(path).unwrap();
    if metadata.is_file() {
        files.push((path.to_owned(), fs::read(path).unwrap()));
    } else if metadata.is_dir() {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        let mut entries: Vec<_> = entries.collect();
        entries.sort();
        for entry in entries {
            regular_files(&entry, files);
        }
    }
}
