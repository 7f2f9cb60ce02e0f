//! Lists of orders, newest first.

use axum::{
    extract::{Path, State},
    response::Response,
};
use chassis::{
    Code, Problem,
    http::{self, Params},
};
use proto::CustomerId;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{Answered, Site};
use crate::{
    domain::Status,
    pressure::first_id,
    store::{self, Filter},
    views::OrderView,
};

/// An order's id is made when its request comes, and its time when it is decided: at most this much
/// later.
const DECIDED_WITHIN: Duration = Duration::minutes(1);

pub(super) async fn orders(State(site): State<Site>, mut params: Params) -> Answered {
    let customer = params.take_parsed("customer_id", |text| {
        CustomerId::parse(text).map_err(|_| "has to be a customer's id")
    })?;
    list(&site, customer, params).await
}

pub(super) async fn of_customer(
    State(site): State<Site>,
    Path(id): Path<String>,
    params: Params,
) -> Answered {
    let customer = CustomerId::parse(&id)
        .map_err(|_| Problem::new(Code::NotFound, format!("there is no customer {id}")))?;
    list(&site, Some(customer), params).await
}

async fn list(site: &Site, customer: Option<CustomerId>, mut params: Params) -> Answered {
    let status = params.take_parsed("status", |word| {
        // Orders cannot be shipped yet, so nothing has these.
        let known = Status::parse(word).map(Status::word);
        known.or(["shipped", "delivered"].into_iter().find(|later| *later == word)).ok_or(
            "has to be pending, payment_pending, paid, confirmed, shipped, delivered or cancelled",
        )
    })?;
    let from = params.take_parsed("created_from", instant)?;
    let to = params.take_parsed("created_to", instant)?;
    let page = params.take_page()?;
    params.finish()?;
    let before: Option<Uuid> =
        page.cursor.map(|cursor| http::read_cursor("orders", &cursor)).transpose()?;
    let filter = Filter {
        customer: customer.map(|customer| customer.to_string()),
        status,
        from: from.unwrap_or(OffsetDateTime::UNIX_EPOCH),
        to: to.unwrap_or_else(|| chassis::clock::now().saturating_add(Duration::DAY)),
        before: before.or_else(|| to.map(first_id)).unwrap_or(Uuid::max()),
        floor: from.map_or(Uuid::nil(), |from| first_id(from.saturating_sub(DECIDED_WITHIN))),
        limit: page.limit,
    };
    let mut db = site.pool.acquire().await?;
    let (ids, next) = store::list_ids(&mut db, &filter).await?;
    let found = store::find_all(&mut db, &ids).await?;
    let views: Vec<_> = found.iter().map(|stored| OrderView::new(&stored.order)).collect();
    let next = next.map(|last| http::write_cursor("orders", &last));
    Ok::<Response, Problem>(http::list(&views, next))
}

fn instant(text: &str) -> Result<OffsetDateTime, &'static str> {
    chassis::clock::parse(text).ok_or("has to be a time such as 2026-11-20T10:00:00Z")
}
