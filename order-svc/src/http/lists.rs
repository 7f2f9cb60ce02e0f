//! Lists of orders, newest first.

use axum::{
    extract::{Path, State},
    response::Response,
};
use chassis::{
    Caller, Problem,
    http::{self, PageBody, Params},
};
use proto::{CustomerId, OrderId};
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{AppState, HttpResult};
use crate::{
    domain::Status,
    pressure::first_id,
    store::{self, lists::Filter},
    views::OrderView,
};

/// What the cursors of lists of orders are marked with, so that no other list takes them.
const ORDERS: &str = "orders";
/// By how much an order's `placed_at` can be later than the time in its id: the id is made when the
/// request comes, `placed_at` when it is decided, at most six tries of eleven seconds each later.
const DECIDED_WITHIN: Duration = Duration::minutes(2);
/// Orders read by one statement: an order may have a hundred lines, and a page ends before its body
/// is large.
const PIECE: usize = 25;

pub(super) async fn list_orders(
    State(app): State<AppState>,
    caller: Caller,
    mut params: Params,
) -> HttpResult {
    let customer = params.take_parsed("customer_id", |text| {
        CustomerId::parse(text).map_err(|_| "has to be a customer's id")
    })?;
    list(&app, &caller, customer, params).await
}

pub(super) async fn list_orders_of_customer(
    State(app): State<AppState>,
    Path(id): Path<String>,
    caller: Caller,
    params: Params,
) -> HttpResult {
    let customer = service_kit::parse_customer(&id)?;
    if !caller.may_see(&customer) {
        return Err(service_kit::no_customer(&id));
    }
    list(&app, &caller, Some(customer), params).await
}

async fn list(
    app: &AppState,
    caller: &Caller,
    customer: Option<CustomerId>,
    mut params: Params,
) -> HttpResult {
    let status = params.take_parsed("status", |word| {
        let wrong =
            "has to be pending, payment_pending, paid, confirmed, shipped, delivered or cancelled";
        Status::parse(word).map(Status::as_str).ok_or(wrong)
    })?;
    let from = params.take_parsed("created_from", instant)?;
    let to = params.take_parsed("created_to", instant)?;
    let (limit, after) = params.into_page::<OrderId>(ORDERS)?;
    if customer.as_ref().is_some_and(|customer| !caller.may_see(customer)) {
        return Ok(PageBody::new(limit).finish(None));
    }
    // An order placed just before `to` may have an id of that same millisecond.
    let before_to = to.map(|to| first_id(to.saturating_add(Duration::MILLISECOND)));
    let filter = Filter {
        // A customer's list is their own without saying so.
        customer: caller.sees().map(str::to_owned).or(customer.map(|it| it.to_string())),
        status,
        from: from.unwrap_or(OffsetDateTime::UNIX_EPOCH),
        to: to.unwrap_or_else(|| chassis::clock::now().saturating_add(Duration::DAY)),
        before: after.map(OrderId::uuid).or(before_to).unwrap_or(Uuid::max()),
        floor: from.map_or(Uuid::nil(), |from| first_id(from.saturating_sub(DECIDED_WITHIN))),
        // One more than is shown tells whether there is another page.
        limit: limit + 1,
    };
    let mut db = app.pool.acquire().await?;
    let (ids, rest) = store::lists::ids(&mut db, &filter).await?;
    let cursor = |id: OrderId| http::write_cursor(ORDERS, &id);
    let (mut body, mut last) = (PageBody::new(limit), None);
    for piece in ids.chunks(PIECE) {
        for (crate::world::Root { order, .. }, texts) in
            store::shown(&mut db, piece, caller.sees()).await?
        {
            // The order's status may have changed since its id was found.
            let fits = status.is_none_or(|status| status == order.status().as_str());
            if fits && !body.push(&OrderView::new(&order, &texts)) {
                return Ok(body.finish(last.map(cursor).as_deref()));
            }
            last = Some(order.id);
        }
    }
    Ok::<Response, Problem>(body.finish(rest.map(OrderId::new).map(cursor).as_deref()))
}

fn instant(text: &str) -> Result<OffsetDateTime, &'static str> {
    chassis::clock::parse(text).ok_or("has to be a time such as 2026-11-20T10:00:00Z")
}
