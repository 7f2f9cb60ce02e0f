//! The writer: small transactions at an even rate, over eight connections.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::PgConnection;
use tokio::{sync::Notify, task::JoinSet, time::MissedTickBehavior};

use crate::servers::{Stage, run};

const CONNECTIONS: u64 = 8;

/// Events in one transaction.
const BATCH: u64 = 5;

pub(crate) struct Load<'a> {
    stage: &'a Stage,
    rate: u64,
    notifies: bool,
    keys: Arc<AtomicU64>,
}

impl<'a> Load<'a> {
    pub(crate) fn new(stage: &'a Stage, rate: u64, notifies: bool) -> Self {
        Self { stage, rate, notifies, keys: Arc::default() }
    }

    /// Writes for a while, then waits a little for the last events to arrive.
    pub(crate) async fn run(&self, lasts: Duration) {
        let pause = Duration::from_secs(CONNECTIONS * BATCH) / u32::try_from(self.rate).unwrap();
        let rounds = lasts.as_nanos() / pause.as_nanos();
        let wake = Arc::new(Notify::new());
        let mut writers = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let mut session = self.stage.session().await;
            let (wake, keys) = (Arc::clone(&wake), Arc::clone(&self.keys));
            writers.spawn(async move {
                let mut beat = tokio::time::interval(pause);
                beat.set_missed_tick_behavior(MissedTickBehavior::Burst);
                for _ in 0..rounds {
                    beat.tick().await;
                    let key = keys.fetch_add(1, Ordering::Relaxed);
                    write(&mut session, key).await;
                    wake.notify_one();
                }
            });
        }
        let mut notifier = JoinSet::new();
        if self.notifies {
            // As services do: on a connection of its own, after commits, once a millisecond.
            let mut session = self.stage.session().await;
            notifier.spawn(async move {
                loop {
                    wake.notified().await;
                    run(&mut session, "notify outbox").await;
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            });
        }
        while let Some(end) = writers.join_next().await {
            end.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark has no checked statements")]
async fn write(session: &mut PgConnection, key: u64) {
    sqlx::query(
        "-- bench.write
insert into outbox (event_id, key, version, type, trace, payload)
select gen_random_uuid(), $1, n, 1, decode(repeat('ab', 25), 'hex'), $2
from generate_series(1, $3) as n",
    )
    .bind(format!("0190d5a4-7a3b-7c21-8d5e-{key:012}").into_bytes())
    .bind([0xcd_u8; 250].as_slice())
    .bind(i64::try_from(BATCH).unwrap())
    .execute(session)
    .await
    .unwrap();
}
