//! What order-svc's tables say.

use futures::TryStreamExt as _;
use sqlx::PgConnection;

use super::{Each, Which, counted, forget, version};
use crate::audit::check::Counted;
use crate::audit::facts::{Ending, Order, Orders};

/// Reads the orders; `each` is given every order's count of events.
pub(in crate::audit) async fn orders(
    db: &mut PgConnection,
    which: Which<'_>,
    orders: &mut Orders,
    each: &mut Each<'_>,
) -> anyhow::Result<()> {
    forget(orders, which, |facts| facts.order = None);
    let mut rows = sqlx::query!(
        r#"-- audit.orders
        select
            o.order_id as "order_id!",
            o.status as "status!",
            (o.total * 10000)::bigint as "total!",
            o.released_at is not null as "is_stock_undone!",
            o.undone is not null as "is_money_undone!",
            d.order_id is not null as "has_deadline!",
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
        let ending = match row.status.as_str() {
            "pending" | "payment_pending" | "paid" => Ending::Open,
            "confirmed" | "shipped" | "delivered" => Ending::Confirmed,
            "cancelled" => Ending::Cancelled,
            other => anyhow::bail!("order-svc knows a status {other}, the audit does not"),
        };
        let order = row.order_id.as_u128();
        each(order, row.version);
        let heard = [row.heard_stock, row.heard_payments, row.heard_notifications];
        orders.of(order).order = Some(Order {
            ending,
            total: row.total,
            is_stock_undone: row.is_stock_undone,
            is_money_undone: row.is_money_undone,
            has_deadline: row.has_deadline,
            version: version(row.version),
            heard: heard.map(version),
            events: version(row.events.into()),
        });
    }
    Ok(())
}

/// Every order's history against what the order says it has said and heard: each event once,
/// without a gap.
pub(in crate::audit) async fn histories(db: &mut PgConnection) -> sqlx::Result<Counted> {
    let row = sqlx::query!(
        r#"-- audit.histories
        with kept as (
            select
                order_id,
                count(*) as events,
                max(seq) as seq,
                count(*) filter (where type between 1 and 20) as said,
                count(*) filter (where type between 21 and 40) as payments,
                count(*) filter (where type between 41 and 60) as stock,
                count(*) filter (where type between 61 and 80) as notifications,
                coalesce(max(version) filter (where type between 1 and 20), 0) as last_said,
                coalesce(max(version) filter (where type between 21 and 40), 0) as last_payments,
                coalesce(max(version) filter (where type between 41 and 60), 0) as last_stock,
                coalesce(max(version) filter (where type between 61 and 80), 0) as last_notifications
            from order_events
            group by order_id
        ),
        compared as (
            select
                order_id,
                o.events = k.events
                and k.seq = k.events
                and (k.said, k.last_said) = (o.version, o.version)
                and (k.payments, k.last_payments) = (o.heard_payments, o.heard_payments)
                and (k.stock, k.last_stock) = (o.heard_stock, o.heard_stock)
                and (k.notifications, k.last_notifications) = (o.heard_notifications, o.heard_notifications)
                as fits
            from orders o
            full join kept k using (order_id)
        )
        select
            count(*) as "checked!",
            count(*) filter (where fits is not true) as "wrong!",
            min(order_id::text) filter (where fits is not true) as first
        from compared"#
    )
    .fetch_one(db)
    .await?;
    Ok(counted(row.checked, row.wrong, row.first))
}

/// Deadlines that run against the orders that they run for.
pub(in crate::audit) async fn deadlines(db: &mut PgConnection) -> sqlx::Result<Counted> {
    let row = sqlx::query!(
        r#"-- audit.deadlines
        with compared as (
            select
                order_id,
                d.due_at is not distinct from case
                    when o.status in ('pending', 'payment_pending') and o.captured_at is null then o.pay_by
                end as fits
            from orders o
            full join order_deadlines d using (order_id)
            where d.order_id is not null or o.status in ('pending', 'payment_pending')
        )
        select
            count(*) as "checked!",
            count(*) filter (where fits is not true) as "wrong!",
            min(order_id::text) filter (where fits is not true) as first
        from compared"#
    )
    .fetch_one(db)
    .await?;
    Ok(counted(row.checked, row.wrong, row.first))
}
