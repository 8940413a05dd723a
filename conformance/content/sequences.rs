//! Every row of the table of docs/bundle-format.md, through the program: files come and go in
//! a watched directory while a client pulls in a loop, and not one of its requests fails.

use std::fs;

use shipperd::oci::Digest;

use super::imageset::{Imageset, Special};
use super::pulled::{Bench, STEADY, app, first};
use crate::fixtures::Content;
use crate::fixtures::image::image;
use crate::fixtures::layer::noise;
use crate::program::{attempt, program};
use crate::spec::wire;

#[test]
fn sequences_become_live_in_turn_and_roll_back() {
    let mut bench = Bench::new();
    let mut set = Imageset::new("ocp");
    let (mut content, work) = (first(), bench.yard.work().to_owned());
    let one = set.next(&content, &work);
    bench.yard.bring(&one);
    bench.until(&["ocp-1.sqfs live"]);
    bench.pull();
    // The second adds an image and moves a tag; what the first carries it does not carry again.
    let before = content.named("quay.io/lab/app:v1").digest.clone();
    let mut second = Content::default();
    second.extend(&content, &[STEADY]);
    let moved = app(&mut second, "quay.io/lab/app:v1", "app 2");
    let new = app(&mut second, "quay.io/lab/new:v1", "new");
    content = second;
    let two = set.next(&content, &work);
    assert_eq!(bench.status("lab/new", "v1"), 404);
    bench.yard.bring(&two);
    bench.until(&["ocp-1.sqfs live", "ocp-2.sqfs live"]);
    assert_eq!(bench.pulls("lab/app", "v1"), moved.digest);
    assert_eq!(bench.pulls("lab/new", "v1"), new.digest);
    assert_eq!(bench.pulls("lab/app", &before), before, "the older one is there by its digest");
    // The same again is ignored; when the first copy goes, it takes over.
    bench.yard.bring_as(&two, "ocp-2-again.sqfs");
    bench.until(&["ocp-1.sqfs live", "ocp-2-again.sqfs ignored", "ocp-2.sqfs live"]);
    assert!(bench.reason("ocp-2-again.sqfs").starts_with("the same bundle is here twice: "));
    bench.yard.remove("ocp-2.sqfs");
    bench.until(&["ocp-1.sqfs live", "ocp-2-again.sqfs live"]);
    assert_eq!(bench.pulls("lab/app", "v1"), moved.digest);
    // The newest is removed: the one before is live again, as it was.
    bench.yard.remove("ocp-2-again.sqfs");
    bench.until(&["ocp-1.sqfs live"]);
    assert_eq!(bench.pulls("lab/app", "v1"), before);
    assert_eq!(bench.status("lab/new", "v1"), 404);
    bench.end();
}

#[test]
fn a_gap_waits_and_heals_at_once() {
    let mut bench = Bench::new();
    let mut set = Imageset::new("ocp");
    let (mut content, work) = (first(), bench.yard.work().to_owned());
    let mut bundles = vec![set.next(&content, &work)];
    for text in ["two", "three", "four"] {
        app(&mut content, &format!("quay.io/lab/{text}:v1"), text);
        bundles.push(set.next(&content, &work));
    }
    for bundle in [&bundles[0], &bundles[3], &bundles[2]] {
        bench.yard.bring(bundle);
    }
    bench.until(&["ocp-1.sqfs live", "ocp-3.sqfs waiting", "ocp-4.sqfs waiting"]);
    bench.pull();
    let id = set.id();
    for name in ["ocp-3.sqfs", "ocp-4.sqfs"] {
        let reason = format!(
            "waits for sequence 2 of imageset ocp ({id}): bring ocp-2.sqfs, or all its parts"
        );
        assert_eq!(bench.reason(name), reason);
    }
    assert_eq!(bench.status("lab/three", "v1"), 404);
    bench.yard.bring(&bundles[1]);
    let all = ["ocp-1.sqfs live", "ocp-2.sqfs live", "ocp-3.sqfs live", "ocp-4.sqfs live"];
    let seen = bench.until(&all);
    assert!(seen.len() <= 2, "all that waited becomes live in one change: {seen:?}");
    for text in ["two", "three", "four"] {
        bench.pulls(&format!("lab/{text}"), "v1");
    }
    // One in the middle is removed: what builds on it waits again.
    bench.yard.remove("ocp-2.sqfs");
    bench.until(&["ocp-1.sqfs live", "ocp-3.sqfs waiting", "ocp-4.sqfs waiting"]);
    assert_eq!(bench.status("lab/four", "v1"), 404);
    bench.end();
}

