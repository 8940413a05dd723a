//! Imagesets made by hand: sequences, parts, forks and lies, as files of our profile.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;
use shipperd::bundle::squashfs::{self, Space, Writer};
use shipperd::imageset::record::{self, Part, Previous, RECORD_FILE, Record};
use shipperd::oci::Digest;
use tempfile::TempDir;
use uuid::Uuid;

use crate::fixtures::Content;

/// An imageset as its maker knows it: what was carried, and the record that comes last.
///
/// A clone is a fork.
#[derive(Clone, Debug)]
pub struct Imageset {
    id: Uuid,
    name: String,
    carried: BTreeMap<String, u64>,
    last: Option<Previous>,
}

/// What is special about one edition.
#[derive(Debug, Default)]
pub struct Special<'a> {
    /// How many parts it is split into; none or one is one bundle.
    pub parts: u32,
    /// Manifests that are left out on purpose, and all that only they need.
    pub left_out: &'a [&'a str],
    /// Blobs that are not carried though they should be.
    pub lost: &'a [&'a str],
    /// Blobs of which the record says that earlier sequences carry them.
    pub claimed: &'a [&'a str],
    /// What was asked for and is not carried.
    pub failed: &'a [&'a str],
}

impl Imageset {
    pub fn new(name: &str) -> Self {
        let id =
            Uuid::from_bytes(name.bytes().cycle().take(16).collect::<Vec<_>>().try_into().unwrap());
        Self { id, name: name.to_owned(), carried: BTreeMap::new(), last: None }
    }

    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The digest of the record that the next edition builds on.
    pub fn last(&self) -> String {
        self.last.as_ref().unwrap().digest.to_string()
    }

    /// Makes the next edition of all references of `content`; its one file.
    pub fn next(&mut self, content: &Content, directory: &Path) -> PathBuf {
        self.special(content, directory, &Special::default()).remove(0)
    }

    /// Makes the next edition in parts.
    pub fn parts(&mut self, content: &Content, directory: &Path, parts: u32) -> Vec<PathBuf> {
        self.special(content, directory, &Special { parts, ..Special::default() })
    }

    /// Makes the next edition; its files.
    pub fn special(
        &mut self,
        content: &Content,
        directory: &Path,
        special: &Special<'_>,
    ) -> Vec<PathBuf> {
        let left_out: BTreeSet<&str> = special.left_out.iter().copied().collect();
        let mut all = BTreeSet::new();
        for (_, descriptor) in content.references() {
            closure(content, &descriptor.digest, &left_out, &mut all);
        }
        let (old, mut new): (BTreeSet<_>, BTreeSet<_>) =
            all.into_iter().partition(|digest| self.carried.contains_key(digest));
        let mut needs: BTreeMap<String, u64> =
            old.into_iter().map(|digest| (digest.clone(), self.carried[&digest])).collect();
        for digest in special.claimed {
            new.remove(*digest);
            needs.insert((*digest).to_owned(), content.bytes(digest).len() as u64);
        }
        new.retain(|digest| !special.lost.contains(&digest.as_str()));
        let new: Vec<String> = new.into_iter().collect();
        let sequence = self.last.as_ref().map_or(1, |last| last.sequence + 1);
        let count = special.parts.max(1);
        let previous = self.last.clone();
        let mut files = Vec::new();
        let mut before = None;
        for number in 1..=count {
            let own = new.iter().skip(number as usize - 1).step_by(count as usize);
            let own: Vec<&String> = own.collect();
            let index = index(content);
            let mut record = Record {
                schema_version: record::SCHEMA_VERSION,
                id: self.id,
                name: self.name.clone(),
                sequence,
                previous: previous.clone(),
                part: (count > 1).then(|| Part { number, count, previous: before.clone() }),
                created: "2026-11-21T07:00:00Z".to_owned(),
                generator: "by hand".to_owned(),
                files: vec![file("index.json", &index), file("oci-layout", LAYOUT)],
                blobs: own.iter().map(|it| blob(it, content.bytes(it).len() as u64)).collect(),
                needs: needs.iter().map(|(digest, size)| blob(digest, *size)).collect(),
                sparse: special.left_out.iter().map(|digest| digest.parse().unwrap()).collect(),
                failed: special.failed.iter().map(|reference| failed(reference)).collect(),
                unknown: serde_json::Map::new(),
            };
            record.blobs.sort();
            record.needs.sort();
            let record = record.to_bytes().unwrap();
            before = Some(Digest::of(&record));
            let mut contents = vec![
                ("oci-layout".to_owned(), LAYOUT.to_vec()),
                ("index.json".to_owned(), index),
                (RECORD_FILE.to_owned(), record),
            ];
            contents.extend(own.iter().map(|digest| {
                let path = digest.replacen(':', "/", 1);
                (format!("blobs/{path}"), content.bytes(digest).to_vec())
            }));
            let part = if count > 1 { format!(".{number}-of-{count}") } else { String::new() };
            let path = directory.join(format!("{}-{sequence}{part}.sqfs", self.name));
            write(&path, &contents);
            files.push(path);
        }
        self.carried.extend(new.into_iter().map(|it| {
            let size = content.bytes(&it).len() as u64;
            (it, size)
        }));
        self.last = before.map(|digest| Previous { sequence, digest });
        files
    }
}

