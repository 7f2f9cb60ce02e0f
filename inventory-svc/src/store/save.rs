//! What a batch writes: one statement for each table and kind of change, arrays in the order of
//! keys.

use mailbox::wrote;
use proto::{OrderId, Sku, WarehouseId};
use rust_decimal::Decimal;
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Piece, invalid};
use crate::{
    domain::{Allocation, Product, Reservation, Shelf},
    world::{Adjustment, Kept, Root, Warehouse, World},
};

/// Writes all that changed, in the order of locks.
pub async fn world(db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
    reservations(db, world).await?;
    products(db, world).await?;
    warehouses(db, world).await?;
    insert_stock(db, &world.new_shelves().collect::<Vec<_>>()).await?;
    update_stock(db, &world.changed_shelves().collect::<Vec<_>>()).await?;
    insert_adjustments(db, &world.adjustments).await
}

async fn reservations(db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
    let rows = |wanted: fn(&Kept<Root>) -> bool| -> sqlx::Result<Rows> {
        // What was never heard of and says nothing of itself leaves no row.
        let roots = world.roots.iter().filter(|(_, root)| root.now.state != Reservation::Unheard);
        Rows::of(roots.filter(|(_, root)| wanted(root)).map(|(id, root)| (*id, &root.now)))
    };
    let waits = |moment: fn(&Kept<Root>) -> Option<&Root>| {
        let until = |root| moment(root).and_then(Root::waits_until);
        let changed = world
            .roots
            .iter()
            .filter(|(_, root)| root.was().and_then(Root::waits_until) != root.now.waits_until());
        changed.filter_map(move |(id, root)| Some((id.uuid(), until(root)?))).unzip()
    };
    insert_reservations(db, rows(Kept::is_new)?).await?;
    update_reservations(db, rows(Kept::is_changed)?).await?;
    delete_waits(db, waits(Kept::was)).await?;
    insert_waits(db, waits(|root| Some(&root.now))).await
}

/// Reservations as columns.
#[derive(Default)]
struct Rows {
    ids: Vec<Uuid>,
    versions: Vec<i64>,
    heard: Vec<i64>,
    revisions: Vec<i32>,
    statuses: Vec<String>,
    expired: Vec<bool>,
    expires_at: Vec<Option<OffsetDateTime>>,
    allocations: Vec<Json<Vec<Piece>>>,
}

impl Rows {
    fn of<'a>(roots: impl Iterator<Item = (OrderId, &'a Root)>) -> sqlx::Result<Self> {
        let mut rows = Self::default();
        for (id, root) in roots {
            let (status, revision, allocations) = match &root.state {
                Reservation::Unheard => continue,
                Reservation::Rejected { revision } => ("rejected", revision, [].as_slice()),
                Reservation::Held { revision, allocations, .. } => {
                    ("held", revision, allocations.as_slice())
                }
                Reservation::Sold { revision, allocations } => ("sold", revision, &**allocations),
                Reservation::Released { revision, allocations } => {
                    ("released", revision, &**allocations)
                }
            };
            let (expires_at, expired) = match &root.state {
                Reservation::Held { expires_at, expired, .. } => (Some(*expires_at), *expired),
                _ => (None, false),
            };
            rows.ids.push(id.uuid());
            rows.versions.push(root.version);
            rows.heard.push(root.heard);
            rows.revisions.push(i32::try_from(*revision).map_err(invalid)?);
            rows.statuses.push(status.to_owned());
            rows.expired.push(expired);
            rows.expires_at.push(expires_at);
            rows.allocations.push(pieces(allocations));
        }
        Ok(rows)
    }
}

fn pieces(allocations: &[Allocation]) -> Json<Vec<Piece>> {
    let piece = |from: &Allocation| Piece {
        sku: from.sku.clone(),
        warehouse: from.warehouse.clone(),
        quantity: from.quantity,
    };
    Json(allocations.iter().map(piece).collect())
}