#[test]
fn a_fork_is_refused_and_both_are_named() {
    let mut bench = Bench::new();
    let mut set = Imageset::new("ocp");
    let (mut content, work) = (first(), bench.yard.work().to_owned());
    bench.yard.bring(&set.next(&content, &work));
    let (mut fork, mut other) = (set.clone(), content.clone());
    let forks = work.join("forks");
    fs::create_dir(&forks).unwrap();
    app(&mut content, "quay.io/lab/two:v1", "two");
    app(&mut other, "quay.io/lab/two:v1", "another two");
    bench.yard.bring(&set.next(&content, &work));
    bench.until(&["ocp-1.sqfs live", "ocp-2.sqfs live"]);
    bench.pull();
    let served = bench.pulls("lab/two", "v1");
    let two = fork.next(&other, &forks);
    let (this, live) = (fork.last(), set.last());
    app(&mut other, "quay.io/lab/three:v1", "three");
    let three = fork.next(&other, &forks);
    // Its name sorts first, and more builds on it: what is served stays all the same.
    bench.yard.bring_as(&two, "a-2.sqfs");
    bench.yard.bring_as(&three, "a-3.sqfs");
    let states = ["a-2.sqfs refused", "a-3.sqfs refused", "ocp-1.sqfs live", "ocp-2.sqfs live"];
    bench.until(&states);
    assert_eq!(bench.pulls("lab/two", "v1"), served);
    let id = set.id();
    assert_eq!(
        bench.reason("a-2.sqfs"),
        format!(
            "imageset ocp ({id}) was forked at sequence 2: {this} is here, {live} is served; \
             remove one of the two, the one that no later sequence builds on"
        )
    );
    let astray = bench.reason("a-3.sqfs");
    assert!(astray.contains(&this) && astray.contains(&live), "{astray}");
    // Without the one that was served, the other one and what builds on it are.
    bench.yard.remove("ocp-2.sqfs");
    bench.until(&["a-2.sqfs live", "a-3.sqfs live", "ocp-1.sqfs live"]);
    assert_ne!(bench.pulls("lab/two", "v1"), served);
    bench.end();
}

#[test]
fn parts_wait_until_all_are_there_and_go_live_together() {
    let (bench, mut set, mut content, work) = Bench::serving();
    // The parts of an index, its children and their layers lie in different files.
    let children = [("amd64", 7), ("arm64", 8)].map(|(architecture, seed)| {
        image(architecture).layer(noise(seed, 90_000)).add(&mut content)
    });
    let index = content.index(&children);
    content.tag("quay.io/lab/multi:v1", &index);
    let parts = set.parts(&content, &work, 3);
    app(&mut content, "quay.io/lab/three:v1", "three");
    bench.yard.bring(&set.next(&content, &work));
    bench.yard.bring(&parts[2]);
    bench.yard.bring(&parts[0]);
    let waiting = [
        "ocp-1.sqfs live",
        "ocp-2.1-of-3.sqfs waiting",
        "ocp-2.3-of-3.sqfs waiting",
        "ocp-3.sqfs waiting",
    ];
    bench.until(&waiting);
    let id = set.id();
    for name in ["ocp-2.1-of-3.sqfs", "ocp-2.3-of-3.sqfs", "ocp-3.sqfs"] {
        let reason = format!(
            "waits for part 2 of 3 of sequence 2 of imageset ocp ({id}): bring ocp-2.2-of-3.sqfs"
        );
        assert_eq!(bench.reason(name), reason);
    }
    bench.yard.bring(&parts[1]);
    let live = [
        "ocp-1.sqfs live",
        "ocp-2.1-of-3.sqfs live",
        "ocp-2.2-of-3.sqfs live",
        "ocp-2.3-of-3.sqfs live",
        "ocp-3.sqfs live",
    ];
    let seen = bench.until(&live);
    assert!(seen.len() <= 2, "all parts in one change: {seen:?}");
    assert_eq!(bench.pulls("lab/multi", "v1"), index.digest);
    for child in &children {
        assert_eq!(bench.pulls("lab/multi", &child.digest), child.digest);
    }
    bench.yard.remove("ocp-2.2-of-3.sqfs");
    bench.until(&waiting);
    assert_eq!(bench.status("lab/multi", "v1"), 404);
    bench.end();
}

