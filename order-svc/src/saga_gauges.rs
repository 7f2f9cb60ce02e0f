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
const LOOKED_AT_MAX: i64 = 5_000;

/// Measures until it is asked to stop. A measure that fails leaves the numbers as they were.
pub async fn run(pool: PgPool, stop: CancellationToken) -> anyhow::Result<()> {
    let look = || async {
        let mut db = pool.acquire().await?;
        let now = clock::now();
        metrics::unfinished(&measure(&mut db, now).await?, now);
        Ok(false)
    };
    service_kit::sweep("unfinished orders", EVERY, stop, look).await
}

/// Looks at the unfinished orders as they stand `now`.
pub async fn measure(db: &mut PgConnection, now: OffsetDateTime) -> sqlx::Result<UnfinishedOrders> {
    let (count, since) = store::unfinished_orders::extent(&mut *db).await?;
    let mut orders = UnfinishedOrders { count, since, ..UnfinishedOrders::default() };
    let ids = store::unfinished_orders::after(&mut *db, Uuid::nil(), LOOKED_AT_MAX).await?;
    for piece in ids.chunks(store::orders::READ_AT_ONCE) {
        let roots = store::orders::find_all(&mut *db, piece, None).await?;
        let parked = store::parked(&mut *db, &roots).await?;
        for root in &roots {
            let saga = Saga::of(&root.order);
            orders.late += u32::from(saga.is_late(now));
            if let Some(expected) = saga.expected {
                *orders.expect.entry(expected.step).or_default() += 1;
            }
            let is_stuck = parked.contains(&root.order.id) || saga.is_stuck(&root.order, now);
            orders.stuck += u32::from(is_stuck);
        }
    }
    Ok(orders)
}
