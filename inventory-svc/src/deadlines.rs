//! The sweep for reservations: those whose time is over are put to a decision.

use std::time::Duration;

use chassis::clock;
use mailbox::Mailbox;
use service_kit::SWEEP_MAX;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::{input::Input, reactions::Inventory, store::reservation_waits, world::Wait};

/// How often reservations are looked for: they are held for minutes, so a second is exact enough.
const EVERY: Duration = Duration::from_secs(1);

/// Looks for reservations whose time is over until it is asked to stop.
pub async fn sweep(
    pool: PgPool,
    mailbox: Mailbox<Inventory>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let look = || async {
        let mut db = pool.acquire().await?;
        let due = reservation_waits::due(&mut db, clock::now(), SWEEP_MAX).await?;
        drop(db);
        let input = |wait: Wait| match wait.order {
            Some(order) => Input::HoldRanOut(order),
            None => Input::ReservationRanOut(wait.reservation),
        };
        let inputs = due.into_iter().map(input).collect();
        Ok(service_kit::decide_all(&mailbox, inputs).await)
    };
    service_kit::sweep("holds whose time is over", EVERY, stop, look).await
}
