//! Bundles of one imageset to make states of: one by the program, the others by hand.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use shipperd::bundle::squashfs::{Layout, Space, Writer};
use shipperd::imageset::record::{Blob, File, Part, Previous, RECORD_FILE, Record};
use shipperd::oci::{Digest, INDEX_FILE, LAYOUT_FILE, LAYOUT_TEXT, blob_path};
use tempfile::TempDir;
use uuid::Uuid;

use super::super::{layout, shipperd, stdout, text};

/// A directory with bundles of one imageset, and a state directory that is empty yet.
pub struct Yard {
    pub directory: TempDir,
    pub id: Uuid,
}

impl Yard {
    /// One whose first bundle `shipperd create` made: `out/apps-1.sqfs`.
    pub fn new() -> (Self, Digest) {
        let directory = tempfile::tempdir().unwrap();
        layout(&directory.path().join("layout"), &["quay.io/a/b:v1"], &vec![7; 100_000]);
        let mut create = shipperd(directory.path());
        create.args(["create", "--json", "--name", "apps", "-o", "out", "oci:layout"]);
        let answer = stdout(create.env("SOURCE_DATE_EPOCH", "1795244400"), 0);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let id = answer["id"].as_str().unwrap().parse().unwrap();
        (Self { directory, id }, answer["digest"].as_str().unwrap().parse().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Where the state lies by default.
    pub fn state(&self) -> PathBuf {
        self.path("home/shipperd/imagesets/apps.json")
    }

    pub fn run(&self, arguments: &[&str]) -> Command {
        let mut command = shipperd(self.directory.path());
        command.env("XDG_STATE_HOME", self.path("home"));
        command.arg("state").args(arguments);
        command
    }

    /// Writes a bundle of a later sequence that carries this, and answers its digest.
    pub fn later(
        &self,
        name: &str,
        (sequence, previous): (u64, &Digest),
        part: Option<Part>,
        blobs: &[&[u8]],
    ) -> Digest {
        let index: &[u8] = br#"{"schemaVersion":2,"manifests":[]}"#;
        let mut files = vec![(LAYOUT_FILE, LAYOUT_TEXT.as_bytes()), (INDEX_FILE, index)];
        let file = |(path, bytes): &(&str, &[u8])| File {
            path: (*path).to_owned(),
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
        };
        let blob = |bytes: &&[u8]| Blob { digest: Digest::of(bytes), size: bytes.len() as u64 };
        let mut carried: Vec<Blob> = blobs.iter().map(blob).collect();
        carried.sort();
        let record = Record {
            schema_version: 1,
            id: self.id,
            name: "apps".to_owned(),
            sequence,
            previous: Some(Previous { sequence: sequence - 1, digest: previous.clone() }),
            part,
            created: "2026-11-22T07:00:00Z".to_owned(),
            generator: "shipperd".to_owned(),
            files: files.iter().map(file).collect(),
            blobs: carried,
            needs: vec![],
            sparse: vec![],
            failed: vec![],
            unknown: serde_json::Map::new(),
        };
        let record = record.to_bytes().unwrap();
        files.push((RECORD_FILE, &record));
        let mut all: Vec<(String, &[u8])> =
            files.iter().map(|(path, bytes)| ((*path).to_owned(), *bytes)).collect();
        all.extend(blobs.iter().map(|bytes| (blob_path(&Digest::of(bytes)), *bytes)));
        let sizes = all.iter().map(|(path, bytes)| (path.clone(), bytes.len() as u64)).collect();
        let plan = Layout::plan(sizes).unwrap();
        let path = self.path("out").join(name);
        let writer = Writer::create(&path, plan, 0, Space::Reserve).unwrap();
        for (place, (_, bytes)) in all.iter().enumerate() {
            writer.write_at(place, 0, bytes).unwrap();
        }
        writer.finish().unwrap();
        Digest::of(&record)
    }

    /// Sequence 2 in two parts, and sequence 3.
    pub fn more(&self, first: &Digest) -> Digest {
        let part = |number, previous| Some(Part { number, count: 2, previous });
        let one = self.later("apps-2.1-of-2.sqfs", (2, first), part(1, None), &[b"two", b"2"]);
        let part_two = part(2, Some(one));
        let two = self.later("apps-2.2-of-2.sqfs", (2, first), part_two, &[b"more"]);
        self.later("apps-3.sqfs", (3, &two), None, &[]);
        two
    }

    /// Runs and answers its exit code and what it says on stderr.
    pub fn talk(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.run(arguments).output().unwrap();
        (output.status.code(), text(&output.stderr))
    }

    pub fn exported(&self, arguments: &[&str]) -> String {
        stdout(self.run(&["export"]).args(arguments), 0)
    }
}
