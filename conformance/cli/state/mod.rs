//! What `shipperd state` says of states and does to them.

mod yard;

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use shipperd::client::{Credentials, Environment, Remote, Retries, Settings, Trust};
use shipperd::oci::Digest;
use shipperd::state::{Access, Aws, Location, Store};

use super::{check, layout, shipperd, stdout, text};
use crate::client::distribution::{Distribution, Setup};
use crate::state::s3;
use yard::Yard;

fn short(digest: &Digest) -> String {
    digest.to_string().chars().take(19).collect()
}

#[test]
fn a_state_is_made_again_of_bundles_and_shown() {
    let (yard, one) = Yard::new();
    let two = yard.more(&one);
    let place = format!("file://{}", yard.path("home/shipperd/imagesets").display());
    check(
        &mut yard.run(&["import", "out"]),
        0,
        "",
        &format!("the state of apps is in {place}, up to sequence 3\n"),
    );
    let three: Digest = {
        let state: Value = serde_json::from_str(&yard.exported(&["--name", "apps"])).unwrap();
        assert_eq!(state["editions"][1]["parts"], 2);
        assert_eq!(state["editions"][1]["blobs"].as_array().unwrap().len(), 3);
        state["editions"][2]["digest"].as_str().unwrap().parse().unwrap()
    };
    let shown = stdout(&mut yard.run(&["show", "--name", "apps"]), 0);
    let lines: Vec<&str> = shown.lines().collect();
    assert_eq!(lines[0], format!("imageset apps ({}), state in {place}", yard.id));
    let words = |line: usize| lines[line].split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(1), "sequence created blobs bytes parts digest");
    let expected = format!("1 2026-11-21T07:00:00Z 3 98.05 KiB 1 {}", short(&one));
    assert_eq!(words(2), expected);
    assert_eq!(words(3), format!("2 2026-11-22T07:00:00Z 3 8 B 2 {}", short(&two)));
    assert_eq!(words(4), format!("3 2026-11-22T07:00:00Z 0 0 B 1 {}", short(&three)));
    let json = stdout(&mut yard.run(&["show", "--name", "apps", "--json"]), 0);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["place"], place);
    assert_eq!(json["editions"][1]["bytes"], 8);
    assert_eq!(json["editions"][1]["digest"], two.to_string());
    assert_eq!(fs::read_to_string(yard.state()).unwrap(), yard.exported(&["--name", "apps"]));
}

#[test]
fn an_exported_state_can_be_imported_elsewhere() {
    let (yard, one) = Yard::new();
    yard.more(&one);
    stdout(&mut yard.run(&["import", "--quiet", "out", "--state", "here"]), 0);
    let exported = yard.exported(&["--name", "apps", "--state", "here"]);
    fs::write(yard.path("kept.json"), &exported).unwrap();
    stdout(&mut yard.run(&["import", "--quiet", "kept.json", "--state", "there"]), 0);
    assert_eq!(yard.exported(&["--name", "apps", "--state", "there"]), exported);
    fs::write(yard.path("kept.json"), &exported[..exported.len() / 2]).unwrap();
    let (code, said) = yard.talk(&["import", "kept.json"]);
    assert_eq!(code, Some(2));
    assert!(said.starts_with("error: cannot use \"kept.json\" as a state\n"), "{said}");
}

#[test]
fn what_cannot_be_imported_is_said() {
    let (yard, one) = Yard::new();
    yard.more(&one);
    let cannot = "error: cannot make the state of these bundles\n  caused by: ";
    layout(&yard.path("plain"), &["quay.io/a/b:v1"], b"layer");
    for (arguments, expected) in [
        (
            &["out/apps-1.sqfs", "out/apps-2.1-of-2.sqfs"][..],
            format!("{cannot}missing: part 2 of 2 of sequence 2\n"),
        ),
        (&["out/apps-1.sqfs", "out/apps-3.sqfs"], format!("{cannot}missing: sequence 2\n")),
        (&["out", "--name", "other"], format!("{cannot}there is no bundle\n")),
        (
            &["out/apps-1.sqfs", "--name", "other"],
            "error: what is imported is of imageset \"apps\", not of \"other\"\n".to_owned(),
        ),
        (
            &["plain"],
            "error: \"plain\" is not a bundle that shipperd made: it has no imageset record\n"
                .to_owned(),
        ),
        (
            &["absent.sqfs"],
            "error: cannot read \"absent.sqfs\"\n  \
             caused by: No such file or directory (os error 2)\n\n\
             hint: check the path; a relative one starts at the working directory\n"
                .to_owned(),
        ),
    ] {
        check(yard.run(&["import"]).args(arguments), 2, "", &expected);
        assert!(!yard.state().exists(), "{arguments:?}");
    }
    fs::write(yard.path("out/notes.txt"), "not a bundle").unwrap();
    check(yard.run(&["import", "-q", "out"]).args(["--name", "apps"]), 0, "", "");
}

