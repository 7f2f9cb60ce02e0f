//! Every SQL statement of this service, by table.
//!
//! Order of locks: payments by order id, accounts by customer id; what belongs to them (holds,
//! ledger entries, refunds, declined charges, calls) is changed only under those locks. An
//! account's balance is written by its ledger entries alone.

pub mod accounts;
pub mod declined_charges;
pub mod holds;
pub mod ledger_entries;
pub mod payments;
pub mod provider_calls;
pub mod refunds;
mod rows;

use std::{collections::BTreeSet, time::Duration};

use mailbox::{LockPolicy, Tracked, changed_rows, new_rows};
use proto::{OrderId, SealKeyRing};
use sqlx::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    input::Input,
    world::{RowsToLock, World},
};

/// The migrations of this service's tables; those of the mailbox's tables run first.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// Locks and reads what a batch touches: payments, then accounts, then holds, then calls. Calls
/// that the batch begins will be leased for `lease`; `keys` open the cards' tokens.
pub async fn load(
    db: &mut PgConnection,
    batch: &[&Input],
    locking: LockPolicy,
    lease: Duration,
    keys: &SealKeyRing,
) -> sqlx::Result<World> {
    let mut world = World::new(Instant::now() + lease);
    let mut rows = RowsToLock::of(batch);
    if !rows.orders.is_empty() {
        let mut ids: Vec<Uuid> = rows.orders.iter().map(|order| order.uuid()).collect();
        if locking == LockPolicy::SkipHeld {
            world.held_payments.extend(payments::held(db, &ids).await?);
            ids.retain(|id| !world.held_payments.contains(&OrderId::new(*id)));
        }
        for root in payments::lock(db, &ids, keys).await? {
            rows.customers.extend(root.payment.customer().cloned());
            if let Some(refund) = root.payment.last_refund() {
                let key = (root.payment.order, refund.number);
                world.refunds.insert(key, Tracked::found(refund.clone()));
            }
            world.roots.insert(root.payment.order, Tracked::found(root));
        }
    }
    if !rows.customers.is_empty() {
        let mut names: Vec<String> = rows.customers.iter().map(ToString::to_string).collect();
        if locking == LockPolicy::SkipHeld {
            world.held_accounts.extend(accounts::held(db, &names).await?);
            names.retain(|name| !world.held_accounts.iter().any(|held| held.as_str() == name));
        }
        for row in accounts::lock(db, &names).await? {
            world.accounts.insert(row.account.customer.clone(), Tracked::found(row));
        }
    }
    load_holds(db, &rows, &mut world).await?;
    world.attempts = provider_calls::lock_attempts(db, &rows.calls).await?;
    Ok(world)
}

async fn load_holds(
    db: &mut PgConnection,
    rows: &RowsToLock,
    world: &mut World,
) -> sqlx::Result<()> {
    // Few accounts hold anything, so the statement is only run when it may find something.
    let is_holding = world.accounts.values().any(|row| row.now.account.held.is_positive());
    if !is_holding && rows.holds.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = world.accounts.keys().map(ToString::to_string).collect();
    let orders = rows.orders.iter().chain(rows.holds.iter().map(|(_, order)| order));
    let ids: BTreeSet<Uuid> = orders.map(|order| order.uuid()).collect();
    let ids: Vec<Uuid> = ids.into_iter().collect();
    for (key, hold) in holds::find_all(db, &names, &ids).await? {
        world.holds.insert(key, Tracked::found(hold));
    }
    Ok(())
}

/// Writes all that changed, in the order of locks; tokens are sealed with `keys`.
pub async fn save(
    db: &mut PgConnection,
    world: &World,
    lease: Duration,
    keys: &SealKeyRing,
) -> sqlx::Result<()> {
    payments::insert(db, &new_rows(&world.roots), keys).await?;
    payments::update(db, &changed_rows(&world.roots), keys).await?;
    declined_charges::insert(db, &world.declined).await?;
    refunds::insert(db, world, &new_rows(&world.refunds)).await?;
    refunds::update(db, world, &changed_rows(&world.refunds)).await?;
    accounts::insert(db, &new_rows(&world.accounts)).await?;
    holds::insert(db, &new_rows(&world.holds)).await?;
    holds::update(db, &changed_rows(&world.holds)).await?;
    ledger_entries::append(db, &world.entries).await?;
    provider_calls::end(db, &world.over).await?;
    provider_calls::begin(db, &world.begun, lease).await
}

/// A duration as a statement's parameter.
pub(crate) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
