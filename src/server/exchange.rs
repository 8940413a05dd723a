//! One request and its answer, counted and logged when the answer is sent or given up.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use axum::body::Body;
use axum::http::{Method, Uri};
use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::metrics::Metrics;

/// One request and its answer.
pub(super) struct Exchange {
    pub(super) metrics: Arc<Metrics>,
    pub(super) endpoint: &'static str,
    pub(super) id: u64,
    pub(super) remote: SocketAddr,
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) status: u16,
    started: Instant,
    sent: u64,
}

impl Exchange {
    pub(super) fn new(
        metrics: &Arc<Metrics>,
        endpoint: &'static str,
        (id, remote): (u64, SocketAddr),
        (method, uri): (&Method, &Uri),
    ) -> Self {
        metrics.in_flight.inc();
        Self {
            metrics: Arc::clone(metrics),
            endpoint,
            id,
            remote,
            method: method.clone(),
            uri: uri.clone(),
            // Until there is an answer: that of a client that went before.
            status: 499,
            started: Instant::now(),
            sent: 0,
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        self.metrics.sent.inc_by(self.sent);
        self.metrics.count(self.endpoint, self.status);
        tracing::debug!(
            id = self.id,
            remote = %self.remote,
            method = %self.method,
            path = %self.uri,
            status = self.status,
            bytes = self.sent,
            duration_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "answered"
        );
    }
}

/// The body of an answer, which holds on to its exchange.
pub(super) struct Measured {
    pub(super) body: Body,
    pub(super) exchange: Exchange,
}

impl http_body::Body for Measured {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, Bytes::len);
            self.exchange.sent += length as u64;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
