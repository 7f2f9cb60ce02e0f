//! What may change of an order, in three statements: what changes on the way of most orders, what
//! happens to few, and the present revision. Each is for the orders alone that need it, because
//! every column costs every update.

use std::collections::BTreeMap;

use mailbox::{Tracked, changed_rows};
use proto::{OrderId, PaymentId};
use rust_decimal::Decimal;
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::columns::{LineRow, lines_row, stored_revision};
use crate::{
    domain::{AmendmentCause, CompensationKind, Order},
    world::Root,
};

/// One column's values, of all orders that a statement writes.
macro_rules! column {
    ($roots:ident, $order:ident => $value:expr) => {
        &$roots
            .iter()
            .map(|root| {
                let $order = &root.order;
                $value
            })
            .collect::<Vec<_>>()
    };
    ($roots:ident, root $root:ident => $value:expr) => {
        &$roots.iter().map(|$root| $value).collect::<Vec<_>>()
    };
}

/// Writes changed orders back, sorted by id.
pub async fn update(
    db: &mut PgConnection,
    orders: &BTreeMap<OrderId, Tracked<Root>>,
) -> sqlx::Result<()> {
    let changed: Vec<&Root> = changed_rows(orders).into_iter().map(|(_, root)| root).collect();
    let those = |differ: fn(&Order, &Order) -> bool| {
        let differs =
            |row: &&Tracked<Root>| row.was().is_some_and(|was| differ(&was.order, &row.now.order));
        orders.values().filter(differs).map(|row| &row.now).collect::<Vec<&Root>>()
    };
    revise(db, &those(|was, now| was.present.number != now.present.number)).await?;
    disturb(db, &those(|was, now| rarities(was) != rarities(now))).await?;
    advance(db, &changed).await
}

/// What happens to few orders.
fn rarities(order: &Order) -> impl PartialEq {
    let Order { stock, payment, .. } = order;
    let mail = order.notified.as_ref().and_then(|mail| mail.failure.clone());
    (
        (stock.rejected, stock.released_at, payment.declined, payment.compensation),
        (payment.refund_refused_at, order.cancellation.clone(), order.shipment.clone(), mail),
    )
}