#[test]
fn only_a_state_that_says_less_is_replaced_unasked() {
    let (yard, one) = Yard::new();
    stdout(&mut yard.run(&["import", "-q", "out"]), 0);
    let two = yard.more(&one);
    stdout(&mut yard.run(&["import", "-q", "out"]), 0);
    let whole = fs::read(yard.state()).unwrap();
    let (code, said) = yard.talk(&["import", "out/apps-1.sqfs"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("says otherwise: it goes up to sequence 3, beyond 1\n"), "{said}");
    assert!(said.contains("\nhint: ") && said.contains("`--replace`"), "{said}");
    fs::remove_file(yard.path("out/apps-3.sqfs")).unwrap();
    yard.later("apps-3.sqfs", (3, &two), None, &[b"other"]);
    let (code, said) = yard.talk(&["import", "out"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("says otherwise: they differ from sequence 3 on\n"), "{said}");
    assert_eq!(fs::read(yard.state()).unwrap(), whole);
    stdout(&mut yard.run(&["import", "-q", "out", "--replace"]), 0);
    assert_ne!(fs::read(yard.state()).unwrap(), whole);
}

#[test]
fn a_damaged_state_is_named_with_the_way_out() {
    let (yard, _) = Yard::new();
    stdout(&mut yard.run(&["import", "-q", "out"]), 0);
    let whole = fs::read(yard.state()).unwrap();
    fs::write(yard.state(), &whole[..whole.len() / 2]).unwrap();
    let place = format!("file://{}", yard.path("home/shipperd/imagesets").display());
    let (code, said) = yard.talk(&["show", "--name", "apps"]);
    assert_eq!(code, Some(2));
    let expected = format!("error: the state of imageset apps in {place} is damaged\n");
    assert!(said.starts_with(&expected), "{said}");
    assert!(said.ends_with("`shipperd state import BUNDLE…`\n"), "{said}");
    let (code, said) = yard.talk(&["import", "out"]);
    assert_eq!(code, Some(0));
    assert!(said.starts_with("warning: replacing the state in "), "{said}");
    assert_eq!(fs::read(yard.state()).unwrap(), whole);

    let newer = String::from_utf8(whole).unwrap();
    let newer = newer.replacen("\"schemaVersion\": 1", "\"schemaVersion\": 2", 1);
    fs::write(yard.state(), &newer).unwrap();
    let (code, said) = yard.talk(&["import", "out"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("schema version 2, this shipperd reads up to 1"), "{said}");
    assert_eq!(fs::read_to_string(yard.state()).unwrap(), newer);
    stdout(&mut yard.run(&["forget", "-q", "--name", "apps"]), 0);
    assert!(!yard.state().exists(), "what cannot be read can be forgotten");
}

#[test]
fn what_never_arrived_is_forgotten() {
    let (yard, one) = Yard::new();
    yard.more(&one);
    stdout(&mut yard.run(&["import", "-q", "out"]), 0);
    let (code, said) = yard.talk(&["forget", "--name", "apps", "--since", "1"]);
    assert_eq!(code, Some(0), "{said}");
    let expected = "forgot sequences 2 to 3 of apps: the next bundle is sequence 2 and carries ";
    assert!(said.starts_with(expected), "{said}");
    let state: Value = serde_json::from_str(&yard.exported(&["--name", "apps"])).unwrap();
    assert_eq!(state["editions"].as_array().unwrap().len(), 1);
    for (since, expected) in [("1", "knows nothing after sequence 1"), ("0", "0 is not in 1..")] {
        let (code, said) = yard.talk(&["forget", "--name", "apps", "--since", since]);
        assert_eq!(code, Some(2));
        assert!(said.contains(expected), "{said}");
    }
    let (code, said) = yard.talk(&["forget", "--name", "apps"]);
    assert_eq!(code, Some(0));
    assert!(said.starts_with("forgot apps: the next bundle is the first one of a new"), "{said}");
    assert!(!yard.state().exists());
    let (code, said) = yard.talk(&["show", "--name", "apps"]);
    assert_eq!(code, Some(2));
    assert!(said.starts_with("error: there is no state of imageset apps in file://"), "{said}");
}

#[test]
fn what_is_lacking_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut command = shipperd(directory.path());
        command.arg("state").args(arguments);
        command
    };
    check(
        &mut run(&["show"]),
        2,
        "",
        "error: no imageset is named\n\nhint: name the one whose state is meant with `--name`\n",
    );
    check(
        run(&["show", "--name", "apps"]).env_remove("XDG_STATE_HOME"),
        2,
        "",
        "error: there is no directory to keep the state in\n\nhint: name one with `--state`\n",
    );
    let output = run(&["show", "--name", "apps", "--state", "https://x/y"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(
        said.contains("is neither a directory nor a file://, docker:// or s3:// URL"),
        "{said}"
    );
}

#[tokio::test]
async fn who_comes_second_is_told_to_wait() {
    let (yard, _) = Yard::new();
    let location = Location::Local(yard.path("states"));
    let credentials = Credentials::load(None, &Environment::default()).unwrap();
    let trust = Trust::load(&[], &[], &[]).unwrap();
    let remote = Remote::new(Settings { credentials, trust, retries: Retries::PATIENT });
    let access = Access { remote, aws: Aws::default() };
    let lock = Store::open(&location, "apps", &access).unwrap().lock().await.unwrap();
    let (code, said) = yard.talk(&["import", "out", "--state", "states"]);
    assert_eq!(code, Some(2));
    let expected = "error: another process works on imageset apps, whose state is in states\n\n\
                    hint: wait until the other process has ended\n";
    assert_eq!(said, expected);
    drop(lock);
    stdout(&mut yard.run(&["import", "-q", "out", "--state", "states"]), 0);
}

/// The state of the bundles through its life, in another place than a directory.
fn lives(yard: &Yard, options: &[&str], configure: impl Fn(&mut Command)) {
    let run = |arguments: &[&str]| {
        let mut command = yard.run(arguments);
        configure(&mut command);
        command.args(options).output().unwrap()
    };
    let done = |arguments: &[&str]| {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    done(&["import", "-q", "out"]);
    let whole = done(&["export", "--name", "apps"]);
    done(&["forget", "-q", "--name", "apps", "--since", "2"]);
    done(&["import", "-q", "out"]);
    assert_eq!(done(&["export", "--name", "apps"]), whole);
    done(&["forget", "-q", "--name", "apps"]);
    let output = run(&["show", "--name", "apps"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).starts_with("error: there is no state of imageset apps in "));
}

#[tokio::test]
async fn states_in_a_registry() {
    let Some(distribution) = Distribution::start(Setup::default()).await else { return };
    let registry = distribution.registry().as_str();
    let (yard, one) = Yard::new();
    yard.more(&one);
    let url = format!("docker://{registry}/lab/state");
    lives(&yard, &["--state", &url, "--plain-http", registry], |_| {});
    let (code, said) = yard.talk(&["show", "--name", "apps", "--state", &url]);
    assert_eq!(code, Some(2));
    assert!(said.contains(&format!("`--plain-http {registry}`")), "{said}");
}

#[test]
fn states_in_object_storage() {
    let Some(server) = s3::Server::start() else { return };
    let (yard, one) = Yard::new();
    yard.more(&one);
    let environment = |secret| {
        let variables = server.variables(secret);
        move |command: &mut Command| {
            command.envs(variables.clone());
        }
    };
    let url = format!("s3://{}/ci", s3::BUCKET);
    lives(&yard, &["--state", &url], environment(s3::KEY.1));
    let mut show = yard.run(&["show", "--name", "apps", "--state", &url]);
    environment("wrong")(&mut show);
    let output = show.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("caused by: the server refused the credentials: "), "{said}");
    assert!(said.contains("hint: look at `AWS_ACCESS_KEY_ID`"), "{said}");
}

/// Nobody can tell two imagesets of the same name apart by it.
#[test]
fn a_directory_of_two_imagesets_is_told_apart_by_name() {
    let (yard, _) = Yard::new();
    let other: &Path = &yard.path("other");
    layout(other, &["quay.io/a/c:v1"], b"another");
    let mut create = shipperd(yard.directory.path());
    create.args(["create", "-q", "--name", "more", "-o", "out", "oci:other"]);
    stdout(&mut create, 0);
    let (code, said) = yard.talk(&["import", "out"]);
    assert_eq!(code, Some(2));
    assert!(said.contains("they are of two imagesets: \"apps\" ("), "{said}");
    stdout(&mut yard.run(&["import", "-q", "out", "--name", "more"]), 0);
    assert!(yard.path("home/shipperd/imagesets/more.json").exists() && !yard.state().exists());
}
