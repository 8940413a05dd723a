//! A server that a test starts, waits for by what it prints, and stops by its process id.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longest time a server may take to start, or to stop when asked.
const PATIENCE: Duration = Duration::from_secs(30);

/// How many lines of its log a failed test shows.
const SHOWN: usize = 20;

/// A running process; stopped when dropped, its log shown if the test failed.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    child: Child,
    log: Arc<Mutex<String>>,
}

impl Daemon {
    /// Starts `command` and reads its lines until `ready` finds what it looks for in one.
    ///
    /// The kernel kills the process if the thread that called this ends first.
    pub fn start<T>(command: &Command, ready: impl Fn(&str) -> Option<T>) -> (Self, T) {
        Self::attempt(command, ready).unwrap_or_else(|log| {
            panic!("{command:?} did not say that it is ready:\n{log}");
        })
    }

    /// The same for a daemon that this machine may not be able to run; else what it printed.
    pub fn attempt<T>(
        command: &Command,
        ready: impl Fn(&str) -> Option<T>,
    ) -> Result<(Self, T), String> {
        let name = command.get_program().to_str().unwrap().to_owned();
        let mut child = dying_with_parent(command)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        let log = Arc::default();
        let (lines, received) = channel();
        follow(child.stdout.take().unwrap(), &log, lines.clone());
        follow(child.stderr.take().unwrap(), &log, lines);
        let daemon = Self { name, child, log };
        match wait_for(&received, ready) {
            Some(found) => Ok((daemon, found)),
            None => Err(daemon.log()),
        }
    }

    /// What it printed so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The resident memory of the process, in bytes.
    pub fn memory(&self) -> usize {
        self.status("VmRSS:")
    }

    /// The most resident memory that the process ever had, in bytes.
    pub fn peak_memory(&self) -> usize {
        self.status("VmHWM:")
    }

    /// How many bytes the process has read by system calls, cached or not.
    pub fn bytes_read(&self) -> usize {
        let text = std::fs::read_to_string(format!("/proc/{}/io", self.id())).unwrap();
        text.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    fn status(&self, key: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
    }

    /// Asks it to stop and waits until it has.
    fn stop(&mut self) {
        let asked = Instant::now();
        let pid = Pid::from_raw(self.child.id().cast_signed()).unwrap();
        // It may have ended by itself.
        kill_process(pid, Signal::TERM).ok();
        while self.child.try_wait().unwrap().is_none() {
            if asked.elapsed() > PATIENCE {
                self.child.kill().unwrap();
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = lines[lines.len().saturating_sub(SHOWN)..].join("\n");
            writeln!(std::io::stderr(), "--- {} printed last:\n{last}", self.name).ok();
        }
    }
}

/// The same command under `setpriv`, which keeps the process id.
fn dying_with_parent(command: &Command) -> Command {
    let mut wrapped = Command::new("setpriv");
    wrapped.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program());
    wrapped.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => wrapped.env(name, value),
            None => wrapped.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        wrapped.current_dir(directory);
    }
    wrapped
}

fn follow(pipe: impl Read + Send + 'static, log: &Arc<Mutex<String>>, lines: Sender<String>) {
    let log = Arc::clone(log);
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            let Ok(line) = line else { return };
            log.lock().unwrap().extend([line.as_str(), "\n"]);
            // Nobody listens any more once it is ready.
            drop(lines.send(line));
        }
    });
}

fn wait_for<T>(lines: &Receiver<String>, ready: impl Fn(&str) -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if let Some(found) = ready(&lines.recv_timeout(left).ok()?) {
            return Some(found);
        }
    }
}
