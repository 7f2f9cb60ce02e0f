//! Every SQL statement of this service, by table.
//!
//! Order of locks: reservations of orders by order, those without an order by id, products by SKU. A SKU's product row guards its stock:
//! whoever changes stock has locked the product before. So the stock itself is read without locks,
//! by a statement after the one that locks the products.

pub mod manual_reservations;
pub mod products;
pub mod reservation_waits;
pub mod reservations;
pub mod stock;
pub mod stock_adjustments;
pub mod warehouses;

use std::collections::{BTreeMap, BTreeSet};

use mailbox::{LockPolicy, Tracked, changed_rows, invalid, new_rows};
use proto::{OrderId, ReservationId, Sku, WarehouseId};
use sqlx::PgConnection;

use self::stock::{PlacedShelf, ShelfRow};
use crate::{
    domain::{ManualPhase, ManualReservation, Reservation, Shelf},
    input::Input,
    world::{Root, Wait, World, skus_of},
};

/// The migrations of this service's tables; those of the mailbox's tables run first.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// Locks and reads what a batch touches: reservations, then products.
pub async fn load(
    db: &mut PgConnection,
    batch: &[&Input],
    locking: LockPolicy,
) -> sqlx::Result<World> {
    let mut world = World::default();
    load_roots(db, batch, locking, &mut world).await?;
    load_manual(db, batch, locking, &mut world).await?;
    load_products(db, batch, locking, &mut world).await?;
    if world.warehouses.is_empty() && batch.iter().any(|input| input.names_warehouse()) {
        load_warehouses(db, &mut world).await?;
    }
    Ok(world)
}

async fn load_roots(
    db: &mut PgConnection,
    batch: &[&Input],
    locking: LockPolicy,
    world: &mut World,
) -> sqlx::Result<()> {
    let mut orders: BTreeSet<OrderId> = batch.iter().filter_map(|input| input.order()).collect();
    if orders.is_empty() {
        return Ok(());
    }
    if locking == LockPolicy::SkipHeld {
        let ids: Vec<_> = orders.iter().map(|order| order.uuid()).collect();
        world.held_reservations.extend(reservations::held(db, &ids).await?);
        orders.retain(|order| !world.held_reservations.contains(order));
    }
    let ids: Vec<_> = orders.iter().map(|order| order.uuid()).collect();
    let found = reservations::lock(db, &ids).await?;
    world.roots = orders.into_iter().map(|id| (id, Tracked::new(Root::default()))).collect();
    world.roots.extend(found.into_iter().map(|(id, root)| (id, Tracked::found(root))));
    Ok(())
}

async fn load_manual(
    db: &mut PgConnection,
    batch: &[&Input],
    locking: LockPolicy,
    world: &mut World,
) -> sqlx::Result<()> {
    let named: BTreeSet<_> = batch.iter().filter_map(|input| input.reservation()).collect();
    if named.is_empty() {
        return Ok(());
    }
    let mut ids: Vec<_> = named.iter().map(|id| id.uuid()).collect();
    if locking == LockPolicy::SkipHeld {
        world.held_manual.extend(manual_reservations::held(db, &ids).await?);
        ids.retain(|id| !world.held_manual.contains(&ReservationId::new(*id)));
    }
    let found = manual_reservations::lock(db, &ids).await?;
    world.manual = found.into_iter().map(|(id, row)| (id, Tracked::found(row))).collect();
    if world.manual.len() < ids.len() {
        world.of_orders = reservations::orders(db, &ids).await?.into_iter().collect();
    }
    Ok(())
}

async fn load_products(
    db: &mut PgConnection,
    batch: &[&Input],
    locking: LockPolicy,
    world: &mut World,
) -> sqlx::Result<()> {
    let mut skus: BTreeSet<&Sku> = batch.iter().flat_map(|input| input.skus()).collect();
    skus.extend(world.roots.values().flat_map(|root| root.now.skus()));
    skus.extend(world.manual.values().flat_map(|row| skus_of(&row.now.allocations)));
    let mut skus: Vec<String> = skus.into_iter().map(ToString::to_string).collect();
    if locking == LockPolicy::SkipHeld && !skus.is_empty() {
        let held = products::held(db, &skus).await?;
        skus.retain(|sku| !held.iter().any(|held| held.as_str() == sku));
        world.held_products.extend(held);
    }
    if skus.is_empty() {
        return Ok(());
    }
    let found = products::lock(db, &skus).await?;
    world.products = found.into_iter().map(|row| (row.sku.clone(), Tracked::found(row))).collect();
    let shelves = stock::shelves(db, &skus).await?;
    if is_split(&shelves) {
        load_warehouses(db, world).await?;
    }
    for (sku, warehouse, mut shelf) in shelves {
        shelf.priority = world.warehouses.get(&warehouse).map_or(0, |row| row.now.priority);
        world.shelves_found.insert((sku.clone(), warehouse.clone()), shelf);
        world.stock.set(sku, warehouse, shelf);
    }
    Ok(())
}

