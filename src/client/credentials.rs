//! Credentials, as podman and docker keep them in files.
//!
//! <https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md>
//!
//! ```text
//! {"auths": {"quay.io/ns": {"auth": base64("user:password")}},
//!  "credHelpers": {"quay.io": "name of docker-credential-*"}, "credsStore": "likewise"}
//! ```

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Error, helper};
use crate::oci::{Registry, Repository};

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
    pub(super) fn config_home(&self) -> Option<PathBuf> {
        let home = || self.home.as_ref().map(|home| home.join(".config"));
        self.xdg_config_home.clone().or_else(home)
    }

    /// The files that may hold credentials, the first that knows a registry decides.
    fn auth_files(&self) -> Vec<PathBuf> {
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

/// One file of credentials.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AuthFile {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default)]
    creds_store: Option<String>,
}

/// The entry of one registry or part of it; empty where a helper keeps the credentials.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Secret,
    username: String,
    password: Secret,
    identitytoken: Secret,
}

impl AuthFile {
    fn load(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path)
            .map_err(|source| Error::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&bytes).map_err(|source| Error::AuthFile { path: path.to_owned(), source })
    }

    fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        // `podman logout` may leave an empty file behind.
        if bytes.trim_ascii().is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(bytes)
    }

    fn helper_of(&self, registry: &Registry) -> Option<&String> {
        let entry = self.cred_helpers.iter().find(|(key, _)| is_host(key, registry));
        entry.map(|(_, helper)| helper).filter(|helper| !helper.is_empty())
    }

    fn credential_of(
        &self,
        registry: &Registry,
        repository: Option<&Repository>,
    ) -> Option<Credential> {
        let mut path = match repository {
            Some(repository) => format!("{registry}/{repository}"),
            None => registry.to_string(),
        };
        loop {
            if let Some(found) = self.auths.get(&path).and_then(Entry::credential) {
                return Some(found);
            }
            let Some(end) = path.rfind('/') else { break };
            path.truncate(end);
        }
        let mut of_host = self.auths.iter().filter(|(key, _)| is_host(key, registry));
        of_host.find_map(|(_, entry)| entry.credential())
    }
}

/// Whether a key of an old file, perhaps a URL, means this registry as a whole.
fn is_host(key: &str, registry: &Registry) -> bool {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let host = match bare {
        Some(bare) => bare.split_once('/').map_or(bare, |(host, _)| host),
        None => key,
    };
    host.to_ascii_lowercase().parse::<Registry>().is_ok_and(|host| host.canonical() == *registry)
}

impl Entry {
    fn credential(&self) -> Option<Credential> {
        if !self.identitytoken.expose().is_empty() {
            return Some(Credential::IdentityToken(self.identitytoken.clone()));
        }
        if let Some((username, password)) = self.decoded() {
            return Some(Credential::Password { username, password });
        }
        (!self.username.is_empty()).then(|| Credential::Password {
            username: self.username.clone(),
            password: self.password.clone(),
        })
    }

    fn decoded(&self) -> Option<(String, Secret)> {
        let text = String::from_utf8(STANDARD.decode(self.auth.expose()).ok()?).ok()?;
        let (username, password) = text.split_once(':')?;
        // Docker has written passwords with trailing zero bytes.
        let password = Secret::new(password.trim_end_matches('\0').to_owned());
        (!username.is_empty()).then(|| (username.to_owned(), password))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(username: &str, password: &str) -> Credential {
        let password = Secret::new(password.to_owned());
        Credential::Password { username: username.to_owned(), password }
    }

    #[test]
    fn the_longest_prefix_decides() {
        let encode = |text: &str| STANDARD.encode(text);
        let file = format!(
            r#"{{"auths": {{
                "quay.io": {{"auth": "{}"}},
                "quay.io/ns": {{"auth": "{}"}},
                "quay.io/ns/app": {{"username": "app", "password": "p"}},
                "https://index.docker.io/v1/": {{"auth": "{}"}},
                "http://old:5000/v1/": {{"auth": "{}"}},
                "token.io": {{"auth": "{}", "identitytoken": "t"}},
                "empty.io": {{}},
                "broken.io": {{"auth": "%%%"}},
                "nouser.io": {{"auth": "{}"}}
            }}}}"#,
            encode("all:p"),
            encode("ns:p:q"),
            encode("hub:p\0\0"),
            encode("old:"),
            encode("x:y"),
            encode(":p"),
        );
        let file = AuthFile::parse(file.as_bytes()).unwrap();
        for (registry, repository, expected) in [
            ("quay.io", Some("ns/app"), Some(password("app", "p"))),
            ("quay.io", Some("ns/app/deeper"), Some(password("app", "p"))),
            ("quay.io", Some("ns/apple"), Some(password("ns", "p:q"))),
            ("quay.io", Some("nsx"), Some(password("all", "p"))),
            ("quay.io", None, Some(password("all", "p"))),
            ("docker.io", Some("library/x"), Some(password("hub", "p"))),
            ("old:5000", Some("a"), Some(password("old", ""))),
            ("old", Some("a"), None),
            ("token.io", Some("a"), Some(Credential::IdentityToken(Secret::new("t".into())))),
            ("empty.io", Some("a"), None),
            ("broken.io", Some("a"), None),
            ("nouser.io", Some("a"), None),
            ("io", None, None),
        ] {
            let repository = repository.map(|text| text.parse().unwrap());
            let found = file.credential_of(&registry.parse().unwrap(), repository.as_ref());
            assert_eq!(found, expected, "{registry} {repository:?}");
        }
    }

    #[test]
    fn helpers_by_host() {
        let file =
            br#"{"credHelpers": {"quay.io": "a", "index.docker.io": "b"}, "credsStore": "c"}"#;
        let file = AuthFile::parse(file).unwrap();
        for (registry, expected) in
            [("quay.io", Some("a")), ("docker.io", Some("b")), ("x.io", None)]
        {
            let found = file.helper_of(&registry.parse().unwrap()).map(String::as_str);
            assert_eq!(found, expected, "{registry}");
        }
        assert_eq!(file.creds_store.as_deref(), Some("c"));
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
    fn where_podman_keeps_them_without_a_runtime_directory() {
        let environment = Environment { user_id: Some(7), ..Environment::default() };
        assert_eq!(environment.auth_files(), [PathBuf::from("/run/containers/7/auth.json")]);
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
