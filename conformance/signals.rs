//! How `shipperd serve` ends: soon when idle, after what is running otherwise, also as PID 1.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::fixtures::Content;
use crate::fixtures::image::image;
use crate::program::{is_root, program};
use crate::spec::wire::{self, Connection};

/// A layer larger than all the buffers between a server and a client that does not read.
const LAYER: usize = 24 << 20;

/// A server whose every end is watched.
struct Process {
    child: Child,
    /// The process that is told to end: of the server, not of what started it.
    server: Pid,
    address: String,
    layer: String,
    _directory: TempDir,
}

impl Process {
    fn start(mut command: Command) -> Self {
        let mut content = Content::default();
        let bytes = vec![21; LAYER];
        let layer = crate::fixtures::digest(&bytes);
        let root = image("amd64").plain_layer(bytes).add(&mut content);
        content.tag("quay.io/lab/app:v1", &root);
        let directory = TempDir::new().unwrap();
        content.write_layout(directory.path());
        command.args(["serve", "--listen", "127.0.0.1:0"]).arg(directory.path());
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let (_, url) = line.trim().rsplit_once("http://").unwrap_or_else(|| panic!("{line:?}"));
        let address = url.trim_end_matches('/').to_owned();
        let server = youngest(child.id());
        Self { child, server, address, layer, _directory: directory }
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.server, signal).unwrap();
    }

    /// How it ended and how long that took.
    fn end(&mut self) -> (ExitStatus, Duration) {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, begun.elapsed());
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "does not end");
            thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Only when the test failed is there anything left to end.
        kill_process(self.server, Signal::KILL).ok();
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The process at the end of a chain of only children.
fn youngest(id: u32) -> Pid {
    let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    match children.split_whitespace().next() {
        Some(child) => youngest(child.parse().unwrap()),
        None => Pid::from_raw(id.cast_signed()).unwrap(),
    }
}

fn shipperd() -> Command {
    Command::new(env!("CARGO_BIN_EXE_shipperd"))
}

/// The same as the first process of a namespace, where a signal without a handler does nothing.
fn as_first_process() -> Option<Command> {
    if !is_root("shipperd as PID 1") {
        return None;
    }
    let mut command = program("unshare")?;
    command.args(["--pid", "--fork", "--kill-child"]).arg(env!("CARGO_BIN_EXE_shipperd"));
    Some(command)
}

fn ends_at_once(command: Command, signal: Signal) {
    let mut process = Process::start(command);
    assert_eq!(wire::get(&process.address, "/v2/").status, 200);
    // Connections that wait for the next request are no reason to stay.
    let mut idle: Vec<Connection> = (0..20).map(|_| Connection::open(&process.address)).collect();
    for connection in idle.iter_mut().take(10) {
        connection.request("GET", "/v2/", &[]).unwrap();
        assert_eq!(connection.answer().unwrap().status, 200);
    }
    process.signal(signal);
    let (status, took) = process.end();
    assert_eq!((status.code(), status.signal()), (Some(0), None), "{signal:?}");
    assert!(took < Duration::from_secs(1), "{signal:?}: {took:?}");
}

fn finishes_what_is_running(command: Command, signal: Signal) {
    let mut process = Process::start(command);
    let mut connection = Connection::open(&process.address);
    let target = format!("/v2/lab/app/blobs/{}", process.layer);
    connection.request("GET", &target, &[]).unwrap();
    let mut answer = connection.head().unwrap();
    assert_eq!(answer.status, 200);
    process.signal(signal);
    // No new connection is taken: that is how one sees that it has begun to end.
    let begun = Instant::now();
    while std::net::TcpStream::connect(&process.address).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(5), "still accepts");
        thread::sleep(Duration::from_millis(5));
    }
    assert!(process.child.try_wait().unwrap().is_none(), "ended with a transfer running");
    connection.read_exactly(LAYER, &mut answer.body).unwrap();
    assert_eq!(crate::fixtures::digest(&answer.body), process.layer);
    let (status, took) = process.end();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(1), "{took:?} after the last byte");
}

#[test]
fn sigterm_ends_an_idle_server_in_under_a_second() {
    ends_at_once(shipperd(), Signal::TERM);
}

#[test]
fn sigint_does_the_same() {
    ends_at_once(shipperd(), Signal::INT);
}

#[test]
fn sigterm_lets_a_transfer_finish() {
    finishes_what_is_running(shipperd(), Signal::TERM);
}

#[test]
fn sigint_lets_a_transfer_finish() {
    finishes_what_is_running(shipperd(), Signal::INT);
}

#[test]
fn pid_1_ends_at_sigterm_and_sigint() {
    for signal in [Signal::TERM, Signal::INT] {
        let Some(command) = as_first_process() else { return };
        ends_at_once(command, signal);
    }
}

#[test]
fn pid_1_lets_a_transfer_finish() {
    let Some(command) = as_first_process() else { return };
    finishes_what_is_running(command, Signal::TERM);
}

#[test]
fn a_second_signal_breaks_off_what_is_running() {
    let mut process = Process::start(shipperd());
    let mut connection = Connection::open(&process.address);
    let target = format!("/v2/lab/app/blobs/{}", process.layer);
    connection.request("GET", &target, &[]).unwrap();
    assert_eq!(connection.head().unwrap().status, 200);
    process.signal(Signal::TERM);
    process.signal(Signal::INT);
    let (status, took) = process.end();
    assert_eq!(status.code(), Some(0));
    assert!(took < Duration::from_secs(2), "{took:?}");
    let received = connection.drain(u64::MAX).unwrap_or(0);
    assert!(received < LAYER as u64, "{received} bytes came all the same");
}
