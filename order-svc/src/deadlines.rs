//! The sweep for unpaid orders: those whose time to pay is over are put to a decision.

use std::time::Duration;

use chassis::clock;
use mailbox::Mailbox;
use proto::OrderId;
use service_kit::SWEEP_MAX;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::{input::Input, reactions::Orders, store::order_deadlines};

/// Looks for orders whose time to pay is over until it is asked to stop. An order that was paid or
/// ended meanwhile is left as it is by its decision.
pub async fn sweep(
    pool: PgPool,
    mailbox: Mailbox<Orders>,
    every: Duration,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let look = || async {
        let mut db = pool.acquire().await?;
        let due = order_deadlines::due(&mut db, clock::now(), SWEEP_MAX).await?;
        drop(db);
        let passed = |order_id| Input::DeadlinePassed(OrderId::new(order_id));
        let inputs = due.into_iter().map(|it| passed(it.order_id)).collect();
        Ok(service_kit::decide_all(&mailbox, inputs).await)
    };
    service_kit::sweep("orders whose time is over", every, stop, look).await
}
