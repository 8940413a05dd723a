//! Registries as a client sees them, all of them behind one value.

use std::sync::Arc;

use bytes::Bytes;
use dashmap::DashSet;
use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode, Url};

use super::answer::Answer;
use super::auth::{Auth, Scope};
use super::transport::{Request, Transport};
use super::{Credentials, Error, Retries, Trust};
use crate::oci::{ErrorCode, Registry, TagOrDigest};
use crate::source::{self, Name};

/// How to reach registries.
#[derive(Debug)]
pub struct Settings {
    /// Who asks.
    pub credentials: Credentials,
    /// Whom to trust.
    pub trust: Trust,
    /// How patient to be.
    pub retries: Retries,
}

/// Every registry that can be reached. Cheap to clone; clones share tokens and connections.
#[derive(Clone, Debug)]
pub struct Remote {
    shared: Arc<Shared>,
    home: Option<Registry>,
}

#[derive(Debug)]
struct Shared {
    transport: Transport,
    auth: Auth,
    /// Where there is no list of referrers, so that it is not asked for each manifest again.
    without_referrers: DashSet<Scope>,
}

impl Remote {
    /// Makes a client; nothing is connected before it is asked.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let transport = Transport::new(settings.trust, settings.retries);
        let auth = Auth::new(settings.credentials);
        let shared = Shared { transport, auth, without_referrers: DashSet::new() };
        Self { shared: Arc::new(shared), home: None }
    }

    /// The same, with a registry that is meant where a name has none, and whose repositories are listed.
    #[must_use]
    pub fn at(&self, registry: Registry) -> Self {
        Self { shared: Arc::clone(&self.shared), home: Some(registry) }
    }

    /// Whose word a question needs.
    pub(super) fn scope(&self, name: Option<&Name>) -> Result<Scope, Error> {
        let named = name.and_then(|name| name.registry.clone());
        let registry = named.or_else(|| self.home.clone()).ok_or(Error::NoRegistry)?;
        Ok(Scope {
            registry: registry.canonical(),
            repository: name.map(|name| name.repository.clone()),
            write: false,
        })
    }

    /// Whose word it needs to write to a repository.
    pub(super) fn scope_to_write(&self, name: &Name) -> Result<Scope, Error> {
        Ok(Scope { write: true, ..self.scope(Some(name))? })
    }

    /// The URL below a repository, or below the registry where a scope has none.
    pub(super) fn url(&self, scope: &Scope, path: &str) -> Result<Url, Error> {
        let root = self.shared.transport.trust().root(&scope.registry)?;
        let path = match &scope.repository {
            Some(repository) => format!("{repository}/{path}"),
            None => path.to_owned(),
        };
        root.join(&path).map_err(|_| Error::Host { host: scope.registry.to_string() })
    }

    /// The repositories that have no list of referrers.
    pub(super) fn without_referrers(&self) -> &DashSet<Scope> {
        &self.shared.without_referrers
    }

    /// Sends a request, and answers the challenge that may come back.
    pub(super) async fn send(
        &self,
        scope: &Scope,
        method: Method,
        url: Url,
        headers: HeaderMap,
    ) -> Result<Answer, Error> {
        self.ask(scope, Request { headers, ..Request::new(method, url) }).await
    }

    /// Sends a request with a body as [`Remote::send`] does one without.
    ///
    /// A host that the registry handed the upload to is not told who asks.
    pub(super) async fn send_body(
        &self,
        scope: &Scope,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, Error> {
        let transport = &self.shared.transport;
        let is_registry = transport.trust().root(&scope.registry)?.origin() == url.origin();
        let request = Request { headers, body: Some(body), ..Request::new(method, url) };
        if is_registry { self.ask(scope, request).await } else { transport.send(&request).await }
    }

    async fn ask(&self, scope: &Scope, mut request: Request) -> Result<Answer, Error> {
        let Shared { transport, auth, .. } = &*self.shared;
        request.authorization = auth.current(scope).await;
        let answer = transport.send(&request).await?;
        if !is_challenge(&answer) {
            return Ok(answer);
        }
        let renewed = auth.renew(transport, scope, &answer, request.authorization.as_ref()).await?;
        drop(answer);
        request.authorization = Some(renewed);
        let answer = transport.send(&request).await?;
        if is_challenge(&answer) {
            return Err(auth.refuse(scope, answer.host()).await);
        }
        Ok(answer)
    }
}

/// Only the registry itself may ask who asks: where it redirected to must not learn it.
fn is_challenge(answer: &Answer) -> bool {
    answer.status() == StatusCode::UNAUTHORIZED && !answer.redirected()
}

/// What is asked, for the errors that come of it.
#[derive(Debug)]
pub(super) struct Question<'a> {
    pub(super) attempted: String,
    pub(super) name: Option<&'a Name>,
    pub(super) object: Object<'a>,
}

/// What is missing when a registry answers 404.
#[derive(Debug)]
pub(super) enum Object<'a> {
    Repository,
    Manifest(&'a TagOrDigest),
    Blob(&'a crate::oci::Digest),
}

impl Question<'_> {
    /// What it means that asking failed.
    pub(super) fn failed(&self, error: Error) -> source::Error {
        match (error, self.name) {
            (error @ Error::Unauthorized { .. }, Some(name)) => {
                tracing::debug!(%name, %error, "not authorized");
                source::Error::Unauthorized(name.clone())
            }
            (error, _) => self.unavailable(error),
        }
    }

    /// What an answer means that is no success.
    pub(super) async fn refused(&self, answer: Answer) -> source::Error {
        let (status, redirected) = (answer.status(), answer.redirected());
        let fault = answer.fault().await;
        let Some(name) = self.name.filter(|_| !redirected) else {
            return self.unavailable(fault.error);
        };
        match (status, fault.code, &self.object) {
            (StatusCode::FORBIDDEN, ..) => {
                tracing::debug!(%name, error = %fault.error, "denied");
                source::Error::Denied(name.clone())
            }
            (StatusCode::NOT_FOUND, Some(ErrorCode::NameUnknown), _)
            | (StatusCode::NOT_FOUND, _, Object::Repository) => {
                source::Error::NameUnknown(name.clone())
            }
            (StatusCode::NOT_FOUND, _, Object::Manifest(target)) => {
                source::Error::ManifestUnknown((*target).clone())
            }
            (StatusCode::NOT_FOUND, _, Object::Blob(digest)) => {
                source::Error::BlobUnknown((*digest).clone())
            }
            _ => self.unavailable(fault.error),
        }
    }

    fn unavailable(&self, error: Error) -> source::Error {
        source::Error::Unavailable { attempted: self.attempted.clone(), source: Box::new(error) }
    }
}