const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// What a manifest needs, but for the manifests that are left out.
fn closure(content: &Content, digest: &str, left_out: &BTreeSet<&str>, all: &mut BTreeSet<String>) {
    if left_out.contains(digest) || !all.insert(digest.to_owned()) {
        return;
    }
    let Some(manifest) = content.parsed(digest) else { return };
    let lists = ["manifests", "layers"].into_iter().filter_map(|key| manifest[key].as_array());
    for child in lists.flatten().chain(manifest.get("config")) {
        closure(content, child["digest"].as_str().unwrap(), left_out, all);
    }
}

fn index(content: &Content) -> Vec<u8> {
    let manifests = content.references().map(|(reference, descriptor)| {
        let mut value = descriptor.json();
        value["annotations"] = json!({
            "org.opencontainers.image.ref.name": reference,
            "io.containerd.image.name": reference,
        });
        value
    });
    let manifests: Vec<_> = manifests.collect();
    json!({"schemaVersion": 2, "manifests": manifests}).to_string().into_bytes()
}

fn file(path: &str, bytes: &[u8]) -> record::File {
    record::File { path: path.to_owned(), digest: Digest::of(bytes), size: bytes.len() as u64 }
}

fn blob(digest: &str, size: u64) -> record::Blob {
    record::Blob { digest: digest.parse().unwrap(), size }
}

fn failed(reference: &str) -> record::Failed {
    let reason = "manifest not known".to_owned();
    record::Failed { reference: reference.parse().unwrap(), reason }
}

fn write(path: &Path, contents: &[(String, Vec<u8>)]) {
    let sizes = contents.iter().map(|(path, bytes)| (path.clone(), bytes.len() as u64)).collect();
    let layout = squashfs::Layout::plan(sizes).unwrap();
    let writer = Writer::create(path, layout, 0, Space::Reserve).unwrap();
    for (place, (_, bytes)) in contents.iter().enumerate() {
        writer.write_at(place, 0, bytes).unwrap();
    }
    writer.finish().unwrap();
}

/// A directory that is served, and one in which bundles are made before they are brought.
#[derive(Debug)]
pub struct Yard {
    pub site: TempDir,
    pub work: TempDir,
}

impl Yard {
    pub fn new() -> Self {
        Self { site: tempfile::tempdir().unwrap(), work: tempfile::tempdir().unwrap() }
    }

    /// Where bundles are made.
    pub fn work(&self) -> &Path {
        self.work.path()
    }

    /// Brings a bundle whole, as a move within a file system does.
    pub fn bring(&self, path: &Path) {
        let name = path.file_name().unwrap().to_str().unwrap();
        self.bring_as(path, name);
    }

    /// The same under another name.
    pub fn bring_as(&self, path: &Path, name: &str) {
        let hidden = self.site.path().join(format!(".{name}"));
        fs::copy(path, &hidden).unwrap();
        fs::rename(hidden, self.site.path().join(name)).unwrap();
    }

    /// Takes a bundle away.
    pub fn remove(&self, name: &str) {
        fs::remove_file(self.site.path().join(name)).unwrap();
    }
}
