//! What inventory-svc's tables say.

use futures::TryStreamExt as _;
use sqlx::PgConnection;

use super::{Each, Which, counted, forget, version};
use crate::audit::check::Counted;
use crate::audit::facts::{Hold, Orders, Reservation};

/// Reads the reservations of orders; `each` is given every order's count of events.
pub(in crate::audit) async fn reservations(
    db: &mut PgConnection,
    which: Which<'_>,
    orders: &mut Orders,
    each: &mut Each<'_>,
) -> anyhow::Result<()> {
    forget(orders, which, |facts| facts.reservation = None);
    let mut rows = sqlx::query!(
        r#"-- audit.reservations
        select reservation_id, status, version, heard_orders
        from reservations
        where $1::uuid[] is null or reservation_id = any ($1)"#,
        which as _
    )
    .fetch(db);
    while let Some(row) = rows.try_next().await? {
        let hold = match row.status.as_str() {
            "rejected" => Hold::Rejected,
            "held" => Hold::Held,
            "sold" => Hold::Sold,
            "released" => Hold::Released,
            other => anyhow::bail!("inventory-svc knows a status {other}, the audit does not"),
        };
        let order = row.reservation_id.as_u128();
        each(order, row.version);
        orders.of(order).reservation = Some(Reservation {
            hold,
            version: version(row.version),
            heard_orders: version(row.heard_orders),
        });
    }
    Ok(())
}

/// Every product's SKU, and how many events were said about it.
pub(in crate::audit) async fn products(db: &mut PgConnection) -> sqlx::Result<Vec<(String, i64)>> {
    let rows = sqlx::query!(
        r#"-- audit.products
        select sku, version
        from products"#
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.sku, row.version)).collect())
}

/// Every shelf against what was received and what reservations hold and have sold of it.
pub(in crate::audit) async fn shelves(db: &mut PgConnection) -> sqlx::Result<Counted> {
    let row = sqlx::query!(
        r#"-- audit.shelves
        with received as (
            select sku, warehouse_id, sum(delta) as pieces
            from stock_adjustments
            group by sku, warehouse_id
        ),
        promised as (
            select
                a.sku,
                a.warehouse as warehouse_id,
                coalesce(sum(a.quantity) filter (where r.status = 'held'), 0) as held,
                coalesce(sum(a.quantity) filter (where r.status = 'sold'), 0) as sold
            from reservations r
            cross join jsonb_to_recordset(r.allocations) as a (sku text, warehouse text, quantity bigint)
            where r.status in ('held', 'sold')
            group by a.sku, a.warehouse
        ),
        compared as (
            select
                sku,
                s.on_hand + s.sold = coalesce(r.pieces, 0)
                and s.reserved = coalesce(p.held, 0)
                and s.sold = coalesce(p.sold, 0)
                and s.reserved between 0 and s.on_hand as fits
            from stock s
            full join received r using (sku, warehouse_id)
            full join promised p using (sku, warehouse_id)
        )
        select
            count(*) as "checked!",
            count(*) filter (where fits is not true) as "wrong!",
            min(sku) filter (where fits is not true) as first
        from compared"#
    )
    .fetch_one(db)
    .await?;
    Ok(counted(row.checked, row.wrong, row.first))
}

/// Times that run against the holds that they run for.
pub(in crate::audit) async fn waits(db: &mut PgConnection) -> sqlx::Result<Counted> {
    let row = sqlx::query!(
        r#"-- audit.waits
        with compared as (
            select
                reservation_id,
                (w.expires_at is not null) = coalesce(r.status = 'held' and not r.expired, false)
                and (w.expires_at is null or w.expires_at = r.expires_at) as fits
            from reservations r
            full join reservation_waits w using (reservation_id)
            where w.reservation_id is not null or r.status = 'held'
        )
        select
            count(*) as "checked!",
            count(*) filter (where fits is not true) as "wrong!",
            min(reservation_id::text) filter (where fits is not true) as first
        from compared"#
    )
    .fetch_one(db)
    .await?;
    Ok(counted(row.checked, row.wrong, row.first))
}
