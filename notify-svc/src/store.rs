//! Every SQL statement of this service, by table.
//!
//! Order of locks: notices by order id, contacts by customer, addresses, notifications by id,
//! deliveries, webhooks by id, their deliveries, replays and events.

pub mod addresses;
pub mod contacts;
pub mod deliveries;
pub mod erasure;
pub mod notices;
pub mod notifications;
pub mod webhook_deliveries;
pub mod webhook_events;
pub mod webhook_replays;
pub mod webhooks;

use std::collections::BTreeSet;

use mailbox::{LockPolicy, Tracked, changed_rows, invalid, new_rows};
use proto::{NotificationId, OrderId};
use sqlx::PgConnection;

use crate::{
    domain::{Channel, Template},
    input::{Input, Request, WebhookRequest},
    world::{Root, World},
};

/// The migrations of this service's tables; those of the mailbox's tables run first.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// Locks and reads what a batch touches: notices, then contacts, then notifications about no order.
pub async fn load(
    db: &mut PgConnection,
    batch: &[&Input],
    locking: LockPolicy,
) -> sqlx::Result<World> {
    let mut world = World::default();
    load_roots(db, batch, locking, &mut world).await?;
    load_contacts(db, batch, locking, &mut world).await?;
    let single: Vec<NotificationId> = batch.iter().filter_map(|input| single(input)).collect();
    if !single.is_empty() {
        world.single.extend(notifications::lock_single(db, &single).await?);
    }
    load_webhooks(db, batch, locking, &mut world).await?;
    Ok(world)
}

/// The notification about no order that this input ends.
fn single(input: &Input) -> Option<NotificationId> {
    match input {
        Input::Ended(end) => end.order.is_none().then_some(end.id),
        Input::Heard(_) | Input::Overheard(_) | Input::Request(_) => None,
    }
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
        world.held_notices.extend(notices::held(db, &ids).await?);
        orders.retain(|order| !world.held_notices.contains(order));
    }
    let ids: Vec<_> = orders.iter().map(|order| order.uuid()).collect();
    let found = notices::lock(db, &ids).await?;
    world.roots = orders.into_iter().map(|id| (id, Tracked::new(Root::default()))).collect();
    world.roots.extend(found.into_iter().map(|(id, root)| (id, Tracked::found(root))));
    Ok(())
}

async fn load_contacts(
    db: &mut PgConnection,
    batch: &[&Input],
    locking: LockPolicy,
    world: &mut World,
) -> sqlx::Result<()> {
    let (mut told, mut put) = (BTreeSet::new(), BTreeSet::new());
    for input in batch {
        match input {
            Input::Heard(fact) => _ = told.insert(fact.customer.to_string()),
            Input::Request(Request::PutContact { customer, .. }) => {
                put.insert(customer.to_string());
            }
            Input::Request(Request::Notify(letter)) => {
                let root = letter.order.and_then(|order| world.roots.get(&order));
                told.extend(
                    root.and_then(|root| root.now.customer.as_ref()).map(ToString::to_string),
                );
            }
            Input::Request(Request::Webhook(_)) | Input::Overheard(_) | Input::Ended(_) => {}
        }
    }
    if !put.is_empty() {
        let mut put: Vec<String> = put.into_iter().collect();
        if locking == LockPolicy::SkipHeld {
            world.held_contacts.extend(contacts::held(db, &put).await?);
            put.retain(|name| !world.held_contacts.iter().any(|held| held.as_str() == name));
        }
        world.contacts.extend(contacts::lock(db, &put).await?);
    }
    if !told.is_empty() {
        let told: Vec<String> = told.into_iter().collect();
        world.contacts.extend(contacts::find_all(db, &told).await?);
    }
    Ok(())
}

async fn load_webhooks(
    db: &mut PgConnection,
    batch: &[&Input],
    locking: LockPolicy,
    world: &mut World,
) -> sqlx::Result<()> {
    let (mut ids, mut resent) = (BTreeSet::new(), BTreeSet::new());
    for input in batch {
        if let Input::Request(Request::Webhook(asked)) = input {
            ids.extend(asked.webhook());
            if let WebhookRequest::Resend { id, delivery } = asked {
                resent.insert((*id, *delivery));
            }
        }
    }
    if batch.iter().any(|input| is_new_webhook(input)) {
        world.webhooks.known = webhooks::count(db).await?;
    }
    if ids.is_empty() {
        return Ok(());
    }
    if locking == LockPolicy::SkipHeld {
        let all: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
        world.webhooks.held.extend(webhooks::held(db, &all).await?);
        ids.retain(|id| !world.webhooks.held.contains(id));
    }
    let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
    let found = webhooks::lock(db, &ids).await?;
    world.webhooks.rows.extend(found.into_iter().map(|(id, row)| (id, Tracked::found(row))));
    for place in resent {
        if world.webhooks.rows.contains_key(&place.0) {
            let found = webhook_deliveries::lock(db, place.0, place.1).await?;
            world.webhooks.deliveries.extend(found.map(|row| (place, row)));
        }
    }
    Ok(())
}

fn is_new_webhook(input: &Input) -> bool {
    matches!(input, Input::Request(Request::Webhook(WebhookRequest::Create { .. })))
}

/// Writes all that changed, in the order of locks.
pub async fn save(db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
    // An order whose customer was told nothing leaves no row.
    let told = world.roots.iter().filter(|(_, root)| !root.now.notice.told.is_empty());
    notices::insert(db, &new_rows(told)).await?;
    notices::update(db, &changed_rows(&world.roots)).await?;
    contacts::put(db, &world.put).await?;
    addresses::note(db, &world.put).await?;
    notifications::insert(db, &world.notifications).await?;
    deliveries::insert(db, &world.notifications).await?;
    notifications::finish(db, &world.ended).await?;
    deliveries::finish(db, &world.ended).await?;
    webhooks::save(db, &world.webhooks).await?;
    webhook_deliveries::resend(db, &world.webhooks).await?;
    webhook_replays::insert(db, &world.webhooks).await?;
    webhook_events::keep(db, &world.webhooks.events).await
}

fn parse_channel(name: &str) -> sqlx::Result<Channel> {
    Channel::parse(name).ok_or_else(|| invalid(format!("there is no channel {name}")))
}

fn parse_template(name: &str) -> sqlx::Result<Template> {
    Template::parse(name).ok_or_else(|| invalid(format!("there is no template {name}")))
}