async fn insert_reservations(db: &mut PgConnection, rows: Rows) -> sqlx::Result<()> {
    if rows.ids.is_empty() {
        return Ok(());
    }
    let done = sqlx::query!(
        "-- save.insert_reservations
        insert into reservations
            (reservation_id, version, heard_orders, revision, status, expired, expires_at,
             allocations)
        select *
        from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::int[], $5::text[], $6::bool[],
            $7::timestamptz[], $8::jsonb[])",
        &rows.ids,
        &rows.versions,
        &rows.heard,
        &rows.revisions,
        &rows.statuses,
        &rows.expired,
        &rows.expires_at as &[Option<OffsetDateTime>],
        &rows.allocations as &[Json<Vec<Piece>>]
    )
    .execute(db)
    .await?;
    wrote(&done, rows.ids.len())
}

/// The allocations stay as they were: what an order holds it held from the start.
async fn update_reservations(db: &mut PgConnection, rows: Rows) -> sqlx::Result<()> {
    if rows.ids.is_empty() {
        return Ok(());
    }
    let done = sqlx::query!(
        "-- save.update_reservations
        update reservations r
        set version = u.version,
            heard_orders = u.heard,
            revision = u.revision,
            status = u.status,
            expired = u.expired,
            expires_at = u.expires_at
        from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::int[], $5::text[], $6::bool[],
                $7::timestamptz[])
            as u (id, version, heard, revision, status, expired, expires_at)
        where r.reservation_id = u.id",
        &rows.ids,
        &rows.versions,
        &rows.heard,
        &rows.revisions,
        &rows.statuses,
        &rows.expired,
        &rows.expires_at as &[Option<OffsetDateTime>]
    )
    .execute(db)
    .await?;
    wrote(&done, rows.ids.len())
}

type Waits = (Vec<Uuid>, Vec<OffsetDateTime>);

async fn delete_waits(db: &mut PgConnection, (ids, until): Waits) -> sqlx::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let done = sqlx::query!(
        "-- save.delete_waits
        delete from reservation_waits w
        using unnest($1::uuid[], $2::timestamptz[]) as u (id, expires_at)
        where w.expires_at = u.expires_at
          and w.reservation_id = u.id",
        &ids,
        &until
    )
    .execute(db)
    .await?;
    wrote(&done, ids.len())
}

async fn insert_waits(db: &mut PgConnection, (ids, until): Waits) -> sqlx::Result<()> {
    if ids.is_empty() {
        return Ok(());
    }
    let done = sqlx::query!(
        "-- save.insert_waits
        insert into reservation_waits (reservation_id, expires_at)
        select *
        from unnest($1::uuid[], $2::timestamptz[])",
        &ids,
        &until
    )
    .execute(db)
    .await?;
    wrote(&done, ids.len())
}

async fn products(db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
    let rows = |wanted: fn(&Kept<Product>) -> bool| -> Vec<&Product> {
        world.products.values().filter(|kept| wanted(kept)).map(|kept| &kept.now).collect()
    };
    insert_products(db, &rows(Kept::is_new)).await?;
    update_products(db, &rows(Kept::is_changed)).await
}

type Catalogue = (Vec<String>, Vec<String>, Vec<Decimal>, Vec<String>);

fn catalogue(products: &[&Product]) -> Catalogue {
    let mut columns = Catalogue::default();
    for product in products {
        columns.0.push(product.sku.to_string());
        columns.1.push(product.name.clone());
        columns.2.push(product.price.amount());
        columns.3.push(product.price.currency().code().to_owned());
    }
    columns
}

async fn insert_products(db: &mut PgConnection, products: &[&Product]) -> sqlx::Result<()> {
    if products.is_empty() {
        return Ok(());
    }
    let (skus, names, prices, currencies) = catalogue(products);
    let versions: Vec<i64> = products.iter().map(|product| product.version).collect();
    let said: Vec<i64> = products.iter().map(|product| product.said_available).collect();
    let done = sqlx::query!(
        "-- save.insert_products
        insert into products (sku, name, price, currency, version, said_available)
        select *
        from unnest($1::text[], $2::text[], $3::numeric[], $4::text[], $5::bigint[], $6::bigint[])",
        &skus,
        &names,
        &prices,
        &currencies,
        &versions,
        &said
    )
    .execute(db)
    .await?;
    wrote(&done, products.len())
}

