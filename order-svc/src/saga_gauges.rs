//! Measures how the orders stand that are not finished: how many, since when, and how many of them
//! are late or stuck. A finished order whose key is parked is counted with the parked keys.

use std::time::Duration;

use chassis::clock;
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    domain::Saga,
    metrics::{self, UnfinishedOrders},
    store,
};

/// Pause between two measures.
const EVERY: Duration = Duration::from_secs(10);
/// Unfinished orders looked at one by one, from the oldest: who is late is among them.
const LOOKED_AT_MAX: usize = 5_000;
/// Orders read by one statement.
const PIECE: i64 = 100;

/// Measures until it is asked to stop. A measure that fails leaves the numbers as they were.
pub async fn run(pool: PgPool, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        let measured = async {
            let mut db = pool.acquire().await?;
            measure(&mut db, clock::now()).await
        };
        match measured.await {
            Ok(orders) => metrics::unfinished(&orders, clock::now()),
            Err(error) => tracing::debug!("could not measure the unfinished orders: {error:?}"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
            return Ok(());
        }
    }
}

/// Looks at the unfinished orders as they stand `now`.
pub async fn measure(db: &mut PgConnection, now: OffsetDateTime) -> sqlx::Result<UnfinishedOrders> {
    let (count, since) = store::unfinished_orders::extent(&mut *db).await?;
    let mut orders = UnfinishedOrders { count, since, ..UnfinishedOrders::default() };
    let (mut after, mut looked_at) = (Uuid::nil(), 0);
    while looked_at < LOOKED_AT_MAX {
        let ids = store::unfinished_orders::after(&mut *db, after, PIECE).await?;
        let Some(last) = ids.last() else { break };
        (after, looked_at) = (*last, looked_at + ids.len());
        let roots = store::orders::find_all(&mut *db, &ids).await?;
        let parked = store::parked(&mut *db, &roots).await?;
        for root in &roots {
            let saga = Saga::of(&root.order);
            orders.late += u32::from(saga.is_late(now));
            let is_stuck = parked.contains(&root.order.id) || saga.is_stuck(&root.order, now);
            orders.stuck += u32::from(is_stuck);
        }
    }
    Ok(orders)
}
