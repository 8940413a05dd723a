//! Who asks: answers the challenges of registries, and keeps what they gave for it.
//!
//! <https://distribution.github.io/distribution/spec/auth/token/>
//! and <https://distribution.github.io/distribution/spec/auth/oauth/>
//!
//! A token is asked for once however many requests need it, and a refusal is
//! remembered: repeating a wrong password locks accounts.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dashmap::DashMap;
use reqwest::header::{HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::answer::Answer;
use super::challenge::{self, Challenge};
use super::transport::{Request, Transport};
use super::{Credential, Credentials, Error, Secret};
use crate::oci::{Registry, Repository};

/// How much of a token server's answer is read, in bytes.
const MAX_TOKEN: u64 = 1 << 20;
/// How long a token lives that does not say so; the least any token lives, in seconds.
const SHORTEST_LIFE: u64 = 60;
/// A token is trusted for this much less than it lives, in seconds.
const MARGIN: u64 = 10;
/// However long a token lives, a new one is asked for after a day.
const LONGEST_LIFE: u64 = 24 * 60 * 60;
/// How long a refusal counts; a server that runs for months must get over one.
const REFUSAL: Duration = Duration::from_secs(60);
/// What we call ourselves to a token server.
const CLIENT_ID: &str = "shipperd";

/// What a credential is for: reading a repository, writing to it, or the list of all.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) struct Scope {
    pub(super) registry: Registry,
    pub(super) repository: Option<Repository>,
    pub(super) write: bool,
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.repository {
            Some(repository) if self.write => write!(f, "repository:{repository}:pull,push"),
            Some(repository) => write!(f, "repository:{repository}:pull"),
            None => f.write_str("registry:catalog:*"),
        }
    }
}

/// What is known of each scope.
#[derive(Debug)]
pub(super) struct Auth {
    credentials: Credentials,
    scopes: DashMap<Scope, Arc<Mutex<State>>>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Unasked,
    Granted(Grant),
    Refused {
        /// Whether there were credentials to refuse.
        given: bool,
        at: Instant,
    },
}

#[derive(Debug)]
struct Grant {
    authorization: HeaderValue,
    /// When it ends; a password does not.
    end: Option<Instant>,
}

impl Grant {
    fn is_current(&self) -> bool {
        self.end.is_none_or(|end| Instant::now() < end)
    }
}

impl Auth {
    pub(super) fn new(credentials: Credentials) -> Self {
        Self { credentials, scopes: DashMap::new() }
    }

    /// What to send with a request, as far as is known without being challenged.
    pub(super) async fn current(&self, scope: &Scope) -> Option<HeaderValue> {
        match &*self.state(scope).lock().await {
            State::Granted(grant) if grant.is_current() => Some(grant.authorization.clone()),
            State::Granted(_) | State::Unasked | State::Refused { .. } => None,
        }
    }

    /// What to send instead of `refused`, which `answer` did not accept.
    ///
    /// Others who ask meanwhile wait and share the outcome.
    pub(super) async fn renew(
        &self,
        transport: &Transport,
        scope: &Scope,
        answer: &Answer,
        refused: Option<&HeaderValue>,
    ) -> Result<HeaderValue, Error> {
        let host = answer.host().to_owned();
        let state = self.state(scope);
        let mut state = state.lock().await;
        match &*state {
            State::Granted(grant)
                if grant.is_current() && Some(&grant.authorization) != refused =>
            {
                return Ok(grant.authorization.clone());
            }
            State::Refused { given, at } if at.elapsed() < REFUSAL => {
                return Err(Error::Unauthorized { host, given: *given });
            }
            State::Granted(_) | State::Unasked | State::Refused { .. } => {}
        }
        let credential = self.credentials.find(&scope.registry, scope.repository.as_ref()).await?;
        let outcome = match chosen(answer)? {
            Challenge::Basic => match &credential {
                // Sent and refused once is enough.
                Some(Credential::Password { username, password }) => basic(username, password)
                    .filter(|authorization| refused != Some(authorization))
                    .map(|authorization| Grant { authorization, end: None }),
                Some(Credential::IdentityToken(_)) | None => None,
            },
            Challenge::Bearer { realm, service, scope: asked } => {
                let realm = Url::parse(&realm).map_err(|_| answer.wrong("realm", &realm))?;
                let scope = asked.unwrap_or_else(|| scope.to_string());
                let server = TokenServer { transport, realm, service, scope };
                server.token(credential.as_ref()).await?
            }
        };
        let Some(grant) = outcome else {
            let given = credential.is_some();
            *state = State::Refused { given, at: Instant::now() };
            return Err(Error::Unauthorized { host, given });
        };
        let authorization = grant.authorization.clone();
        *state = State::Granted(grant);
        Ok(authorization)
    }

    /// Remembers that what was granted is not enough.
    pub(super) async fn refuse(&self, scope: &Scope, host: &str) -> Error {
        let given = self.credentials.find(&scope.registry, scope.repository.as_ref()).await;
        let given = given.is_ok_and(|credential| credential.is_some());
        *self.state(scope).lock().await = State::Refused { given, at: Instant::now() };
        Error::Unauthorized { host: host.to_owned(), given }
    }

