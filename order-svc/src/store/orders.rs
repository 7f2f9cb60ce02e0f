//! Orders: one row each, read whole and written in parts; and what amended ones asked for before.

mod columns;
mod revisions;
mod row;
mod update;

use std::{collections::BTreeMap, sync::Arc};

use proto::OrderId;
use rust_decimal::Decimal;
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use self::{
    columns::{LineRow, lines_row, stored_seconds},
    row::Row,
};
pub use self::{revisions::add_revisions, update::update};
use crate::{domain::Order, world::Root};

/// Orders that one statement reads for whoever reads many.
pub const READ_AT_ONCE: usize = 100;

/// Reads orders; `$tail` chooses which.
macro_rules! select_orders {
    ($head:literal, $tail:literal, $($argument:expr),+) => {
        sqlx::query_as!(
            Row,
            $head
                + "
select order_id, customer_id, method, currency, pay_within, trace_id, placed_at,
       revision, total, lines as \"lines: Json<Vec<LineRow>>\", cause, revised_at, version, events, updated_at,
       reserved_revision, reserved_at, payment_id, captured_revision, captured, captured_at, confirmed_at, notified_at,
       heard_stock, heard_payments, heard_notifications,
       rejected_revision, rejected_at, declined_revision, decline_code, declined_at,
       cancelled_at, cancel_reason, cancel_detail, cancelled_by, released_at, compensated_at, refunded, refund_refused_at,
       notify_failure, carrier, tracking_number, shipped_at, delivered_at
from orders
where order_id = any($1)
"
                + $tail,
            $($argument),+
        )
    };
}

/// Locks the orders that exist, in the order of their ids: everybody who locks several does so, so
/// that nobody deadlocks.
pub async fn lock(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Root>> {
    let rows =
        select_orders!("-- orders.lock", "order by order_id for update", ids).fetch_all(&mut *db);
    let roots = rows.await?.into_iter().map(Row::stored).collect::<sqlx::Result<_>>()?;
    revisions::complete(db, roots).await
}

/// Locks those orders that no other session holds, and returns the ones that are held.
pub async fn held(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<OrderId>> {
    let held = sqlx::query_scalar!(
        "-- orders.held
        with free as (
            select order_id
            from orders
            where order_id = any($1)
            order by order_id
            for update skip locked
        )
        select order_id
        from orders
        where order_id = any($1)
          and order_id not in (select order_id from free)",
        ids
    )
    .fetch_all(db)
    .await?;
    Ok(held.into_iter().map(OrderId::new).collect())
}

/// The orders that exist, newest first; only those of `owner`, if one is given.
pub async fn find_all(
    db: &mut PgConnection,
    ids: &[Uuid],
    owner: Option<&str>,
) -> sqlx::Result<Vec<Root>> {
    let rows = select_orders!(
        "-- orders.find_all",
        "and ($2::text is null or customer_id = $2) order by order_id desc",
        ids,
        owner
    );
    let rows = rows.fetch_all(&mut *db);
    let roots = rows.await?.into_iter().map(Row::stored).collect::<sqlx::Result<_>>()?;
    revisions::complete(db, roots).await
}

/// One order, if it exists and is `owner`'s, if one is given.
pub async fn find(
    db: &mut PgConnection,
    id: OrderId,
    owner: Option<&str>,
) -> sqlx::Result<Option<Root>> {
    Ok(find_all(db, &[id.uuid()], owner).await?.pop())
}

/// Adds new orders, sorted by id: as they were placed, before any answer, and a digest of the
/// idempotency key of each, if it had one.
pub async fn insert(
    db: &mut PgConnection,
    orders: &[(&OrderId, &Root)],
    keys: &BTreeMap<OrderId, Arc<str>>,
) -> sqlx::Result<()> {
    if orders.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = orders.iter().map(|(id, _)| id.uuid()).collect();
    let texts =
        |take: fn(&Order) -> &str| orders.iter().map(|(_, s)| take(&s.order)).collect::<Vec<_>>();
    let lines: Vec<Json<Vec<LineRow>>> =
        orders.iter().map(|(_, s)| lines_row(&s.order.present)).collect();
    let totals: Vec<Decimal> = orders.iter().map(|(_, s)| s.order.present.total.amount()).collect();
    let traces: Vec<Option<&[u8]>> =
        orders.iter().map(|(_, s)| s.trace_id.as_ref().map(<[u8; 16]>::as_slice)).collect();
    let keys: Vec<Option<&[u8]>> =
        orders.iter().map(|(id, _)| keys.get(id).map(|key| key.as_bytes())).collect();
    let placed: Vec<OffsetDateTime> = orders.iter().map(|(_, s)| s.order.placed_at).collect();
    let pay_within: Vec<i32> =
        orders.iter().map(|(_, s)| stored_seconds(s.order.pay_within)).collect();
    let done = sqlx::query!(
        "-- orders.insert
        insert into orders
            (order_id, customer_id, method, currency, pay_within, trace_id, placed_at,
             revision, total, lines, revised_at, status, version, events, updated_at, request_digest)
        select order_id, customer_id, method, currency, pay_within, trace_id, placed_at,
               1, total, lines, placed_at, 'pending', 1, 1, placed_at, sha256(request_key)
        from unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::int[], $6::bytea[], $7::timestamptz[],
                    $8::numeric[], $9::jsonb[], $10::bytea[])
            as o (order_id, customer_id, method, currency, pay_within, trace_id, placed_at, total, lines,
                  request_key)",
        &ids,
        &texts(|order| order.customer.as_str()) as &[&str],
        &texts(|order| order.method.as_str()) as &[&str],
        &texts(|order| order.present.total.currency().code()) as &[&str],
        &pay_within,
        &traces as &[Option<&[u8]>],
        &placed,
        &totals,
        &lines as &[Json<Vec<LineRow>>],
        &keys as &[Option<&[u8]>]
    )
    .execute(db)
    .await?;
    mailbox::wrote(&done, orders.len())
}
