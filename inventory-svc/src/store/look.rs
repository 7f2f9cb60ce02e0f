//! What requests and the sweep look at, without a lock.

use proto::{OrderId, Sku};
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Piece, ProductRow, ReservationRow};
use crate::{domain::Product, world::Root};

/// A product with what can be had of it.
pub type ListedProduct = (Product, i64);

/// One product.
pub async fn product(db: &mut PgConnection, sku: &Sku) -> sqlx::Result<Option<ListedProduct>> {
    let row = sqlx::query!(
        r#"-- look.product
        select p.sku, p.name, p.price, p.currency, p.version, p.said_available,
            (
                select coalesce(sum(s.on_hand - s.reserved), 0)::bigint
                from stock s
                where s.sku = p.sku
            ) as "available!"
        from products p
        where p.sku = $1"#,
        sku.as_str()
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        let product = ProductRow {
            sku: row.sku,
            name: row.name,
            price: row.price,
            currency: row.currency,
            version: row.version,
            said_available: row.said_available,
        };
        Ok((product.try_into()?, row.available))
    })
    .transpose()
}

/// A SKU and a name, as they are looked through.
pub struct ProductName {
    pub sku: String,
    pub name: String,
}

/// The names of products by SKU, after `after`.
pub async fn names(
    db: &mut PgConnection,
    after: Option<&str>,
    limit: i64,
) -> sqlx::Result<Vec<ProductName>> {
    sqlx::query_as!(
        ProductName,
        "-- look.names
        select sku, name
        from products
        where sku > coalesce($1, '')
        order by sku
        limit $2",
        after,
        limit
    )
    .fetch_all(db)
    .await
}

/// Those of the products that exist, by SKU.
pub async fn products(db: &mut PgConnection, skus: &[String]) -> sqlx::Result<Vec<ListedProduct>> {
    let rows = sqlx::query!(
        r#"-- look.products
        select p.sku, p.name, p.price, p.currency, p.version, p.said_available,
            (
                select coalesce(sum(s.on_hand - s.reserved), 0)::bigint
                from stock s
                where s.sku = p.sku
            ) as "available!"
        from products p
        where p.sku = any($1)
        order by p.sku"#,
        skus
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let product = ProductRow {
                sku: row.sku,
                name: row.name,
                price: row.price,
                currency: row.currency,
                version: row.version,
                said_available: row.said_available,
            };
            Ok((product.try_into()?, row.available))
        })
        .collect()
}

/// One order's reservation.
pub async fn reservation(db: &mut PgConnection, id: OrderId) -> sqlx::Result<Option<Root>> {
    let row = sqlx::query_as!(
        ReservationRow,
        r#"-- look.reservation
        select reservation_id, version, heard_orders, revision, status, expired, expires_at,
            allocations as "allocations: Json<Vec<Piece>>"
        from reservations
        where reservation_id = $1"#,
        id.uuid()
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| <(OrderId, Root)>::try_from(row).map(|(_, root)| root)).transpose()
}

/// Holds whose time is over, the oldest first.
pub async fn past_expiry(
    db: &mut PgConnection,
    now: OffsetDateTime,
    limit: i64,
) -> sqlx::Result<Vec<OrderId>> {
    let ids: Vec<Uuid> = sqlx::query_scalar!(
        "-- look.past_expiry
        select reservation_id
        from reservation_waits
        where expires_at <= $1
        order by expires_at
        limit $2",
        now,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(ids.into_iter().map(OrderId::new).collect())
}