    fn state(&self, scope: &Scope) -> Arc<Mutex<State>> {
        if let Some(state) = self.scopes.get(scope) {
            return Arc::clone(&state);
        }
        Arc::clone(&self.scopes.entry(scope.clone()).or_default())
    }
}

/// The challenge to answer: a token if there is a choice, because it can do less than a password.
fn chosen(answer: &Answer) -> Result<Challenge, Error> {
    let headers = answer.headers().get_all(WWW_AUTHENTICATE).iter();
    let texts: Vec<&str> = headers.filter_map(|header| header.to_str().ok()).collect();
    let mut all: Vec<Challenge> = texts.iter().flat_map(|text| challenge::parse(text)).collect();
    all.sort_by_key(|challenge| matches!(challenge, Challenge::Basic));
    let wrong = || answer.wrong("WWW-Authenticate", &texts.join(", "));
    all.into_iter().next().ok_or_else(wrong)
}

fn basic(username: &str, password: &Secret) -> Option<HeaderValue> {
    let pair = format!("{username}:{}", password.expose());
    sensitive(&format!("Basic {}", STANDARD.encode(pair)))
}

fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// One request for a token.
struct TokenServer<'a> {
    transport: &'a Transport,
    realm: Url,
    service: Option<String>,
    scope: String,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl TokenServer<'_> {
    /// Fetches a token; none when the server refuses.
    async fn token(&self, credential: Option<&Credential>) -> Result<Option<Grant>, Error> {
        let answer = match credential {
            Some(Credential::IdentityToken(token)) => {
                let secret = [("grant_type", "refresh_token"), ("refresh_token", token.expose())];
                self.post(&secret).await?
            }
            Some(Credential::Password { username, password }) => {
                let answer = self.get(Some((username, password))).await?;
                // As containerd does it, for servers that know only OAuth2.
                if matches!(
                    answer.status(),
                    StatusCode::UNAUTHORIZED
                        | StatusCode::NOT_FOUND
                        | StatusCode::METHOD_NOT_ALLOWED
                ) {
                    let password = password.expose();
                    let grant = ("grant_type", "password");
                    self.post(&[grant, ("username", username), ("password", password)]).await?
                } else {
                    answer
                }
            }
            None => self.get(None).await?,
        };
        match answer.status() {
            StatusCode::OK => read(answer).await.map(Some),
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let refusal = answer.fault().await.error;
                tracing::debug!(scope = self.scope, %refusal, "no token");
                Ok(None)
            }
            _ => Err(answer.fault().await.error),
        }
    }

    async fn get(&self, account: Option<(&str, &Secret)>) -> Result<Answer, Error> {
        let mut request = Request::new(Method::GET, self.realm.clone());
        request
            .url
            .query_pairs_mut()
            .extend_pairs(self.service())
            .append_pair("scope", &self.scope);
        if let Some((username, password)) = account {
            request.url.query_pairs_mut().append_pair("account", username);
            request.authorization = basic(username, password);
        }
        self.transport.send(&request).await
    }

    async fn post(&self, secret: &[(&str, &str)]) -> Result<Answer, Error> {
        // A form is encoded as a query is.
        let mut form = self.realm.clone();
        form.set_query(None);
        form.query_pairs_mut()
            .extend_pairs(secret)
            .extend_pairs(self.service())
            .append_pair("scope", &self.scope)
            .append_pair("client_id", CLIENT_ID);
        let mut request = Request::new(Method::POST, self.realm.clone());
        request.form = form.query().map(str::to_owned);
        self.transport.send(&request).await
    }

    fn service(&self) -> Option<(&str, &str)> {
        self.service.as_deref().map(|service| ("service", service))
    }
}

async fn read(answer: Answer) -> Result<Grant, Error> {
    // Its text is not shown: it may be a token all the same.
    let wrong = answer.wrong("token", "");
    let body = answer.bytes(MAX_TOKEN).await?;
    let Ok(token) = serde_json::from_slice::<Token>(&body) else { return Err(wrong) };
    let text = token.token.or(token.access_token).filter(|text| !text.is_empty());
    let Some(authorization) = text.and_then(|text| sensitive(&format!("Bearer {text}"))) else {
        return Err(wrong);
    };
    Ok(Grant { authorization, end: Instant::now().checked_add(life(token.expires_in)) })
}

/// How long to use a token that says it lives so many seconds.
fn life(seconds: Option<u64>) -> Duration {
    let seconds = seconds.unwrap_or_default().clamp(SHORTEST_LIFE, LONGEST_LIFE);
    Duration::from_secs(seconds - MARGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_end_a_little_early() {
        for (said, used) in
            [(None, 50), (Some(0), 50), (Some(300), 290), (Some(u64::MAX), 24 * 60 * 60 - 10)]
        {
            assert_eq!(life(said), Duration::from_secs(used), "{said:?}");
        }
        let authorization = HeaderValue::from_static("Bearer t");
        let now = Instant::now();
        for (end, current) in
            [(None, true), (Some(now), false), (now.checked_add(life(None)), true)]
        {
            assert_eq!(Grant { authorization: authorization.clone(), end }.is_current(), current);
        }
    }
}
