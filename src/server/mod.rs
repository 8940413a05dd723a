//! HTTP over a [`Source`].
//!
//! Accept, parse the request to a value, one match, answer. Requests' bodies are never
//! read: nothing here writes. Only this module names a status code.

mod admin;
mod blob;
mod error;
mod exchange;
mod list;
mod metrics;
mod pieces;
mod range;
mod reader;
mod registry;
pub mod request;
mod stream;

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, HOST};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use axum::response::Response;
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use self::error::Error;
use self::exchange::{Exchange, Measured};
use self::metrics::Metrics;
use self::reader::Reader;
use crate::content::live::Live;
use crate::source::Source;

/// Where clients come in.
#[derive(Debug)]
pub struct Door {
    listener: TcpListener,
    offers: Offers,
}

impl Door {
    /// A door for plain HTTP.
    #[must_use]
    pub fn plain(listener: TcpListener, offers: Offers) -> Self {
        Self { listener, offers }
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

/// How patient the server is, and with how many.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many connections are open at once at a door; more wait to be accepted.
    pub max_connections: u32,
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
            max_connections: 4096,
            head_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(60),
            grace: Duration::from_secs(25),
        }
    }
}

/// The largest head of a request, in bytes: room for 1024 ranges and a token.
const MAX_HEAD: usize = 64 << 10;
/// The longest address, in bytes: the longest name, digest and query come to a quarter.
const MAX_ADDRESS: usize = 8 << 10;
/// What every answer of a registry carries.
const API_VERSION: (HeaderName, HeaderValue) = (
    HeaderName::from_static("docker-distribution-api-version"),
    HeaderValue::from_static("registry/2.0"),
);

