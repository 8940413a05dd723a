//! How a command reaches registries.

use std::path::PathBuf;

use anyhow::Context;

use crate::client::{Credentials, Environment, Remote, Retries, Settings, Trust};
use crate::oci::Registry;

/// The flags of the commands that do.
#[derive(Debug, clap::Args)]
pub(super) struct Reach {
    /// Speak plain HTTP to this registry; repeat it for more
    #[arg(long, global = true, value_name = "HOST", value_delimiter = ',')]
    plain_http: Vec<Registry>,
    /// Take any certificate from this registry; repeat it for more
    #[arg(long, global = true, value_name = "HOST", value_delimiter = ',')]
    tls_skip_verify: Vec<Registry>,
    /// Take credentials from this file only
    #[arg(long, global = true, value_name = "FILE")]
    authfile: Option<PathBuf>,
}

impl Reach {
    /// The client that follows them; nothing is connected yet. `unverified` is a registry of
    /// which any certificate is taken, too.
    pub(super) fn remote(&self, unverified: Option<&Registry>) -> anyhow::Result<Remote> {
        let environment = Environment::of_process();
        let credentials = Credentials::load(self.authfile.as_deref(), &environment)
            .context("cannot load the credentials for registries")?;
        let directories = Trust::directories(&environment);
        let unverified: Vec<_> = self.tls_skip_verify.iter().chain(unverified).cloned().collect();
        let trust = Trust::load(&self.plain_http, &unverified, &directories)
            .context("cannot load the certificates for registries")?;
        Ok(Remote::new(Settings { credentials, trust, retries: Retries::PATIENT }))
    }
}
