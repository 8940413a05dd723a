//! A program under valgrind's callgrind, which counts the instructions of all its threads.
//!
//! Those of the kernel are not counted. Valgrind shows a program the same processor wherever there
//! is one with AVX2 (without AVX-512 and SHA instructions), so that a count says what the program
//! does and hardly where.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::stop::stop;

/// What callgrind writes; a number is added when it is asked to.
const COUNTED: &str = "callgrind.out";
const STOPPED_WITHIN: Duration = Duration::from_secs(30);

/// Runs a program of ours to its end; answers its instructions, and keeps by whose they are in
/// a file of that name.
pub(crate) fn count(
    program: &Path,
    arguments: &[&str],
    directory: &Path,
    name: &str,
) -> Result<u64> {
    let counted = directory.join(COUNTED);
    let mut command = callgrind(program, directory);
    command.args(arguments).stdout(Stdio::null());
    let status = command.status().context("cannot run valgrind")?;
    ensure!(status.success(), "{command:?} failed: {status}");
    total(&counted, &kept(directory, name))
}

/// A server of ours whose instructions are counted; dropping it stops it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    child: Child,
    /// Held open, so that what the server says does not fail.
    _said: BufReader<ChildStdout>,
    directory: PathBuf,
    counts: u32,
}

impl Server {
    /// Starts `shipperd serve` and waits until it says that it is ready.
    pub(crate) fn start(program: &Path, arguments: &[&str], directory: &Path) -> Result<Self> {
        let mut command = callgrind(program, directory);
        command.args(["serve", "--quiet", "--listen", "127.0.0.1:0"]).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().context("cannot run valgrind")?;
        let mut said = BufReader::new(child.stdout.take().context("stdout is a pipe")?);
        let mut line = String::new();
        said.read_line(&mut line)?;
        let address = line.trim_end().rsplit_once("://").map(|(_, address)| address.parse());
        let address = address.with_context(|| format!("{command:?} said {line:?}"))??;
        Ok(Self { address, child, _said: said, directory: directory.to_owned(), counts: 0 })
    }

    /// The instructions since this was asked before, or since the start; keeps by whose they are
    /// in a file of that name.
    pub(crate) fn count(&mut self, name: &str) -> Result<u64> {
        self.counts += 1;
        let pid = format!("--pid={}", self.child.id());
        let asked =
            Command::new("vgdb").args([&pid, "dump"]).output().context("cannot run vgdb")?;
        let counted = self.directory.join(format!("{COUNTED}.{}", self.counts));
        total(&counted, &kept(&self.directory, name))
            .with_context(|| format!("vgdb said {:?}", String::from_utf8_lossy(&asked.stderr)))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        stop(&mut self.child, STOPPED_WITHIN);
    }
}

fn callgrind(program: &Path, directory: &Path) -> Command {
    let mut command = Command::new("valgrind");
    command.args(["--quiet", "--tool=callgrind"]);
    command.arg(format!("--callgrind-out-file={}", directory.join(COUNTED).display()));
    command.arg(program).env("XDG_STATE_HOME", directory);
    command
}

fn kept(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{}.callgrind", name.replace('/', "-")))
}

/// The sum of a file that callgrind wrote, which is kept under another name.
fn total(counted: &Path, kept: &Path) -> Result<u64> {
    fs::rename(counted, kept).with_context(|| format!("there is no {}", counted.display()))?;
    let text = fs::read_to_string(kept)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals: "));
    Ok(total.with_context(|| format!("{} has no sum", kept.display()))?.parse()?)
}