/// Serves what `live` holds at these doors until `shutdown`, then ends what is running.
///
/// After [`Options::grace`] what still runs is broken off.
pub async fn run<S: Source>(
    doors: Vec<Door>,
    live: Arc<Live<S>>,
    options: Options,
    shutdown: impl Future<Output = ()>,
) {
    let (phase, seen) = watch::channel(Phase::Serving);
    let core = Arc::new(Core {
        live,
        options,
        reader: Arc::new(Reader::new()),
        metrics: Arc::new(Metrics::new()),
        requests: AtomicU64::new(0),
        phase: seen,
    });
    let permits = usize::try_from(options.max_connections).unwrap_or(Semaphore::MAX_PERMITS);
    let mut rooms = Vec::new();
    for door in doors {
        let room = Arc::new(Semaphore::new(permits));
        rooms.push(Arc::clone(&room));
        tokio::spawn(accept(door, room, Arc::clone(&core)));
    }
    shutdown.await;
    phase.send_replace(Phase::Draining);
    let drained = async {
        for room in &rooms {
            // The permits are back when the connections are gone.
            drop(room.acquire_many(options.max_connections).await);
        }
    };
    if timeout(options.grace, drained).await.is_err() {
        tracing::warn!("requests still running after the grace period are broken off");
    }
    phase.send_replace(Phase::Over);
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
async fn accept<S: Source>(door: Door, room: Arc<Semaphore>, core: Arc<Core<S>>) {
    let router = TowerToHyperService::new(match door.offers {
        Offers::Registry => Router::new(),
        Offers::Everything | Offers::Admin => admin::routes(Arc::clone(&core)),
    });
    let mut backoff = Duration::ZERO;
    let mut stopped = pin!(core.reached(Phase::Draining));
    loop {
        let accepted = tokio::select! {
            () = &mut stopped => return,
            Ok(permit) = Arc::clone(&room).acquire_owned() => tokio::select! {
                () = &mut stopped => return,
                accepted = door.listener.accept() => accepted.map(|it| (it, permit)),
            },
        };
        match accepted {
            Ok(((stream, remote), permit)) => {
                backoff = Duration::ZERO;
                let visit = Visit {
                    core: Arc::clone(&core),
                    router: router.clone(),
                    offers: door.offers,
                    remote,
                };
                tokio::spawn(visit.serve(stream, permit));
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

/// Whether accepting failed because the client was gone again.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

/// One connection.
struct Visit<S> {
    core: Arc<Core<S>>,
    router: TowerToHyperService<Router>,
    offers: Offers,
    remote: SocketAddr,
}

impl<S: Source> Visit<S> {
    /// Serves the connection to its end, or until the server stops.
    async fn serve(self, stream: TcpStream, permit: OwnedSemaphorePermit) {
        let _permit = permit;
        let _open = Open::new(&self.core.metrics);
        let core = Arc::clone(&self.core);
        let options = core.options;
        // Answers are written whole: waiting for more to send would only delay them.
        drop(stream.set_nodelay(true));
        let io = TokioIo::new(stream::Stream::new(stream, options.write_timeout));
        let service = service_fn(|request| self.exchange(request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(options.head_timeout)
            .max_buf_size(MAX_HEAD)
            .half_close(true)
            .serve_connection(io, service);
        let mut connection = pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = core.reached(Phase::Draining) => {
                connection.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = connection => ended,
                    () = core.reached(Phase::Over) => Ok(()),
                }
            }
        };
        if let Err(error) = ended {
            let remote = self.remote;
            tracing::debug!(%remote, "connection broke off: {}", error::chain(&error));
        }
    }

    /// Answers one request.
    async fn exchange(
        &self,
        request: hyper::Request<Incoming>,
    ) -> Result<hyper::Response<Measured>, Infallible> {
        let core = &self.core;
        let uri = request.uri();
        let id = core.requests.fetch_add(1, Ordering::Relaxed);
        let begin = |endpoint| {
            Exchange::new(&core.metrics, endpoint, (id, self.remote), (request.method(), uri))
        };
        let is_head = request.method() == Method::HEAD;
        let (mut exchange, response) =
            if self.offers != Offers::Admin && request::is_registry_path(uri.path()) {
                let parsed = request::parse(request.method(), uri.path(), uri.query());
                let exchange = begin(metrics::endpoint(&parsed));
                let (parts, _never_read) = request.into_parts();
                let answer = self.registry(&parts, parsed).await;
                (exchange, answer)
            } else {
                let exchange = begin("admin");
                (exchange, self.admin(request).await)
            };
        let mut response = response;
        let length = response.body().size_hint().exact();
        if let Some(length) = length.filter(|_| response.status().as_u16() != 304) {
            response.headers_mut().entry(CONTENT_LENGTH).or_insert(length.into());
        }
        exchange.status = response.status().as_u16();
        let body = |body| Measured { body: if is_head { Body::empty() } else { body }, exchange };
        Ok(response.map(body))
    }

    async fn registry(
        &self,
        parts: &axum::http::request::Parts,
        parsed: Result<request::Request, request::Error>,
    ) -> Response {
        let core = &self.core;
        let answer = async {
            check(parts.version, &parts.uri, &parts.headers)?;
            let served = core.live.current();
            let (method, headers) = (&parts.method, &parts.headers);
            registry::answer(&served.source, &core.reader, parsed?, (method, headers)).await
        };
        let mut response = answer.await.unwrap_or_else(|error: Error| {
            error.into_response(parts.method.as_str(), parts.uri.path())
        });
        response.headers_mut().extend([API_VERSION]);
        response
    }

    async fn admin(&self, request: hyper::Request<Incoming>) -> Response {
        match self.router.call(request.map(Body::new)).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// Refuses what no request of ours can look like.
fn check(version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), Error> {
    if version == Version::HTTP_11 && !headers.contains_key(HOST) {
        return Err(Error::NoHost);
    }
    if uri.path_and_query().is_some_and(|it| it.as_str().len() > MAX_ADDRESS) {
        return Err(Error::TooLong);
    }
    Ok(())
}

/// Counts a connection as open while it lives.
struct Open(Arc<Metrics>);

impl Open {
    fn new(metrics: &Arc<Metrics>) -> Self {
        metrics.connections.inc();
        Self(Arc::clone(metrics))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.dec();
    }
}

impl<S> fmt::Debug for Core<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core").field("options", &self.options).finish_non_exhaustive()
    }
}
