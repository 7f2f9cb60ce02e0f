//! Every SQL statement of this service, by table.
//!
//! Order of locks: orders by id; all that hangs below them is changed only under those locks.
//! The catalogue is read without locks: the highest version of a product wins.

pub mod lists;
pub mod order_deadlines;
pub mod order_events;
pub mod order_texts;
pub mod orders;
pub mod pressure;
pub mod products_seen;
pub mod unfinished_orders;

use std::collections::BTreeSet;

use mailbox::{LockPolicy, Tracked, new_rows};
use proto::{OrderId, topic};
use sqlx::{PgConnection, migrate::Migrator};
use uuid::Uuid;

use self::order_deadlines::Deadline;
use crate::{
    domain::{Method, Order, Phase},
    input::{Input, Request},
    world::{HistoryRow, Root, Texts, World},
};

/// The migrations of this service's tables; those of the mailbox's tables run first.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// Locks and reads what a batch touches: orders, what hangs below them, then the products that are
/// ordered.
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
    let changed: BTreeSet<OrderId> = batch.iter().filter_map(|input| changed(input)).collect();
    let texts = order_texts::find_all(db, &changed).await?;
    world.texts = texts.into_iter().map(|(id, it)| (id, Tracked::found(it))).collect();
    // Only what was amended before is amended without a request.
    let needs_details = |root: &Root| {
        let Order { id, method, ref present, .. } = root.order;
        let is_amended = present.number > 1 || changed.contains(&id);
        method == Method::Card && is_amended && root.order.phase() == Phase::Open
    };
    let roots = world.roots.values().map(|row| &row.now);
    let ids = roots.filter(|root| needs_details(root)).map(|root| root.order.id).collect();
    world.details = unfinished_orders::details(db, &ids).await?;
    let skus: BTreeSet<&str> = batch.iter().flat_map(|input| input.skus()).collect();
    if !skus.is_empty() {
        let skus: Vec<&str> = skus.into_iter().collect();
        world.catalogue = products_seen::find_all(db, &skus).await?;
    }
    Ok(world)
}

/// The orders that exist, newest first, with what people wrote about them; only those of `owner`,
/// if one is given.
pub async fn shown(
    db: &mut PgConnection,
    ids: &[Uuid],
    owner: Option<&str>,
) -> sqlx::Result<Vec<(Root, Texts)>> {
    let roots = orders::find_all(db, ids, owner).await?;
    let found = roots.iter().map(|root| root.order.id).collect();
    let mut texts = order_texts::find_all(db, &found).await?;
    let of = |root: Root| {
        let texts = texts.remove(&root.order.id).unwrap_or_default();
        (root, texts)
    };
    Ok(roots.into_iter().map(of).collect())
}

/// The topics whose keys are orders: where one is parked, its order goes no further.
pub const TOPICS_BY_ORDER: [&str; 3] = [topic::STOCK, topic::PAYMENTS, topic::NOTIFICATIONS];

/// Those of the orders whose keys are parked here.
pub async fn parked(db: &mut PgConnection, roots: &[Root]) -> sqlx::Result<BTreeSet<OrderId>> {
    let keys: Vec<String> = roots.iter().map(|root| root.order.id.to_string()).collect();
    let found = mailbox::parked_among(db, &TOPICS_BY_ORDER, &keys).await?;
    Ok(found.iter().filter_map(|key| OrderId::parse(key).ok()).collect())
}

/// The order that a request changes, and whose texts its answer shows.
fn changed(input: &Input) -> Option<OrderId> {
    match input {
        Input::Request(Request::Change(change)) => Some(change.order),
        Input::Request(Request::Place(_))
        | Input::Heard(_)
        | Input::ProductChanged(..)
        | Input::DeadlinePassed(_) => None,
    }
}

/// Writes all that changed, in the order of locks.
pub async fn save(db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
    orders::insert(db, &new_rows(&world.roots), &world.request_keys).await?;
    orders::update(db, &world.roots).await?;
    orders::add_revisions(db, &world.superseded).await?;
    order_texts::save(db, &world.texts).await?;
    unfinished_orders::save(db, world).await?;
    products_seen::learn(db, &world.learnt).await?;
    let mut history: Vec<&HistoryRow> = world.history.iter().collect();
    history.sort_unstable_by_key(|row| (row.order_id, row.seq));
    order_events::append(db, &history).await?;
    let (mut over, mut new) = (Vec::new(), Vec::new());
    for (id, row) in &world.roots {
        let before = row.was().and_then(|root| root.order.deadline());
        let now = row.now.order.deadline();
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
