//! One file of credentials.
//!
//! <https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md>
//!
//! ```text
//! {"auths": {"quay.io/ns": {"auth": base64("user:password")}},
//!  "credHelpers": {"quay.io": "name of docker-credential-*"}, "credsStore": "likewise"}
//! ```

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Credential, Error, Secret};
use crate::oci::{Registry, Repository};

/// One file of credentials.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuthFile {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) creds_store: Option<String>,
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
    pub(super) fn load(path: &Path) -> Result<Self, Error> {
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

    pub(super) fn helper_of(&self, registry: &Registry) -> Option<&String> {
        let entry = self.cred_helpers.iter().find(|(key, _)| is_host(key, registry));
        entry.map(|(_, helper)| helper).filter(|helper| !helper.is_empty())
    }

    pub(super) fn credential_of(
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
    use super::super::tests::password;
    use super::*;

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
}
