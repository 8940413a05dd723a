//! `shipperd serve`: serves bundles where they lie.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::ExitStatus;
use super::printer::{self, Printer};
use super::signals::Signals;
use super::state_dir::StateDir;
use crate::bundle::zstd::Indexes;
use crate::content::live::{Live, State};
use crate::content::overlay::Overlay;
use crate::content::shelf::{self, Shelf};
use crate::content::snapshot;
use crate::content::watch::watch;
use crate::server::tls::{Origin, Tls};
use crate::server::{self, Door, Offers, authority, descriptors};

/// Serve bundles where they lie, as a read-only registry
///
/// Directories are watched: a bundle that is dropped in is served as soon as it is whole, one that
/// is removed is gone, and no request is dropped. When it is ready, one line on stdout says so:
/// `serving N images from M bundles at URL`.
///
/// On SIGTERM or SIGINT running requests are ended first; on the second signal they are broken off.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Bundle files, archives, layouts, or directories of them
    #[arg(value_name = "PATH", default_value = "bundles")]
    paths: Vec<PathBuf>,
    /// The address to listen on
    ///
    /// On a loopback address plain HTTP is spoken, on others TLS: by --tls-cert and --tls-key, else
    /// with a certificate of an authority that is made and kept in --state-dir; `shipperd trust`
    /// prints it for clients.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5000")]
    listen: SocketAddr,
    /// Speak plain HTTP on any address
    #[arg(long)]
    plain_http: bool,
    /// Speak TLS with this certificate (PEM, with its chain); it is read again when it changes
    #[arg(long, value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// The key of the certificate (PEM)
    #[arg(long, value_name = "FILE")]
    tls_key: Option<PathBuf>,
    /// A further name or address by which clients reach the server, for the certificate that is
    /// made; repeat it for more
    ///
    /// The host's name, the address listened on and loopback are in it anyway.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    tls_name: Vec<String>,
    #[command(flatten)]
    state: StateDir,
    /// When the digest of a blob is verified
    #[arg(long, value_name = "WHEN", default_value = "first-read")]
    verify: Verify,
    /// Answer a digest only in repositories that hold it
    #[arg(long)]
    strict_repositories: bool,
    /// Answer /metrics, /livez and /readyz at this address only
    #[arg(long, value_name = "ADDR")]
    admin: Option<SocketAddr>,
    /// Keep at most this many connections open; further clients wait until one is closed
    ///
    /// Each takes a descriptor: fewer are kept where `ulimit -n` allows fewer, and the log says so.
    /// One that is idle for 30 seconds is closed.
    #[arg(long, value_name = "N", default_value_t = server::MAX_CONNECTIONS)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    max_connections: u32,
}

/// When the digest of a blob is verified.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Verify {
    /// While it is read for the first time; the client gets the last bytes only if it is right
    FirstRead,
    /// Before the bundle is served
    Open,
    /// Not at all: the medium is trusted
    Never,
}

/// How clients are spoken to.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Security {
    /// In plain text.
    Plain,
    /// By TLS, with a certificate of an authority of our own.
    Own,
    /// By TLS, with the certificate and key in these files.
    Given(PathBuf, PathBuf),
}

/// What is said when the server is ready.
#[derive(Serialize)]
struct Ready {
    images: usize,
    bundles: usize,
    url: String,
    /// Where those who run the server ask, if that is another address.
    #[serde(skip_serializing_if = "Option::is_none")]
    admin: Option<String>,
}

pub(super) fn run(arguments: &Arguments, printer: &Printer) -> anyhow::Result<ExitStatus> {
    for path in &arguments.paths {
        fs::metadata(path).with_context(|| format!("cannot serve {path:?}"))?;
    }
    // It only accepts connections and looks at bundles: the server has threads of its own.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.context("cannot start threads")?;
    let ended = runtime.block_on(serve(arguments, printer));
    // What still reads or hashes has nobody left to do it for.
    runtime.shutdown_background();
    ended.map(|()| ExitStatus::Done)
}

async fn serve(arguments: &Arguments, printer: &Printer) -> anyhow::Result<()> {
    let mut signals = Signals::take().context("cannot take over the signals")?;
    // Bundles take descriptors as well as connections.
    descriptors::raise_limit();
    let offers = match arguments.admin {
        Some(_) => Offers::Registry,
        None => Offers::Everything,
    };
    let (door, url) = arguments.open(arguments.listen, offers).await?;
    let mut doors = vec![door];
    let mut admin = None;
    if let Some(address) = arguments.admin {
        let (door, url) = arguments.open(address, Offers::Admin).await?;
        doors.push(door);
        admin = Some(url);
    }
    let mut shelf = Shelf::new(arguments.paths.clone(), arguments.shelf_options());
    let scan = move || shelf.scan().map(|served| (shelf, served));
    let scanned = tokio::task::spawn_blocking(scan);
    let (shelf, served) = tokio::select! {
        scanned = scanned => scanned?.context("cannot look for bundles")?,
        _ = signals.next() => return Ok(()),
    };
    let live = Arc::new(Live::new(served.context("cannot look for bundles")?));
    let watching = tokio::spawn(watch(shelf, arguments.paths.clone(), Arc::clone(&live)));

    let (stop, stopped) = oneshot::channel::<()>();
    let ended = async { drop(stopped.await) };
    let options = server::Options {
        max_connections: arguments.max_connections,
        ..server::Options::default()
    };
    let serving = server::run(doors, Arc::clone(&live), options, ended);
    let mut serving = std::pin::pin!(serving);
    announce(&Ready::new(&live, url, admin), printer)?;
    tokio::select! {
        ended = &mut serving => {
            ended.context("cannot serve connections")?;
            bail!("the server ended");
        }
        signal = signals.next() => tracing::info!("{signal}: ending what is running"),
    }
    drop(stop);
    tokio::select! {
        ended = &mut serving => ended.context("cannot serve connections")?,
        signal = signals.next() => tracing::warn!("{signal}: breaking off what is running"),
    }
    watching.abort();
    Ok(())
}