/// Writes what changes on the way of most orders.
async fn advance(db: &mut PgConnection, orders: &[&Root]) -> sqlx::Result<()> {
    if orders.is_empty() {
        return Ok(());
    }
    let done = sqlx::query!(
        "-- orders.advance
        update orders o
        set status = n.status, version = n.version, events = n.events, updated_at = n.updated_at,
            reserved_revision = n.reserved_revision, reserved_at = n.reserved_at, payment_id = n.payment_id,
            captured_revision = n.captured_revision, captured = n.captured, captured_at = n.captured_at,
            confirmed_at = n.confirmed_at, notified_at = n.notified_at, heard_stock = n.heard_stock,
            heard_payments = n.heard_payments, heard_notifications = n.heard_notifications
        from unnest($1::uuid[], $2::text[], $3::bigint[], $4::int[], $5::timestamptz[], $6::int[], $7::timestamptz[],
                    $8::uuid[], $9::int[], $10::numeric[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[],
                    $14::bigint[], $15::bigint[], $16::bigint[])
            as n (order_id, status, version, events, updated_at, reserved_revision, reserved_at,
                  payment_id, captured_revision, captured, captured_at, confirmed_at, notified_at,
                  heard_stock, heard_payments, heard_notifications)
        where o.order_id = n.order_id",
        column!(orders, order => order.id.uuid()),
        column!(orders, order => order.status().as_str()) as &[&str],
        column!(orders, order => order.version),
        column!(orders, root it => it.events),
        column!(orders, order => order.updated_at),
        column!(orders, order => order.stock.reserved.map(|it| stored_revision(it.revision))) as &[Option<i32>],
        column!(orders, order => order.stock.reserved.map(|it| it.at)) as &[Option<OffsetDateTime>],
        column!(orders, order => order.payment.id.map(PaymentId::uuid)) as &[Option<Uuid>],
        column!(orders, order => order.payment.captured.map(|it| stored_revision(it.revision))) as &[Option<i32>],
        column!(orders, order => order.payment.captured.map(|it| it.amount.amount())) as &[Option<Decimal>],
        column!(orders, order => order.payment.captured.map(|it| it.at)) as &[Option<OffsetDateTime>],
        column!(orders, order => order.confirmed_at) as &[Option<OffsetDateTime>],
        column!(orders, order => order.notified.as_ref().map(|it| it.at)) as &[Option<OffsetDateTime>],
        column!(orders, root it => it.heard.stock),
        column!(orders, root it => it.heard.payments),
        column!(orders, root it => it.heard.notifications)
    )
    .execute(db)
    .await?;
    mailbox::wrote(&done, orders.len())
}

/// Writes what happens to few orders; the status, too, because it is checked against it.
async fn disturb(db: &mut PgConnection, orders: &[&Root]) -> sqlx::Result<()> {
    if orders.is_empty() {
        return Ok(());
    }
    let done = sqlx::query!(
        "-- orders.disturb
        update orders o
        set status = n.status, rejected_revision = n.rejected_revision, rejected_at = n.rejected_at,
            declined_revision = n.declined_revision, decline_code = n.decline_code, declined_at = n.declined_at,
            cancelled_at = n.cancelled_at, cancel_reason = n.cancel_reason, cancel_detail = n.cancel_detail,
            cancelled_by = n.cancelled_by, released_at = n.released_at, compensated_at = n.compensated_at,
            refunded = n.refunded, refund_refused_at = n.refund_refused_at, notify_failure = n.notify_failure,
            carrier = n.carrier, tracking_number = n.tracking_number, shipped_at = n.shipped_at,
            delivered_at = n.delivered_at
        from unnest($1::uuid[], $2::text[], $3::int[], $4::timestamptz[], $5::int[], $6::text[], $7::timestamptz[],
                    $8::timestamptz[], $9::text[], $10::text[], $11::text[], $12::timestamptz[], $13::timestamptz[],
                    $14::numeric[], $15::timestamptz[], $16::text[], $17::text[], $18::text[], $19::timestamptz[],
                    $20::timestamptz[])
            as n (order_id, status, rejected_revision, rejected_at, declined_revision, decline_code, declined_at,
                  cancelled_at, cancel_reason, cancel_detail, cancelled_by, released_at, compensated_at,
                  refunded, refund_refused_at, notify_failure, carrier, tracking_number, shipped_at, delivered_at)
        where o.order_id = n.order_id",
        column!(orders, order => order.id.uuid()),
        column!(orders, order => order.status().as_str()) as &[&str],
        column!(orders, order => order.stock.rejected.map(|it| stored_revision(it.revision))) as &[Option<i32>],
        column!(orders, order => order.stock.rejected.map(|it| it.at)) as &[Option<OffsetDateTime>],
        column!(orders, order => order.payment.declined.map(|it| stored_revision(it.revision))) as &[Option<i32>],
        column!(orders, order => order.payment.declined.map(|it| it.code.as_str())) as &[Option<&str>],
        column!(orders, order => order.payment.declined.map(|it| it.at)) as &[Option<OffsetDateTime>],
        column!(orders, order => order.cancellation.as_ref().map(|it| it.at)) as &[Option<OffsetDateTime>],
        column!(orders, order => order.cancellation.as_ref().map(|it| it.reason.as_str())) as &[Option<&str>],
        column!(orders, order => order.cancellation.as_ref().map(|it| &*it.detail)) as &[Option<&str>],
        column!(orders, order => order.cancellation.as_ref().and_then(|it| it.by.as_deref())) as &[Option<&str>],
        column!(orders, order => order.stock.released_at) as &[Option<OffsetDateTime>],
        column!(orders, order => order.payment.compensation.map(|it| it.at)) as &[Option<OffsetDateTime>],
        column!(orders, order => refunded(order)) as &[Option<Decimal>],
        column!(orders, order => order.payment.refund_refused_at) as &[Option<OffsetDateTime>],
        column!(orders, order => order.notified.as_ref().and_then(|it| it.failure.as_deref())) as &[Option<&str>],
        column!(orders, order => order.shipment.as_ref().map(|it| &*it.carrier)) as &[Option<&str>],
        column!(orders, order => order.shipment.as_ref().map(|it| &*it.tracking_number)) as &[Option<&str>],
        column!(orders, order => order.shipment.as_ref().map(|it| it.at)) as &[Option<OffsetDateTime>],
        column!(orders, order => order.shipment.as_ref().and_then(|it| it.delivered_at)) as &[Option<OffsetDateTime>]
    )
    .execute(db)
    .await?;
    mailbox::wrote(&done, orders.len())
}

/// Writes what amended orders ask for now.
async fn revise(db: &mut PgConnection, orders: &[&Root]) -> sqlx::Result<()> {
    if orders.is_empty() {
        return Ok(());
    }
    let done = sqlx::query!(
        "-- orders.revise
        update orders o
        set revision = n.revision, total = n.total, lines = n.lines, cause = n.cause, revised_at = n.revised_at
        from unnest($1::uuid[], $2::int[], $3::numeric[], $4::jsonb[], $5::text[], $6::timestamptz[])
            as n (order_id, revision, total, lines, cause, revised_at)
        where o.order_id = n.order_id",
        column!(orders, order => order.id.uuid()),
        column!(orders, order => stored_revision(order.present.number)),
        column!(orders, order => order.present.total.amount()),
        column!(orders, order => lines_row(&order.present)) as &[Json<Vec<LineRow>>],
        column!(orders, order => order.present.cause.map(AmendmentCause::as_str)) as &[Option<&str>],
        column!(orders, order => order.present.at)
    )
    .execute(db)
    .await?;
    mailbox::wrote(&done, orders.len())
}

fn refunded(order: &Order) -> Option<Decimal> {
    match order.payment.compensation?.how {
        CompensationKind::Voided => None,
        CompensationKind::Refunded(amount) => Some(amount.amount()),
    }
}
