//! Archives of which shipperd makes something, damaged in any way: whatever is completed is right.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;

use serde_json::Value;

use crate::damage::Server;
use crate::fixtures::digest;

/// Everything that a whole file answers.
pub struct Whole {
    bytes: Vec<u8>,
    answers: BTreeMap<String, Vec<u8>>,
    /// Where its names stand: nothing tells that one was another.
    names: Range<usize>,
}

impl Whole {
    /// Asks a file that lies alone in its directory for these tags and all that they need.
    pub fn of(file: &Path, tags: &[&str]) -> Self {
        let server = Server::open(file.parent().unwrap());
        let bytes = fs::read(file).unwrap();
        let beginnings: [&[u8]; 2] = [b"[{\"Config\":", b"[{\"Image"];
        let found =
            beginnings.iter().find_map(|it| bytes.windows(it.len()).position(|at| at == *it));
        let begin = found.unwrap();
        let length = bytes[begin..].iter().position(|byte| *byte == 0).unwrap();
        let mut whole = Self { bytes, answers: BTreeMap::new(), names: begin..begin + length };
        for tag in tags {
            let (repository, tag) = tag.split_once(':').unwrap();
            whole.walk(&server, repository, tag);
        }
        whole
    }

    fn walk(&mut self, server: &Server, repository: &str, target: &str) {
        let path = format!("/v2/{repository}/manifests/{target}");
        let (status, body) = server.complete(&path, &[]).unwrap();
        assert_eq!(status, 200, "{path}");
        let manifest: Value = serde_json::from_slice(&body).unwrap();
        let by_digest = format!("/v2/{repository}/manifests/{}", digest(&body));
        self.answers.insert(by_digest, body.clone());
        self.answers.insert(path, body);
        for child in manifest["manifests"].as_array().into_iter().flatten() {
            self.walk(server, repository, child["digest"].as_str().unwrap());
        }
        let layers = manifest["layers"].as_array().into_iter().flatten();
        for blob in manifest.get("config").into_iter().chain(layers) {
            let target = format!("/v2/{repository}/blobs/{}", blob["digest"].as_str().unwrap());
            let (status, body) = server.complete(&target, &[]).unwrap();
            assert_eq!(status, 200, "{target}");
            self.answers.insert(target, body);
        }
    }

    /// Serves other bytes in the place of the file; answers whether something is not to be had.
    fn ask(&self, file: &Path, bytes: &[u8], what: &str) -> bool {
        fs::write(file, bytes).unwrap();
        let server = Server::open(file.parent().unwrap());
        let mut is_harmed = false;
        for (target, expected) in &self.answers {
            match server.complete(target, &[]) {
                Some((200, body)) => assert!(body == *expected, "{what}: {target}"),
                _ => is_harmed = true,
            }
        }
        if is_harmed {
            let said = server.said_of(file).unwrap_or_else(|| panic!("{what}: unsaid"));
            let is_said = ["notes", "damaged"].iter().any(|key| said[key].is_array());
            let at = what.rsplit(' ').next().unwrap().parse::<usize>().unwrap();
            assert!(is_said || self.names.contains(&at), "{what}: {said}");
        }
        is_harmed
    }

    /// Cuts the file at so many places.
    pub fn survives_cuts(&self, file: &Path, count: usize) {
        let length = self.bytes.len();
        let cuts = (1..count).map(|number| length * number / count).chain([511, 512, length - 1]);
        for cut in cuts {
            assert!(self.ask(file, &self.bytes[..cut], &format!("cut at {cut}")), "cut at {cut}");
        }
    }

    /// Flips a bit of every so many bytes.
    pub fn survives_flips(&self, file: &Path, step: usize) {
        let mut bytes = self.bytes.clone();
        let mut harmed = 0;
        for position in (0..bytes.len()).step_by(step) {
            let flip = [0x01, 0x80, 0xff, 0x20][position % 4];
            bytes[position] ^= flip;
            harmed += usize::from(self.ask(file, &bytes, &format!("byte {position}")));
            bytes[position] ^= flip;
        }
        assert!(harmed > 10, "{harmed}: the flips do not hit what matters");
    }
}
