//! Calls to the provider: leased rows, asked outside of any transaction, answered as inputs.
//!
//! A call begins with its row leased to this process, and is handed over to this file after the
//! commit. When its process dies or an answer is lost, the sweep takes the call over once its lease
//! has run out. So nobody asks the provider without a lease: a call that waited here for too long
//! is dropped, a call whose answer takes too long is given up, and what a process does after it has
//! lost its lease is void. A lost answer is unknown, never a decline: the provider is asked again,
//! with the same idempotency key, until there is an answer. Recording an answer removes the row in
//! the transaction that says what became of the money, so nothing is forgotten between the two.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chassis::{Health, TraceParent, spans};
use mailbox::{Command, Mailbox};
use proto::{SealKeyRing, limits};
use sqlx::PgPool;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use crate::{
    domain::{ChargeOutcome, DeclineCode, Event, Operation, Token},
    input::Input,
    metrics,
    provider::{Provider, ProviderError, ProviderResult},
    reactions::Payments,
    store::{self, provider_calls::UnansweredCalls, refunds::RefusedRefunds},
    world::CallRow,
};

/// Calls that wait for the provider at the same time: slow answers must not hold up other calls.
pub const IN_FLIGHT_MAX: usize = 128;
/// Back-off after lost answers: twice as long each time, from the first to the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// From when on a call without an answer is reported: a provider that is only slow does answer.
const UNANSWERED_SECONDS: i64 = 10;
/// How long before the end of its lease a call is given up: a timer may be late, and whoever takes
/// the call over must not ask beside us.
const GIVE_UP_BEFORE: Duration = Duration::from_millis(100);
/// How long calls under way may take once the process is asked to stop.
const GRACE: Duration = Duration::from_secs(3);

/// How calls are leased and looked for.
#[derive(Clone, Copy, Debug)]
pub struct CallLimits {
    /// How long a call belongs to the process that makes it: longer than any call takes.
    pub lease: Duration,
    /// How long a call may take. A call with less than this left of its lease is left to the sweep.
    pub longest: Duration,
    /// How often the sweep looks for calls whose lease has run out.
    pub sweep: Duration,
}

/// Makes the calls of this process.
pub struct Charges<P> {
    caller: Arc<Caller<P>>,
    begun: mpsc::Receiver<CallRow>,
    limits: CallLimits,
}

struct Caller<P> {
    provider: P,
    mailbox: Mailbox<Payments>,
    pool: PgPool,
    /// Opens the tokens of calls that are taken over.
    keys: SealKeyRing,
    /// Whether the last answer was lost, of charges and of refunds: logged once, not for every
    /// call.
    silent: Silent,
}

#[derive(Default)]
struct Silent {
    charges: AtomicBool,
    refunds: AtomicBool,
    /// The same of the database, when it is asked for calls left behind.
    sweeps: AtomicBool,
}

impl<P: Provider> Charges<P> {
    /// The calls of this process: those that `begun` brings, and those that the sweep takes over.
    pub fn new(
        provider: P,
        (mailbox, pool): (Mailbox<Payments>, PgPool),
        keys: SealKeyRing,
        begun: mpsc::Receiver<CallRow>,
        limits: CallLimits,
    ) -> Self {
        let caller = Caller { provider, mailbox, pool, keys, silent: Silent::default() };
        Self { caller: Arc::new(caller), begun, limits }
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
        // A call that does not end in time, or panicked, still has its row and is asked again.
        let ended = async { while asking.join_next().await.is_some() {} };
        if timeout(GRACE, ended).await.is_err() {
            tracing::info!("calls to the provider are left to whoever sweeps next");
        }
        Ok(())
    }

    fn ask(&self, asking: &mut JoinSet<()>, call: CallRow) {
        if call.leased_until < Instant::now() + self.limits.longest {
            metrics::call(kind(&call.call.operation), "lapsed");
            return;
        }
        let caller = Arc::clone(&self.caller);
        asking.spawn(async move { caller.settle(call).await });
    }
}

