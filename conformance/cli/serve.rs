//! A server's life as who runs it sees it: the line that says it is ready, signals, refusals.
#![expect(clippy::print_stdout, reason = "what was skipped is said aloud")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use shipperd::oci::Digest;

use super::{check, layout, shipperd, stdout, text};

/// A server that is stopped when the test ends.
pub(super) struct Server {
    pub(super) child: Child,
    pub(super) ready: String,
}

impl Server {
    /// Starts the server and waits until it says that it is ready.
    pub(super) fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut ready).unwrap();
        Self { child, ready }
    }

    pub(super) fn url(&self) -> &str {
        self.ready.trim_end().rsplit(' ').next().unwrap()
    }

    pub(super) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for the end, for at most `limit`.
    pub(super) fn end(&mut self, limit: Duration) -> Option<i32> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            assert!(Instant::now() < deadline, "still running after {limit:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        self.child.wait().unwrap();
    }
}

/// Asks for a path and answers status and body; trusts this authority, if one is given.
fn get(url: &str, path: &str, authority: Option<&str>) -> (u16, String) {
    let mut client = reqwest::Client::builder().no_proxy();
    if let Some(pem) = authority {
        let certificate = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
        client = client.tls_certs_only([certificate]);
    }
    let client = client.build().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let answer = client.get(format!("{url}{path}")).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    })
}

fn serve(directory: &Path, arguments: &[&str]) -> Server {
    let mut command = shipperd(directory);
    Server::start(command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments))
}

/// Serves `one` and answers the document that says that it is ready, too.
fn serve_with_document(directory: &Path, arguments: &[&str]) -> (Server, Value) {
    let mut command = shipperd(directory);
    command.args(["serve", "one", "--json", "--quiet", "--listen", "127.0.0.1:0"]);
    let command = command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let reader = BufReader::new(child.stdout.take().unwrap());
    let document = serde_json::Deserializer::from_reader(reader).into_iter().next();
    let document: Value = document.unwrap().unwrap();
    (Server { child, ready: document["url"].as_str().unwrap().to_owned() }, document)
}

#[test]
fn one_line_says_that_it_is_ready_and_a_signal_ends_it_at_once() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("bundles/one"), &["quay.io/a/b:v1", "quay.io/a/c:v1"], b"layer");
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = serve(directory.path(), &[]);
        assert!(
            server.ready.starts_with("serving 2 images from 1 bundles at http://127.0.0.1:"),
            "{}",
            server.ready
        );
        let (status, body) = get(server.url(), "/v2/a/b/tags/list", None);
        assert_eq!((status, body.as_str()), (200, r#"{"name":"a/b","tags":["v1"]}"#));
        server.signal(signal);
        assert_eq!(server.end(Duration::from_secs(1)), Some(0));
        let mut rest = String::new();
        server.child.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "", "only one line is printed");
    }
}

#[test]
fn the_ready_line_can_be_a_document() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("one"), &["quay.io/a/b:v1"], b"layer");
    let (server, ready) = serve_with_document(directory.path(), &[]);
    assert_eq!((&ready["images"], &ready["bundles"]), (&1.into(), &1.into()));
    assert_eq!(get(server.url(), "/v2/", None).0, 200);
}

