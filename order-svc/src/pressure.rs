//! When new orders are refused: what is accepted must still reach somebody.
//!
//! Two measures, looked at once a second. The relay: events that wait to be shipped. The others:
//! orders that stock has not answered for long. One such order is not a backlog but a key that is
//! parked somewhere, which this service cannot see; so it takes as many as would stop a consumer,
//! too.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chassis::{Code, Problem};
use sqlx::{PgConnection, PgPool};
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store;

/// Events that may wait for the relay: some minutes of the highest rate, some hundred megabytes.
const BACKLOG_MAX: i64 = 1_000_000;
/// Old orders without an answer. A consumer that parks more keys a minute than this stops: then it
/// is not the orders.
const UNANSWERED_MAX: usize = 1_000;
/// Orders looked at in one go; more than are placed in a second.
const PIECE: i64 = 20_000;
/// How far before its deadline a first look begins: older ones are found when there are enough
/// younger ones.
const FIRST_LOOK: Duration = Duration::from_hours(1);
const EVERY: Duration = Duration::from_secs(1);

/// Whether new orders are refused at present. Cheap to clone.
#[derive(Clone, Default)]
pub struct Pressure(Arc<AtomicBool>);

impl Pressure {
    /// Refuses when there is too much that waits.
    pub fn admit(&self) -> Result<(), Problem> {
        if self.0.load(Ordering::Relaxed) {
            let detail = "more orders wait than can be worked off at present";
            return Err(Problem::new(Code::Overloaded, detail).retry_after(5));
        }
        Ok(())
    }

    /// Measures until stopped.
    pub async fn run(
        self,
        pool: PgPool,
        answer_within: Duration,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut gauge = Gauge::default();
        loop {
            match gauge.measure(&pool, chassis::clock::now() - answer_within).await {
                Ok(too_much) => self.set(too_much, &gauge),
                // What is not known changes nothing.
                Err(error) => tracing::warn!(error = %error, "could not measure what waits"),
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    fn set(&self, too_much: bool, gauge: &Gauge) {
        if self.0.swap(too_much, Ordering::Relaxed) == too_much {
            return;
        }
        let (backlog, unanswered) = (gauge.backlog, gauge.unanswered.len());
        if too_much {
            tracing::error!(backlog, unanswered, "new orders are refused: too much waits");
        } else {
            tracing::info!(backlog, unanswered, "new orders are taken again");
        }
    }
}

#[derive(Default)]
struct Gauge {
    backlog: i64,
    /// Every order up to this one has been looked at.
    seen: Option<Uuid>,
    /// Those of them that had no answer.
    unanswered: Vec<Uuid>,
}

impl Gauge {
    async fn measure(&mut self, pool: &PgPool, before: OffsetDateTime) -> sqlx::Result<bool> {
        let mut db = pool.acquire().await?;
        self.backlog = mailbox::backlog(&mut db, BACKLOG_MAX).await?;
        self.look_again(&mut db).await?;
        self.walk(&mut db, before).await?;
        Ok(self.backlog >= BACKLOG_MAX || self.unanswered.len() > UNANSWERED_MAX)
    }

    async fn look_again(&mut self, db: &mut PgConnection) -> sqlx::Result<()> {
        if !self.unanswered.is_empty() {
            self.unanswered = store::still_unanswered(db, &self.unanswered).await?;
        }
        Ok(())
    }

    /// Goes on to the orders that have become old since. Enough found, it stays where it is.
    async fn walk(&mut self, db: &mut PgConnection, before: OffsetDateTime) -> sqlx::Result<()> {
        if self.unanswered.len() > UNANSWERED_MAX {
            return Ok(());
        }
        let end = first_id(before);
        let after = self.seen.unwrap_or_else(|| first_id(before - FIRST_LOOK));
        let piece = store::unanswered(db, after, end, PIECE).await?;
        self.seen = Some(piece.last().map_or(after, |last| last.order_id));
        self.unanswered
            .extend(piece.iter().filter(|order| order.waits).map(|order| order.order_id));
        Ok(())
    }
}

/// The smallest UUIDv7 of a moment: what a time is as an order's id.
pub(crate) fn first_id(at: OffsetDateTime) -> Uuid {
    let milliseconds = u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    // 48 bits of time, and no version: below every id of that millisecond.
    Uuid::from_u128(u128::from(milliseconds.min((1 << 48) - 1)) << 80)
}
