//! The sweep for holds: money held for an order that never came is released after a day.
//!
//! A hold ends with its order, in the decision that ends the order. This sweep finds the others:
//! holds for ids that never became an order, and holds of a customer whose order it was not.

use std::time::Duration;

use mailbox::Mailbox;
use service_kit::SWEEP_MAX;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::{
    input::{Input, Request},
    reactions::Payments,
    store,
};

/// How old a hold may get: longer than any order takes to be placed and paid.
const HOLD_MAX: Duration = Duration::from_hours(24);
/// How often holds are looked for: a minute is little against a day.
const EVERY: Duration = Duration::from_mins(1);

/// Looks for holds that are too old until it is asked to stop.
pub async fn sweep(
    pool: PgPool,
    mailbox: Mailbox<Payments>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let look = || expire(&mailbox, &pool);
    service_kit::sweep("holds that are over", EVERY, stop, look).await
}

/// Looks once, and puts each overdue hold to a decision, which is made under the locks of its rows.
/// Returns whether there may be more.
pub async fn expire(mailbox: &Mailbox<Payments>, pool: &PgPool) -> anyhow::Result<bool> {
    let mut db = pool.acquire().await?;
    let age = store::milliseconds(HOLD_MAX);
    let overdue = store::holds::overdue(&mut db, age, SWEEP_MAX).await?;
    drop(db);
    let expire = |(customer, order)| Input::Request(Request::ExpireHold { customer, order });
    Ok(service_kit::decide_all(mailbox, overdue.into_iter().map(expire).collect()).await)
}
