//! What happens when nothing happens: holds whose time is over are found and handed to the batches.

use std::time::Duration;

use chassis::clock;
use futures::future::join_all;
use mailbox::{Command, Mailbox};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::{
    reactions::{Input, Inventory},
    store::look,
};

/// Holds last minutes: nobody waits for the second.
const EVERY: Duration = Duration::from_secs(1);
/// Holds found at a time: a batch.
const FOUND_MAX: i64 = 500;

/// Looks for holds whose time is over until it is asked to stop.
pub async fn sweep(
    pool: PgPool,
    mailbox: Mailbox<Inventory>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    while !stop.is_cancelled() {
        let found = match look_once(&pool, &mailbox).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "could not look for holds whose time is over");
                0
            }
        };
        // A full look is followed by the next at once: there may be more.
        if found < FOUND_MAX {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }
    Ok(())
}

/// Hands over what is due; how much was decided. What was not is found again.
async fn look_once(pool: &PgPool, mailbox: &Mailbox<Inventory>) -> sqlx::Result<i64> {
    let mut db = pool.acquire().await?;
    let orders = look::past_expiry(&mut db, clock::now(), FOUND_MAX).await?;
    drop(db);
    let commands =
        orders.into_iter().map(|order| mailbox.submit(Command::new(Input::HoldRanOut(order))));
    let decided = join_all(commands).await.into_iter().flatten().count();
    Ok(i64::try_from(decided).unwrap_or(i64::MAX))
}
