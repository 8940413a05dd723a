//! Where the state of an imageset is kept.

use std::ffi::OsString;
use std::path::PathBuf;

use super::hint::Advised;
use crate::client::Remote;
use crate::state::{Access, Aws, Location, Store};

/// The flag of the commands that need it.
#[derive(Debug, clap::Args)]
pub(super) struct Place {
    /// Where the states of imagesets are kept: a directory, `docker://REGISTRY/NS/NAME[:TAG]` or
    /// `s3://BUCKET/PREFIX` [default: where the
    /// configuration says, else $XDG_STATE_HOME/shipperd/imagesets, else
    /// ~/.local/state/shipperd/imagesets]
    #[arg(long, global = true, value_name = "URL")]
    state: Option<Location>,
}

impl Place {
    /// The place of the state of an imageset, which is `configured` if no flag says another;
    /// nothing is connected yet.
    pub(super) fn store(
        &self,
        configured: Option<Location>,
        imageset: &str,
        remote: Remote,
    ) -> anyhow::Result<Store> {
        let default = || default(|name| std::env::var_os(name)).map(Location::Local);
        let Some(location) = self.state.clone().or(configured).or_else(default) else {
            let message = "there is no directory to keep the state in".to_owned();
            let hint = "name one with `--state`".to_owned();
            return Err(Advised { message, hint }.into());
        };
        let access = Access { remote, aws: Aws::of_process() };
        Ok(Store::open(&location, imageset, &access)?)
    }
}

fn default(variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let variable = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || Some(variable("HOME")?.join(".local/state"));
    Some(variable("XDG_STATE_HOME").or_else(home)?.join("shipperd/imagesets"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_the_users_own() {
        let home = |name: &str| (name == "HOME").then(|| "/home/a".into());
        let state = |name: &str| (name == "XDG_STATE_HOME").then(|| "/state".into());
        assert_eq!(default(home), Some("/home/a/.local/state/shipperd/imagesets".into()));
        assert_eq!(default(state), Some("/state/shipperd/imagesets".into()));
        assert_eq!(default(|_| None), None);
    }
}
