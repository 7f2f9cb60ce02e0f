//! Orders over HTTP: reads are answered from the rows, changes go through a batch.

mod bodies;
mod history;
mod lists;
mod openapi;
mod placing;
mod sagas;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    routing::{delete, get, post},
};
use chassis::{
    Caller, Problem,
    http::{self, HttpResult, NoParams, Params, Prefer},
};
use mailbox::Mailbox;
use proto::{OrderId, SealKeyRing};
use service_kit::{CommandRequest, RequestInfo, Waiters};
use sqlx::PgPool;

use crate::{
    input::{Change, ChangeOrder, Input, Request},
    pressure::Pressure,
    reactions::Orders,
    refusals::no_order,
    store,
    views::{EventView, OrderView, StatusView},
    world::{Root, Texts},
};

pub use openapi::operations;

/// What the cursors of an order's events are marked with, so that no other list takes them.
const EVENTS: &str = "events";

/// What handlers share.
#[derive(Clone)]
pub struct AppState {
    pub pool: PgPool,
    pub mailbox: Mailbox<Orders>,
    pub waiters: Waiters,
    pub pressure: Pressure,
    pub seal_key: SealKeyRing,
    /// How long an order may wait for its payment once its stock is reserved.
    pub pay_within: time::Duration,
}

impl AppState {
    async fn submit(&self, asked: &CommandRequest, request: Request) -> HttpResult {
        service_kit::submit(&self.mailbox, asked.command(Input::Request(request))?).await
    }
}

/// All routes of this service.
pub fn router(app: AppState) -> Router {
    let operators = service_kit::operators(&app.mailbox, crate::NAME);
    Router::new()
        .route("/v1/orders", get(lists::list_orders).post(placing::place_order))
        .route("/v1/orders/{id}", get(get_order).put(placing::amend_order).delete(delete_order))
        .route("/v1/orders/{id}/cancel", post(cancel_order))
        .route("/v1/orders/{id}/ship", post(ship_order))
        .route("/v1/orders/{id}/deliver", post(deliver_order))
        .route("/v1/orders/{id}/status", get(get_status))
        .route("/v1/orders/{id}/events", get(list_events))
        .route("/v1/orders/{id}/history", get(history::list_history))
        .route("/v1/orders/{id}/saga", get(sagas::get_saga))
        .route("/v1/sagas", get(sagas::list_sagas))
        .route("/v1/customers/{id}", delete(erase_customer))
        .route("/v1/customers/{id}/orders", get(lists::list_orders_of_customer))
        .with_state(app)
        .merge(operators)
}

async fn get_order(
    State(app): State<AppState>,
    _: NoParams,
    Path(id): Path<String>,
    (caller, prefer): (Caller, Prefer),
    headers: HeaderMap,
) -> HttpResult {
    let id = parse_order(&id)?;
    let (stored, texts) = match prefer.0 {
        Some(wait) => app.outcome(id, &caller, wait).await?,
        None => app.shown(id, &caller).await?,
    };
    let mut response = http::resource(&headers, &OrderView::new(&stored.order, &texts));
    response.headers_mut().extend(prefer.applied());
    Ok(response)
}

async fn get_status(
    State(app): State<AppState>,
    _: NoParams,
    Path(id): Path<String>,
    caller: Caller,
    headers: HeaderMap,
) -> HttpResult {
    let stored = app.find(parse_order(&id)?, &caller).await?;
    Ok(http::resource(&headers, &StatusView::new(&stored.order)))
}

async fn list_events(
    State(app): State<AppState>,
    Path(id): Path<String>,
    caller: Caller,
    params: Params,
) -> HttpResult {
    let id = parse_order(&id)?;
    let (limit, after) = params.into_page::<i32>(EVENTS)?;
    let order = app.find(id, &caller).await?.order;
    let mut db = app.pool.acquire().await?;
    let rows = store::order_events::of_order(&mut db, id, after.unwrap_or(0), limit + 1).await?;
    let more = i64::try_from(rows.len()).is_ok_and(|found| found > limit);
    // Events that this build does not know are left out, so a page may be shorter than its limit.
    let rest = rows.last().filter(|_| more).map(|row| row.seq);
    let items = rows.iter().filter_map(|row| Some((row.seq, EventView::new(&order, row)?)));
    Ok(http::page(EVENTS, limit, items, rest))
}

