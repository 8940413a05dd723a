//! Credential helpers: programs that keep credentials for podman and docker.
//!
//! <https://github.com/docker/docker-credential-helpers#development>
//!
//! ```text
//! echo quay.io | docker-credential-NAME get
//! {"ServerURL": "quay.io", "Username": "user", "Secret": "password"}
//! ```

use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;

use super::{Credential, Error, Secret, shown};
use crate::oci::Registry;

/// How long a helper may take: some ask a person for a passphrase.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How much of a helper's answer is read, in bytes.
const MAX_ANSWER: u64 = 1 << 20;
/// The user name that says that the secret is an identity token.
const IDENTITY_TOKEN: &str = "<token>";
/// What helpers say about a registry they do not know.
const NOT_FOUND: &str = "credentials not found";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: Secret,
}

/// Asks the helper `name` for the credentials of a registry; none when it has none.
pub(super) async fn get(
    name: &str,
    registry: &Registry,
    path: Option<&OsStr>,
) -> Result<Option<Credential>, Error> {
    let program = format!("docker-credential-{name}");
    let fault = |why: String| Error::Helper { program: program.clone(), why };
    if name.contains(['/', '\0']) {
        return Err(fault("its name must not hold a slash".to_owned()));
    }
    let run = run(&program, registry, path);
    let (succeeded, output) = tokio::time::timeout(TIMEOUT, run)
        .await
        .map_err(|_| fault(format!("no answer within {} seconds", TIMEOUT.as_secs())))?
        .map_err(|error| fault(error.to_string()))?;
    if !succeeded {
        let text = String::from_utf8_lossy(&output);
        // Helpers put their errors on stdout; the secret is only there when they succeed.
        return if text.contains(NOT_FOUND) { Ok(None) } else { Err(fault(shown(&text))) };
    }
    let answer: Answer = serde_json::from_slice(&output)
        .map_err(|_| fault("its answer is not a user name and a secret".to_owned()))?;
    Ok(Some(match answer {
        Answer { username, secret } if username == IDENTITY_TOKEN => {
            Credential::IdentityToken(secret)
        }
        Answer { username, secret } => Credential::Password { username, password: secret },
    }))
}

/// Whether the helper succeeded, and what it wrote.
async fn run(
    program: &str,
    registry: &Registry,
    path: Option<&OsStr>,
) -> std::io::Result<(bool, Vec<u8>)> {
    let mut command = Command::new(program);
    command.arg("get").kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    if let Some(path) = path {
        command.env("PATH", path);
    }
    let mut child = command.spawn()?;
    let server = if registry.is_docker() {
        "https://index.docker.io/v1/".to_owned()
    } else {
        registry.to_string()
    };
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that knows its answer without asking may be gone by now.
        drop(stdin.write_all(format!("{server}\n").as_bytes()).await);
    }
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        stdout.take(MAX_ANSWER).read_to_end(&mut output).await?;
    }
    Ok((child.wait().await?.success(), output))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    async fn ask(
        directory: &Path,
        script: &str,
        registry: &str,
    ) -> Result<Option<Credential>, Error> {
        let program = directory.join("docker-credential-test");
        let text = format!("#!/bin/sh\nread server\n{script}\n");
        std::fs::write(directory.join("new"), text).unwrap();
        std::fs::set_permissions(directory.join("new"), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::rename(directory.join("new"), program).unwrap();
        let mut path = directory.as_os_str().to_owned();
        path.push(":/usr/bin:/bin");
        get("test", &registry.parse().unwrap(), Some(&path)).await
    }

    #[tokio::test]
    async fn a_real_helper() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path();
        let echo = r#"echo "{\"Username\":\"$1 $server\",\"Secret\":\"s\"}""#;
        for (registry, username) in
            [("quay.io", "get quay.io"), ("docker.io", "get https://index.docker.io/v1/")]
        {
            let password = Secret::new("s".to_owned());
            let expected = Credential::Password { username: username.to_owned(), password };
            assert_eq!(ask(directory, echo, registry).await.unwrap(), Some(expected));
        }
        let token = r#"echo '{"Username":"<token>","Secret":"t"}'"#;
        let expected = Credential::IdentityToken(Secret::new("t".to_owned()));
        assert_eq!(ask(directory, token, "h").await.unwrap(), Some(expected));
        let unknown = "echo credentials not found in native keychain; exit 1";
        assert_eq!(ask(directory, unknown, "h").await.unwrap(), None);
        let error = ask(directory, "echo locked; exit 1", "h").await.unwrap_err().to_string();
        assert_eq!(error, r#"credential helper "docker-credential-test": locked"#);
        let error = ask(directory, "echo hunter2", "h").await.unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }

    #[tokio::test]
    async fn no_helper() {
        let registry = "h".parse().unwrap();
        for name in ["that-is-not-there", "../../bin/sh", ""] {
            let empty = tempfile::tempdir().unwrap();
            let path = Some(empty.path().as_os_str());
            let error = get(name, &registry, path).await.unwrap_err();
            assert!(error.to_string().contains("docker-credential-"), "{error}");
        }
    }
}
