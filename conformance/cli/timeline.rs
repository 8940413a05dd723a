//! What inspect, verify and extract say of imagesets in sequences and parts.

use std::fs;
use std::path::Path;

use serde_json::Value;
use tempfile::TempDir;

use super::{check, shipperd, stdout};
use crate::content::imageset::{Imageset, Special};
use crate::fixtures::image::image;
use crate::fixtures::layer::files;
use crate::fixtures::{Content, Descriptor};

/// Adds an image of one layer that is stored as it is.
fn app(content: &mut Content, reference: &str, text: &str) -> Descriptor {
    let app = image("amd64").plain_layer(files(&[("etc/app", text.as_bytes())])).add(content);
    content.tag(reference, &app);
    app
}

/// The first ten digits, as a person is shown them.
fn short(digest: &str) -> &str {
    &digest[..19]
}

/// An imageset of four sequences in `usb`, the second in two parts, and what it is made of.
struct Shelf {
    directory: TempDir,
    set: Imageset,
    /// The records of sequences 1 to 4.
    records: Vec<String>,
    v1: Descriptor,
    v2: Descriptor,
}

impl Shelf {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let usb = directory.path().join("usb");
        fs::create_dir(&usb).unwrap();
        let mut set = Imageset::new("ocp");
        let mut records = Vec::new();
        let mut content = Content::default();
        let v1 = app(&mut content, "quay.io/a/app:v1", "one");
        set.next(&content, &usb);
        records.push(set.last());
        app(&mut content, "quay.io/a/more:v1", "more");
        set.parts(&content, &usb, 2);
        records.push(set.last());
        let mut content = Content::default();
        let v2 = app(&mut content, "quay.io/a/app:v1", "two");
        app(&mut content, "quay.io/a/third:v1", "three");
        let failed = Special { failed: &["quay.io/a/gone:v1"], ..Special::default() };
        set.special(&content, &usb, &failed);
        records.push(set.last());
        app(&mut content, "quay.io/a/fourth:v1", "four");
        set.next(&content, &usb);
        records.push(set.last());
        Self { directory, set, records, v1, v2 }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The timeline that inspect shows.
    fn timeline(&self, code: i32) -> String {
        let text = stdout(shipperd(self.path()).args(["inspect", "usb"]), code);
        text.split("\n\n").find(|it| it.starts_with("imageset ")).unwrap().trim_end().to_owned()
    }
}

#[test]
fn inspect_shows_the_timeline_of_an_imageset() {
    let shelf = Shelf::new();
    let (id, from, to) = (shelf.set.id(), short(&shelf.v1.digest), short(&shelf.v2.digest));
    let made = "made 2026-11-21T07:00:00Z";
    let expected = format!(
        "imageset ocp ({id})
  sequence 1: live, {made}, usb/ocp-1.sqfs
    adds 3 blobs, 2.62 KiB; references: 1 new
  sequence 2, part 1 of 2: live, {made}, usb/ocp-2.1-of-2.sqfs
    adds 2 blobs, 630 B; references: 1 new
    new   quay.io/a/more:v1
  sequence 2, part 2 of 2: live, {made}, usb/ocp-2.2-of-2.sqfs
    adds 1 blobs, 2.00 KiB
  sequence 3: live, {made}, usb/ocp-3.sqfs
    adds 6 blobs, 5.23 KiB; references: 1 new, 1 moved, 1 failed
    new   quay.io/a/third:v1
    moved quay.io/a/app:v1 from {from} to {to}
  sequence 4: live, {made}, usb/ocp-4.sqfs
    adds 3 blobs, 2.62 KiB; references: 1 new
    new   quay.io/a/fourth:v1"
    );
    assert_eq!(shelf.timeline(0), expected);
}

#[test]
fn the_timeline_says_what_waits_and_what_is_refused() {
    let shelf = Shelf::new();
    let id = shelf.set.id();
    fs::remove_file(shelf.path().join("usb/ocp-2.2-of-2.sqfs")).unwrap();
    let usb = shelf.path().join("usb");
    fs::copy(usb.join("ocp-1.sqfs"), usb.join("ocp-1-again.sqfs")).unwrap();
    let waits = format!(
        "    waits for part 2 of 2 of sequence 2 of imageset ocp ({id}): bring ocp-2.2-of-2.sqfs"
    );
    let made = "made 2026-11-21T07:00:00Z";
    let timeline = shelf.timeline(1);
    let lines: Vec<&str> = timeline.lines().filter(|it| !it.starts_with("    adds")).collect();
    let expected = [
        &format!("imageset ocp ({id})"),
        &format!("  sequence 1: live, {made}, usb/ocp-1-again.sqfs"),
        &format!("  sequence 1: ignored, {made}, usb/ocp-1.sqfs"),
        "    the same bundle is here twice: usb/ocp-1-again.sqfs",
        &format!("  sequence 2, part 1 of 2: waiting, {made}, usb/ocp-2.1-of-2.sqfs"),
        &waits,
    ];
    assert_eq!(lines[..6], expected);
    assert_eq!(lines.iter().filter(|line| **line == waits).count(), 3);

    // A fork of the first, made by another run.
    let mut content = Content::default();
    app(&mut content, "quay.io/a/fork:v1", "fork");
    let mut fork = Imageset::new("ocp");
    let path = fork.next(&content, shelf.path());
    fs::rename(path, usb.join("ocp-x.sqfs")).unwrap();
    let answer = stdout(shipperd(shelf.path()).args(["inspect", "usb", "--json"]), 1);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let bundles = answer["imagesets"][0]["bundles"].as_array().unwrap();
    let refused = bundles.iter().find(|it| it["path"] == "usb/ocp-x.sqfs").unwrap();
    assert_eq!((&refused["state"], &refused["sequence"]), (&"refused".into(), &1.into()));
    let reason = refused["reason"].as_str().unwrap();
    let (this, other) = (fork.last(), &shelf.records[0]);
    assert!(reason.contains(&format!("{this} is here, {other} is served")), "{reason}");
    let third = bundles.iter().find(|it| it["sequence"] == 3).unwrap();
    assert_eq!((&third["state"], &third["failed"]), (&"waiting".into(), &1.into()));
    assert_eq!(third["moved"][0]["to"], shelf.v2.digest.as_str());
}

