//! Credentials, as podman and docker keep them in files.

mod authfile;
mod environment;

use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use serde::Deserialize;

use super::{Error, helper};
use crate::oci::{Registry, Repository};
use authfile::AuthFile;
pub use environment::Environment;

/// Text that is never shown.
#[derive(Clone, Default, Deserialize, Eq, PartialEq)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being shown.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text, to be sent to whom it is for.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// What proves to a registry who asks.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Credential {
    /// A user's name and password.
    Password {
        /// The name.
        username: String,
        /// The password.
        password: Secret,
    },
    /// A token that a token server exchanges for others.
    IdentityToken(Secret),
}

/// All credentials of a user, in the order they are looked up.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    files: Vec<AuthFile>,
    path: Option<OsString>,
}

impl Credentials {
    /// Reads the files: `authfile` alone if it is given, else `REGISTRY_AUTH_FILE` alone,
    /// else those of podman and docker that exist.
    ///
    /// # Errors
    ///
    /// When a file was named and cannot be read, or is not a file of credentials.
    pub fn load(authfile: Option<&Path>, environment: &Environment) -> Result<Self, Error> {
        let mut files = Vec::new();
        if let Some(path) = authfile.or(environment.registry_auth_file.as_deref()) {
            files.push(AuthFile::load(path)?);
        } else {
            for path in environment.auth_files() {
                match AuthFile::load(&path) {
                    Ok(file) => files.push(file),
                    Err(Error::Unreadable { source, .. })
                        if source.kind() == std::io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(Self { files, path: environment.path.clone() })
    }

    /// Finds the credentials for a repository, or for a registry as a whole.
    ///
    /// In each file the registry's own helper comes first, then the longest key that
    /// is a prefix of the repository, then the helper for everything.
    ///
    /// # Errors
    ///
    /// When the registry's own helper fails otherwise than by not knowing it.
    pub async fn find(
        &self,
        registry: &Registry,
        repository: Option<&Repository>,
    ) -> Result<Option<Credential>, Error> {
        for file in &self.files {
            if let Some(helper) = file.helper_of(registry) {
                let found = helper::get(helper, registry, self.path.as_deref()).await?;
                if found.is_some() {
                    return Ok(found);
                }
            }
            if let Some(found) = file.credential_of(registry, repository) {
                return Ok(Some(found));
            }
            if let Some(helper) = &file.creds_store {
                // Files are carried from machine to machine, their helpers are not.
                match helper::get(helper, registry, self.path.as_deref()).await {
                    Ok(None) => {}
                    Ok(found) => return Ok(found),
                    Err(error) => tracing::warn!(%registry, %error, "credentials not looked up"),
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn password(username: &str, password: &str) -> Credential {
        let password = Secret::new(password.to_owned());
        Credential::Password { username: username.to_owned(), password }
    }

    #[tokio::test]
    async fn only_a_helper_of_its_own_must_be_there() {
        let directory = tempfile::tempdir().unwrap();
        let authfile = directory.path().join("auth.json");
        let find = async |text: &str| {
            std::fs::write(&authfile, text).unwrap();
            let path = Some(directory.path().as_os_str().to_owned());
            let environment = Environment { path, ..Environment::default() };
            let credentials = Credentials::load(Some(&authfile), &environment).unwrap();
            credentials.find(&"quay.io".parse().unwrap(), None).await
        };
        assert_eq!(find(r#"{"credsStore": "absent"}"#).await.unwrap(), None);
        assert!(find(r#"{"credHelpers": {"quay.io": "absent"}}"#).await.is_err());
        assert_eq!(find(r#"{"credHelpers": {"x.io": "absent"}}"#).await.unwrap(), None);
    }

    #[test]
    fn files_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let at = |path: &str| directory.path().join(path);
        let write = |path: &str, user: &str| {
            let path = at(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            let text = format!(r#"{{"auths": {{"h": {{"username": "{user}"}}}}}}"#);
            std::fs::write(path, text).unwrap();
        };
        let user = |authfile: Option<&str>, environment: &Environment| {
            let authfile = authfile.map(at);
            let credentials = Credentials::load(authfile.as_deref(), environment).unwrap();
            let registry = "h".parse().unwrap();
            let found = credentials.files.iter().find_map(|it| it.credential_of(&registry, None));
            match found {
                Some(Credential::Password { username, .. }) => username,
                other => panic!("{other:?}"),
            }
        };
        let mut environment = Environment { home: Some(at("home")), ..Environment::default() };
        write("home/.docker/config.json", "docker");
        assert_eq!(user(None, &environment), "docker");
        write("other/config.json", "other docker");
        environment.docker_config = Some(at("other"));
        assert_eq!(user(None, &environment), "other docker");
        write("home/.config/containers/auth.json", "config");
        assert_eq!(user(None, &environment), "config");
        write("xdg/containers/auth.json", "xdg");
        environment.xdg_config_home = Some(at("xdg"));
        assert_eq!(user(None, &environment), "xdg");
        write("run/containers/auth.json", "run");
        environment.xdg_runtime_dir = Some(at("run"));
        assert_eq!(user(None, &environment), "run");
        write("named", "named");
        environment.registry_auth_file = Some(at("named"));
        assert_eq!(user(None, &environment), "named");
        write("explicit", "explicit");
        assert_eq!(user(Some("explicit"), &environment), "explicit");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("auth.json");
        let load = || Credentials::load(Some(&path), &Environment::default());
        assert!(load().unwrap_err().to_string().contains("auth.json"));
        std::fs::write(&path, "[").unwrap();
        assert!(load().unwrap_err().to_string().contains("auth.json"));
        std::fs::write(&path, "\n").unwrap();
        assert!(load().is_ok(), "an empty file holds no credentials");
    }

    #[test]
    fn secrets_are_never_shown() {
        let shown = format!("{:?}", password("user", "hunter2"));
        assert!(shown.contains("user") && !shown.contains("hunter2"), "{shown}");
    }
}
