//! What create says, and what it leaves on the disk.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::serve::Server;
use super::{check, layout, shipperd, stdout, text};

fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.starts_with('.'));
    names.sort();
    names
}

#[test]
fn a_bundle_of_a_layout_holds_its_images() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("layout"), &["quay.io/a/b:v1"], &vec![7; 100_000]);
    let mut command = shipperd(directory.path());
    command.args(["create", "--quiet", "--name", "apps", "--output", "out", "oci:layout"]);
    command.env("SOURCE_DATE_EPOCH", "1795244400");
    check(&mut command, 0, "out/apps-1.sqfs\n", "");
    assert_eq!(files(&directory.path().join("out")), ["apps-1.sqfs"]);

    let answer = stdout(shipperd(directory.path()).args(["inspect", "--json", "out"]), 0);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let bundle = &answer["bundles"][0];
    assert_eq!(bundle["imageset"]["name"], "apps");
    assert_eq!(bundle["imageset"]["sequence"], 1);
    assert_eq!(bundle["imageset"]["created"], "2026-11-21T07:00:00Z");
    assert_eq!(bundle["references"][0]["reference"], "quay.io/a/b:v1");
    assert_eq!(bundle["missing"].as_array().unwrap().len(), 0);
    let verified = stdout(shipperd(directory.path()).args(["verify", "--quiet", "out"]), 0);
    assert!(verified.ends_with(": good\n"), "{verified}");
}

#[test]
fn the_same_images_give_the_same_bytes() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("layout"), &["quay.io/a/b:v1"], b"layer");
    let make = |output: &str| {
        let mut command = shipperd(directory.path());
        command.args(["create", "--json", "--name", "apps", "--output", output, "oci:layout"]);
        command.args(["--state", output]);
        let answer = stdout(command.env("SOURCE_DATE_EPOCH", "1795244400"), 0);
        let answer: Value = serde_json::from_str(&answer).unwrap();
        fs::read(directory.path().join(answer["paths"][0].as_str().unwrap())).unwrap()
    };
    assert!(make("one") == make("two"));
}

#[test]
fn a_bundle_is_never_replaced() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("layout"), &["quay.io/a/b:v1"], b"layer");
    fs::write(directory.path().join("apps-1.sqfs"), "precious").unwrap();
    check(
        shipperd(directory.path()).args(["create", "--name", "apps", "oci:layout"]),
        2,
        "",
        "error: \"./apps-1.sqfs\" exists already\n\n\
         hint: choose another `--name` or `--output`, or move the bundle that is there away\n",
    );
    assert_eq!(fs::read(directory.path().join("apps-1.sqfs")).unwrap(), b"precious");
}

#[test]
fn what_is_lacking_is_said() {
    let directory = tempfile::tempdir().unwrap();
    check(
        shipperd(directory.path()).args(["create", "--name", "apps"]),
        2,
        "",
        "error: there is nothing to carry\n\n\
         hint: name images: `shipperd create --name apps quay.io/ns/name:tag`\n",
    );
    check(
        shipperd(directory.path()).args(["create", "quay.io/a/b:v1"]),
        2,
        "",
        "error: the imageset has no name\n\n\
         hint: give it one with `--name`: updates are found by it\n",
    );
    check(
        shipperd(directory.path()).args(["create", "--name", "../a", "quay.io/a/b:v1"]),
        2,
        "",
        "error: \"../a\" cannot name an imageset: use at most 128 letters, digits, `.`, `_` and \
         `-`, the first a letter or digit\n",
    );
}

