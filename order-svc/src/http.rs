//! Orders over HTTP: looks are answered from the rows, wishes go through a batch.

mod bodies;
mod lists;
mod placing;
pub(crate) mod refusals;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, header},
    response::Response,
    routing::{get, post},
};
use chassis::{
    Code, Problem,
    body::JsonBody,
    http::{self, Params, Prefer},
};
use mailbox::Mailbox;
use proto::{OrderId, SealKey};
use service::RequestInfo;
use sqlx::PgPool;
use tokio::time::{Instant, timeout_at};

use crate::{
    domain::Order,
    pressure::Pressure,
    reactions::{CancelOrder, Input, Orders},
    store::{self, Root},
    views::{EventView, OrderView, SagaView, StatusView},
    waiters::Waiters,
};

/// How often a waiting request looks by itself: what it waits for may happen in another instance.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Whose cursors are those of an order's events.
const EVENTS: &str = "events";

/// What handlers share.
#[derive(Clone)]
pub struct Site {
    pub pool: PgPool,
    pub mailbox: Mailbox<Orders>,
    pub waiters: Waiters,
    pub pressure: Pressure,
    pub seal_key: SealKey,
}

type Answered = Result<Response, Problem>;

/// All routes of this service.
pub fn router(site: Site) -> Router {
    let operators = service::operators(&site.mailbox, crate::NAME);
    Router::new()
        .route("/v1/orders", get(lists::orders).post(placing::place))
        .route("/v1/orders/{id}", get(order).delete(delete))
        .route("/v1/orders/{id}/cancel", post(cancel))
        .route("/v1/orders/{id}/status", get(status))
        .route("/v1/orders/{id}/events", get(events))
        .route("/v1/orders/{id}/saga", get(saga))
        .route("/v1/customers/{id}/orders", get(lists::of_customer))
        .with_state(site)
        .merge(operators)
}

async fn order(
    State(site): State<Site>,
    Path(id): Path<String>,
    prefer: Prefer,
    headers: HeaderMap,
) -> Answered {
    let id = order_id(&id)?;
    let stored = match prefer.0 {
        Some(wait) => site.outcome(id, wait).await?,
        None => site.find(id).await?,
    };
    let mut response = http::resource(&headers, &OrderView::new(&stored.order));
    response.headers_mut().extend(prefer.applied());
    Ok(response)
}

async fn status(State(site): State<Site>, Path(id): Path<String>, headers: HeaderMap) -> Answered {
    let stored = site.find(order_id(&id)?).await?;
    Ok(http::resource(&headers, &StatusView::new(&stored.order)))
}

async fn saga(State(site): State<Site>, Path(id): Path<String>) -> Answered {
    let stored = site.find(order_id(&id)?).await?;
    let view = SagaView::new(&stored, chassis::clock::now());
    Ok(http::json(axum::http::StatusCode::OK, &view))
}

async fn events(State(site): State<Site>, Path(id): Path<String>, mut params: Params) -> Answered {
    let id = order_id(&id)?;
    let page = params.take_page()?;
    params.finish()?;
    let after: Option<i32> = page.place(EVENTS)?;
    let order = site.find(id).await?.order;
    let mut db = site.pool.acquire().await?;
    let rows = store::history(&mut db, id, after.unwrap_or(0), page.limit + 1).await?;
    let more = i64::try_from(rows.len()).is_ok_and(|found| found > page.limit);
    // Events that this build does not know are left out, so that a page may end before its limit.
    let rest = rows.last().filter(|_| more).map(|row| row.seq);
    let items = rows.iter().filter_map(|row| Some((row.seq, EventView::new(&order, row)?)));
    Ok(http::page(EVENTS, page.limit, items, rest))
}

async fn delete(
    State(site): State<Site>,
    Path(id): Path<String>,
    asked: RequestInfo,
    headers: HeaderMap,
) -> Answered {
    let tags = headers.get_all(header::IF_MATCH).iter();
    let conditions = tags.map(|tag| (header::IF_MATCH, tag.clone())).collect();
    let order = order_id(&id)?;
    let cancelling = CancelOrder { order, by: asked.caller().into(), text: "".into(), conditions };
    // Only a POST's first answer is kept.
    let mut command = asked.command(Input::Cancel(cancelling), b"")?;
    command.key = None;
    service::submit(&site.mailbox, command).await
}

async fn cancel(
    State(site): State<Site>,
    Path(id): Path<String>,
    asked: RequestInfo,
    body: JsonBody,
) -> Answered {
    let order = order_id(&id)?;
    let text: Arc<str> = body.read_optional(bodies::reason)?;
    let conditions = HeaderMap::new();
    let cancelling = CancelOrder { order, by: asked.caller().into(), text, conditions };
    let command = asked.command(Input::Cancel(cancelling), &body.0)?;
    service::submit(&site.mailbox, command).await
}

impl Site {
    async fn find(&self, id: OrderId) -> Result<Root, Problem> {
        let mut db = self.pool.acquire().await?;
        store::find(&mut db, id).await?.ok_or_else(|| no_order(&id.to_string()))
    }

    /// The order once it has an outcome, or as it is after `wait`.
    async fn outcome(&self, id: OrderId, wait: Duration) -> Result<Root, Problem> {
        let deadline = Instant::now() + wait;
        let waiting = self.waiters.wait(id);
        loop {
            let change = waiting.next();
            let stored = self.find(id).await?;
            if Order::has_outcome(&stored.order) || Instant::now() >= deadline {
                return Ok(stored);
            }
            // Either way the next look tells.
            let until = deadline.min(Instant::now() + LOOK_EVERY);
            drop(timeout_at(until, change).await);
        }
    }
}

fn order_id(text: &str) -> Result<OrderId, Problem> {
    OrderId::parse(text).map_err(|_| no_order(text))
}

fn no_order(id: &str) -> Problem {
    Problem::new(Code::NotFound, format!("there is no order {id}"))
}
