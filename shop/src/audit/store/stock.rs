//! What inventory-svc's tables say.

use futures::TryStreamExt as _;
use sqlx::{PgConnection, types::Json};

use super::{Which, forget, orders::ProductRow, seconds, version};
use crate::audit::{
    check::CountResult,
    content::{self, Amount, Contents, PieceRow},
    facts::{Hold, Orders, Reservation},
    tag,
};

/// Reads the reservations of orders.
pub(in crate::audit) async fn reservations(
    db: &mut PgConnection,
    which: Which<'_>,
    orders: &mut Orders,
) -> anyhow::Result<()> {
    forget(orders, which, |facts| facts.reservation = None);
    let mut rows = sqlx::query!(
        r#"-- audit.reservations
        select
            order_id as "order_id!",
            status,
            expired,
            expires_at,
            revision,
            allocations as "allocations: Json<Vec<PieceRow>>",
            version,
            heard_orders
        from reservations
        where order_id is not null
          and ($1::uuid[] is null or order_id = any ($1))"#,
        which as _
    )
    .fetch(db);
    while let Some(row) = rows.try_next().await? {
        let hold = match row.status.as_str() {
            "rejected" => Hold::Rejected,
            "held" => Hold::Held,
            "sold" => Hold::Sold,
            "released" | "tombstone" => Hold::Released,
            other => anyhow::bail!("inventory-svc knows a status {other}, the audit does not"),
        };
        let revision = u32::try_from(row.revision).unwrap_or_default();
        let pieces = row.allocations.iter().map(|it| (&*it.sku, &*it.warehouse, it.quantity));
        let pieces = content::pieces(pieces);
        let mut foretold = Contents::default();
        foretold[tag::RESERVED] = content::reserved(revision, pieces);
        foretold[tag::RELEASED] = pieces;
        let basket = match row.allocations.as_slice() {
            [] => 0,
            some => content::basket(some.iter().map(|it| (it.sku.as_str(), it.quantity))),
        };
        orders.of(row.order_id.as_u128()).reservation = Some(Reservation {
            hold,
            is_expired: row.expired,
            expires_at: seconds(row.expires_at),
            basket,
            revision,
            version: version(row.version),
            heard_orders: version(row.heard_orders),
            foretold,
        });
    }
    Ok(())
}

/// Reads every product as it was last announced.
pub(in crate::audit) async fn products(db: &mut PgConnection) -> sqlx::Result<Vec<ProductRow>> {
    let rows = sqlx::query!(
        r#"-- audit.products
        select sku, version, name, (price * 10000)::bigint as "price!", currency, said_available
        from products"#
    );
    rows.fetch(db)
        .map_ok(|row| {
            let price = Amount::new(row.price, &row.currency);
            let content = content::product(&row.name, price, row.said_available);
            ProductRow { sku: row.sku, version: row.version, content }
        })
        .try_collect()
        .await
}

/// Compares what is available of each product with what was announced: below a hundred pieces
/// exactly, above that within a tenth.
pub(in crate::audit) async fn availability(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    counted!(
        db,
        "-- audit.availability
        with compared as (
            select
                p.sku as id,
                p.said_available = a.available
                or a.available >= 100 and abs(a.available - p.said_available) * 10 < p.said_available
                as fits
            from products p
            cross join lateral (
                select coalesce(sum(s.on_hand - s.reserved), 0) as available
                from stock s
                where s.sku = p.sku
            ) a
        )"
    )
}

/// Compares every shelf with what was received, and with what reservations, of orders or of staff,
/// hold and have sold of it.
pub(in crate::audit) async fn shelves(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    counted!(
        db,
        "-- audit.shelves
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
            cross join jsonb_to_recordset(r.allocations || coalesce(r.surplus, '[]'))
                as a (sku text, warehouse text, quantity bigint)
            where r.status in ('held', 'sold')
            group by a.sku, a.warehouse
        ),
        compared as (
            select
                sku as id,
                s.on_hand + s.sold = coalesce(r.pieces, 0)
                and s.reserved = coalesce(p.held, 0)
                and s.sold = coalesce(p.sold, 0)
                and s.reserved between 0 and s.on_hand as fits
            from stock s
            full join received r using (sku, warehouse_id)
            full join promised p using (sku, warehouse_id)
        )"
    )
}

/// Compares the waits for an expiry with the reservations that they are for.
pub(in crate::audit) async fn waits(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    counted!(
        db,
        "-- audit.waits
        with compared as (
            select
                reservation_id::text as id,
                (w.expires_at is not null) = coalesce(r.status = 'held' and not r.expired, false)
                and (w.expires_at is null or w.expires_at = r.expires_at)
                and (w.reservation_id is null or w.order_id is not distinct from r.order_id) as fits
            from reservations r
            full join reservation_waits w using (reservation_id)
            where w.reservation_id is not null or r.status = 'held'
        )"
    )
}