impl<P: Provider> Caller<P> {
    /// Calls whose lease has run out. One that cannot be read is told, and nobody makes it.
    async fn left_behind(&self, lease: Duration, room: usize) -> Vec<CallRow> {
        let room = i64::try_from(room).unwrap_or(i64::MAX);
        let leased = async {
            let mut db = self.pool.acquire().await?;
            store::provider_calls::lease(&mut db, lease, room, &self.keys).await
        };
        let found: sqlx::Result<Vec<_>> = leased.await;
        let was_silent = self.silent.sweeps.swap(found.is_err(), Ordering::Relaxed);
        let found = found.unwrap_or_else(|error| {
            if !was_silent {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "could not look for calls left behind");
            }
            Vec::new()
        });
        let readable = found.into_iter().filter_map(|call| match call {
            Ok(call) => Some(call),
            Err((order, error)) => {
                let error = &error as &dyn std::error::Error;
                tracing::error!(order_id = %order, error, "a call to the provider cannot be read");
                None
            }
        });
        readable.collect()
    }

    /// Makes one call, and submits its answer as an input. Without an answer the call is put off.
    async fn settle(&self, row: CallRow) {
        let order = row.call.order;
        let trace_id = row.trace.map(|trace| TraceParent::from_bytes(&trace).trace_id());
        let kind = kind(&row.call.operation);
        let silent = match row.call.operation {
            Operation::Charge { .. } => &self.silent.charges,
            Operation::Refund { .. } => &self.silent.refunds,
        };
        let late = || Err(ProviderError::Unknown("its lease is over".to_owned()));
        let (call, asked_at) = (spans::call(kind, row.trace.as_ref()), Instant::now());
        let answer = timeout_at(row.leased_until - GIVE_UP_BEFORE, self.ask(&row))
            .await
            .unwrap_or_else(|_| late());
        drop(call);
        metrics::call_took(kind, asked_at.elapsed());
        let (event, result) = match answer {
            Ok(event) => (event, "answered"),
            Err(ProviderError::Refused(why)) => {
                let reason = without_token(&why, &row.call.operation);
                tracing::error!(order_id = %order, trace_id, kind, reason, "the provider refuses");
                (refused(&row.call.operation, reason), "refused")
            }
            Err(ProviderError::Unknown(why)) => {
                metrics::call(kind, "unknown");
                if !silent.swap(true, Ordering::Relaxed) {
                    let reason = without_token(&why, &row.call.operation);
                    tracing::warn!(order_id = %order, trace_id, kind, reason, "no answer yet");
                }
                return self.postpone(&row).await;
            }
        };
        metrics::call(kind, result);
        if silent.swap(false, Ordering::Relaxed) {
            tracing::info!(kind, "the provider answers again");
        }
        let input = Input::Answered { order, event, attempts: row.attempts, trace: row.trace };
        let command = Command { trace: row.trace, ..Command::new(input) };
        // An answer that was not recorded in time is asked for again when the lease has run out.
        if let Err(error) = self.mailbox.submit(command).await {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(order_id = %order, trace_id, error, "an answer is not recorded yet");
        }
    }

    /// Asks the provider. Providers do not keep idempotency keys for ever, so what may have been
    /// asked before is looked up first, in the provider's own way.
    async fn ask(&self, row: &CallRow) -> ProviderResult<Event> {
        let call = &row.call;
        let key = call.key();
        let is_first = row.attempts == 0;
        match &call.operation {
            Operation::Charge { revision, token } => {
                let known = if is_first {
                    None
                } else {
                    self.provider.charge_of(&key, call, row.age).await?
                };
                let outcome = match known {
                    Some(outcome) => outcome,
                    None if *token == Token::unreadable() => {
                        let why = "the seal key of its card's token is not among ours";
                        return Err(ProviderError::Unknown(why.to_owned()));
                    }
                    None => self.provider.charge(&key, call, token.expose()).await?,
                };
                Ok(Event::ChargeAnswered { revision: *revision, outcome })
            }
            Operation::Refund { number, reference } => {
                let is_done = !is_first && self.provider.refund_of(&key, call, reference).await?;
                if !is_done {
                    self.provider.refund(&key, call, reference).await?;
                }
                Ok(Event::RefundAnswered { number: *number })
            }
        }
    }

    async fn postpone(&self, row: &CallRow) {
        let postponed = async {
            let mut db = self.pool.acquire().await?;
            store::provider_calls::postpone(&mut db, row, pause(row.attempts)).await
        };
        if let Err(error) = postponed.await {
            let error: sqlx::Error = error;
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                order_id = %row.call.order,
                "could not put a call off: it waits for its lease instead"
            );
        }
    }
}

