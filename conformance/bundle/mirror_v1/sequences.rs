//! Archives that follow one another: by oc-mirror's rules and in its words, as files come and go.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use shipperd::content::live::{Served, State};
use shipperd::content::overlay::Overlay;
use shipperd::content::shelf::{Options, Shelf};
use shipperd::oci::{Name, TagOrDigest};
use shipperd::source::Source;

use super::{
    FIRST, METADATA, OPERATORS, SECOND, UID, archive, blobs, copy, digests, first, metadata, real,
    serve, walk,
};
use crate::bundle::small;
use crate::fixtures::Content;
use crate::program::{attempt, run};

/// The same archive with other metadata.
fn with_metadata(from: &Path, to: &Path, change: impl Fn(&mut Value)) {
    copy(from, to, |path, bytes| {
        if path != METADATA {
            return Some((path.to_owned(), bytes));
        }
        let mut values = serde_json::Deserializer::from_slice(&bytes).into_iter::<Value>();
        let mut metadata = values.next().unwrap().unwrap();
        change(&mut metadata);
        Some((path.to_owned(), serde_json::to_vec(&metadata).unwrap()))
    });
}

/// A directory that is served, looked at by hand.
struct Yard {
    directory: tempfile::TempDir,
    shelf: Shelf,
}

impl Yard {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let shelf = Shelf::new(vec![directory.path().to_owned()], Options::default());
        Self { directory, shelf }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn bring(&self, from: &Path, name: &str) {
        fs::copy(from, self.path(name)).unwrap();
    }

    fn scan(&mut self) -> Served<Overlay> {
        self.shelf.scan().unwrap().expect("something changed")
    }
}

/// How a file fares, and what is said of it.
#[track_caller]
fn fate(served: &Served<Overlay>, name: &str) -> (State, String) {
    let mut bundles = served.bundles.iter();
    let found = bundles.find(|it| it.path.file_name().unwrap() == name).unwrap();
    (found.state, found.notes.join("\n"))
}

/// What a tag means.
fn meaning(served: &Served<Overlay>, repository: &str, tag: &str) -> Option<String> {
    let name = Name { registry: None, repository: repository.parse().unwrap() };
    let target: TagOrDigest = tag.parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let found = runtime.block_on(served.source.resolve(&name, &target));
    found.ok().map(|it| it.digest.to_string())
}

const SEQ1: &str = "mirror_seq1_000000.tar";
const SEQ2: &str = "mirror_seq2_000000.tar";

#[test]
fn the_second_waits_for_the_first_and_leaves_it_behind() {
    let (Some(one), Some(two), Some(other)) = (real(FIRST), real(SECOND), real(OPERATORS)) else {
        return;
    };
    let (small, new) = (digests("small-digests").unwrap(), digests("v2-digests").unwrap());
    let app1 = small["app1"].as_str().map(ToOwned::to_owned);
    let mut yard = Yard::new();
    yard.bring(&two, SEQ2);
    let served = yard.scan();
    let (state, said) = fate(&served, SEQ2);
    assert_eq!(state, State::Waiting);
    let text = "error during publishing, expecting imageset with prefix mirror_seq1: \
                invalid mirror sequence order, want 1, got 2";
    assert!(said.starts_with(text) && said.contains("bring mirror_seq1_000000.tar"), "{said}");
    assert_eq!(meaning(&served, "team/app1", "v2"), None);

    yard.bring(&one, SEQ1);
    let served = yard.scan();
    for name in [SEQ1, SEQ2] {
        assert_eq!(fate(&served, name), (State::Live, String::new()), "{name}");
    }
    assert_eq!(meaning(&served, "team/app1", "v1"), app1);
    assert_eq!(meaning(&served, "team/app1", "v2").as_deref(), new["app1-v2"].as_str());

    // A workspace of its own has sequences of its own.
    yard.bring(&other, "other_seq1_000000.tar");
    let served = yard.scan();
    for name in [SEQ1, SEQ2, "other_seq1_000000.tar"] {
        assert_eq!(fate(&served, name), (State::Live, String::new()), "{name}");
    }
    assert!(meaning(&served, "ops/foo-bundle", "d655407e").is_some());

    fs::remove_file(yard.path(SEQ2)).unwrap();
    let served = yard.scan();
    assert_eq!(meaning(&served, "team/app1", "v2"), None);
    assert_eq!(meaning(&served, "team/app1", "v1"), app1);

    yard.bring(&two, SEQ2);
    yard.scan();
    fs::remove_file(yard.path(SEQ1)).unwrap();
    let served = yard.scan();
    assert_eq!(fate(&served, SEQ2).0, State::Waiting, "it lacks what the first has");
}