async fn update_products(db: &mut PgConnection, products: &[&Product]) -> sqlx::Result<()> {
    if products.is_empty() {
        return Ok(());
    }
    let (skus, names, prices, currencies) = catalogue(products);
    let versions: Vec<i64> = products.iter().map(|product| product.version).collect();
    let said: Vec<i64> = products.iter().map(|product| product.said_available).collect();
    let done = sqlx::query!(
        "-- save.update_products
        update products p
        set name = u.name,
            price = u.price,
            currency = u.currency,
            version = u.version,
            said_available = u.said
        from unnest($1::text[], $2::text[], $3::numeric[], $4::text[], $5::bigint[], $6::bigint[])
            as u (sku, name, price, currency, version, said)
        where p.sku = u.sku",
        &skus,
        &names,
        &prices,
        &currencies,
        &versions,
        &said
    )
    .execute(db)
    .await?;
    wrote(&done, products.len())
}

/// Places are few and change hardly ever: one statement each.
async fn warehouses(db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
    for (id, kept) in &world.warehouses {
        if kept.is_new() || kept.is_changed() {
            let Warehouse { name, priority } = &kept.now;
            sqlx::query!(
                "-- save.warehouses
                insert into warehouses (warehouse_id, name, priority)
                values ($1, $2, $3)
                on conflict (warehouse_id) do update
                set name = excluded.name,
                    priority = excluded.priority",
                id.as_str(),
                name,
                priority
            )
            .execute(&mut *db)
            .await?;
        }
    }
    Ok(())
}

type Shelves<'a> = [(&'a Sku, &'a WarehouseId, &'a Shelf)];
type StockColumns = (Vec<String>, Vec<String>, Vec<i64>, Vec<i64>, Vec<i64>);

fn stock(shelves: &Shelves<'_>) -> StockColumns {
    let mut columns = StockColumns::default();
    for (sku, warehouse, shelf) in shelves {
        columns.0.push(sku.to_string());
        columns.1.push(warehouse.to_string());
        columns.2.push(shelf.on_hand);
        columns.3.push(shelf.reserved);
        columns.4.push(shelf.sold);
    }
    columns
}

async fn insert_stock(db: &mut PgConnection, shelves: &Shelves<'_>) -> sqlx::Result<()> {
    if shelves.is_empty() {
        return Ok(());
    }
    let (skus, places, on_hand, reserved, sold) = stock(shelves);
    let done = sqlx::query!(
        "-- save.insert_stock
        insert into stock (sku, warehouse_id, on_hand, reserved, sold)
        select *
        from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])",
        &skus,
        &places,
        &on_hand,
        &reserved,
        &sold
    )
    .execute(db)
    .await?;
    wrote(&done, shelves.len())
}

/// A SKU that a whole batch wants is one row here, however many orders want it.
async fn update_stock(db: &mut PgConnection, shelves: &Shelves<'_>) -> sqlx::Result<()> {
    if shelves.is_empty() {
        return Ok(());
    }
    let (skus, places, on_hand, reserved, sold) = stock(shelves);
    let done = sqlx::query!(
        "-- save.update_stock
        update stock s
        set on_hand = u.on_hand,
            reserved = u.reserved,
            sold = u.sold
        from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
            as u (sku, warehouse_id, on_hand, reserved, sold)
        where s.sku = u.sku
          and s.warehouse_id = u.warehouse_id",
        &skus,
        &places,
        &on_hand,
        &reserved,
        &sold
    )
    .execute(db)
    .await?;
    wrote(&done, shelves.len())
}

async fn insert_adjustments(db: &mut PgConnection, made: &[Adjustment]) -> sqlx::Result<()> {
    for Adjustment { id, sku, warehouse, delta, reason, at } in made {
        sqlx::query!(
            "-- save.insert_adjustments
            insert into stock_adjustments (adjustment_id, sku, warehouse_id, delta, reason, at)
            values ($1, $2, $3, $4, $5, $6)",
            id,
            sku.as_str(),
            warehouse.as_str(),
            delta,
            reason,
            at
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}
