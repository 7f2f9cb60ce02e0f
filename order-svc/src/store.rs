//! Every SQL statement of this service, by table.
//!
//! Order of locks: orders by id; their history and deadlines are changed only under those locks.
//! The catalogue is read without locks: the highest version of a product wins.

pub mod lists;
pub mod order_deadlines;
pub mod order_events;
pub mod orders;
pub mod pressure;
pub mod products_seen;

use std::collections::BTreeSet;

use mailbox::{LockPolicy, Tracked, changed_rows, new_rows};
use proto::OrderId;
use sqlx::{PgConnection, migrate::Migrator};

use self::order_deadlines::Deadline;
use crate::{
    domain::Order,
    input::{Input, Request},
    world::{HistoryRow, World},
};

/// The migrations of this service's tables; those of the mailbox's tables run first.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// Locks and reads what a batch touches: orders, then the products that are ordered.
pub async fn load(
    db: &mut PgConnection,
    batch: &[&Input],
    locking: LockPolicy,
) -> sqlx::Result<World> {
    let mut world = World::default();
    let mut ids: BTreeSet<OrderId> = batch.iter().filter_map(|input| input.order()).collect();
    if locking == LockPolicy::SkipHeld && !ids.is_empty() {
        let wanted: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
        world.held_orders.extend(orders::held(db, &wanted).await?);
        ids.retain(|id| !world.held_orders.contains(id));
    }
    if !ids.is_empty() {
        let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
        let found = orders::lock(db, &ids).await?;
        world.roots = found.into_iter().map(|it| (it.order.id, Tracked::found(it))).collect();
    }
    let mut skus = BTreeSet::new();
    for input in batch {
        if let Input::Request(Request::Place(asked)) = input {
            skus.extend(asked.skus());
        }
    }
    if !skus.is_empty() {
        let skus: Vec<&str> = skus.into_iter().collect();
        world.catalogue = products_seen::find_all(db, &skus).await?;
    }
    Ok(world)
}

/// Writes all that changed, in the order of locks.
pub async fn save(db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
    orders::insert(db, &new_rows(&world.roots)).await?;
    orders::update(db, &changed_rows(&world.roots)).await?;
    products_seen::learn(db, &world.learnt).await?;
    let mut history: Vec<&HistoryRow> = world.history.iter().collect();
    history.sort_unstable_by_key(|row| (row.order_id, row.seq));
    order_events::append(db, &history).await?;
    let (mut over, mut new) = (Vec::new(), Vec::new());
    for (id, row) in &world.roots {
        let before = row.was().and_then(|root| root.order.deadline());
        let now = Order::deadline(&row.now.order);
        let deadline = |due_at| Deadline { due_at, order_id: id.uuid() };
        if before != now {
            over.extend(before.map(deadline));
            new.extend(now.map(deadline));
        }
    }
    over.sort_unstable();
    new.sort_unstable();
    order_deadlines::remove(db, &over).await?;
    order_deadlines::add(db, &new).await
}

/// The error for a stored value that no valid state could have left.
fn invalid(what: &'static str, of: impl std::fmt::Display) -> sqlx::Error {
    sqlx::Error::Decode(format!("{what} is not valid: {of}").into())
}
