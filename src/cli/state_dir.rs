//! Where the server keeps what it makes once: its certificate authority, and indexes of archives
//! that are compressed.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Context;

/// The flag of the commands that need it.
#[derive(Debug, clap::Args)]
pub(super) struct StateDir {
    /// The directory that keeps the certificate authority, and indexes of compressed archives
    /// [default: $XDG_STATE_HOME/shipperd, else /var/lib/shipperd for root, else
    /// ~/.local/state/shipperd]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

impl StateDir {
    /// The directory.
    pub(super) fn path(&self) -> anyhow::Result<PathBuf> {
        let is_root = rustix::process::geteuid().is_root();
        let default = || default(|name| std::env::var_os(name), is_root);
        let path = self.state_dir.clone().or_else(default);
        path.context(
            "there is no directory to keep the certificate authority in: set `--state-dir`",
        )
    }
}

fn default(variable: impl Fn(&str) -> Option<OsString>, is_root: bool) -> Option<PathBuf> {
    let variable = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(state) = variable("XDG_STATE_HOME") {
        return Some(state.join("shipperd"));
    }
    if is_root {
        return Some("/var/lib/shipperd".into());
    }
    Some(variable("HOME")?.join(".local/state/shipperd"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_depends_on_who_runs_it() {
        let none = |_: &str| None;
        let home = |name: &str| (name == "HOME").then(|| "/home/a".into());
        let state = |name: &str| (name == "XDG_STATE_HOME").then(|| "/state".into());
        assert_eq!(default(state, true), Some("/state/shipperd".into()));
        assert_eq!(default(home, true), Some("/var/lib/shipperd".into()));
        assert_eq!(default(home, false), Some("/home/a/.local/state/shipperd".into()));
        assert_eq!(default(none, false), None);
    }
}
