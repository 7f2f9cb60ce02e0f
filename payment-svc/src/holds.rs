//! What is held for an order that never came is given back after a day.
//!
//! A hold ends with its order, in the decision that ends the order. This sweep finds the rest: ids
//! that never became an order, and holds of somebody whose order it was not.

use std::time::Duration;

use mailbox::{Command, Mailbox};
use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    commands::Request,
    reactions::{Input, Payments},
    store,
};

/// Long enough for any order to be placed and paid.
const HOLD_MAX: Duration = Duration::from_hours(24);
/// A minute more or less is nothing to a day.
const SWEEP_EVERY: Duration = Duration::from_mins(1);
/// Holds in one round: more wait for the next.
const ROUND_MAX: i64 = 100;

/// Sweeps until `stop`.
pub async fn run(
    mailbox: Mailbox<Payments>,
    pool: PgPool,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut sweep = interval(SWEEP_EVERY);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            _ = sweep.tick() => {}
        }
        if let Err(error) = expire(&mailbox, &pool).await {
            tracing::warn!(%error, "could not look for holds that are over");
        }
    }
}

/// One round: asks for each overdue hold to be given back, which is decided under its locks.
pub async fn expire(mailbox: &Mailbox<Payments>, pool: &PgPool) -> sqlx::Result<()> {
    let mut db = pool.acquire().await?;
    let overdue = store::overdue_holds(&mut db, store::milliseconds(HOLD_MAX), ROUND_MAX).await?;
    for (customer, order) in overdue {
        let input = Input::Asked(Request::ExpireHold { customer, order }, None);
        if let Err(error) = mailbox.submit(Command::new(input)).await {
            tracing::warn!(%error, order.id = %order, "an overdue hold waits for the next round");
        }
    }
    Ok(())
}
