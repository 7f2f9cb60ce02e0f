//! What happens when nobody pays: orders whose time is over are put to a decision.

use std::time::Duration;

use futures::future::join_all;
use mailbox::{Command, Mailbox};
use proto::OrderId;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::{
    reactions::{Input, Orders},
    store,
};

/// Orders in one go: as many as a batch takes.
const LIMIT: i64 = 500;

/// Sweeps until stopped. What a decision finds paid or ended meanwhile goes on as it was.
pub async fn sweep(
    pool: PgPool,
    mailbox: Mailbox<Orders>,
    every: Duration,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    loop {
        let found = match sweep_once(&pool, &mailbox).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(error = %error, "could not look for orders whose time is over");
                0
            }
        };
        // A full hand means that there is more.
        if i64::try_from(found).is_ok_and(|found| found >= LIMIT) && !stop.is_cancelled() {
            continue;
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(every) => {}
        }
    }
}

/// How many orders were put to a decision.
async fn sweep_once(pool: &PgPool, mailbox: &Mailbox<Orders>) -> sqlx::Result<usize> {
    let due = {
        let mut db = pool.acquire().await?;
        store::due_deadlines(&mut db, chassis::clock::now(), LIMIT).await?
    };
    let decided = due.iter().map(|deadline| {
        let order = OrderId::new(deadline.order_id);
        mailbox.submit(Command::new(Input::DeadlinePassed(order)))
    });
    let failed = join_all(decided).await.into_iter().filter(Result::is_err).count();
    if failed > 0 {
        // They are found again.
        tracing::warn!(failed, "could not end orders whose time is over");
        return Ok(0);
    }
    Ok(due.len())
}
