//! Stock: the pieces of a SKU in a warehouse. Guarded by the lock on its product.

use mailbox::wrote;
use proto::{Sku, WarehouseId};
use sqlx::PgConnection;

use super::{parse_sku, parse_warehouse};
use crate::domain::Shelf;

/// A shelf, with its SKU and warehouse.
pub type PlacedShelf = (Sku, WarehouseId, Shelf);

/// The shelves of some SKUs. Their priority is that of their warehouse and is not read here.
pub async fn shelves(db: &mut PgConnection, skus: &[String]) -> sqlx::Result<Vec<PlacedShelf>> {
    let rows = sqlx::query!(
        "-- stock.shelves
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

/// A shelf to write, with its SKU and warehouse.
pub type ShelfRow<'a> = (&'a Sku, &'a WarehouseId, &'a Shelf);

/// Shelves as columns.
#[derive(Default)]
struct Columns<'a> {
    skus: Vec<&'a str>,
    warehouses: Vec<&'a str>,
    on_hand: Vec<i64>,
    reserved: Vec<i64>,
    sold: Vec<i64>,
}

impl<'a> Columns<'a> {
    fn new(shelves: &[ShelfRow<'a>]) -> Self {
        let mut columns = Self::default();
        for (sku, warehouse, shelf) in shelves {
            columns.skus.push(sku.as_str());
            columns.warehouses.push(warehouse.as_str());
            columns.on_hand.push(shelf.on_hand);
            columns.reserved.push(shelf.reserved);
            columns.sold.push(shelf.sold);
        }
        columns
    }
}

/// Adds shelves, sorted by SKU and warehouse.
pub async fn insert(db: &mut PgConnection, shelves: &[ShelfRow<'_>]) -> sqlx::Result<()> {
    if shelves.is_empty() {
        return Ok(());
    }
    let Columns { skus, warehouses, on_hand, reserved, sold } = Columns::new(shelves);
    let done = sqlx::query!(
        "-- stock.insert
        insert into stock (sku, warehouse_id, on_hand, reserved, sold)
        select *
        from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])",
        &skus as &[&str],
        &warehouses as &[&str],
        &on_hand,
        &reserved,
        &sold
    )
    .execute(db)
    .await?;
    wrote(&done, shelves.len())
}

/// Writes shelves, sorted by SKU and warehouse. A SKU is written once for a batch, however many of
/// the batch's orders want it.
pub async fn update(db: &mut PgConnection, shelves: &[ShelfRow<'_>]) -> sqlx::Result<()> {
    if shelves.is_empty() {
        return Ok(());
    }
    let Columns { skus, warehouses, on_hand, reserved, sold } = Columns::new(shelves);
    let done = sqlx::query!(
        "-- stock.update
        update stock s
        set on_hand = u.on_hand,
            reserved = u.reserved,
            sold = u.sold
        from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
            as u (sku, warehouse_id, on_hand, reserved, sold)
        where s.sku = u.sku
          and s.warehouse_id = u.warehouse_id",
        &skus as &[&str],
        &warehouses as &[&str],
        &on_hand,
        &reserved,
        &sold
    )
    .execute(db)
    .await?;
    wrote(&done, shelves.len())
}
