//! Every SQL statement of this service: here what a batch locks and reads, in `save` what it
//! writes, in `look` what only looks.
//!
//! Order of locks: reservations by id, products by SKU. A SKU's product row guards its stock:
//! whoever changes stock has locked the product before, so the stock itself is read without locks,
//! one statement later.

pub mod look;
pub mod save;

use proto::{Currency, Money, OrderId, Sku, WarehouseId};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{Allocation, Product, Reservation, Shelf},
    world::{Root, Warehouse},
};

/// The schema's history.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// An allocation as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Piece {
    sku: Sku,
    warehouse: WarehouseId,
    quantity: u32,
}

struct ReservationRow {
    reservation_id: Uuid,
    version: i64,
    heard_orders: i64,
    revision: i32,
    status: String,
    expired: bool,
    expires_at: Option<OffsetDateTime>,
    allocations: Json<Vec<Piece>>,
}

impl TryFrom<ReservationRow> for (OrderId, Root) {
    type Error = sqlx::Error;

    fn try_from(row: ReservationRow) -> sqlx::Result<Self> {
        let revision = u32::try_from(row.revision).map_err(invalid)?;
        let pieces = row.allocations.0.into_iter();
        let allocations = pieces
            .map(|Piece { sku, warehouse, quantity }| Allocation { sku, warehouse, quantity })
            .collect();
        let state = match (row.status.as_str(), row.expires_at) {
            ("rejected", None) => Reservation::Rejected { revision },
            ("held", Some(expires_at)) => {
                Reservation::Held { revision, allocations, expires_at, expired: row.expired }
            }
            ("sold", None) => Reservation::Sold { revision, allocations },
            ("released", None) => Reservation::Released { revision, allocations },
            (status, _) => return Err(invalid(format!("no reservation is {status} so"))),
        };
        let root = Root { version: row.version, heard: row.heard_orders, state };
        Ok((OrderId::new(row.reservation_id), root))
    }
}

struct ProductRow {
    sku: String,
    name: String,
    price: Decimal,
    currency: String,
    version: i64,
    said_available: i64,
}

impl TryFrom<ProductRow> for Product {
    type Error = sqlx::Error;

    fn try_from(row: ProductRow) -> sqlx::Result<Self> {
        let ProductRow { sku, name, price, currency, version, said_available } = row;
        let currency = Currency::parse(&currency).map_err(invalid)?;
        let price = Money::new(price, currency).map_err(invalid)?;
        Ok(Self { sku: parse_sku(&sku)?, name, price, version, said_available })
    }
}

fn parse_sku(text: &str) -> sqlx::Result<Sku> {
    Sku::parse(text).map_err(invalid)
}

fn parse_warehouse(text: &str) -> sqlx::Result<WarehouseId> {
    WarehouseId::parse(text).map_err(invalid)
}

/// A row that is no valid state: said at load, not as a surprise later.
fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

/// Locks the reservations that exist, in id order.
pub async fn lock_reservations(
    db: &mut PgConnection,
    ids: &[Uuid],
) -> sqlx::Result<Vec<(OrderId, Root)>> {
    let rows = sqlx::query_as!(
        ReservationRow,
        r#"-- store.lock_reservations
        select reservation_id, version, heard_orders, revision, status, expired, expires_at,
            allocations as "allocations: Json<Vec<Piece>>"
        from reservations
        where reservation_id = any($1)
        order by reservation_id
        for update"#,
        ids
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Locks the reservations that nobody holds, and says which somebody does.
pub async fn held_reservations(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<OrderId>> {
    let held = sqlx::query_scalar!(
        "-- store.held_reservations
        with free as (
            select reservation_id
            from reservations
            where reservation_id = any($1)
            order by reservation_id
            for update skip locked
        )
        select reservation_id
        from reservations
        where reservation_id = any($1)
          and reservation_id not in (select reservation_id from free)",
        ids
    )
    .fetch_all(db)
    .await?;
    Ok(held.into_iter().map(OrderId::new).collect())
}

/// Locks the products that nobody holds, and says which somebody does.
pub async fn held_products(db: &mut PgConnection, skus: &[String]) -> sqlx::Result<Vec<Sku>> {
    let held = sqlx::query_scalar!(
        "-- store.held_products
        with free as (
            select sku
            from products
            where sku = any($1)
            order by sku
            for update skip locked
        )
        select sku
        from products
        where sku = any($1)
          and sku not in (select sku from free)",
        skus
    )
    .fetch_all(db)
    .await?;
    held.iter().map(|sku| parse_sku(sku)).collect()
}

/// Locks the products that exist, in SKU order: two batches that want the same ones in different
/// orders would wait for each other otherwise.
pub async fn lock_products(db: &mut PgConnection, skus: &[String]) -> sqlx::Result<Vec<Product>> {
    let rows = sqlx::query_as!(
        ProductRow,
        "-- store.lock_products
        select sku, name, price, currency, version, said_available
        from products
        where sku = any($1)
        order by sku
        for update",
        skus
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// A shelf in its place.
pub type PlacedShelf = (Sku, WarehouseId, Shelf);

/// The shelves of some SKUs. Their priority is their warehouse's, and not known here.
pub async fn shelves(db: &mut PgConnection, skus: &[String]) -> sqlx::Result<Vec<PlacedShelf>> {
    let rows = sqlx::query!(
        "-- store.shelves
        select sku, warehouse_id, on_hand, reserved, sold
        from stock
        where sku = any($1)",
        skus
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let (on_hand, reserved, sold) = (row.on_hand, row.reserved, row.sold);
            let shelf = Shelf { priority: 0, on_hand, reserved, sold };
            Ok((parse_sku(&row.sku)?, parse_warehouse(&row.warehouse_id)?, shelf))
        })
        .collect()
}

/// All warehouses: there are few.
pub async fn warehouses(db: &mut PgConnection) -> sqlx::Result<Vec<(WarehouseId, Warehouse)>> {
    let rows = sqlx::query!(
        "-- store.warehouses
        select warehouse_id, name, priority
        from warehouses
        order by warehouse_id"
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let warehouse = Warehouse { name: row.name, priority: row.priority };
            Ok((parse_warehouse(&row.warehouse_id)?, warehouse))
        })
        .collect()
}