#[test]
fn a_pull_under_way_ends_with_what_it_began_with() {
    let (bench, mut set, mut content, work) = Bench::serving();
    // More than the buffers between two sockets take up.
    let large = noise(9, 48 << 20);
    let layer = image("amd64").plain_layer(large.clone()).add(&mut content);
    content.tag("quay.io/lab/large:v1", &layer);
    bench.yard.bring(&set.next(&content, &work));
    bench.until(&["ocp-1.sqfs live", "ocp-2.sqfs live"]);
    let target = format!("/v2/lab/large/blobs/{}", Digest::of(&large));
    let mut connection = wire::Connection::open(bench.site.address());
    connection.request("GET", &target, &[]).unwrap();
    assert_eq!(connection.head().unwrap().status, 200);
    bench.yard.remove("ocp-2.sqfs");
    bench.until(&["ocp-1.sqfs live"]);
    assert_eq!(wire::get(bench.site.address(), &target).status, 404);
    let mut body = Vec::new();
    connection.read_exactly(large.len(), &mut body).unwrap();
    assert!(body == large);
    bench.end();
}

#[test]
fn what_is_still_being_copied_waits_and_is_never_opened_half() {
    let (bench, mut set, mut content, work) = Bench::serving();
    app(&mut content, "quay.io/lab/two:v1", "two");
    let bytes = fs::read(set.next(&content, &work)).unwrap();
    let place = bench.yard.site.path().join("ocp-2.sqfs");
    for length in [bytes.len() / 3, bytes.len() - 1] {
        fs::write(&place, &bytes[..length]).unwrap();
        bench.until(&["ocp-1.sqfs live", "ocp-2.sqfs waiting"]);
        assert_eq!(bench.status("lab/two", "v1"), 404);
    }
    fs::write(&place, &bytes).unwrap();
    bench.until(&["ocp-1.sqfs live", "ocp-2.sqfs live"]);
    bench.pulls("lab/two", "v1");
    bench.end();
}

#[test]
fn what_is_incomplete_is_refused_and_takes_nothing_else_down() {
    let mut bench = Bench::new();
    let mut set = Imageset::new("ocp");
    let (mut content, work) = (first(), bench.yard.work().to_owned());
    bench.yard.bring(&set.next(&content, &work));
    let sound = set.clone();
    app(&mut content, "quay.io/lab/two:v1", "two");
    let layer = content.parsed(&content.named("quay.io/lab/two:v1").digest).unwrap();
    let layer = layer["layers"][0]["digest"].as_str().unwrap().to_owned();
    let size = content.bytes(&layer).len();
    let broken = work.join("broken");
    fs::create_dir(&broken).unwrap();
    let lie = Special { claimed: &[&layer], ..Special::default() };
    let claims = set.special(&content, &broken, &lie).remove(0);
    app(&mut content, "quay.io/lab/three:v1", "three");
    let three = set.next(&content, &work);
    let mut other = Imageset::new("tools");
    let mut tools = Content::default();
    app(&mut tools, "quay.io/lab/tool:v1", "tool");
    bench.yard.bring(&other.next(&tools, &work));
    bench.until(&["ocp-1.sqfs live", "tools-1.sqfs live"]);
    bench.pull();
    bench.yard.bring(&claims);
    bench.yard.bring(&three);
    let refused =
        ["ocp-1.sqfs live", "ocp-2.sqfs refused", "ocp-3.sqfs waiting", "tools-1.sqfs live"];
    bench.until(&refused);
    assert_eq!(
        bench.reason("ocp-2.sqfs"),
        format!(
            "it is incomplete: {layer} (needed by quay.io/lab/two:v1, {size} bytes, \
             should be in sequence 1)"
        )
    );
    let reason = bench.reason("ocp-3.sqfs");
    assert!(reason.ends_with("cannot be served, bring a sound copy of it"), "{reason}");
    bench.pulls("lab/tool", "v1");
    // A blob that is in no record is a lack as well.
    let mut set = sound;
    let mut content = first();
    app(&mut content, "quay.io/lab/two:v1", "two");
    let lost = Special { lost: &[&layer], ..Special::default() };
    let lacks = set.special(&content, &broken, &lost).remove(0);
    bench.yard.remove("ocp-3.sqfs");
    bench.yard.bring(&lacks);
    bench.until(&["ocp-1.sqfs live", "ocp-2.sqfs refused", "tools-1.sqfs live"]);
    let reason = bench.reason("ocp-2.sqfs");
    let expected =
        format!("it is incomplete: {layer} (needed by quay.io/lab/two:v1, {size} bytes)");
    assert_eq!(reason, expected);
    bench.end();
}