#[test]
fn one_file_of_a_later_sequence_says_what_it_builds_on() {
    let shelf = Shelf::new();
    let (id, records) = (shelf.set.id(), &shelf.records);
    let (to, two) = (short(&shelf.v2.digest), &records[1]);
    let four = &records[3];
    let text = stdout(shipperd(shelf.path()).args(["inspect", "usb/ocp-4.sqfs"]), 0);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[1], format!("  imageset   ocp ({id}), sequence 4"));
    assert_eq!(lines[2], format!("  identity   {four}"));
    assert_eq!(lines[3], format!("  follows    sequence 3, {}", records[2]));
    assert_eq!(lines[5], "  content    3 blobs, 2.62 KiB; 3 references");
    assert_eq!(lines[6], format!("    quay.io/a/app:v1     {to}   elsewhere"));
    assert_eq!(lines[9], "  builds on  6 blobs, 5.23 KiB, of earlier sequences");
    assert_eq!(lines.len(), 10, "nothing is missing: {text}");
    let text = stdout(shipperd(shelf.path()).args(["inspect", "usb/ocp-2.2-of-2.sqfs"]), 0);
    assert_eq!(
        text.lines().nth(1).unwrap(),
        format!("  imageset   ocp ({id}), sequence 2, part 2 of 2")
    );
    assert!(text.contains(two.as_str()) && !text.contains("missing"), "{text}");
    let last = text.lines().last().unwrap();
    assert_eq!(last, "  belongs    to other parts, which hold 1 blobs, 397 B, of what it names");
}

#[test]
fn verify_of_a_later_sequence_or_a_part_says_what_it_builds_on() {
    let shelf = Shelf::new();
    let mut command = shipperd(shelf.path());
    command.args(["verify", "-q", "usb/ocp-1.sqfs", "usb/ocp-2.2-of-2.sqfs", "usb/ocp-4.sqfs"]);
    check(
        &mut command,
        0,
        "usb/ocp-1.sqfs: 3 blobs, 2.62 KiB: good\n\
         usb/ocp-2.2-of-2.sqfs: 1 blobs, 2.00 KiB: good; part 2 of 2 of sequence 2, \
         builds on 3 blobs, 2.62 KiB, of earlier sequences\n\
         usb/ocp-4.sqfs: 3 blobs, 2.62 KiB: good; sequence 4, \
         builds on 6 blobs, 5.23 KiB, of earlier sequences\n",
        "",
    );
    let answer: Value = serde_json::from_str(&stdout(command.arg("--json"), 0)).unwrap();
    let last = &answer["bundles"][2]["builds_on"];
    assert_eq!((&last["sequence"], &last["blobs"]), (&4.into(), &6.into()));
}

#[test]
fn extract_puts_the_sequences_of_an_imageset_into_one_layout() {
    let shelf = Shelf::new();
    stdout(shipperd(shelf.path()).args(["extract", "-q", "usb", "-o", "all"]), 0);
    let text = stdout(shipperd(shelf.path()).args(["inspect", "all"]), 0);
    let v2 = short(&shelf.v2.digest);
    assert!(text.contains("quay.io/a/app:v1  ") && text.contains(v2), "{text}");
    let old = format!("quay.io/a/app@{}", shelf.v1.digest);
    for reference in ["quay.io/a/more:v1", "quay.io/a/third:v1", "quay.io/a/fourth:v1", &old] {
        assert!(text.contains(reference), "{reference} in {text}");
    }
    assert!(!text.contains("missing") && text.contains("15 blobs"), "{text}");

    // One of them alone says what it lacks.
    let mut alone = shipperd(shelf.path());
    alone.args(["extract", "usb/ocp-4.sqfs", "-o", "alone"]);
    let output = alone.output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let stderr = super::text(&output.stderr);
    let warning = "warning: 6 blobs of earlier sequences are not in the layout: \
                   extract those bundles together with this one\n";
    assert!(stderr.contains(warning), "{stderr}");
    let text = stdout(shipperd(shelf.path()).args(["inspect", "alone"]), 0);
    assert!(text.contains("3 blobs") && text.contains("1 references"), "{text}");

    fs::create_dir(shelf.path().join("empty")).unwrap();
    let mut nothing = shipperd(shelf.path());
    nothing.args(["extract", "empty", "-o", "nothing"]);
    check(&mut nothing, 2, "", "error: there is no bundle to extract in [\"empty\"]\n");
    assert!(!shelf.path().join("nothing").exists());

    // What would not be served is left out, and said.
    fs::remove_file(shelf.path().join("usb/ocp-3.sqfs")).unwrap();
    let mut gap = shipperd(shelf.path());
    let output = gap.args(["extract", "usb", "-o", "gap"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = super::text(&output.stderr);
    let warning = "warning: \"usb/ocp-4.sqfs\" is left out: waits for sequence 3 of imageset ocp";
    assert!(stderr.contains(warning), "{stderr}");
}
