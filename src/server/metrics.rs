//! Every metric of the server: name, labels, meaning.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use prometheus_client::registry::{Registry, Unit};

use super::request::{self, Request};
use crate::content::live::{Edition, Served, State};

/// What the server counts.
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    bundles: Family<InState, Gauge>,
    damaged: Gauge,
    sequences: Family<OfImageset, Gauge>,
    ambiguous: Gauge,
    /// Held while gauges are set and encoded: one scrape at a time.
    scrape: Mutex<()>,
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

/// The labels of an imageset: as many as there are bundles at hand, at most.
#[derive(Clone, Debug, EncodeLabelSet, Eq, Hash, PartialEq)]
struct OfImageset {
    imageset: String,
    id: String,
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
        let sequences = Family::default();
        let help = "Newest sequence that is served of each imageset";
        registry.register("imageset_sequence", help, Family::clone(&sequences));
        let ambiguous = Gauge::default();
        let help = "Names that mean different images in different registries or imagesets";
        registry.register("ambiguous_names", help, ambiguous.clone());
        Self {
            registry,
            requests,
            bundles,
            damaged,
            sequences,
            ambiguous,
            scrape: Mutex::default(),
            sent,
            in_flight,
            connections,
        }
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
    pub(super) fn encode<S>(&self, served: &Served<S>) -> Result<String, fmt::Error> {
        let _scrape = self.scrape.lock().unwrap_or_else(PoisonError::into_inner);
        let bundles = &served.bundles;
        for (state, label) in [
            (State::Live, "live"),
            (State::Waiting, "waiting"),
            (State::Ignored, "ignored"),
            (State::Refused, "refused"),
        ] {
            let count = bundles.iter().filter(|bundle| bundle.state == state).count();
            self.bundles.get_or_create(&InState { state: label }).set(signed(count));
        }
        let damaged: usize = bundles.iter().map(|bundle| bundle.damaged.list().len()).sum();
        self.damaged.set(signed(damaged));
        self.ambiguous.set(signed(served.ambiguous));
        // What is gone has no gauge any more.
        self.sequences.clear();
        let live = bundles.iter().filter(|bundle| bundle.state == State::Live);
        for Edition { id, name, sequence, .. } in live.filter_map(|it| it.imageset.as_ref()) {
            let labels = OfImageset { imageset: name.clone(), id: id.to_string() };
            let gauge = self.sequences.get_or_create(&labels);
            gauge.set(gauge.get().max(signed(*sequence)));
        }
        let mut encoded = String::new();
        text::encode(&mut encoded, &self.registry)?;
        Ok(encoded)
    }
}

fn signed(count: impl TryInto<i64>) -> i64 {
    count.try_into().unwrap_or(i64::MAX)
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