/// Reports in the health which calls the provider has not answered, and which refunds it refused.
pub fn watch(health: &Health, pool: &PgPool) {
    let asked = pool.clone();
    health.notice("provider", move || {
        let pool = asked.clone();
        async move {
            let mut db = pool.acquire().await.map_err(|error| error.to_string())?;
            let unanswered = store::provider_calls::unanswered(&mut db).await;
            let UnansweredCalls { calls, seconds } =
                unanswered.map_err(|error| error.to_string())?;
            if seconds < UNANSWERED_SECONDS {
                return Ok(());
            }
            Err(format!("{calls} calls have no answer yet, the oldest after {seconds} s"))
        }
    });
    let refused = pool.clone();
    health.notice("refunds", move || {
        let pool = refused.clone();
        async move {
            let mut db = pool.acquire().await.map_err(|error| error.to_string())?;
            let waiting = store::refunds::waiting_for_staff(&mut db).await;
            match waiting.map_err(|error| error.to_string())? {
                None => Ok(()),
                Some(RefusedRefunds { count, first, reason }) => Err(format!(
                    "{count} of cancelled orders were refused and wait for staff, that of {first} \
                     first: {reason}"
                )),
            }
        }
    });
}

/// What a provider says, without the card's token that it may repeat: whoever has that can charge
/// the card.
fn without_token(why: &str, operation: &Operation) -> String {
    match operation {
        Operation::Charge { token, .. } if *token != Token::unreadable() => {
            let said = why.replace(token.expose(), "(token)");
            said.chars().take(limits::TEXT_CHARS_MAX).collect()
        }
        Operation::Charge { .. } | Operation::Refund { .. } => why.to_owned(),
    }
}

/// What a refused call comes to. A refused charge brings no money, so it is declined; a refused
/// refund stays undone.
fn refused(operation: &Operation, reason: String) -> Event {
    match operation {
        Operation::Charge { revision, .. } => {
            let code = DeclineCode::CardDeclined;
            let outcome = ChargeOutcome::Declined { code, detail: reason.into() };
            Event::ChargeAnswered { revision: *revision, outcome }
        }
        Operation::Refund { number, .. } => {
            Event::RefundRefused { number: *number, reason: reason.into() }
        }
    }
}

fn kind(operation: &Operation) -> &'static str {
    match operation {
        Operation::Charge { .. } => "charge",
        Operation::Refund { .. } => "refund",
    }
}

/// The back-off of a call that has been taken over this many times.
fn pause(attempts: i32) -> Duration {
    let doubled = 2_u32.saturating_pow(attempts.cast_unsigned().min(16));
    PAUSE_FIRST.saturating_mul(doubled).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_a_provider_repeats_is_left_out() {
        let charge = |token: &str| Operation::Charge { revision: 1, token: Token::new(token) };
        let why = "status 400 No such PaymentMethod: 'pm_card_visa'";

        let said = without_token(why, &charge("pm_card_visa"));
        assert_eq!(said, "status 400 No such PaymentMethod: '(token)'");
        assert_eq!(without_token(why, &charge("")), why, "it cannot be read, so nobody sent it");
    }

    #[test]
    fn pauses_grow_and_stay_bounded() {
        assert_eq!(pause(0), Duration::from_millis(250));
        assert_eq!(pause(3), Duration::from_secs(2));
        assert_eq!(pause(1_000), PAUSE_MAX);
    }
}
