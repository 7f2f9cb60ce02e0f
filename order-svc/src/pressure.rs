//! Refuses new orders while those that were accepted do not get on.
//!
//! Three measures, taken every few seconds. The relay: how many outbox events wait to be published.
//! Stock, and payment: whether an order waits too long for their answer while no order placed after
//! it has got one. An order that others have overtaken is no backlog: its key is parked or held up
//! at one service, where operators see it, and the shop goes on.
//!
//! A shop that takes no orders hears no answers. So while orders are refused for want of answers,
//! one order is let through now and then: its answer opens the shop again.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use chassis::{Code, Problem};
use sqlx::PgPool;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{metrics, store};

/// Outbox events that may wait for the relay: some minutes of the highest rate, some hundred
/// megabytes.
const BACKLOG_MAX: i64 = 1_000_000;

/// How long accepted orders may wait, and how often that is measured.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long an order may wait for the answer of inventory-svc.
    pub stock: Duration,
    /// How long an order that is reserved, and not deferred, may wait for the answer of
    /// payment-svc.
    pub payment: Duration,
    /// How often it is measured.
    pub every: Duration,
    /// While orders are refused for want of answers: how often one is let through to see whether it
    /// is answered.
    pub try_every: Duration,
}

/// Why new orders are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overload {
    Backlog,
    StockStalls,
    PaymentStalls,
}

impl Overload {
    const fn text(self) -> &'static str {
        match self {
            Self::Backlog => "refused: more events wait for the relay than may",
            Self::StockStalls => "refused: the oldest waits too long for an answer about its stock",
            Self::PaymentStalls => "refused: the oldest waits too long for its payment's answer",
        }
    }

    /// Whether answers to orders end this overload, so that one order has to be let through at
    /// times.
    const fn wants_tries(self) -> bool {
        match self {
            Self::Backlog => false,
            Self::StockStalls | Self::PaymentStalls => true,
        }
    }
}

/// Whether new orders are refused at present. Cheap to clone.
#[derive(Clone, Default)]
pub struct Pressure(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Read for every request, without the mutex: `closed` only matters while this is set.
    refuses: AtomicBool,
    closed: Mutex<Option<Closure>>,
}

#[derive(Clone, Copy, Debug)]
struct Closure {
    by: Overload,
    next_try: Instant,
    try_every: Duration,
}

impl Pressure {
    /// Refuses a new order while too many accepted ones wait.
    pub fn admit(&self) -> Result<(), Problem> {
        self.admit_at(Instant::now())
    }

    fn admit_at(&self, now: Instant) -> Result<(), Problem> {
        if !self.0.refuses.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.closed().as_mut() {
            None => Ok(()),
            Some(closed) if closed.by.wants_tries() && closed.next_try <= now => {
                closed.next_try = now + closed.try_every;
                Ok(())
            }
            Some(_) => {
                metrics::refused();
                Err(overloaded())
            }
        }
    }

    /// For the health report: why new orders are refused.
    pub fn wrong(&self) -> Result<(), String> {
        self.closed().map_or(Ok(()), |closed| Err(closed.by.text().to_owned()))
    }

    /// Measures until stopped.
    pub async fn run(
        self,
        pool: PgPool,
        limits: Limits,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        // A failed measurement changes nothing: the last one stands.
        let look = async || {
            let overload = measure(&pool, limits, chassis::clock::now()).await?;
            self.set(overload, Instant::now(), limits.try_every);
            Ok(false)
        };
        service_kit::sweep("what waits", limits.every, stop, look).await
    }

    fn set(&self, overload: Option<Overload>, now: Instant, try_every: Duration) {
        let mut closed = self.closed();
        if closed.map(|closed| closed.by) == overload {
            return;
        }
        *closed = overload.map(|by| Closure { by, next_try: now + try_every, try_every });
        self.0.refuses.store(overload.is_some(), Ordering::Relaxed);
        if let Some(by) = overload {
            tracing::error!(reason = by.text(), "no new orders are taken");
        } else {
            tracing::info!("new orders are taken again");
        }
    }

    fn closed(&self) -> std::sync::MutexGuard<'_, Option<Closure>> {
        self.0.closed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The refusal of a new order while too much waits.
pub(crate) fn overloaded() -> Problem {
    let detail = "more orders wait than can be worked off at present";
    Problem::new(Code::Overloaded, detail).retry_after(5)
}

async fn measure(
    pool: &PgPool,
    limits: Limits,
    now: OffsetDateTime,
) -> sqlx::Result<Option<Overload>> {
    let mut db = pool.acquire().await?;
    if mailbox::backlog(&mut db, BACKLOG_MAX).await? >= BACKLOG_MAX {
        return Ok(Some(Overload::Backlog));
    }
    let before = now - limits.stock;
    if store::pressure::stock_stalls(&mut db, first_id(before), before).await? {
        return Ok(Some(Overload::StockStalls));
    }
    let before = now - limits.payment;
    let stalls = store::pressure::payment_stalls(&mut db, first_id(before), before).await?;
    Ok(stalls.then_some(Overload::PaymentStalls))
}

/// The smallest UUIDv7 of a moment, to compare a time with order ids.
pub(crate) fn first_id(at: OffsetDateTime) -> Uuid {
    let milliseconds = u64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(0);
    // 48 bits of time, and no version: below every id of that millisecond.
    Uuid::from_u128(u128::from(milliseconds.min((1 << 48) - 1)) << 80)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRY_EVERY: Duration = Duration::from_secs(30);

    #[test]
    fn a_shop_closed_for_want_of_answers_tries_one_order_now_and_then() {
        let (pressure, start) = (Pressure::default(), Instant::now());
        assert!(pressure.admit_at(start).is_ok() && pressure.wrong().is_ok());

        pressure.set(Some(Overload::StockStalls), start, TRY_EVERY);
        assert_eq!(pressure.admit_at(start).unwrap_err().code(), Code::Overloaded);
        assert!(pressure.wrong().is_err(), "the health tells");
        let later = start + TRY_EVERY;
        assert!(pressure.admit_at(later).is_ok());
        assert!(pressure.admit_at(later).is_err(), "one, not all");
        assert!(pressure.admit_at(later + TRY_EVERY).is_ok());

        pressure.set(None, later, TRY_EVERY);
        assert!(pressure.admit_at(later).is_ok() && pressure.wrong().is_ok());
    }

    #[test]
    fn a_backlog_of_the_relay_ends_without_tries() {
        let (pressure, start) = (Pressure::default(), Instant::now());
        pressure.set(Some(Overload::Backlog), start, TRY_EVERY);

        assert!(pressure.admit_at(start + TRY_EVERY * 10).is_err());
    }
}
