//! The lists of all services merged into one: service after service, page by page; a list by time
//! has the newest item of all services first.

use axum::{http::uri::PathAndQuery, response::Response};
use chassis::{
    Code, Problem,
    http::{self, HttpResult, Params},
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    forward::{Forwarder, UpstreamRequest},
    routes::Service,
};

/// A page ends before this many bytes, a service's page as well as a merged one.
const PAGE_BYTES_MAX: usize = 1024 * 1024;
/// The list that is merged by time; the others are joined.
const OPERATIONS: &str = "operations";

#[derive(Deserialize)]
struct Page {
    items: Vec<Value>,
    next_cursor: Option<String>,
}

/// The request for a list, as each service gets it.
struct Question<'a> {
    forwarder: &'a Forwarder,
    asked: &'a UpstreamRequest,
    /// The list's name: the last segment of its path, and what its cursors are marked with.
    name: &'a str,
    /// The only service to ask, if the request names one.
    only: Option<Service>,
    /// The other parameters, which the services check.
    filters: String,
    limit: usize,
    cursor: Option<String>,
}

/// Answers a `GET` of a list of which every service has a part.
pub(crate) async fn list(forwarder: &Forwarder, asked: &UpstreamRequest) -> HttpResult {
    let mut params = Params::parse(asked.path.query().unwrap_or_default())?;
    let only = params.take_parsed("service", |name| {
        Service::parse(name).ok_or("has to name a service, such as order-svc")
    })?;
    let page = params.take_page()?;
    let name = asked.path.path().rsplit('/').next().unwrap_or_default();
    let question = Question {
        forwarder,
        asked,
        name,
        only,
        filters: filters(asked.path.query().unwrap_or_default()),
        limit: usize::try_from(page.limit).unwrap_or(1),
        cursor: page.cursor,
    };
    if name == OPERATIONS { question.by_time().await } else { question.one_by_one().await }
}

/// The parameters that are not the list's own, as they came.
fn filters(query: &str) -> String {
    let is_ours = |pair: &&str| {
        let name = pair.split('=').next().unwrap_or_default();
        pair.is_empty() || ["service", "limit", "cursor"].contains(&name)
    };
    query.split('&').filter(|pair| !is_ours(pair)).fold(String::new(), |all, pair| all + "&" + pair)
}

impl Question<'_> {
    fn services(&self) -> impl Iterator<Item = Service> {
        let only = self.only;
        Service::ALL.into_iter().filter(move |it| only.is_none_or(|only| only == *it))
    }

    async fn one_by_one(&self) -> HttpResult {
        let (first, mut inner) = match &self.cursor {
            None => (self.only.unwrap_or(Service::Order), None),
            Some(cursor) => self.place(cursor)?,
        };
        let (mut items, mut bytes) = (Vec::new(), 0);
        for service in self.services().skip_while(|service| *service != first) {
            let left = self.limit.saturating_sub(items.len());
            if left == 0 {
                return Ok(http::list(&items, Some(self.write(service, None))));
            }
            let at = inner.take();
            let (found, size) = match self.ask(service, left, at.as_deref()).await? {
                Ok(page) => page,
                Err(refusal) => return Ok(refusal),
            };
            if !items.is_empty() && bytes + size > PAGE_BYTES_MAX {
                return Ok(http::list(&items, Some(self.write(service, at))));
            }
            bytes += size;
            items.extend(found.items);
            if found.next_cursor.is_some() {
                return Ok(http::list(&items, Some(self.write(service, found.next_cursor))));
            }
        }
        Ok(http::list(&items, None))
    }

    fn write(&self, service: Service, inner: Option<String>) -> String {
        http::write_cursor(self.name, &(service.name(), inner))
    }

    fn place(&self, cursor: &str) -> Result<(Service, Option<String>), Problem> {
        let (name, inner): (String, Option<String>) = http::read_cursor(self.name, cursor)?;
        self.services()
            .find(|service| service.name() == name)
            .map(|service| (service, inner))
            .ok_or_else(no_cursor)
    }

    /// Merges the services' lists by `at`, the newest item first. Each service's own list is the
    /// newest first, too, and its cursors are the `id` of the last item shown.
    async fn by_time(&self) -> HttpResult {
        let mut last: Vec<Option<i64>> = match &self.cursor {
            None => self.services().map(|_| None).collect(),
            Some(cursor) => http::read_cursor(self.name, cursor)?,
        };
        if last.len() != self.services().count() {
            return Err(no_cursor());
        }
        let mut parts = Vec::new();
        for (service, last) in self.services().zip(&last) {
            let inner = last.map(|id| http::write_cursor(self.name, &id));
            match self.ask(service, self.limit, inner.as_deref()).await? {
                Ok((page, _)) => parts.push(Part::of(page)),
                Err(refusal) => return Ok(refusal),
            }
        }
        let (mut items, mut bytes) = (Vec::new(), 0);
        while items.len() < self.limit {
            let newest = parts.iter().enumerate().rev().max_by_key(|(_, part)| part.at());
            let Some((place, _)) = newest.filter(|(_, part)| part.at().is_some()) else { break };
            let Some(item) = parts[place].items.pop() else { break };
            bytes += item.to_string().len();
            if bytes > PAGE_BYTES_MAX {
                parts[place].items.push(item);
                break;
            }
            last[place] = item.get("id").and_then(Value::as_i64);
            items.push(item);
            if parts[place].items.is_empty() && parts[place].has_more {
                break;
            }
        }
        let is_over = parts.iter().all(|part| part.items.is_empty() && !part.has_more);
        Ok(http::list(&items, (!is_over).then(|| http::write_cursor(self.name, &last))))
    }

    /// A service's page with its size in bytes, or its refusal of the request.
    async fn ask(
        &self,
        service: Service,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Result<(Page, usize), Response>, Problem> {
        let name = self.name;
        let mut path = format!("/v1/{name}?service={service}&limit={limit}{}", self.filters);
        if let Some(cursor) = cursor {
            // The gateway's and the services' cursors need no encoding; anything else is no cursor
            // of theirs.
            path.push_str("&cursor=");
            path.extend(
                cursor.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.~".contains(*c)),
            );
        }
        let path = PathAndQuery::try_from(path).map_err(|_| no_cursor())?;
        let asked = self.asked.elsewhere(path);
        let unclear = |status| {
            let detail = format!(
                "{service} did not tell its part of {name} ({status}); \
                 ask for the others with ?service="
            );
            Problem::new(Code::Overloaded, detail).retry_after(1)
        };
        self.forwarder.ask_json(service, &asked, PAGE_BYTES_MAX, unclear).await
    }
}

/// What one service has returned of a list by time.
struct Part {
    /// The newest item is the last, so that items are taken from the end.
    items: Vec<Value>,
    has_more: bool,
}

impl Part {
    fn of(mut page: Page) -> Self {
        page.items.reverse();
        Self { items: page.items, has_more: page.next_cursor.is_some() }
    }

    /// The time of the part's newest item. Times are written with one length, so their text sorts.
    fn at(&self) -> Option<&str> {
        self.items.last()?.get("at")?.as_str()
    }
}

fn no_cursor() -> Problem {
    Problem::new(Code::BadCursor, "the cursor is not one of this list")
}
