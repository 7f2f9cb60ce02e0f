//! What order-svc's tables say.

mod row;

use futures::TryStreamExt as _;
use sqlx::{PgConnection, types::Json};

use self::row::{OrderRow, RevisionRow};
use super::{Which, forget, seconds, version};
use crate::audit::{
    check::CountResult,
    content::{self, Amount, LineRow},
    facts::Orders,
    history::HistoryRow,
};

/// Reads the orders.
pub(in crate::audit) async fn orders(
    db: &mut PgConnection,
    which: Which<'_>,
    orders: &mut Orders,
) -> anyhow::Result<()> {
    forget(orders, which, |facts| facts.order = None);
    let mut rows = sqlx::query_as!(
        OrderRow,
        r#"-- audit.orders
        select
            o.order_id as "order_id!",
            o.customer_id as "customer_id!",
            o.status as "status!",
            o.method as "method!",
            o.pay_within as "pay_within!",
            o.revision as "revision!",
            (o.total * 10000)::bigint as "total!",
            o.currency as "currency!",
            o.lines as "lines!: Json<Vec<LineRow>>",
            o.cause,
            o.revised_at as "revised_at!",
            case when o.revision > 1 then (
                select jsonb_agg(jsonb_build_object('total', (r.total * 10000)::bigint, 'lines', r.lines, 'cause', r.cause)
                                 order by r.revision)
                from order_revisions r
                where r.order_id = o.order_id
            ) end as "superseded: Json<Vec<RevisionRow>>",
            o.reserved_revision, o.reserved_at, o.rejected_revision, o.rejected_at, o.released_at,
            o.captured_revision, (o.captured * 10000)::bigint as captured, o.captured_at,
            o.declined_revision, o.decline_code, o.declined_at,
            o.compensated_at, (o.refunded * 10000)::bigint as refunded, o.refund_refused_at,
            o.confirmed_at, o.cancelled_at, o.cancel_reason,
            o.carrier, o.tracking_number, o.shipped_at, o.delivered_at, o.notified_at, o.notify_failure,
            d.due_at as "due_at?",
            o.version as "version!",
            o.heard_stock as "heard_stock!",
            o.heard_payments as "heard_payments!",
            o.heard_notifications as "heard_notifications!",
            o.events as "events!"
        from orders o
        left join order_deadlines d on d.order_id = o.order_id
        where $1::uuid[] is null or o.order_id = any ($1)"#,
        which as _
    )
    .fetch(db);
    while let Some(row) = rows.try_next().await? {
        orders.of(row.order_id.as_u128()).order = Some(row.order()?);
    }
    Ok(())
}

/// Reads every order's history: order by order, each in the order of its rows.
pub(in crate::audit) async fn history(
    db: &mut PgConnection,
    which: Which<'_>,
    mut each: impl FnMut(&HistoryRow),
) -> sqlx::Result<()> {
    let mut rows = sqlx::query_as!(
        HistoryRow,
        r#"-- audit.history
        select
            order_id,
            seq,
            event_id,
            type as event_type,
            version,
            at,
            payload
        from order_events
        where $1::uuid[] is null or order_id = any ($1)
        order by order_id, seq"#,
        which as _
    )
    .fetch(db);
    while let Some(row) = rows.try_next().await? {
        each(&row);
    }
    Ok(())
}

/// Compares every order with its own lines and answers: its total, its status, why it was
/// cancelled.
pub(in crate::audit) async fn sums(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    counted!(
        db,
        "-- audit.sums
        with compared as (
            select
                o.order_id::text as id,
                o.total = (
                    select coalesce(sum((line ->> 'unit_price')::numeric * (line ->> 'quantity')::bigint), 0)
                    from jsonb_array_elements(o.lines) as line
                )
                and (select count(*) from order_revisions r where r.order_id = o.order_id) = o.revision - 1
                and not exists (
                    select
                    from order_revisions r
                    where r.order_id = o.order_id
                      and r.total <> (
                          select coalesce(sum((line ->> 'unit_price')::numeric * (line ->> 'quantity')::bigint), 0)
                          from jsonb_array_elements(r.lines) as line
                      )
                )
                and case
                    when o.cancelled_at is not null then o.status = 'cancelled'
                    when o.delivered_at is not null then o.status = 'delivered'
                    when o.shipped_at is not null then o.status = 'shipped'
                    when o.confirmed_at is not null then o.status = 'confirmed'
                    when o.captured_at is not null then o.status = 'paid'
                    when o.reserved_revision = o.revision then o.status = 'payment_pending'
                    else o.status = 'pending'
                end
                and case o.cancel_reason
                    when 'insufficient_inventory' then o.rejected_at <= o.cancelled_at
                    when 'payment_declined' then o.declined_at <= o.cancelled_at
                    when 'payment_timeout' then o.reserved_at + make_interval(secs => o.pay_within) <= o.cancelled_at
                    when 'reservation_expired' then exists (
                        select
                        from order_events e
                        where e.order_id = o.order_id
                          and e.type = 44
                    )
                    else o.cancel_reason is null or o.cancelled_by is not null
                end as fits
            from orders o
        )"
    )
}

/// Compares answers to `POST /v1/orders` that are still stored under an idempotency key with the
/// orders. An erased answer is `{}`.
pub(in crate::audit) async fn answers(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    counted!(
        db,
        "-- audit.answers_of_orders
        with told as (
            select convert_from(body, 'UTF8')::jsonb ->> 'id' as order_id
            from idempotency_keys
            where route = 'POST /v1/orders'
              and status = 201
              and body <> '{}'
        ),
        compared as (
            select t.order_id as id, o.order_id is not null as fits
            from told t
            left join orders o on o.order_id = t.order_id::uuid
        )"
    )
}

/// Compares orders that were placed under the same idempotency key, which may be used again after a
/// day.
pub(in crate::audit) async fn keys(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    counted!(
        db,
        "-- audit.keys_of_orders
        with keyed as (
            select
                order_id::text as id,
                placed_at - lag(placed_at) over (partition by request_digest order by placed_at) as pause
            from orders
            where request_digest is not null
        ),
        compared as (
            select id, pause is null or pause > interval '23 hours' as fits
            from keyed
        )"
    )
}

/// A product, as inventory-svc or order-svc has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::audit) struct ProductRow {
    pub(in crate::audit) sku: String,
    pub(in crate::audit) version: i64,
    pub(in crate::audit) content: u32,
}

/// The products against which order-svc checks orders.
pub(in crate::audit) async fn products_seen(
    db: &mut PgConnection,
) -> sqlx::Result<Vec<ProductRow>> {
    let rows = sqlx::query!(
        r#"-- audit.products_seen
        select sku, version, name, (price * 10000)::bigint as "price!", currency, available
        from products_seen"#
    );
    rows.fetch(db)
        .map_ok(|row| {
            let price = Amount::new(row.price, &row.currency);
            let content = content::product(&row.name, price, row.available);
            ProductRow { sku: row.sku, version: row.version, content }
        })
        .try_collect()
        .await
}

/// Compares deadlines with the orders that they are for.
pub(in crate::audit) async fn deadlines(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    counted!(
        db,
        "-- audit.deadlines
        with compared as (
            select
                order_id::text as id,
                d.due_at is not distinct from case
                    when o.status = 'payment_pending' and o.captured_at is null
                    then o.reserved_at + make_interval(secs => o.pay_within)
                end as fits
            from orders o
            full join order_deadlines d using (order_id)
            where d.order_id is not null or o.status in ('pending', 'payment_pending')
        )"
    )
}
