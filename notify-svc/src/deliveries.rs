//! Delivers notifications: a worker for each channel, so that one provider that hangs delays no
//! other channel.
//!
//! A delivery is a row before it is attempted, leased to the process that queued it. Each attempt
//! is counted in the row before the provider is asked, and a process whose count is not the row's
//! has lost the delivery to another. So two processes never send one notification at the same time.
//! One that was sent and not recorded, because the process died in between or the answer was lost,
//! is sent again when its lease is over, under the same id: at least once, and a reader can
//! recognise the second copy. What was refused for now is put off, for longer each time.

use std::{
    collections::{HashSet, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chassis::{TraceParent, clock};
use mailbox::{Command, Mailbox};
use sqlx::PgPool;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    carriers::{Carrier, CarrierError, OutgoingMessage},
    domain::{Channel, Failure},
    input::{DeliveryEnd, Input},
    metrics,
    reactions::Notify,
    store,
    templates::Templates,
    views::masked,
    world::Job,
};

/// Deliveries that the sweep takes over at once: few enough that a lease outlasts their waiting.
const SWEEP_MAX: i64 = 100;
/// How often the sweep looks for deliveries that are due.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// How long an attempt may take; with the record of its end it fits into a lease.
pub const ATTEMPT_MAX: Duration = Duration::from_secs(12);
/// Pauses after failed attempts: twice as long each time, from the first to the longest.
const PAUSE_FIRST: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_hours(1);
/// How long attempts under way may take once the process is asked to stop.
const GRACE: Duration = Duration::from_secs(3);

/// What the workers share.
#[derive(Clone)]
pub struct DeliveryRoom {
    pub mailbox: Mailbox<Notify>,
    pub pool: PgPool,
    pub templates: Arc<Templates>,
    /// From its making on, how long a notification is tried.
    pub give_up_after: Duration,
    /// Attempts at once on a channel.
    pub attempts_at_once: usize,
    /// How long an attempt may take: [`ATTEMPT_MAX`] at most.
    pub attempt_timeout: Duration,
}

/// Delivers the notifications of one channel until it is asked to stop, and ends the attempts under
/// way: those that this process queued, and those whose time has come.
pub async fn deliver<C: Carrier>(
    (channel, carrier): (Channel, C),
    mut jobs: mpsc::Receiver<Vec<Job>>,
    room: DeliveryRoom,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let slots = room.attempts_at_once;
    let (silent, is_blind) = (AtomicBool::new(false), AtomicBool::new(false));
    let worker = Arc::new(Worker { channel, carrier, room, silent, is_blind });
    let (mut waiting, mut sending) = (VecDeque::new(), JoinSet::new());
    let mut sweep = interval(SWEEP_EVERY);
    sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // The sweep looks only when no job waits here, so it finds no lease that this process still
        // uses.
        let is_idle = waiting.is_empty();
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = sending.join_next() => {}
            Some(batch) = jobs.recv(), if is_idle => waiting.extend(batch),
            _ = sweep.tick(), if is_idle && jobs.is_empty() && sending.len() < slots => {
                waiting.extend(worker.due().await);
                if waiting.len() >= usize::try_from(SWEEP_MAX)? {
                    // As many were found as are looked for at once: more may be due.
                    sweep.reset_immediately();
                }
            }
        }
        let free = slots.saturating_sub(sending.len()).min(waiting.len());
        let begun = worker.begin(waiting.drain(..free).collect()).await;
        for job in begun {
            let worker = Arc::clone(&worker);
            sending.spawn(async move { worker.attempt(job).await });
        }
        if jobs.is_closed() && jobs.is_empty() && waiting.is_empty() && sending.is_empty() {
            return Ok(());
        }
    }
    // An attempt that does not end in time still has its row, and is made again.
    let ended = async { while sending.join_next().await.is_some() {} };
    if timeout(GRACE, ended).await.is_err() {
        tracing::info!("deliveries under way are left to whoever sweeps next");
    }
    Ok(())
}

struct Worker<C> {
    channel: Channel,
    carrier: C,
    room: DeliveryRoom,
    /// Whether the last attempt failed for now: logged once, not for each.
    silent: AtomicBool,
    /// Whether the last look for what is due failed: logged once as well.
    is_blind: AtomicBool,
}

impl<C: Carrier> Worker<C> {
    /// Takes over deliveries that are due.
    async fn due(&self) -> Vec<Job> {
        let look = async {
            let mut db = self.room.pool.acquire().await?;
            store::deliveries::take_over(&mut db, self.channel, SWEEP_MAX).await
        };
        let found: sqlx::Result<Vec<Job>> = look.await;
        let was_blind = self.is_blind.swap(found.is_err(), Ordering::Relaxed);
        found.unwrap_or_else(|error| {
            if !was_blind {
                let (channel, error) = (self.channel.as_str(), &error as &dyn std::error::Error);
                tracing::warn!(channel, error, "could not look for deliveries that are due");
            }
            Vec::new()
        })
    }