#[test]
fn images_that_cannot_be_had_are_each_named() {
    let directory = tempfile::tempdir().unwrap();
    let layer = layout(&directory.path().join("layout"), &["quay.io/a/b:v1"], b"layer");
    fs::remove_file(layer).unwrap();
    let mut command = shipperd(directory.path());
    let output = command.args(["create", "--name", "apps", "oci:layout"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = text(&output.stderr);
    assert!(stderr.starts_with("error: 1 of 1 images cannot be resolved\n"), "{stderr}");
    assert!(stderr.contains("\n  caused by: quay.io/a/b:v1: "), "{stderr}");
    assert_eq!(files(directory.path()), ["layout"]);
}

#[test]
fn a_source_that_is_damaged_makes_no_bundle() {
    let directory = tempfile::tempdir().unwrap();
    let layer = layout(&directory.path().join("layout"), &["quay.io/a/b:v1"], b"layer");
    fs::write(layer, b"lAyer").unwrap();
    let mut command = shipperd(directory.path());
    command.args(["create", "--name", "apps", "--output", "out", "oci:layout"]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let stderr = text(&output.stderr);
    assert!(stderr.contains("error: cannot copy what quay.io/a/b:v1 needs\n"), "{stderr}");
    assert!(stderr.contains("\nhint: what was fetched is kept"), "{stderr}");
    let left = files(&directory.path().join("out"));
    assert_eq!(left, ["apps-1.sqfs.journal", "apps-1.sqfs.partial"], "no bundle");
}

#[test]
fn a_bundle_can_be_made_of_what_a_registry_serves() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("layout"), &["quay.io/a/b:v1"], &vec![7; 1 << 20]);
    let mut serve = shipperd(directory.path());
    let server = Server::start(serve.args(["serve", "layout", "--listen", "127.0.0.1:0"]));
    let host = server.url().trim_start_matches("http://");
    let mut create = shipperd(directory.path());
    create.args(["create", "--quiet", "--name", "apps", "--plain-http", host]);
    check(create.arg(format!("{host}/a/b:v1")), 0, "./apps-1.sqfs\n", "");
    let mut inspect = shipperd(directory.path());
    let answer = stdout(inspect.args(["inspect", "--json", "layout", "apps-1.sqfs"]), 0);
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let [source, bundle] = [0, 1].map(|at| &answer["bundles"][at]["references"][0]);
    assert_eq!(bundle["reference"], format!("{host}/a/b:v1"));
    assert_eq!(bundle["digest"], source["digest"]);
    assert_eq!(bundle["bytes"], source["bytes"]);
    let verify = stdout(shipperd(directory.path()).args(["verify", "-q", "apps-1.sqfs"]), 0);
    assert!(verify.ends_with(": good\n"), "{verify}");
}

#[test]
fn what_to_do_about_tls_is_said() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("layout"), &["quay.io/a/b:v1"], b"layer");
    let mut serve = shipperd(directory.path());
    serve.args(["serve", "layout", "--listen", "0.0.0.0:0", "--state-dir", "state"]);
    let server = Server::start(&mut serve);
    let host = server.url().replace("https://0.0.0.0", "localhost");
    let create = |name: &str, flags: &[&str]| {
        let mut create = shipperd(directory.path());
        create.args(["create", "--quiet", "--name", name, &format!("{host}/a/b:v1")]);
        let output = create.args(flags).output().unwrap();
        (output.status.code(), text(&output.stderr))
    };
    let (code, stderr) = create("untrusted", &[]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains(&format!("`--tls-skip-verify {host}`")), "{stderr}");
    assert_eq!(create("trusted", &["--tls-skip-verify", &host]), (Some(0), String::new()));

    let mut serve = shipperd(directory.path());
    let plain = Server::start(serve.args(["serve", "layout", "--listen", "127.0.0.1:0"]));
    let host = plain.url().trim_start_matches("http://");
    let mut create = shipperd(directory.path());
    create.args(["create", "--quiet", "--name", "plain", &format!("{host}/a/b:v1")]);
    let stderr = text(&create.output().unwrap().stderr);
    assert!(stderr.contains(&format!("`--plain-http {host}`")), "{stderr}");
}

#[test]
fn a_signal_ends_it_at_once_and_leaves_no_bundle() {
    let directory = tempfile::tempdir().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = silent.local_addr().unwrap().to_string();
    let mut create = shipperd(directory.path());
    create.args(["create", "--name", "apps", "--plain-http", &host, &format!("{host}/a/b:v1")]);
    let child = create.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut running = Server { child, ready: String::new() };
    let _asked = silent.accept().unwrap();
    running.signal(Signal::INT);
    assert_eq!(running.end(Duration::from_secs(1)), Some(2));
    let mut stderr = String::new();
    running.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(stderr, "error: interrupted by SIGINT\n");
    assert_eq!(files(directory.path()), [""; 0]);
}