#[test]
fn both_together_answer_everything_in_any_order() {
    let (Some(one), Some(two)) = (real(FIRST), real(SECOND)) else { return };
    let (small, new) = (digests("small-digests").unwrap(), digests("v2-digests").unwrap());
    for order in [[&one, &two], [&two, &one]] {
        let site = serve(&order.map(PathBuf::as_path));
        for (repository, tag, digest) in first(&small) {
            assert_eq!(walk(&site, repository, tag), digest, "{repository}:{tag}");
        }
        for (repository, key) in [("team/app1", "app1-v2"), ("team/app5", "app5-v2")] {
            assert_eq!(walk(&site, repository, "v2"), new[key].as_str().unwrap(), "{repository}");
        }
    }
}

#[test]
fn the_same_sequence_again_is_ignored_and_another_one_refused() {
    let (Some(one), Some(two)) = (real(FIRST), real(SECOND)) else { return };
    let mut yard = Yard::new();
    yard.bring(&one, SEQ1);
    yard.scan();
    let text = "No diff from previous mirror (sequence is the same), nothing to do";
    yard.bring(&one, "a-copy.tar");
    let served = yard.scan();
    let (state, said) = fate(&served, "a-copy.tar");
    assert_eq!(state, State::Ignored);
    assert!(said.starts_with(text) && said.contains(SEQ1), "{said}");
    assert_eq!(fate(&served, SEQ1).0, State::Live);

    with_metadata(&one, &yard.path("a-fork.tar"), |it| it["pastMirror"]["timestamp"] = 7.into());
    let served = yard.scan();
    let (state, said) = fate(&served, "a-fork.tar");
    assert_eq!(state, State::Refused);
    assert!(said.starts_with(text) && said.contains("another archive of that sequence"), "{said}");
    assert_eq!(fate(&served, SEQ1).0, State::Live, "the one that was served stays");

    // When it goes, the copy takes over before anything is lost.
    fs::remove_file(yard.path(SEQ1)).unwrap();
    fs::remove_file(yard.path("a-fork.tar")).unwrap();
    yard.bring(&two, SEQ2);
    let served = yard.scan();
    assert_eq!(fate(&served, "a-copy.tar").0, State::Live);
    assert_eq!(fate(&served, SEQ2).0, State::Live);
}

#[test]
fn what_lacks_nothing_is_served_out_of_order() {
    let (Some(one), Some(two)) = (real(FIRST), real(SECOND)) else { return };
    let mut yard = Yard::new();
    with_metadata(&one, &yard.path("five.tar"), |it| it["pastMirror"]["sequence"] = 5.into());
    let served = yard.scan();
    let (state, said) = fate(&served, "five.tar");
    assert_eq!(state, State::Live);
    assert!(said.contains("invalid mirror sequence order, want 1, got 5"), "{said}");
    assert!(meaning(&served, "team/app1", "v1").is_some());

    // What follows it follows it; what follows nothing that is here waits.
    with_metadata(&two, &yard.path("six.tar"), |it| it["pastMirror"]["sequence"] = 6.into());
    assert_eq!(fate(&yard.scan(), "six.tar"), (State::Live, String::new()));
    fs::remove_file(yard.path("five.tar")).unwrap();
    let (state, said) = fate(&yard.scan(), "six.tar");
    assert_eq!(state, State::Waiting);
    assert!(said.contains("mirror_seq1: invalid mirror sequence order, want 1, got 6"), "{said}");

    // One that keeps no workspace is served as far as it goes.
    let mut yard = Yard::new();
    with_metadata(&two, &yard.path("alone.tar"), |it| it["singleUse"] = true.into());
    let (state, said) = fate(&yard.scan(), "alone.tar");
    assert_eq!(state, State::Live);
    assert!(said.starts_with("it is incomplete: sha256:744558e1"), "{said}");
}