#[test]
fn imagesets_are_served_side_by_side_and_their_differences_are_told() {
    let mut bench = Bench::new();
    let (mut one, mut two) = (Imageset::new("apps"), Imageset::new("tools"));
    let (content, work) = (first(), bench.yard.work().to_owned());
    bench.yard.bring(&one.next(&content, &work));
    bench.until(&["apps-1.sqfs live"]);
    bench.pull();
    let mut tools = Content::default();
    let other = app(&mut tools, "quay.io/lab/app:v1", "another app");
    app(&mut tools, "quay.io/lab/tool:v1", "tool");
    bench.yard.bring(&two.next(&tools, &work));
    bench.until(&["apps-1.sqfs live", "tools-1.sqfs live"]);
    bench.pulls("lab/tool", "v1");
    let apps = content.named("quay.io/lab/app:v1").digest.clone();
    assert_eq!(bench.pulls("lab/app", "v1"), apps, "the imageset listed first wins");
    assert_eq!(bench.pulls("lab/app", &other.digest), other.digest, "both are there by digest");
    let metrics = wire::get(bench.site.address(), "/metrics");
    let metrics = String::from_utf8(metrics.body).unwrap();
    let sequence = format!("{{imageset=\"tools\",id=\"{}\"}} 1", two.id());
    for line in ["shipperd_ambiguous_names 1", &format!("shipperd_imageset_sequence{sequence}")] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    let ready = wire::get(bench.site.address(), "/readyz").json();
    assert_eq!(ready["ambiguous_names"], 1);
    assert_eq!(ready["bundles"][1]["imageset"]["name"], "tools");
    let said = "ambiguous name: quay.io/lab/app:v1 means different images in different imagesets; \
                that of apps is served";
    bench.until_logged(said);
    bench.yard.remove("tools-1.sqfs");
    bench.until(&["apps-1.sqfs live"]);
    bench.end();
}

#[test]
fn a_platform_left_out_on_purpose_is_said_to_be_and_may_come_later() {
    let mut bench = Bench::new();
    let mut set = Imageset::new("ocp");
    let (mut content, work) = (first(), bench.yard.work().to_owned());
    let amd64 = image("amd64").layer(noise(3, 5_000)).add(&mut content);
    let arm64 = image("arm64").layer(noise(4, 5_000)).add(&mut content);
    let index = content.index(&[amd64.clone(), arm64.clone()]);
    content.tag("quay.io/lab/multi:v1", &index);
    let sparse = Special { left_out: &[&arm64.digest], ..Special::default() };
    bench.yard.bring(&set.special(&content, &work, &sparse)[0]);
    bench.until(&["ocp-1.sqfs live"]);
    bench.pull();
    assert_eq!(bench.pulls("lab/multi", "v1"), index.digest);
    assert_eq!(bench.pulls("lab/multi", &amd64.digest), amd64.digest);
    let target = format!("/v2/lab/multi/manifests/{}", arm64.digest);
    let answer = wire::get(bench.site.address(), &target);
    assert_eq!(answer.status, 404);
    let error = answer.json()["errors"][0].clone();
    assert_eq!(error["code"], "MANIFEST_UNKNOWN");
    let message = format!(
        "manifest {} was left out of imageset ocp on purpose: its platform was not asked for",
        arm64.digest
    );
    assert_eq!(error["message"], message);
    let copy = |architecture: &str| {
        let output = bench.yard.work().join(architecture);
        let mut skopeo = program("skopeo")?;
        skopeo.args(["--override-arch", architecture, "copy", "-q", "--src-tls-verify=false"]);
        skopeo.arg(format!("docker://{}/lab/multi:v1", bench.site.address()));
        Some(attempt(skopeo.arg(format!("dir:{}", output.display()))))
    };
    if let (Some(carried), Some(other)) = (copy("amd64"), copy("arm64")) {
        assert!(carried.status.success(), "{carried:?}");
        let said = String::from_utf8_lossy(&other.stderr);
        assert!(!other.status.success() && said.contains(&message), "{said}");
    }
    // The next sequence carries it; the index, whose bytes are the same, lies in the first.
    bench.yard.bring(&set.next(&content, &work));
    bench.until(&["ocp-1.sqfs live", "ocp-2.sqfs live"]);
    assert_eq!(bench.pulls("lab/multi", "v1"), index.digest);
    assert_eq!(bench.pulls("lab/multi", &arm64.digest), arm64.digest);
    if let Some(copied) = copy("arm64") {
        assert!(copied.status.success(), "{copied:?}");
    }
    bench.end();
}