#[test]
fn a_bundle_dropped_in_is_served_and_one_removed_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir(directory.path().join("bundles")).unwrap();
    layout(&directory.path().join("layout"), &["quay.io/a/b:v1"], b"layer");
    let server = serve(directory.path(), &[]);
    assert!(server.ready.starts_with("serving 0 images from 0 bundles at "), "{}", server.ready);
    let until = |status: u16| {
        let deadline = Instant::now() + Duration::from_secs(10);
        while get(server.url(), "/v2/a/b/manifests/v1", None).0 != status {
            assert!(Instant::now() < deadline, "no {status} after ten seconds");
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    until(404);
    let mut create = shipperd(directory.path());
    create.args(["create", "--quiet", "--name", "apps", "--output", "bundles", "oci:layout"]);
    check(&mut create, 0, "bundles/apps-1.sqfs\n", "");
    until(200);
    fs::remove_file(directory.path().join("bundles/apps-1.sqfs")).unwrap();
    until(404);
}

#[test]
fn what_becomes_of_each_file_is_logged_once() {
    let directory = tempfile::tempdir().unwrap();
    let bundles = directory.path().join("bundles");
    layout(&directory.path().join("layout"), &["quay.io/a/b:v1"], b"layer");
    let mut create = shipperd(directory.path());
    create.args(["create", "-q", "--name", "apps", "-o", "bundles", "oci:layout"]);
    check(&mut create, 0, "bundles/apps-1.sqfs\n", "");
    fs::write(bundles.join("broken.tar"), "not a bundle").unwrap();
    fs::write(bundles.join("notes.txt"), "nobody takes it for one\n").unwrap();
    let mut server = serve(directory.path(), &["--log-format", "json"]);
    fs::copy(bundles.join("apps-1.sqfs"), bundles.join("copy.sqfs")).unwrap();
    let mut log = BufReader::new(server.child.stderr.take().unwrap()).lines();
    let mut next = || {
        let line: Value = serde_json::from_str(&log.next().unwrap().unwrap()).unwrap();
        let field = |name: &str| line[name].as_str().unwrap().to_owned();
        (field("level"), field("message"))
    };
    let log = |level: &str, message: &str| (level.to_owned(), message.to_owned());
    let refused = "bundles/broken.tar is refused: it is neither a squashfs image, a tar archive \
                   nor a directory";
    assert_eq!(next(), log("ERROR", refused));
    assert_eq!(next(), log("INFO", "bundles/apps-1.sqfs is live"));
    let ignored =
        "bundles/copy.sqfs is ignored: the same bundle is here twice: bundles/apps-1.sqfs";
    assert_eq!(next(), log("INFO", ignored));
    fs::remove_file(bundles.join("copy.sqfs")).unwrap();
    assert_eq!(next(), log("INFO", "bundles/copy.sqfs is gone"));
}

#[test]
fn a_running_pull_is_ended_first_and_broken_off_by_a_second_signal() {
    let directory = tempfile::tempdir().unwrap();
    let layer = vec![7; 64 << 20];
    layout(&directory.path().join("bundles/one"), &["quay.io/a/b:v1"], &layer);
    let blob = format!("/v2/a/b/blobs/{}", Digest::of(&layer));
    let mut server = serve(directory.path(), &["--verify", "never"]);
    let address = server.url().trim_start_matches("http://").to_owned();
    let pull = || {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET {blob} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
        let mut head = [0; 1000];
        stream.read_exact(&mut head).unwrap();
        stream
    };
    let (mut patient, _stuck) = (pull(), pull());
    server.signal(Signal::TERM);
    let mut rest = Vec::new();
    patient.read_to_end(&mut rest).unwrap();
    assert!(rest.len() > layer.len() - 1000, "{} bytes", rest.len());
    assert!(server.child.try_wait().unwrap().is_none(), "the other pull is still running");
    server.signal(Signal::TERM);
    assert_eq!(server.end(Duration::from_secs(1)), Some(0));
}

#[test]
fn process_1_of_a_container_is_ended_by_a_signal_too() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("one"), &["quay.io/a/b:v1"], b"layer");
    let possible = Command::new("unshare").args(["--pid", "--fork", "true"]).output();
    if !possible.is_ok_and(|output| output.status.success()) {
        println!("skipped: no permission to make a PID namespace");
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", env!("CARGO_BIN_EXE_shipperd"), "serve", "one"]);
    command.args(["--listen", "127.0.0.1:0"]).current_dir(directory.path());
    let mut server = Server::start(command.env("SHIPPERD_CONFIG", "/dev/null"));
    let outer = server.child.id();
    let inner = fs::read_to_string(format!("/proc/{outer}/task/{outer}/children")).unwrap();
    let inner = Pid::from_raw(inner.trim().parse().unwrap()).unwrap();
    kill_process(inner, Signal::TERM).unwrap();
    assert_eq!(server.end(Duration::from_secs(1)), Some(0));
}

