//! Where podman and docker keep credentials, as the environment says.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The variables of the environment that say where credentials are.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// `REGISTRY_AUTH_FILE`
    pub registry_auth_file: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`
    pub xdg_runtime_dir: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`
    pub xdg_config_home: Option<PathBuf>,
    /// `DOCKER_CONFIG`
    pub docker_config: Option<PathBuf>,
    /// `HOME`
    pub home: Option<PathBuf>,
    /// The user's number, by which podman finds credentials where `XDG_RUNTIME_DIR` is not set.
    pub user_id: Option<u32>,
    /// `PATH`, where credential helpers are looked for.
    pub path: Option<OsString>,
}

impl Environment {
    /// The environment of this process; a variable that is empty counts as not set.
    #[must_use]
    pub fn of_process() -> Self {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let path = |name| variable(name).map(PathBuf::from);
        Self {
            registry_auth_file: path("REGISTRY_AUTH_FILE"),
            xdg_runtime_dir: path("XDG_RUNTIME_DIR"),
            xdg_config_home: path("XDG_CONFIG_HOME"),
            docker_config: path("DOCKER_CONFIG"),
            home: path("HOME"),
            user_id: std::fs::metadata("/proc/self").ok().map(|process| process.uid()),
            path: variable("PATH"),
        }
    }

    /// The user's configuration directory.
    pub(in crate::client) fn config_home(&self) -> Option<PathBuf> {
        let home = || self.home.as_ref().map(|home| home.join(".config"));
        self.xdg_config_home.clone().or_else(home)
    }

    /// The files that may hold credentials, the first that knows a registry decides.
    pub(super) fn auth_files(&self) -> Vec<PathBuf> {
        let docker = || self.home.as_ref().map(|home| home.join(".docker"));
        let runtime = match (&self.xdg_runtime_dir, self.user_id) {
            (Some(directory), _) => Some(directory.join("containers/auth.json")),
            (None, Some(user)) => Some(format!("/run/containers/{user}/auth.json").into()),
            (None, None) => None,
        };
        [
            runtime,
            self.config_home().map(|directory| directory.join("containers/auth.json")),
            self.docker_config
                .clone()
                .or_else(docker)
                .map(|directory| directory.join("config.json")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_podman_keeps_them_without_a_runtime_directory() {
        let environment = Environment { user_id: Some(7), ..Environment::default() };
        assert_eq!(environment.auth_files(), [PathBuf::from("/run/containers/7/auth.json")]);
    }
}