    /// Begins those deliveries that still belong to this process, and drops the others.
    async fn begin(&self, mut batch: Vec<Job>) -> Vec<Job> {
        if batch.is_empty() {
            return batch;
        }
        let begun = async {
            let mut db = self.room.pool.acquire().await?;
            store::deliveries::begin(&mut db, &batch).await
        };
        let ours: HashSet<_> = match begun.await {
            Ok(ids) => ids.into_iter().collect(),
            Err(error) => {
                // The leases of these deliveries run out, and the sweep finds them again.
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    channel = self.channel.as_str(),
                    deliveries = batch.len(),
                    "could not begin deliveries"
                );
                HashSet::new()
            }
        };
        batch.retain_mut(|job| {
            job.attempts += 1;
            ours.contains(&job.id.uuid())
        });
        batch
    }

    /// Makes one attempt, and records what became of it.
    async fn attempt(&self, job: Job) {
        let outcome = match &job.to {
            None => Err((Failure::Erased, "the customer was erased".to_owned())),
            Some(to) => match self.carry(&job, to).await {
                Ok(provider_id) => {
                    self.answered("sent");
                    Ok(provider_id)
                }
                Err(CarrierError::Refused(why)) => {
                    self.answered("refused");
                    Err((Failure::Refused, unaddressed(&why, to, self.channel)))
                }
                Err(CarrierError::Later { why, after }) => {
                    let why = unaddressed(&why, to, self.channel);
                    self.unanswered(&why);
                    let pause = after.unwrap_or_default().max(pause_after(
                        job.attempts,
                        PAUSE_FIRST,
                        PAUSE_MAX,
                    ));
                    if clock::now() + pause < job.created_at + self.room.give_up_after {
                        return self.postpone(&job, pause, &why).await;
                    }
                    Err((Failure::Undelivered, why))
                }
            },
        };
        let Job { id, order, attempts, trace, .. } = job;
        let end = DeliveryEnd { id, order, attempts, outcome };
        let command = Command { trace, ..Command::new(Input::Ended(Box::new(end))) };
        // What was not recorded in time is attempted again when its lease is over.
        if let Err(error) = self.room.mailbox.submit(command).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                notification_id = %id,
                order_id = order.map(tracing::field::display),
                trace_id = trace.map(|trace| TraceParent::from_bytes(&trace).trace_id()),
                "the end of a delivery is not recorded yet"
            );
        }
    }

    async fn carry(&self, job: &Job, to: &str) -> Result<Option<String>, CarrierError> {
        let templates = &self.room.templates;
        let text = templates.text(self.channel, job.language, job.template, &job.fields);
        let message = OutgoingMessage { id: job.id, to, text: &text };
        timeout(self.room.attempt_timeout, self.carrier.carry(message))
            .await
            .unwrap_or_else(|_| Err(CarrierError::later("no answer in time")))
    }

    async fn postpone(&self, job: &Job, pause: Duration, why: &str) {
        let put_off = async {
            let mut db = self.room.pool.acquire().await?;
            store::deliveries::postpone(&mut db, job, pause, why).await
        };
        let put_off: sqlx::Result<()> = put_off.await;
        if let Err(error) = put_off {
            // Its lease runs out, and the sweep finds it again.
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                notification_id = %job.id,
                order_id = job.order.map(tracing::field::display),
                "could not put a delivery off"
            );
        }
    }

    fn answered(&self, result: &'static str) {
        metrics::attempt(self.channel, result);
        if self.silent.swap(false, Ordering::Relaxed) {
            tracing::info!(channel = self.channel.as_str(), "notifications are taken again");
        }
    }

    fn unanswered(&self, why: &str) {
        metrics::attempt(self.channel, "later");
        if !self.silent.swap(true, Ordering::Relaxed) {
            tracing::warn!(channel = self.channel.as_str(), reason = why, "a notification waits");
        }
    }
}

/// How long to wait after this many attempts: between half and all of a time that doubles from
/// `first` to `max`, so that what failed together is not tried again together.
pub(crate) fn pause_after(attempts: i32, first: Duration, max: Duration) -> Duration {
    let doublings = u32::try_from(attempts.clamp(1, 20) - 1).unwrap_or_default();
    let longest = first.saturating_mul(1 << doublings).min(max);
    rand::random_range(longest / 2..=longest)
}

/// What a provider says, without the address that it may repeat, in whatever case.
fn unaddressed(why: &str, to: &str, channel: Channel) -> String {
    let masked = masked(to, channel == Channel::Email);
    let (mut rest, mut said) = (why, String::new());
    while let Some(at) = rest.to_ascii_lowercase().find(&to.to_ascii_lowercase()) {
        said.push_str(&rest[..at]);
        said.push_str(&masked);
        rest = &rest[at + to.len()..];
    }
    said + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour_and_are_never_the_same() {
        for (attempts, longest) in [(1, 1), (2, 2), (5, 16), (12, 2_048), (13, 3_600), (99, 3_600)]
        {
            let longest = Duration::from_secs(longest);
            let pauses: Vec<_> =
                (0..100).map(|_| pause_after(attempts, PAUSE_FIRST, PAUSE_MAX)).collect();
            assert!(pauses.iter().all(|pause| (longest / 2..=longest).contains(pause)));
            assert_ne!(pauses.iter().min(), pauses.iter().max());
        }
    }

    #[test]
    fn an_address_that_a_provider_repeats_is_masked() {
        let mail = |why: &str| unaddressed(why, "jane@shop.example", Channel::Email);
        let masked = "550 <j***@shop.example> is unknown";
        assert_eq!(mail("550 <jane@shop.example> is unknown"), masked);
        assert_eq!(mail("550 <Jane@SHOP.example> is unknown"), masked);
        assert_eq!(unaddressed("no x@y here", "x@y", Channel::Push), "no x*** here");
    }
}