#[test]
fn tls_is_spoken_beyond_the_machine_and_trust_prints_the_authority() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("one"), &["quay.io/a/b:v1"], b"layer");
    let mut trust = shipperd(directory.path());
    let authority = stdout(trust.args(["trust", "--state-dir", "state"]), 0);
    assert!(authority.starts_with("-----BEGIN CERTIFICATE-----\n"));
    let mut command = shipperd(directory.path());
    command.args(["serve", "one", "--listen", "0.0.0.0:0", "--state-dir", "state"]);
    command.args(["--tls-name", "registry.example"]);
    let server = Server::start(&mut command);
    let (_, port) = server.url().rsplit_once(':').unwrap();
    assert_eq!(server.url(), format!("https://0.0.0.0:{port}"));
    let url = format!("https://localhost:{port}");
    assert_eq!(get(&url, "/v2/a/b/manifests/v1", Some(&authority)).0, 200);
    let again = stdout(shipperd(directory.path()).args(["trust", "--state-dir", "state"]), 0);
    assert_eq!(again, authority);
}

#[test]
fn plain_http_beyond_the_machine_is_for_who_asks_for_it() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("one"), &["quay.io/a/b:v1"], b"layer");
    let mut command = shipperd(directory.path());
    command.args(["serve", "one", "--listen", "0.0.0.0:0", "--plain-http"]);
    let server = Server::start(&mut command);
    let (_, port) = server.url().rsplit_once(':').unwrap();
    assert_eq!(server.url(), format!("http://0.0.0.0:{port}"));
    assert_eq!(get(&format!("http://127.0.0.1:{port}"), "/v2/", None).0, 200);
}

#[test]
fn what_those_who_run_it_ask_can_have_an_address_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("one"), &["quay.io/a/b:v1"], b"layer");
    let (server, ready) = serve_with_document(directory.path(), &["--admin", "127.0.0.1:0"]);
    let admin = ready["admin"].as_str().unwrap();
    assert_eq!(get(admin, "/readyz", None).0, 200);
    assert_eq!(get(admin, "/v2/", None).0, 404);
    assert_eq!(get(server.url(), "/readyz", None).0, 404);
    assert_eq!(get(server.url(), "/v2/", None).0, 200);
}

#[test]
fn what_stands_in_the_way_of_serving_is_said() {
    let directory = tempfile::tempdir().unwrap();
    layout(&directory.path().join("one"), &["quay.io/a/b:v1"], b"layer");
    check(
        shipperd(directory.path()).args(["serve"]),
        2,
        "",
        "error: cannot serve \"bundles\"\n  \
         caused by: No such file or directory (os error 2)\n\n\
         hint: check the path; a relative one starts at the working directory\n",
    );
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let mut command = shipperd(directory.path());
    let output = command.args(["serve", "one", "--listen", &taken]).output().unwrap();
    drop(holder);
    assert_eq!(output.status.code(), Some(2));
    let stderr = text(&output.stderr);
    let expected = format!(
        "error: cannot listen on {taken}\n  caused by: Address already in use (os error 98)\n\n\
         hint: another process listens there: choose another address with `--listen`, \
         or find the process with `ss -ltnp`\n"
    );
    assert_eq!(stderr, expected);
    for (flags, message) in [
        (&["--tls-cert", "c.pem"][..], "error: `--tls-cert` needs `--tls-key`\n"),
        (&["--tls-key", "k.pem"], "error: `--tls-key` needs `--tls-cert`\n"),
    ] {
        check(shipperd(directory.path()).args(["serve", "one"]).args(flags), 2, "", message);
    }
    let mut command = shipperd(directory.path());
    command.args(["serve", "one", "--tls-cert", "c.pem", "--tls-key", "k.pem"]);
    let output = command.args(["--listen", "127.0.0.1:0"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr)
            .starts_with("error: cannot serve by TLS\n  caused by: cannot read c.pem\n")
    );
}
