//! Lists that come in pages: tags and repositories.
//!
//! <https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#content-discovery>
//!
//! Not every registry sorts, some know no `n` and no `last`, and to some `last` is a
//! place in an order of their own. So a list is read from its beginning: as long as
//! what comes is in order, no further than needed; else the whole, and sorted here.

use std::borrow::Borrow;
use std::collections::HashSet;
use std::str::FromStr;

use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;

use super::answer::Answer;
use super::auth::Scope;
use super::link;
use super::remote::{Question, Remote};
use crate::source;

/// The largest page read, in bytes.
pub(super) const MAX_PAGE: u64 = 16 << 20;
/// The longest list read, in names.
const MAX_NAMES: usize = 1_000_000;
/// How many names are asked for at a time.
const PAGE: usize = 1000;

#[derive(Deserialize)]
struct Page {
    #[serde(alias = "repositories")]
    tags: Option<Vec<String>>,
}

/// A list of a registry.
pub(super) struct List<'a> {
    pub(super) remote: &'a Remote,
    pub(super) scope: &'a Scope,
    pub(super) question: &'a Question<'a>,
    pub(super) path: &'static str,
}

impl List<'_> {
    /// At most `limit` names that sort after `after`, in byte order.
    pub(super) async fn read<T>(&self, after: &str, limit: usize) -> Result<Vec<T>, source::Error>
    where
        T: FromStr + Ord + Borrow<str>,
    {
        let mut names = match self.ordered(after, limit).await? {
            Some(names) => names,
            None => self.whole().await?,
        };
        names.sort_unstable();
        names.dedup();
        names.retain(|name: &T| Borrow::<str>::borrow(name) > after);
        names.truncate(limit);
        Ok(names)
    }

    /// The names up to the `limit`th after `after`; nothing when the registry keeps no order.
    async fn ordered<T>(&self, after: &str, limit: usize) -> Result<Option<Vec<T>>, source::Error>
    where
        T: FromStr + Ord + Borrow<str>,
    {
        let mut names: Vec<T> = Vec::new();
        let mut wanted = limit;
        let mut pages = self.pages(if after.is_empty() { limit.clamp(1, PAGE) } else { PAGE })?;
        while let Some(page) = pages.next::<T>().await? {
            for name in page {
                if names.last().is_some_and(|last| name <= *last) {
                    return Ok(None);
                }
                if Borrow::<str>::borrow(&name) > after {
                    wanted = wanted.saturating_sub(1);
                }
                names.push(name);
            }
            if wanted == 0 {
                break;
            }
        }
        Ok(Some(names))
    }

    async fn whole<T: FromStr>(&self) -> Result<Vec<T>, source::Error> {
        let mut names = Vec::new();
        let mut pages = self.pages(PAGE)?;
        while let Some(page) = pages.next().await? {
            names.extend(page);
        }
        Ok(names)
    }

    fn pages(&self, size: usize) -> Result<Pages<'_>, source::Error> {
        let url = self.remote.url(self.scope, self.path);
        let mut url = url.map_err(|error| self.question.failed(error))?;
        url.query_pairs_mut().append_pair("n", &size.to_string());
        Ok(Pages { list: self, next: Some(url), seen: HashSet::new(), names: 0 })
    }
}

/// The pages of a list, one request each.
struct Pages<'a> {
    list: &'a List<'a>,
    next: Option<Url>,
    seen: HashSet<Url>,
    names: usize,
}

impl Pages<'_> {
    /// The names of the next page that are names at all.
    async fn next<T: FromStr>(&mut self) -> Result<Option<Vec<T>>, source::Error> {
        let List { remote, scope, question, .. } = self.list;
        let Some(url) = self.next.take() else { return Ok(None) };
        let headers = HeaderMap::new();
        let answer = remote.send(scope, Method::GET, url.clone(), headers).await;
        let answer = answer.map_err(|error| question.failed(error))?;
        if answer.status() != StatusCode::OK {
            return Err(question.refused(answer).await);
        }
        let next = following(&answer, &url);
        let (endless, no_list) = (answer.wrong("Link", "endless"), answer.wrong("list", ""));
        let body = answer.bytes(MAX_PAGE).await.map_err(|error| question.failed(error))?;
        let Ok(page) = serde_json::from_slice::<Page>(&body) else {
            return Err(question.failed(no_list));
        };
        let page = page.tags.unwrap_or_default();
        self.names = self.names.saturating_add(page.len());
        self.seen.insert(url);
        // An empty page counts too, so that a list of them ends.
        let too_many = self.names.max(self.seen.len().saturating_mul(PAGE / 10)) > MAX_NAMES;
        if too_many || next.as_ref().is_some_and(|next| self.seen.contains(next)) {
            return Err(question.failed(endless));
        }
        self.next = next;
        Ok(Some(page.iter().filter_map(|name| name.parse().ok()).collect()))
    }
}

/// Where the page after this one is: always on the same host, which alone is asked.
///
/// Registries behind proxies name themselves as they know themselves; only the path counts.
pub(super) fn following(answer: &Answer, url: &Url) -> Option<Url> {
    let headers = answer.headers().get_all(LINK).iter();
    let target = headers.filter_map(|header| header.to_str().ok()).find_map(link::next)?;
    let target = url.join(target).ok()?;
    let mut next = url.clone();
    next.set_path(target.path());
    next.set_query(target.query());
    next.set_fragment(None);
    Some(next)
}