/// Whether some SKU lies in several warehouses, so that their priorities are needed.
fn is_split(shelves: &[PlacedShelf]) -> bool {
    let mut first: BTreeMap<&Sku, &WarehouseId> = BTreeMap::new();
    shelves.iter().any(|(sku, warehouse, _)| first.insert(sku, warehouse).is_some())
}

async fn load_warehouses(db: &mut PgConnection, world: &mut World) -> sqlx::Result<()> {
    let rows = warehouses::all(db).await?;
    world.warehouses = rows.into_iter().map(|(id, row)| (id, Tracked::found(row))).collect();
    Ok(())
}

/// Writes all that changed, in the order of locks.
pub async fn save(db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
    // An order of which nothing was heard leaves no row.
    let roots = || world.roots.iter().filter(|(_, it)| it.now.state != Reservation::Unheard);
    reservations::insert(db, &new_rows(roots())).await?;
    let (amended, others): (Vec<_>, Vec<_>) = roots().partition(|(_, root)| is_amended(root));
    reservations::update(db, &changed_rows(others)).await?;
    reservations::update_pieces(db, &changed_rows(amended)).await?;
    manual_reservations::insert(db, &new_rows(&world.manual)).await?;
    manual_reservations::update(db, &changed_rows(&world.manual)).await?;
    let (ended, begun) = changed_waits(world);
    reservation_waits::delete(db, &ended).await?;
    reservation_waits::insert(db, &begun).await?;
    products::insert(db, &new_rows(&world.products)).await?;
    products::update(db, &changed_rows(&world.products)).await?;
    for (id, row) in &world.warehouses {
        if row.is_new() || row.is_changed() {
            warehouses::put(db, id, &row.now).await?;
        }
    }
    stock::insert(db, &shelves(world, |found, _| found.is_none())).await?;
    let is_changed = |found: Option<&Shelf>, now: &Shelf| found.is_some_and(|it| it != now);
    stock::update(db, &shelves(world, is_changed)).await?;
    for adjustment in &world.adjustments {
        stock_adjustments::insert(db, adjustment).await?;
    }
    Ok(())
}

/// Whether other pieces are held than those that the row has.
fn is_amended(root: &Tracked<Root>) -> bool {
    root.was().is_some_and(|was| was.pieces() != root.now.pieces())
}

/// The waits that are over, and those that have begun; a reservation may have both.
fn changed_waits(world: &World) -> (Vec<Wait>, Vec<Wait>) {
    let of_roots = world.roots.iter().map(|(order, root)| {
        let wait = |root: &Root| root.wait(*order);
        (root.was().and_then(wait), wait(&root.now))
    });
    let of_manual = world.manual.iter().map(|(id, row)| {
        let wait = |row: &ManualReservation| match row.phase {
            ManualPhase::Held { until } => Some(Wait { until, reservation: *id, order: None }),
            ManualPhase::Released | ManualPhase::Expired { .. } => None,
        };
        (row.was().and_then(wait), wait(&row.now))
    });
    let changed: Vec<_> = of_roots.chain(of_manual).filter(|(was, now)| was != now).collect();
    let ended = changed.iter().filter_map(|(was, _)| *was).collect();
    (ended, changed.iter().filter_map(|(_, now)| *now).collect())
}

/// The shelves that `is_wanted` chooses, in the order of locks.
fn shelves(world: &World, is_wanted: fn(Option<&Shelf>, &Shelf) -> bool) -> Vec<ShelfRow<'_>> {
    let wanted = world.stock.shelves().filter(|(sku, warehouse, shelf)| {
        let key = ((*sku).clone(), (*warehouse).clone());
        is_wanted(world.shelves_found.get(&key), shelf)
    });
    wanted.collect()
}

fn parse_sku(text: &str) -> sqlx::Result<Sku> {
    Sku::parse(text).map_err(invalid)
}

fn parse_warehouse(text: &str) -> sqlx::Result<WarehouseId> {
    WarehouseId::parse(text).map_err(invalid)
}
