//! One connection: the handshake if there is one, then request after request.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, HOST};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use axum::response::Response;
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::ServerConnection;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::error::Error;
use super::exchange::{Exchange, Measured};
use super::metrics::{self, Metrics};
use super::reader::{PIECE, Reader};
use super::request::{self, Request};
use super::stream::Stream;
use super::{Core, Offers, Phase, registry};
use crate::source::{self, Source};

/// The largest head of a request, in bytes: room for 1024 ranges and a token.
const MAX_HEAD: usize = 64 << 10;
/// How much is written at once, in bytes: half as many calls and wake-ups as by the piece,
/// and more brings nothing (docs/decisions/009-how-bytes-reach-the-socket.md).
const WRITTEN_AT_ONCE: usize = 2 * PIECE;
/// The longest address, in bytes: the longest name, digest and query come to a quarter.
const MAX_ADDRESS: usize = 8 << 10;
/// What every answer of a registry carries.
const API_VERSION: (HeaderName, HeaderValue) = (
    HeaderName::from_static("docker-distribution-api-version"),
    HeaderValue::from_static("registry/2.0"),
);
/// The first byte of a TLS handshake, RFC 8446 section 5.1.
const HANDSHAKE: u8 = 22;
/// What a client gets that speaks plain HTTP where TLS is spoken.
const USE_HTTPS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n\
    Content-Length: 39\r\nConnection: close\r\n\r\nthis port speaks HTTPS, not plain HTTP\n";

/// One connection.
pub(super) struct Connection<S> {
    pub(super) core: Arc<Core<S>>,
    pub(super) reader: Arc<Reader>,
    pub(super) router: TowerToHyperService<Router>,
    pub(super) offers: Offers,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) remote: SocketAddr,
    /// Whether the client may be sending what nobody reads.
    pub(super) has_unread: Arc<AtomicBool>,
}

impl<S: Source> Connection<S> {
    /// Serves the connection on this thread to its end, or until the server stops.
    pub(super) async fn serve(mut self, stream: std::net::TcpStream, permit: OwnedSemaphorePermit) {
        let _permit = permit;
        let remote = self.remote;
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => return tracing::error!(%remote, "cannot wait for a client: {error}"),
        };
        let _open = Open::new(&self.core.metrics);
        // Answers are written whole: waiting for more to send would only delay them.
        drop(stream.set_nodelay(true));
        let stream = Stream::new(stream, self.core.options.write_timeout, &self.has_unread);
        let Some(tls) = self.tls.clone() else {
            let (reader, direct) = self.core.reader.with_direct();
            self.reader = Arc::new(reader);
            return self.speak(stream.with_direct(direct)).await;
        };
        let greeted = async {
            if stream.first_byte().await? == Some(HANDSHAKE) {
                let limit =
                    |tls: &mut ServerConnection| tls.set_buffer_limit(Some(WRITTEN_AT_ONCE));
                return tls.accept_with(stream, limit).await.map(Some);
            }
            let mut stream = stream;
            self.has_unread.store(true, Ordering::Relaxed);
            stream.write_all(USE_HTTPS).await?;
            stream.shutdown().await.map(|()| None)
        };
        let greeted = tokio::select! {
            greeted = timeout(self.core.options.handshake_timeout, greeted) => greeted,
            () = self.core.reached(Phase::Draining) => return,
        };
        match greeted.map_err(io::Error::from).flatten() {
            Ok(Some(stream)) => self.speak(stream).await,
            Ok(None) => tracing::debug!(%remote, "the client speaks plain HTTP"),
            Err(error) => tracing::debug!(%remote, "no TLS with the client: {error}"),
        }
    }

    /// Speaks HTTP.
    async fn speak(&self, io: impl AsyncRead + AsyncWrite + Unpin) {
        let core = &self.core;
        let service = service_fn(|request| self.exchange(request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(core.options.head_timeout)
            .max_header_size(MAX_HEAD)
            .max_buf_size(WRITTEN_AT_ONCE)
            .half_close(true)
            .serve_connection(TokioIo::new(io), service);
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
            tracing::debug!(%remote, "connection broke off: {}", source::chain(&error));
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
        if !request.body().is_end_stream() {
            self.has_unread.store(true, Ordering::Relaxed);
        }
        let (mut exchange, mut response) =
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
        let length = response.body().size_hint().exact();
        if let Some(length) = length.filter(|_| response.status().as_u16() != 304) {
            response.headers_mut().entry(CONTENT_LENGTH).or_insert(length.into());
        }
        exchange.status = response.status().as_u16();
        let body = |body| Measured { body: if is_head { Body::empty() } else { body }, exchange };
        Ok(response.map(body))
    }

    async fn registry(&self, parts: &Parts, parsed: Result<Request, request::Error>) -> Response {
        let core = &self.core;
        let answer = async {
            check(parts.version, &parts.uri, &parts.headers)?;
            let served = core.live.current();
            let (method, headers) = (&parts.method, &parts.headers);
            registry::answer(&served.source, &self.reader, parsed?, (method, headers)).await
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