#[test]
fn the_newest_sequence_says_what_a_tag_means() {
    let mut yard = Yard::new();
    let mut meanings = Vec::new();
    for sequence in 1..=3 {
        let mut content = Content::default();
        let layer = [sequence];
        meanings.push(small(&mut content, "quay.io/lab/app:v1", &layer));
        small(&mut content, &format!("quay.io/lab/app:seq{sequence}"), &layer);
        let file = yard.path(&format!("{}_seq{sequence}_000000.tar", 9 - sequence));
        archive(&file, &metadata(&content, UID, sequence.into()), blobs(&content, &[]));
    }
    let served = yard.scan();
    assert_eq!(meaning(&served, "lab/app", "v1").as_ref(), meanings.last());
    for sequence in 1..=3 {
        assert!(meaning(&served, "lab/app", &format!("seq{sequence}")).is_some());
    }
    fs::remove_file(yard.path("6_seq3_000000.tar")).unwrap();
    assert_eq!(meaning(&yard.scan(), "lab/app", "v1").as_ref(), meanings.get(1));
}

#[test]
fn the_files_of_a_split_archive_belong_together() {
    let Some(one) = real(FIRST) else { return };
    let small = digests("small-digests").unwrap();
    let mut yard = Yard::new();
    let names = [0, 1, 2].map(|number| format!("mirror_seq1_00000{number}.tar"));
    for (number, name) in names.iter().enumerate() {
        let mut at = 0;
        copy(&one, &yard.path(name), |path, bytes| {
            at += 1;
            let of = if path == METADATA { 0 } else { at * 3 / 48 };
            (of == number).then(|| (path.to_owned(), bytes))
        });
    }
    let served = yard.scan();
    for name in &names {
        assert_eq!(fate(&served, name), (State::Live, String::new()), "{name}");
    }
    for (repository, tag, digest) in first(&small) {
        assert_eq!(meaning(&served, repository, tag).as_deref(), Some(digest), "{repository}");
    }
    let site = serve(&[yard.directory.path()]);
    for (repository, tag, digest) in first(&small) {
        assert_eq!(walk(&site, repository, tag), digest, "{repository}:{tag}");
    }

    fs::rename(yard.path(&names[1]), yard.path(".aside")).unwrap();
    let (state, said) = fate(&yard.scan(), &names[0]);
    assert_eq!(state, State::Live);
    assert!(said.contains("it is incomplete: sha256:"), "{said}");
    assert!(said.contains("in another file of its archive"), "{said}");

    fs::rename(yard.path(".aside"), yard.path(&names[1])).unwrap();
    fs::remove_file(yard.path(&names[0])).unwrap();
    let served = yard.scan();
    for name in &names[1..] {
        let (state, said) = fate(&served, name);
        assert_eq!(state, State::Waiting, "{name}");
        assert!(said.contains("the first file of its archive"), "{said}");
    }
}

#[test]
fn commands_take_sequences_together() {
    let (Some(one), Some(two)) = (real(FIRST), real(SECOND)) else { return };
    let small = digests("small-digests").unwrap();
    let work = tempfile::tempdir().unwrap();
    let shipperd = |command: &str| {
        let mut shipperd = Command::new(env!("CARGO_BIN_EXE_shipperd"));
        shipperd.env("SHIPPERD_CONFIG", "/dev/null").arg(command);
        shipperd
    };
    run(shipperd("verify").args([&one, &two]));
    let layout = work.path().join("layout");
    run(shipperd("extract").args([&one, &two]).arg("-o").arg(&layout));
    run(shipperd("convert").args([&two, &one]).arg("-o").arg(work.path()).args(["--name", "all"]));
    for served in [&layout, &work.path().join("all-1.sqfs")] {
        let site = serve(&[served]);
        for (repository, tag, digest) in first(&small) {
            assert_eq!(walk(&site, repository, tag), digest, "{repository}:{tag}");
        }
        walk(&site, "team/app5", "v2");
    }
    // The second alone is not what `serve` would serve.
    let refused = attempt(shipperd("convert").arg(&two).arg("-o").arg(work.path()));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("want 1, got 2"), "{said}");
}
