//! What a registry answers to everything that can be asked about a content.

use std::collections::BTreeMap;

use serde_json::Value;
use tempfile::TempDir;

use super::{Keeps, Row};
use crate::bundle::{notes, serve};
use crate::fixtures::layout::split;
use crate::fixtures::{Content, foreign};
use crate::spec::wire::{self, Connection};

/// The headers that say what an answer is.
const HEADERS: [&str; 6] = [
    "content-type",
    "content-length",
    "content-range",
    "docker-content-digest",
    "accept-ranges",
    "etag",
];

/// Each question, and what was said.
pub(super) struct Answers(BTreeMap<Question, Said>);

/// A target, the part that is wanted, and whether only a full name is so answered.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Question {
    target: String,
    part: Option<&'static str>,
    is_full: bool,
}

#[derive(Debug, Eq, PartialEq)]
struct Said {
    status: u16,
    headers: Vec<Option<String>>,
    body: Vec<u8>,
}

/// Serves a row as a user does and compares its answers with those of our own bundle.
pub(super) fn compare(row: Row) {
    let reference = row.keeps.reference();
    let work = TempDir::new().unwrap();
    let Some(path) = row.make(&reference.content, work.path()) else { return };
    let site = serve(&[&path]);
    assert_eq!(notes(&site, &path), [""; 0], "{}", row.name);
    reference.answers.compare(site.address(), row.name, row.keeps != Keeps::Paths);
}

impl Answers {
    /// Asks everything there is to ask.
    pub(super) fn of(address: &str, content: &Content) -> Self {
        let mut connection = Connection::open(address);
        let questions = questions(content).into_iter();
        Self(questions.map(|it| (it.clone(), it.ask(&mut connection))).collect())
    }

    /// Checks that every digest and every full name was answered with what the content has.
    pub(super) fn check(&self, content: &Content) {
        let asked = |target: String, bytes: &[u8]| {
            let said = &self.0[&Question::new(target.clone())];
            assert!(said.status == 200 && said.body == bytes, "{target}: {said:?}");
        };
        for (reference, descriptor) in content.references() {
            let (host, (repository, tag)) =
                (reference.split('/').next().unwrap(), split(reference));
            let target = tag.unwrap_or(&descriptor.digest);
            let bytes = content.bytes(&descriptor.digest);
            asked(format!("/v2/{repository}/manifests/{target}?ns={host}"), bytes);
            for digest in content.closure(&descriptor.digest) {
                asked(format!("/v2/{repository}/blobs/{digest}"), content.bytes(&digest));
            }
        }
    }

    /// Asks the same of another one; `full` tells whether it keeps registries.
    pub(super) fn compare(&self, address: &str, what: &str, full: bool) {
        let mut connection = Connection::open(address);
        assert!(self.0.len() > 30, "{what}: hardly anything is asked");
        for (question, expected) in &self.0 {
            if full || !question.is_full {
                let said = question.ask(&mut connection);
                assert!(said == *expected, "{what}: {question:?}: {said:?}, not {expected:?}");
            }
        }
        let listed = catalog(address);
        let asked = self.0.keys().filter(|it| full || !it.is_full);
        let expected: Vec<_> = asked.filter_map(Question::listed).collect();
        for path in &expected {
            assert!(listed.contains(path), "{what}: {path} is not in {listed:?}");
        }
        let host = |path: &String| path.starts_with(&format!("{}/", foreign::HOST));
        let lab = |path: &&String| path.starts_with("lab/") || path.starts_with("saved/");
        let mine = expected.iter().find(lab).unwrap().split('/').next();
        let mut own = listed.iter().filter(|it| it.split('/').next() == mine);
        assert!(own.all(|it| expected.contains(it)), "{what}: {listed:?}");
        assert_eq!(listed.iter().any(host), full, "{what}: {listed:?}");
    }
}

impl Question {
    fn new(target: String) -> Self {
        Self { target, part: None, is_full: false }
    }

    fn full(target: String) -> Self {
        Self { target, part: None, is_full: true }
    }

    /// The repository, if this asks for its tags.
    fn listed(&self) -> Option<String> {
        self.target.strip_prefix("/v2/")?.strip_suffix("/tags/list").map(str::to_owned)
    }

    fn ask(&self, connection: &mut Connection) -> Said {
        let part = self.part.map(|part| format!("Range: bytes={part}"));
        let headers: Vec<&str> = part.iter().map(String::as_str).collect();
        connection.request("GET", &self.target, &headers).unwrap();
        let answer = connection.answer().unwrap();
        let headers = HEADERS.map(|name| answer.header(name).map(str::to_owned)).to_vec();
        // The order in which referrers are listed is nobody's promise.
        let body = match serde_json::from_slice::<Value>(&answer.body) {
            Ok(mut list) if self.target.contains("/referrers/") => {
                let all = list["manifests"].as_array_mut().unwrap();
                all.sort_by_key(|it| it["digest"].as_str().unwrap().to_owned());
                list.to_string().into_bytes()
            }
            _ => answer.body,
        };
        Said { status: answer.status, headers, body }
    }
}

/// The repositories that are listed.
fn catalog(address: &str) -> Vec<String> {
    let answer = wire::get(address, "/v2/_catalog?n=1000").json();
    let all = answer["repositories"].as_array().unwrap().iter();
    all.map(|it| it.as_str().unwrap().to_owned()).collect()
}

/// Everything that can be asked: names in every form, manifests, blobs and parts of them, lists.
fn questions(content: &Content) -> Vec<Question> {
    let mut questions = Vec::new();
    let mut paths = BTreeMap::<&str, usize>::new();
    for (reference, _) in content.references() {
        let (_, path) = reference.split_once('/').unwrap();
        *paths.entry(path).or_default() += 1;
        let (repository, _) = split(reference);
        questions.push(Question::new(format!("/v2/{repository}/tags/list")));
        questions.push(Question::new(format!("/v2/{repository}/manifests/none")));
    }
    for (reference, descriptor) in content.references() {
        let (host, path) = reference.split_once('/').unwrap();
        let (repository, tag) = split(reference);
        let target = tag.unwrap_or(&descriptor.digest);
        questions.push(Question::full(format!("/v2/{host}/{repository}/manifests/{target}")));
        questions.push(Question::full(format!("/v2/{host}/{repository}/tags/list")));
        // Without its registry a name that is on two of them says nothing.
        if paths[path] == 1 {
            questions.push(Question::new(format!("/v2/{repository}/manifests/{target}")));
        }
        questions.push(Question::new(format!("/v2/{repository}/manifests/{target}?ns={host}")));
        for digest in content.closure(&descriptor.digest) {
            let at = |kind: &str| format!("/v2/{repository}/{kind}/{digest}");
            questions.push(Question::new(at("manifests")));
            questions.push(Question::new(at("referrers")));
            for part in [None, Some("1-"), Some("-5"), Some("3-4"), Some("999999999-")] {
                questions.push(Question { part, ..Question::new(at("blobs")) });
            }
        }
    }
    questions.sort();
    questions.dedup();
    questions
}