async fn delete_order(
    State(app): State<AppState>,
    Path(id): Path<String>,
    asked: RequestInfo,
    headers: HeaderMap,
) -> HttpResult {
    let change = Change::Cancel { words: "".into() };
    let (caller, conditions) = (asked.caller().clone(), if_match(&headers));
    let changing = ChangeOrder { order: parse_order(&id)?, caller, change, conditions };
    // Idempotency keys are for POST: the answer to a DELETE is not stored.
    let command = asked.command_without_key(Input::Request(Request::Change(changing)));
    service_kit::submit(&app.mailbox, command).await
}

async fn cancel_order(
    State(app): State<AppState>,
    Path(id): Path<String>,
    asked: CommandRequest,
) -> HttpResult {
    let order = parse_order(&id)?;
    let words: Arc<str> = asked.read_optional(bodies::reason)?;
    app.submit(&asked, changing(order, Change::Cancel { words }, &asked)).await
}

async fn ship_order(
    State(app): State<AppState>,
    Path(id): Path<String>,
    asked: CommandRequest,
) -> HttpResult {
    let order = parse_order(&id)?;
    let (carrier, tracking_number) = asked.read(bodies::shipment)?;
    let change = Change::Ship { carrier, tracking_number };
    app.submit(&asked, changing(order, change, &asked)).await
}

async fn deliver_order(
    State(app): State<AppState>,
    Path(id): Path<String>,
    asked: CommandRequest,
) -> HttpResult {
    let order = parse_order(&id)?;
    asked.read_optional(|_nothing| Some(()))?;
    app.submit(&asked, changing(order, Change::Deliver, &asked)).await
}

/// Erases what this service holds of a customer: words; the orders stay under the bare id.
async fn erase_customer(
    State(app): State<AppState>,
    _: NoParams,
    Path(id): Path<String>,
    caller: Caller,
) -> HttpResult {
    let customer = service_kit::parse_own_customer(&id, &caller)?;
    let mut db = app.pool.acquire().await?;
    let known = store::order_texts::erase(&mut db, &customer).await?;
    service_kit::finish_erasure(&mut db, &customer).await?;
    // What was under way may have written words about an order that had none before.
    let orders = known + store::order_texts::erase(&mut db, &customer).await?;
    Ok(http::json(StatusCode::OK, &serde_json::json!({"erased": {"orders": orders}})))
}

impl AppState {
    async fn find(&self, id: OrderId, caller: &Caller) -> Result<Root, Problem> {
        let mut db = self.pool.acquire().await?;
        store::orders::find(&mut db, id, caller.sees()).await?.ok_or_else(|| no_order(id))
    }

    async fn shown(&self, id: OrderId, caller: &Caller) -> Result<(Root, Texts), Problem> {
        let mut db = self.pool.acquire().await?;
        let found = store::shown(&mut db, &[id.uuid()], caller.sees()).await?;
        found.into_iter().next().ok_or_else(|| no_order(id))
    }

    /// The order once it has an outcome, or as it is after `wait`.
    async fn outcome(
        &self,
        id: OrderId,
        caller: &Caller,
        wait: Duration,
    ) -> Result<(Root, Texts), Problem> {
        let seen = self.waiters.wait(id, wait, || async move {
            let shown = self.shown(id, caller).await?;
            Ok::<_, Problem>(Some(shown).filter(|(root, _)| root.order.has_outcome()))
        });
        match seen.await? {
            Some(shown) => Ok(shown),
            None => self.shown(id, caller).await,
        }
    }
}

/// A change for which the request makes no conditions.
fn changing(order: OrderId, change: Change, asked: &CommandRequest) -> Request {
    let (caller, conditions) = (asked.caller().clone(), HeaderMap::new());
    Request::Change(ChangeOrder { order, caller, change, conditions })
}

fn parse_order(text: &str) -> Result<OrderId, Problem> {
    OrderId::parse(text).map_err(|_| no_order(text))
}

/// The `If-Match` headers of a request: they are compared when it is decided.
fn if_match(headers: &HeaderMap) -> HeaderMap {
    let tags = headers.get_all(header::IF_MATCH).iter();
    tags.map(|tag| (header::IF_MATCH, tag.clone())).collect()
}
