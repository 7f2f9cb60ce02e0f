//! The parked keys of all services in one list, or their lanes: service after service, page by
//! page.

use axum::{
    body::{Body, to_bytes},
    http::uri::PathAndQuery,
    response::Response,
};
use chassis::{
    Code, Problem,
    http::{self, Params},
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    forward::{Asked, Forwarder},
    routes::Service,
};

/// A service's page is at most 200 short entries.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

#[derive(Deserialize)]
struct Page {
    items: Vec<Value>,
    next_cursor: Option<String>,
}

/// Where a list over all services goes on: at which service, and where there.
type Place = (String, Option<String>);

/// `GET /v1/parked`.
pub(crate) async fn list(forwarder: &Forwarder, asked: &Asked) -> Result<Response, Problem> {
    let mut params = Params::parse(asked.path.query().unwrap_or_default())?;
    let only = params.take_parsed("service", |name| {
        Service::parse(name).ok_or("has to name a service, such as order-svc")
    })?;
    let page = params.take_page()?;
    params.finish()?;
    let (first, mut inner) = match &page.cursor {
        None => (only.unwrap_or(Service::Order), None),
        Some(cursor) => place(cursor, only)?,
    };

    let mut limit = usize::try_from(page.limit).unwrap_or(1);
    let mut items = Vec::new();
    let services = Service::ALL.into_iter().skip_while(|service| *service != first);
    for service in services.filter(|service| only.is_none_or(|only| only == *service)) {
        if limit == 0 {
            return Ok(http::list(&items, Some(cursor(service, None))));
        }
        let found = ask(forwarder, asked, service, limit, inner.take()).await?;
        limit = limit.saturating_sub(found.items.len());
        items.extend(found.items);
        if found.next_cursor.is_some() {
            return Ok(http::list(&items, Some(cursor(service, found.next_cursor))));
        }
    }
    Ok(http::list(&items, None))
}

fn cursor(service: Service, inner: Option<String>) -> String {
    let place: Place = (service.name().to_owned(), inner);
    http::write_cursor("parked", &place)
}

fn place(cursor: &str, only: Option<Service>) -> Result<(Service, Option<String>), Problem> {
    let (name, inner): Place = http::read_cursor("parked", cursor)?;
    Service::parse(&name)
        .filter(|service| only.is_none_or(|only| only == *service))
        .map(|service| (service, inner))
        .ok_or_else(|| Problem::new(Code::BadCursor, "the cursor is not one of this list"))
}

async fn ask(
    forwarder: &Forwarder,
    asked: &Asked,
    service: Service,
    limit: usize,
    cursor: Option<String>,
) -> Result<Page, Problem> {
    let mut path = format!("{}?service={service}&limit={limit}", asked.path.path());
    if let Some(cursor) = cursor {
        // Cursors are of the alphabet that needs no encoding; anything else is no cursor of ours.
        path.push_str("&cursor=");
        path.extend(cursor.chars().filter(|c| c.is_ascii_alphanumeric() || "-_.~".contains(*c)));
    }
    let path = PathAndQuery::try_from(path).expect("plain characters are a path and query");
    let response = forwarder.ask(service, &asked.elsewhere(path)).await?;
    let status = response.status();
    let unclear = || {
        let detail = format!(
            "{service} did not tell its part ({status}); \
             ask for the others with ?service="
        );
        Problem::new(Code::Overloaded, detail).retry_after(1)
    };
    let body = to_bytes(Body::new(response.into_body()), PAGE_BYTES_MAX).await;
    let body = body.map_err(|_| unclear())?;
    if !status.is_success() {
        return Err(unclear());
    }
    serde_json::from_slice(&body).map_err(|_| unclear())
}
