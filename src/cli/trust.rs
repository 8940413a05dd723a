//! `shipperd trust`: prints the certificate authority that clients have to trust.

use anyhow::Context;
use serde::Serialize;

use super::ExitStatus;
use super::printer::Printer;
use super::state_dir::StateDir;
use crate::server::tls;

/// Print the certificate of the server's own authority, for clients
///
/// In PEM. The authority is made if there is none yet, so that clients can be prepared before the
/// server runs. Podman and skopeo read it from /etc/containers/certs.d/HOST:PORT/ca.crt, docker from
/// /etc/docker/certs.d/HOST:PORT/ca.crt, containerd from the `ca` of hosts.toml.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    state: StateDir,
}

/// The answer as a document.
#[derive(Serialize)]
struct Answer {
    certificate: String,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> anyhow::Result<ExitStatus> {
    let directory = arguments.state.path()?;
    let certificate = tls::ca_pem(&directory)
        .with_context(|| format!("cannot use the certificate authority in {directory:?}"))?;
    if printer.json() {
        printer.document(&Answer { certificate })?;
    } else {
        printer.data(certificate.trim_end())?;
    }
    Ok(ExitStatus::Done)
}
