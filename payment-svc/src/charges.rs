//! Calls to the provider: leased rows, asked outside of any transaction, answered as inputs.
//!
//! A call is born with its row leased to this process, and handed over here after the commit; what
//! was left behind by a process that died or by an answer that was lost, the sweep takes up when
//! its lease has run out. A lost answer is unknown, never a decline: it is asked for again, with
//! the same key, until there is one. A recorded answer removes the row in the transaction that says
//! what became of the money, so nothing is forgotten between the two.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mailbox::{Command, Mailbox};
use sqlx::PgPool;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{Event, Operation},
    metrics,
    provider::{Provider, Unknown},
    reactions::{Input, Payments},
    store::{self, CallRow},
};

/// Calls that wait for an answer at once: slow ones must not hold up the others.
const IN_FLIGHT_MAX: usize = 128;
/// Pauses after lost answers: twice as long each time.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long calls in hand may take once the process is asked to stop.
const GRACE: Duration = Duration::from_secs(3);

/// How calls are leased and looked for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a call belongs to the process that makes it; longer than any call takes.
    pub lease: Duration,
    /// How often calls that nobody makes are looked for.
    pub sweep: Duration,
}

/// Makes the calls of this process.
pub struct Charges<P> {
    caller: Arc<Caller<P>>,
    begun: mpsc::Receiver<CallRow>,
    limits: Limits,
}

struct Caller<P> {
    provider: P,
    mailbox: Mailbox<Payments>,
    pool: PgPool,
    /// Whether the last answer was lost: said once, not for every call.
    is_silent: AtomicBool,
}

impl<P: Provider> Charges<P> {
    pub fn new(
        provider: P,
        mailbox: Mailbox<Payments>,
        pool: PgPool,
        begun: mpsc::Receiver<CallRow>,
        limits: Limits,
    ) -> Self {
        let is_silent = AtomicBool::new(false);
        Self { caller: Arc::new(Caller { provider, mailbox, pool, is_silent }), begun, limits }
    }

    /// Makes calls until `stop`, and finishes those under way.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut asking = JoinSet::new();
        let mut sweep = interval(self.limits.sweep);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            metrics::calls_in_flight(asking.len());
            let room = IN_FLIGHT_MAX.saturating_sub(asking.len());
            tokio::select! {
                () = stop.cancelled() => break,
                Some(call) = self.begun.recv(), if room > 0 => self.ask(&mut asking, call),
                Some(_) = asking.join_next() => {}
                _ = sweep.tick(), if room > 0 => {
                    for call in self.caller.left_behind(self.limits.lease, room).await {
                        self.ask(&mut asking, call);
                    }
                }
            }
        }
        // What does not end in time, or panicked, has its row and is asked again.
        let ended = async { while asking.join_next().await.is_some() {} };
        if timeout(GRACE, ended).await.is_err() {
            tracing::info!("calls to the provider are left to whoever sweeps next");
        }
        Ok(())
    }

    fn ask(&self, asking: &mut JoinSet<()>, call: CallRow) {
        let caller = Arc::clone(&self.caller);
        asking.spawn(async move { caller.settle(call).await });
    }
}

impl<P: Provider> Caller<P> {
    async fn left_behind(&self, lease: Duration, room: usize) -> Vec<CallRow> {
        let room = i64::try_from(room).unwrap_or(i64::MAX);
        let leased = async {
            let mut db = self.pool.acquire().await?;
            store::lease_calls(&mut db, milliseconds(lease), room).await
        };
        leased.await.unwrap_or_else(|error: sqlx::Error| {
            tracing::warn!(%error, "could not look for calls left behind");
            Vec::new()
        })
    }

    /// Makes one call, and hands its answer over. Without one, its row waits for its time.
    async fn settle(&self, row: CallRow) {
        let order = row.call.order;
        let kind = kind(&row.call.operation);
        match self.ask(&row).await {
            Ok(event) => {
                metrics::call(kind, "answered");
                if self.is_silent.swap(false, Ordering::Relaxed) {
                    tracing::info!("the provider answers again");
                }
                let input = Input::Answered { order, event, trace: row.trace };
                let command = Command { input, key: None, trace: row.trace };
                // Not recorded in time: the provider tells it again when the lease has run out.
                if let Err(error) = self.mailbox.submit(command).await {
                    tracing::warn!(%error, order.id = %order, "a provider's answer is not recorded yet");
                }
            }
            Err(Unknown(why)) => {
                metrics::call(kind, "unknown");
                if !self.is_silent.swap(true, Ordering::Relaxed) {
                    tracing::warn!(order.id = %order, why, "no answer to a {kind}: it is asked again");
                }
                self.postpone(&row).await;
            }
        }
    }

    async fn ask(&self, row: &CallRow) -> Result<Event, Unknown> {
        let call = &row.call;
        let key = call.key();
        match &call.operation {
            Operation::Charge { revision, token } => {
                // Keys are not kept for ever: what may have been asked before is looked up first.
                let known =
                    if row.attempts > 0 { self.provider.charge_of(&key).await? } else { None };
                let outcome = match known {
                    Some(outcome) => outcome,
                    None => self.provider.charge(&key, call, token.expose()).await?,
                };
                Ok(Event::ChargeAnswered { revision: *revision, outcome })
            }
            Operation::Refund { number, reference } => {
                self.provider.refund(&key, call, reference).await?;
                Ok(Event::RefundAnswered { number: *number })
            }
        }
    }

    async fn postpone(&self, row: &CallRow) {
        let postponed = async {
            let mut db = self.pool.acquire().await?;
            store::postpone_call(&mut db, &row.call, milliseconds(pause(row.attempts))).await
        };
        if let Err(error) = postponed.await {
            let error: sqlx::Error = error;
            tracing::warn!(%error, "could not put a call off: it waits for its lease instead");
        }
    }
}

fn kind(operation: &Operation) -> &'static str {
    match operation {
        Operation::Charge { .. } => "charge",
        Operation::Refund { .. } => "refund",
    }
}

/// How long to leave a call alone that has been taken up again so often.
fn pause(attempts: i32) -> Duration {
    let doubled = 2_u32.saturating_pow(attempts.cast_unsigned().min(16));
    PAUSE_FIRST.saturating_mul(doubled).min(PAUSE_MAX)
}

pub(crate) fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        assert_eq!(pause(0), Duration::from_millis(250));
        assert_eq!(pause(3), Duration::from_secs(2));
        assert_eq!(pause(1_000), PAUSE_MAX);
    }
}
