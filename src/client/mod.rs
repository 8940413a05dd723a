//! A remote registry, read through [`Source`](crate::source::Source), and written to.
//!
//! The only user of the HTTP client. Its rules: credentials go to the registry they
//! are for and to the token server it names, never to where it redirects, never into
//! a log, never over plain HTTP unless that was allowed for the host; nothing is read
//! without a limit; what a registry answers is checked before it counts.
//!
//! ```text
//! pull, push ─ remote ─ auth ─ transport ─ trust
//! ```

mod answer;
mod auth;
mod blob;
pub mod challenge;
mod credentials;
mod helper;
mod link;
mod list;
mod pull;
mod push;
mod remote;
mod retry;
mod transport;
mod trust;

pub use credentials::{Credential, Credentials, Environment, Secret};
pub use remote::{Remote, Settings};
pub use retry::Retries;
pub use trust::Trust;

use std::path::PathBuf;

/// Why a registry could not be asked or gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection, or it broke before an answer.
    #[error("no answer from {host}")]
    Connection {
        /// The host and port asked.
        host: String,
        /// Why.
        source: reqwest::Error,
    },
    /// The certificate of a host is not one to trust.
    #[error("{host} has no certificate that can be trusted")]
    Untrusted {
        /// The host and port asked.
        host: String,
        /// Why.
        source: reqwest::Error,
    },
    /// A host that does not speak TLS: most often it speaks plain HTTP.
    #[error("{host} does not speak TLS")]
    NoTls {
        /// The host and port asked.
        host: String,
        /// What it spoke instead.
        source: reqwest::Error,
    },
    /// The connection broke within an answer.
    #[error("the answer of {host} broke off")]
    Broken {
        /// The host and port asked.
        host: String,
        /// Why.
        source: reqwest::Error,
    },
    /// An answer ended before the length it promised.
    #[error("the answer of {host} ended {missing} bytes early")]
    Short {
        /// The host and port asked.
        host: String,
        /// How many bytes did not come.
        missing: u64,
    },
    /// An answer that says no.
    #[error("{host} answered {status}{}{message}", if message.is_empty() { "" } else { ": " })]
    Status {
        /// The host and port asked.
        host: String,
        /// The HTTP status.
        status: u16,
        /// The registry's own words, made safe to show.
        message: String,
    },
    /// Longer than is read.
    #[error("the answer of {host} is longer than {limit} bytes")]
    TooLong {
        /// The host and port asked.
        host: String,
        /// The limit, in bytes.
        limit: u64,
    },
    /// An answer that is against the specification.
    #[error("the answer of {host} has a wrong {what}: {found:?}")]
    Answer {
        /// The host and port asked.
        host: String,
        /// Which part of it.
        what: &'static str,
        /// Its beginning, as found.
        found: String,
    },
    /// A manifest that is none.
    #[error("{host} answered with an unusable manifest")]
    Manifest {
        /// The host and port asked.
        host: String,
        /// What is wrong with it.
        source: crate::oci::Error,
    },
    /// Plain HTTP to a host it was not allowed for.
    #[error("plain HTTP is not allowed for {host}")]
    PlainHttp {
        /// The host and port.
        host: String,
    },
    /// Redirected too often, or to nowhere.
    #[error("{host} redirected {why}")]
    Redirect {
        /// The host that redirected last.
        host: String,
        /// What is wrong with that.
        why: &'static str,
    },
    /// The registry or its token server wants credentials and has not accepted any.
    #[error("{host} {}", if *given { "refused the credentials" } else { "asks for credentials and there are none" })]
    Unauthorized {
        /// The host of the registry.
        host: String,
        /// Whether there were credentials to refuse.
        given: bool,
    },
    /// A name without a registry, where no registry was set.
    #[error("no registry was named")]
    NoRegistry,
    /// A name that is no host of a URL, as `256.1.1.1`.
    #[error("not a host that can be asked: {host:?}")]
    Host {
        /// The registry.
        host: String,
    },
    /// A file of credentials or certificates that cannot be read.
    #[error("cannot read {path:?}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of credentials that is none.
    #[error("not a file of credentials: {path:?}")]
    AuthFile {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// A file of certificates that has none.
    #[error("not a PEM certificate: {path:?}")]
    Certificate {
        /// The file.
        path: PathBuf,
        /// Why.
        source: reqwest::Error,
    },
    /// A credential helper that failed.
    #[error("credential helper {program:?}: {why}")]
    Helper {
        /// The program.
        program: String,
        /// What went wrong.
        why: String,
    },
    /// TLS cannot be set up, as where the system has no certificates to trust.
    #[error("cannot set up the connection to {host}")]
    Setup {
        /// The host and port.
        host: String,
        /// Why.
        source: reqwest::Error,
    },
}

/// The beginning of what a stranger wrote, fit for one line of a terminal.
fn shown(text: &str) -> String {
    const LONGEST: usize = 200;
    let hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    text.trim().chars().take(LONGEST).map(|c| if hidden(c) { ' ' } else { c }).collect()
}
