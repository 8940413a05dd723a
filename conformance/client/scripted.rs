//! A server that answers as a test tells it, and remembers what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, LOCATION, WWW_AUTHENTICATE};
use axum::http::{Method, Response, StatusCode};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use shipperd::oci::Registry;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// Who may ask, where somebody must be.
pub const USER: &str = "user";
/// The password of [`USER`].
pub const PASSWORD: &str = "hunter2";
/// An index of nothing.
pub const MANIFEST: &str =
    r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// A blob of 100 000 bytes.
pub fn layer() -> Bytes {
    (0..100_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

/// A request, as it arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    /// The path and the query.
    pub target: String,
    pub headers: HeaderMap,
    pub body: String,
    /// How many requests came before it.
    pub before: usize,
    /// The other end of its connection.
    pub peer: SocketAddr,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    /// The first byte that is asked for, in a `Range` without an end.
    pub fn start(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// The server; gone when dropped.
#[derive(Debug)]
pub struct Scripted {
    registry: Registry,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: JoinHandle<()>,
}

impl Scripted {
    /// Starts one that answers so.
    pub async fn start(answer: impl Fn(&Seen) -> Answer + Clone + Send + Sync + 'static) -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let memory = Arc::clone(&seen);
        let handler = move |ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request| async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let seen = {
                let mut memory = memory.lock().unwrap();
                let seen = Seen {
                    method: parts.method,
                    target: parts.uri.to_string(),
                    headers: parts.headers,
                    body: String::from_utf8(body.to_vec()).unwrap(),
                    before: memory.len(),
                    peer,
                };
                memory.push(seen.clone());
                seen
            };
            answer(&seen)
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let registry = listener.local_addr().unwrap().to_string().parse().unwrap();
        let service = Router::new().fallback(handler);
        let service = service.into_make_service_with_connect_info::<SocketAddr>();
        let service = axum::serve(listener, service);
        let task = tokio::spawn(async move { service.await.unwrap() });
        Self { registry, seen, task }
    }

    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What it was asked so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The methods and paths it was asked for so far.
    pub fn asked(&self) -> Vec<String> {
        self.seen().iter().map(|seen| format!("{} {}", seen.method, seen.target)).collect()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub type Answer = Response<Body>;

/// An answer of a status alone.
pub fn status(status: u16) -> Answer {
    with(status, &[], "")
}

/// An answer with these headers and this body, whose length is said.
pub fn with(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(Body::from(body.into())).unwrap()
}

/// A whole answer of this type.
pub fn typed(media_type: &str, body: impl Into<Bytes>) -> Answer {
    with(200, &[(CONTENT_TYPE.as_str(), media_type)], body)
}

/// A demand for credentials.
pub fn challenge(text: &str) -> Answer {
    with(401, &[(WWW_AUTHENTICATE.as_str(), text)], "")
}

/// A redirect to another place.
pub fn redirect(to: &str) -> Answer {
    with(307, &[(LOCATION.as_str(), to)], "")
}

/// The same answer, without a length, in pieces.
pub fn chunked(answer: Answer, body: &Bytes) -> Answer {
    let pieces: Vec<_> = body.chunks(1000).map(Bytes::copy_from_slice).map(Ok).collect();
    let (mut parts, _) = answer.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    let stream = stream::iter::<Vec<Result<_, std::io::Error>>>(pieces);
    Response::from_parts(parts, Body::from_stream(stream))
}

/// An answer that promises `length` bytes, and breaks off after these.
pub fn cut(status: u16, headers: &[(&str, &str)], length: usize, body: Bytes) -> Answer {
    let (mut parts, _) = with(status, headers, "").into_parts();
    parts.headers.insert(CONTENT_LENGTH, length.into());
    let end = async {
        // Once waited for, what came before it is sent.
        tokio::task::yield_now().await;
        Err(std::io::Error::other("cut on purpose"))
    };
    let pieces = stream::iter([Ok(body)]).chain(stream::once(end));
    Response::from_parts(parts, Body::from_stream(pieces))
}
