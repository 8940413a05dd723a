//! Sends requests: follows redirects and repeats what failed for a while.
//!
//! Redirects are followed here and not by the HTTP client, because only here it is
//! known which hosts may speak plain HTTP and which certificates count for them. A
//! credential is dropped at the first redirect to another scheme, host or port.
//!
//! A host that cannot be reached uses up the patience of one request, not that of every
//! one that follows: until it answers again, each is sent once.

use std::error::Error as StdError;
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashSet;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};

use super::answer::Answer;
use super::{Error, Retries, Trust, retry, trust};

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 8;
/// What a form is.
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");

/// A request, ready to be sent as often as it takes.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// The credential for the host of the URL, and for no other.
    pub(super) authorization: Option<HeaderValue>,
    /// An encoded form to send; such a request is never redirected.
    pub(super) form: Option<String>,
    /// Bytes to send; such a request is redirected only where that keeps its method.
    pub(super) body: Option<Bytes>,
}

impl Request {
    pub(super) fn new(method: Method, url: Url) -> Self {
        Self { method, url, headers: HeaderMap::new(), authorization: None, form: None, body: None }
    }
}

/// What requests go through.
#[derive(Debug)]
pub(super) struct Transport {
    trust: Trust,
    retries: Retries,
    /// The hosts that were waited for in vain and have not answered since.
    silent: DashSet<String>,
}

impl Transport {
    pub(super) fn new(trust: Trust, retries: Retries) -> Self {
        Self { trust, retries, silent: DashSet::new() }
    }

    pub(super) fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Sends a request until it is answered by other than a passing failure, or patience ends.
    pub(super) async fn send(&self, request: &Request) -> Result<Answer, Error> {
        let mut failed = 0;
        let host = trust::host(&request.url);
        loop {
            let outcome = self.follow(request).await;
            let is_silent = matches!(outcome, Err(Error::Connection { .. }));
            let asked = match &outcome {
                Ok(answer) if passing(answer.status()) => asked(answer),
                Err(_) if is_silent => None,
                Ok(_) | Err(_) => {
                    self.silent.remove(&host);
                    return outcome;
                }
            };
            failed += 1;
            let is_worth_it = !is_silent || !self.silent.contains(&host);
            let wait = self.retries.wait(failed, asked).filter(|_| is_worth_it);
            let Some(wait) = wait else {
                if is_silent {
                    self.silent.insert(host);
                }
                return outcome;
            };
            let status = outcome.as_ref().ok().map(|answer| answer.status().as_u16());
            tracing::debug!(host, status, ?wait, "no good answer, asking again");
            tokio::time::sleep(wait).await;
        }
    }

    /// Sends a request once to its URL, and to where that redirects.
    async fn follow(&self, request: &Request) -> Result<Answer, Error> {
        let mut url = request.url.clone();
        let mut authorization = request.authorization.clone();
        let mut redirected = false;
        for _ in 0..=MAX_REDIRECTS {
            let answer = self.once(request, &url, authorization.as_ref(), redirected).await?;
            let followed = request.form.is_none()
                && is_redirect(answer.status())
                && (request.body.is_none() || keeps_method(answer.status()));
            let Some(location) = answer.headers().get(LOCATION).filter(|_| followed) else {
                return Ok(answer);
            };
            let location = location.to_str().ok().and_then(|location| url.join(location).ok());
            let Some(mut next) = location else {
                let host = trust::host(&url);
                return Err(Error::Redirect { host, why: "to what is no URL" });
            };
            // A user name in a URL would become a credential of its own.
            if !next.username().is_empty() || next.password().is_some() {
                let host = trust::host(&url);
                return Err(Error::Redirect { host, why: "to a URL with credentials" });
            }
            next.set_fragment(None);
            if next.origin() != url.origin() {
                authorization = None;
                redirected = true;
            }
            url = next;
        }
        Err(Error::Redirect { host: trust::host(&request.url), why: "too often" })
    }

    async fn once(
        &self,
        request: &Request,
        url: &Url,
        authorization: Option<&HeaderValue>,
        redirected: bool,
    ) -> Result<Answer, Error> {
        let host = trust::host(url);
        let client = self.trust.client(url).await?;
        let mut builder =
            client.request(request.method.clone(), url.clone()).headers(request.headers.clone());
        if let Some(authorization) = authorization {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        if let Some(form) = &request.form {
            builder = builder.header(CONTENT_TYPE, FORM).body(form.clone());
        }
        if let Some(body) = &request.body {
            builder = builder.body(body.clone());
        }
        match builder.send().await {
            Ok(response) => Ok(Answer::new(host, response, redirected)),
            // URLs of object storage hold signatures: they are not shown.
            Err(source) => Err(unanswered(host, source.without_url())),
        }
    }
}

/// Whether the same request may well succeed in a moment.
fn passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::INTERNAL_SERVER_ERROR
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    )
}

fn keeps_method(status: StatusCode) -> bool {
    matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT)
}

/// How long a host asks to be left alone.
fn asked(answer: &Answer) -> Option<Duration> {
    retry::after(answer.header(&RETRY_AFTER)?, jiff::Timestamp::now())
}

/// What it means that a request was not answered.
fn unanswered(host: String, source: reqwest::Error) -> Error {
    match tls_fault(&source) {
        // Neither gets better by asking again.
        Some(rustls::Error::InvalidCertificate(_)) => Error::Untrusted { host, source },
        Some(rustls::Error::InvalidMessage(_)) => Error::NoTls { host, source },
        Some(_) | None => Error::Connection { host, source },
    }
}

fn tls_fault(error: &reqwest::Error) -> Option<&rustls::Error> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        let fault = error.downcast_ref();
        if fault.is_some() {
            return fault;
        }
        // An I/O error skips what it holds when asked for its source.
        next = match error.downcast_ref::<std::io::Error>() {
            Some(error) => error.get_ref().map(|held| held as &(dyn StdError + 'static)),
            None => error.source(),
        };
    }
    None
}
