//! The programs of others that the tests run: found, run to their end, absent aloud.
//!
//! `conformance/run` installs all of them and sets `SHIPPERD_CONFORMANCE=all`: then
//! an absent one fails its test instead of skipping it.

use std::env;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A command that reaches nothing but loopback: whatever else it asks for fails at once.
///
/// Nothing if the program is not installed; the reason is printed.
pub fn program(name: &str) -> Option<Command> {
    let Some(path) = find(name) else {
        skip(name, "not installed; conformance/tools/install does it");
        return None;
    };
    let mut command = Command::new(path);
    for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
        command.env(proxy, "http://127.0.0.1:9");
    }
    command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    Some(command)
}

/// Says that a check was not made, and why; fails if all checks were asked for.
pub fn skip(name: &str, reason: &str) {
    let all = env::var_os("SHIPPERD_CONFORMANCE").is_some_and(|value| value == "all");
    assert!(!all, "{name}: {reason}");
    excuse(name, reason);
}

/// Says that a check cannot be made on this machine, and why.
pub fn excuse(name: &str, reason: &str) {
    // Past the capture of test output: nobody should take a skip for a pass.
    writeln!(io::stderr(), "skipped: {name}: {reason}").ok();
}

/// Whether this process may mount, make namespaces and own files of others.
pub fn is_root(name: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip(name, "needs root");
    }
    root
}

/// Runs a command to its end and gives what it printed on stdout.
pub fn run(command: &mut Command) -> String {
    let output = attempt(command);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command to its end, however it ends.
pub fn attempt(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let own = tools().into_iter();
    let system = ["/usr/sbin", "/usr/bin"].map(PathBuf::from);
    own.chain(system).chain(env::split_paths(&path)).map(|d| d.join(name)).find(|p| p.is_file())
}

/// Where conformance/tools/install puts what Debian does not have.
fn tools() -> Option<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cache")));
    Some(cache?.join("shipperd/bin"))
}
