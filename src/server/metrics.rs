//! Every metric of the server: name, labels, meaning.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use prometheus_client::registry::{Registry, Unit};

use super::request::{self, Request};
use crate::content::live::{State, Status};

/// What the server counts.
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    bundles: Family<InState, Gauge>,
    damaged: Gauge,
    /// Bytes of bodies that were handed to connections.
    pub(super) sent: Counter,
    /// Requests that are being answered.
    pub(super) in_flight: Gauge,
    /// Connections that are open.
    pub(super) connections: Gauge,
}

/// The labels of a request.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct Answered {
    endpoint: &'static str,
    status: &'static str,
}

/// The labels of a bundle.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct InState {
    state: &'static str,
}

impl Metrics {
    pub(super) fn new() -> Self {
        let mut registry = Registry::with_prefix("shipperd");
        let requests = Family::default();
        let help = "Requests answered, by endpoint and class of status";
        registry.register("requests", help, Family::clone(&requests));
        let sent = Counter::default();
        let help = "Bytes of bodies sent";
        registry.register_with_unit("sent", help, Unit::Bytes, sent.clone());
        let in_flight = Gauge::default();
        registry.register("requests_in_flight", "Requests being answered", in_flight.clone());
        let connections = Gauge::default();
        registry.register("connections", "Connections open", connections.clone());
        let bundles = Family::default();
        registry.register("bundles", "Bundles at hand, by state", Family::clone(&bundles));
        let damaged = Gauge::default();
        registry.register("damaged_blobs", "Blobs found damaged while read", damaged.clone());
        Self { registry, requests, bundles, damaged, sent, in_flight, connections }
    }

    /// Counts an answer.
    pub(super) fn count(&self, endpoint: &'static str, status: u16) {
        let status = match status {
            100..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        self.requests.get_or_create(&Answered { endpoint, status }).inc();
    }

    /// The text for Prometheus.
    pub(super) fn encode(&self, bundles: &[Status]) -> Result<String, fmt::Error> {
        for (state, label) in
            [(State::Live, "live"), (State::Waiting, "waiting"), (State::Refused, "refused")]
        {
            let count = bundles.iter().filter(|bundle| bundle.state == state).count();
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.bundles.get_or_create(&InState { state: label }).set(count);
        }
        let damaged: usize = bundles.iter().map(|bundle| bundle.damaged.list().len()).sum();
        self.damaged.set(i64::try_from(damaged).unwrap_or(i64::MAX));
        let mut encoded = String::new();
        text::encode(&mut encoded, &self.registry)?;
        Ok(encoded)
    }
}

/// The label of a request that may be none.
pub(super) fn endpoint(request: &Result<Request, request::Error>) -> &'static str {
    match request {
        Ok(Request::Ping) => "ping",
        Ok(Request::Blob(..)) => "blob",
        Ok(Request::Manifest(..)) => "manifest",
        Ok(Request::Tags(..)) => "tags",
        Ok(Request::Referrers(..)) => "referrers",
        Ok(Request::Repositories(_)) => "repositories",
        Err(_) => "other",
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
