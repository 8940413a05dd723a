//! HTTP over a [`Source`].
//!
//! Accept, parse the request to a value, one match, answer. Requests' bodies are never
//! read: nothing here writes. Only this module names a status code.

mod admin;
pub mod authority;
mod blob;
mod connection;
pub mod descriptors;
mod direct;
mod error;
mod exchange;
mod list;
mod metrics;
mod pieces;
pub mod range;
mod reader;
mod registry;
pub mod request;
mod stream;
pub mod tls;
mod workers;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use axum::Router;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use self::connection::Connection;
use self::metrics::Metrics;
use self::reader::Reader;
use self::tls::Tls;
use self::workers::Workers;
use crate::content::live::Live;
use crate::source::Source;

/// Where clients come in.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    offers: Offers,
    tls: Option<Arc<Tls>>,
}

impl Door {
    /// A door for plain HTTP.
    #[must_use]
    pub fn plain(listener: TcpListener, offers: Offers) -> Self {
        Self { listener, offers, tls: None }
    }

    /// A door for HTTPS.
    #[must_use]
    pub fn tls(listener: TcpListener, offers: Offers, tls: Tls) -> Self {
        Self { listener, offers, tls: Some(Arc::new(tls)) }
    }
}

/// What a door offers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Offers {
    /// The registry and what those who run it ask.
    Everything,
    /// The registry alone.
    Registry,
    /// What those who run it ask, alone.
    Admin,
}

/// How many connections are open at once unless told otherwise: the nodes of a large cluster,
/// with what each keeps open (docs/guide/limits.md has the memory).
pub const MAX_CONNECTIONS: u32 = 16 << 10;

/// How patient the server is, and with how many.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many connections are open at once at a door; more wait to be accepted.
    ///
    /// Fewer where the process may not hold as many descriptors.
    pub max_connections: u32,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How long the head of the next request may take, and so an idle connection stays open.
    pub head_timeout: Duration,
    /// How long a client may take nothing of an answer; it gets up to twice that.
    pub write_timeout: Duration,
    /// How long running requests may take to end when the server stops.
    pub grace: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: MAX_CONNECTIONS,
            handshake_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            grace: Duration::from_secs(25),
        }
    }
}

/// Serves what `live` holds at these doors until `shutdown`, then ends what is running.
///
/// After [`Options::grace`] what still runs is broken off.
///
/// # Errors
///
/// When the system gives no threads to serve connections with.
pub async fn run<S: Source>(
    doors: Vec<Door>,
    live: Arc<Live<S>>,
    options: Options,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let (phase, seen) = watch::channel(Phase::Serving);
    let core = Arc::new(Core {
        live,
        options,
        reader: Arc::new(Reader::new()),
        metrics: Arc::new(Metrics::new()),
        requests: AtomicU64::new(0),
        phase: seen,
    });
    let until_over = || {
        let core = Arc::clone(&core);
        async move { core.reached(Phase::Over).await }
    };
    let workers = Arc::new(Workers::start(until_over)?);
    let most = descriptors::connections(options.max_connections);
    let permits = usize::try_from(most).unwrap_or(Semaphore::MAX_PERMITS);
    let mut rooms = Vec::new();
    for door in doors {
        let room = Arc::new(Semaphore::new(permits));
        rooms.push(Arc::clone(&room));
        if let Some(tls) = door.tls.clone() {
            let core = Arc::clone(&core);
            tokio::spawn(async move {
                tokio::select! {
                    () = tls.watch() => {}
                    () = core.reached(Phase::Draining) => {}
                }
            });
        }
        tokio::spawn(accept(door, room, Arc::clone(&core), Arc::clone(&workers)));
    }
    shutdown.await;
    phase.send_replace(Phase::Draining);
    let drained = async {
        for room in &rooms {
            // The permits are back when the connections are gone.
            drop(room.acquire_many(most).await);
        }
    };
    if timeout(options.grace, drained).await.is_err() {
        tracing::warn!("requests still running after the grace period are broken off");
    }
    phase.send_replace(Phase::Over);
    Ok(())
}

/// What all connections share.
struct Core<S> {
    live: Arc<Live<S>>,
    options: Options,
    reader: Arc<Reader>,
    metrics: Arc<Metrics>,
    requests: AtomicU64,
    phase: watch::Receiver<Phase>,
}

/// How far the server is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Phase {
    /// It accepts connections.
    Serving,
    /// It ends what is running.
    Draining,
    /// It breaks off what still runs.
    Over,
}

impl<S> Core<S> {
    /// Waits for a phase.
    async fn reached(&self, phase: Phase) {
        // An error means that the server is gone: over.
        drop(self.phase.clone().wait_for(|now| *now >= phase).await);
    }

    fn is_stopping(&self) -> bool {
        *self.phase.borrow() != Phase::Serving
    }
}

/// Accepts connections while there is room.
async fn accept<S: Source>(
    door: Door,
    room: Arc<Semaphore>,
    core: Arc<Core<S>>,
    workers: Arc<Workers>,
) {
    let router = TowerToHyperService::new(match door.offers {
        Offers::Registry => Router::new(),
        Offers::Everything | Offers::Admin => admin::routes(Arc::clone(&core)),
    });
    let tls = door.tls.as_ref().map(|tls| tls.acceptor());
    let mut backoff = Duration::ZERO;
    let mut stopped = pin!(core.reached(Phase::Draining));
    loop {
        let accepted = tokio::select! {
            () = &mut stopped => return,
            Ok(permit) = Arc::clone(&room).acquire_owned() => tokio::select! {
                () = &mut stopped => return,
                accepted = next(&door.listener) => accepted.map(|it| (it, permit)),
            },
        };
        match accepted {
            Ok(((stream, remote), permit)) => {
                backoff = Duration::ZERO;
                let connection = Connection {
                    core: Arc::clone(&core),
                    reader: Arc::clone(&core.reader),
                    router: router.clone(),
                    offers: door.offers,
                    tls: tls.clone(),
                    remote,
                    has_unread: Arc::default(),
                };
                workers.spawn(connection.serve(stream, permit));
            }
            Err(error) if is_of_one_connection(&error) => {}
            // Out of descriptors, most likely: some will be closed.
            Err(error) => {
                if backoff.is_zero() {
                    tracing::error!("cannot accept connections: {error}");
                }
                backoff = (backoff * 2).clamp(Duration::from_millis(10), Duration::from_secs(1));
                sleep(backoff).await;
            }
        }
    }
}

/// The next connection, of no thread yet.
async fn next(listener: &TcpListener) -> io::Result<(std::net::TcpStream, SocketAddr)> {
    let (stream, remote) = listener.accept().await?;
    Ok((stream.into_std()?, remote))
}

/// Whether accepting failed because the client was gone again.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

impl<S> fmt::Debug for Core<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("options", &self.options).finish_non_exhaustive()
    }
}
