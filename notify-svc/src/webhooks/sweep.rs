//! What nobody is told any more: deliveries whose time is over end, those that ended long ago go, and
//! so do deleted webhooks with all of theirs. In pieces, so that no statement takes long.

use std::time::Duration;

use sqlx::PgPool;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{unlooked, worker::was_disabled};
use crate::{
    domain::DisabledReason,
    store::{
        webhook_deliveries::{self, EXPIRED_AT_ONCE},
        webhooks,
    },
};

const SWEEP_EVERY: Duration = Duration::from_mins(1);

/// Sweeps now and then, until it is asked to stop: in the middle of a piece, too.
pub(super) async fn run(pool: PgPool, stop: CancellationToken) {
    let mut clock = interval(SWEEP_EVERY);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let sweeps = async {
        loop {
            clock.tick().await;
            if let Err(error) = sweep(&pool).await {
                unlooked(&error);
            }
        }
    };
    stop.run_until_cancelled(sweeps).await;
}

async fn sweep(pool: &PgPool) -> sqlx::Result<()> {
    let mut db = pool.acquire().await?;
    let survey = webhooks::survey(&mut db).await?;
    for webhook in &survey.known {
        let (mut is_done, mut was_tried) = (false, false);
        while !is_done {
            let ended = webhook_deliveries::fail_overdue(&mut db, *webhook).await?;
            is_done = u64::try_from(ended.len()).is_ok_and(|count| count < EXPIRED_AT_ONCE);
            was_tried |= ended.contains(&true);
        }
        if was_tried && webhooks::disable_failing(&mut db, *webhook, true).await? {
            was_disabled(*webhook, DisabledReason::Failures);
        }
        while webhook_deliveries::expire(&mut db, *webhook).await? == EXPIRED_AT_ONCE {}
    }
    for webhook in &survey.deleted {
        while webhook_deliveries::forget(&mut db, *webhook).await? == EXPIRED_AT_ONCE {}
        webhooks::forget(&mut db, *webhook).await?;
    }
    Ok(())
}