fn announce(ready: &Ready, printer: &Printer) -> Result<(), printer::Error> {
    if let Some(admin) = &ready.admin {
        printer.say(format!("/metrics, /livez and /readyz are at {admin}"));
    }
    let said = if printer.json() {
        printer.document(ready)
    } else {
        let Ready { images, bundles, url, .. } = ready;
        printer.data(format!("serving {images} images from {bundles} bundles at {url}"))
    };
    match said {
        // Whoever started the server need not listen to it.
        Err(printer::Error::Closed) => Ok(()),
        said => said,
    }
}

impl Ready {
    fn new(live: &Live<Overlay>, url: String, admin: Option<String>) -> Self {
        let served = live.current();
        let bundles = served.bundles.iter().filter(|it| it.state == State::Live).count();
        Self { images: served.source.image_count(), bundles, url, admin }
    }
}

impl Arguments {
    fn shelf_options(&self) -> shelf::Options {
        let verify = match self.verify {
            Verify::FirstRead => snapshot::Verify::FirstRead,
            Verify::Open => snapshot::Verify::Open,
            Verify::Never => snapshot::Verify::Never,
        };
        // Without a place for them they are made at every start.
        let kept = self.state.path().map(|state| Indexes::Kept(state.join("indexes")));
        let indexes = kept.unwrap_or_default();
        shelf::Options { verify, strict_repositories: self.strict_repositories, indexes }
    }

    /// Listens at an address; answers the URL, too.
    async fn open(&self, address: SocketAddr, offers: Offers) -> anyhow::Result<(Door, String)> {
        let security = self.security(address)?;
        let listener = TcpListener::bind(address).await;
        let listener = listener.with_context(|| format!("cannot listen on {address}"))?;
        let bound = listener.local_addr().context("cannot tell the address listened on")?;
        let origin = match security {
            Security::Plain => {
                return Ok((Door::plain(listener, offers), format!("http://{bound}")));
            }
            Security::Given(certificate, key) => Origin::Files { certificate, key },
            Security::Own => Origin::Authority {
                directory: self.state.path()?,
                names: authority::names(address, &self.tls_name),
            },
        };
        let tls = Tls::open(origin).context("cannot serve by TLS")?;
        Ok((Door::tls(listener, offers, tls), format!("https://{bound}")))
    }

    /// How clients are spoken to at an address.
    fn security(&self, address: SocketAddr) -> anyhow::Result<Security> {
        Ok(match (&self.tls_cert, &self.tls_key) {
            (Some(_), Some(_)) if self.plain_http => {
                bail!("`--plain-http` and `--tls-cert` exclude each other")
            }
            (Some(certificate), Some(key)) => Security::Given(certificate.clone(), key.clone()),
            (Some(_), None) => bail!("`--tls-cert` needs `--tls-key`"),
            (None, Some(_)) => bail!("`--tls-key` needs `--tls-cert`"),
            (None, None) if self.plain_http || address.ip().is_loopback() => Security::Plain,
            (None, None) => Security::Own,
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;

    fn security(line: &str) -> Result<Security, String> {
        let command = Arguments::augment_args(clap::Command::new("serve").no_binary_name(true));
        let matches = command.get_matches_from(line.split_whitespace());
        let arguments = Arguments::from_arg_matches(&matches).unwrap();
        arguments.security(arguments.listen).map_err(|error| error.to_string())
    }

    #[test]
    fn plain_text_stays_on_the_machine_unless_it_is_asked_for() {
        let given = || Security::Given("c.pem".into(), "k.pem".into());
        for (line, expected) in [
            ("", Security::Plain),
            ("--listen [::1]:80", Security::Plain),
            ("--listen 127.9.9.9:80", Security::Plain),
            ("--listen 0.0.0.0:5000", Security::Own),
            ("--listen [::]:5000", Security::Own),
            ("--listen 192.0.2.1:5000", Security::Own),
            ("--listen 0.0.0.0:5000 --plain-http", Security::Plain),
            ("--tls-cert c.pem --tls-key k.pem", given()),
            ("--listen 0.0.0.0:443 --tls-cert c.pem --tls-key k.pem", given()),
        ] {
            assert_eq!(security(line), Ok(expected), "{line}");
        }
        assert!(security("--tls-cert c.pem").is_err());
        assert!(security("--tls-key k.pem").is_err());
        assert!(security("--tls-cert c.pem --tls-key k.pem --plain-http").is_err());
    }
}
