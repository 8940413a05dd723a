//! What those who run the server ask: is it alive, is it ready, what has it done.
//!
//! Ready is a server that has looked at what it was given, is not stopping, and serves
//! at least one bundle or was given none: an empty directory is watched and is no fault,
//! a directory of nothing but refused bundles is. `/readyz` names every bundle and what
//! is wrong with it.

use std::sync::Arc;

use axum::Router;
use axum::extract::State as Shared;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Serialize;

use super::Core;
use super::registry::json;
use crate::content::live::{State, Status};
use crate::source::Source;

const METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

#[derive(Serialize)]
struct Readiness<'a> {
    ready: bool,
    stopping: bool,
    /// How many names mean different contents.
    ambiguous_names: usize,
    bundles: &'a [Status],
}

/// The routes.
pub(super) fn routes<S: Source>(core: Arc<Core<S>>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready::<S>))
        .route("/metrics", get(metrics::<S>))
        .with_state(core)
}

async fn ready<S: Source>(Shared(core): Shared<Arc<Core<S>>>) -> Response {
    let served = core.live.current();
    let bundles = &served.bundles;
    let serves = bundles.is_empty() || bundles.iter().any(|it| it.state == State::Live);
    let ambiguous_names = served.ambiguous;
    let stopping = core.is_stopping();
    let ready = serves && !stopping;
    match serde_json::to_vec(&Readiness { ready, stopping, ambiguous_names, bundles }) {
        Ok(body) if ready => json(body),
        Ok(body) => (StatusCode::SERVICE_UNAVAILABLE, json(body)).into_response(),
        // Nothing of it lacks a JSON form.
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn metrics<S: Source>(Shared(core): Shared<Arc<Core<S>>>) -> Response {
    match core.metrics.encode(&core.live.current()) {
        Ok(text) => ([(CONTENT_TYPE, METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
