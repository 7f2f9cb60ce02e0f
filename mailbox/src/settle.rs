//! Settling a batch: attempt it, and after a failure wait, try with care, halve, or set aside the
//! one that fails.

use std::{
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use crate::{
    CommandError,
    batch::{self, Broken, Done, Pass},
    catch_up::CatchUp,
    entry::{Entry, Fate, Origin},
    fault::{self, Verdict},
    leaves, metrics,
    notices::Notices,
    parked::Place,
    reactor::{Reactor, Turn},
    session::Session,
    wake::Wake,
};

/// Equal failures before one entry is suspected where it might also be the machine.
const EQUAL_FAILURES: u32 = 5;
/// Failures of one entry alone before it is set aside.
const FAILURES_ALONE: u32 = 3;
const BACKOFF_MIN: Duration = Duration::from_millis(20);
/// Between two tries at what comes before a batch.
const BACKOFF_TAKE: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Beyond every time-out that the server keeps by itself.
const ATTEMPT_LIMIT: Duration = Duration::from_mins(1);

/// One loop's way of settling batches, one after the other on a session of its own.
pub(crate) struct Settler<R: Reactor> {
    pub(crate) reactor: Arc<R>,
    pub(crate) session: Session,
    pub(crate) wake: Wake,
    pub(crate) clock: fn() -> OffsetDateTime,
    pub(crate) weekly: Vec<&'static str>,
    pub(crate) notices: Arc<Notices>,
    /// For metrics: messages or commands.
    pub(crate) path: &'static str,
}

/// What settling came to.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// Keys that stopped.
    pub(crate) newly_parked: u64,
    /// Messages that were parked, or kept because their type is unknown.
    pub(crate) set_aside: u64,
    /// Asked to stop before the end: nothing of the rest took effect.
    pub(crate) stopped: bool,
}

enum Next {
    Done(Settled),
    Split,
    Stopped,
}

impl<R: Reactor> Settler<R> {
    /// Settles all entries, in order. Commands are answered as soon as their part is committed.
    pub(crate) async fn settle(
        &mut self,
        entries: &mut [Entry<R::Input>],
        stop: &CancellationToken,
    ) -> Settled {
        let mut settled = Settled::default();
        let whole = 0..entries.len();
        // The last part is the next one.
        let mut parts = vec![whole.clone()];
        while let Some(part) = parts.pop() {
            let pass = if part == whole { Pass::Hopeful } else { Pass::Careful };
            match self.settle_part(&mut entries[part.clone()], pass, stop).await {
                Next::Done(done) => {
                    settled.newly_parked += done.newly_parked;
                    settled.set_aside += done.set_aside;
                }
                Next::Split => parts.extend(halves(&part)),
                Next::Stopped => {
                    settled.stopped = true;
                    break;
                }
            }
        }
        settled
    }

    async fn settle_part(
        &mut self,
        entries: &mut [Entry<R::Input>],
        first_pass: Pass,
        stop: &CancellationToken,
    ) -> Next {
        let mut pass = first_pass;
        let mut failures = Failures::default();
        loop {
            expire_commands(entries);
            if entries.iter().all(is_answered) {
                return Next::Done(Settled::default());
            }
            let started = Instant::now();
            let broken = match self.attempt(entries, pass).await {
                Ok(done) if !done.first.is_empty() => {
                    self.catch_up(&done.first).await;
                    if stop.is_cancelled() {
                        return Next::Stopped;
                    }
                    continue;
                }
                Ok(done) => {
                    let size = u32::try_from(entries.len()).unwrap_or(u32::MAX);
                    metrics::batch(self.path, started.elapsed().as_secs_f64(), size);
                    return Next::Done(self.finish(entries, done));
                }
                Err(broken) => broken,
            };
            let hopeful = std::mem::replace(&mut pass, Pass::Careful) == Pass::Hopeful;
            let verdict = fault::judge(&broken.error);
            self.session.close().await;
            remember(entries, &broken);
            let count = failures.count(&broken.error);
            match verdict {
                // Redelivery is ordinary: the careful pass follows at once.
                Verdict::Collision if hopeful => continue,
                Verdict::Halve if entries.len() > 1 => return Next::Split,
                Verdict::Suspect { at_once: true } if hopeful => {}
                Verdict::Suspect { .. } | Verdict::Collision
                    if entries.len() > 1
                        && (verdict == Verdict::Suspect { at_once: true }
                            || count >= EQUAL_FAILURES) =>
                {
                    return Next::Split;
                }
                Verdict::Suspect { .. } | Verdict::Collision
                    if entries.len() == 1 && count >= FAILURES_ALONE =>
                {
                    give_up(&mut entries[0], &broken.error);
                }
                Verdict::MissingPartition => self.make_partitions().await,
                _ => {}
            }
            tell(self.path, verdict, &broken.error, count);
            metrics::retried(verdict.name());
            if stop.is_cancelled() {
                return Next::Stopped;
            }
            tokio::time::sleep(backoff(count)).await;
        }
    }

    async fn attempt(
        &mut self,
        entries: &[Entry<R::Input>],
        pass: Pass,
    ) -> Result<Done<R::World>, Broken> {
        let turn = Turn::at((self.clock)());
        let db = self.session.connection().await?;
        let attempt = batch::attempt(&*self.reactor, db, entries, pass, &turn);
        match tokio::time::timeout(ATTEMPT_LIMIT, attempt).await {
            Ok(ended) => ended,
            Err(_elapsed) => Err(Broken { error: sqlx::Error::PoolTimedOut, unsure: None }),
        }
    }

    /// Decides the events that come before this batch. A failure is nobody's in the batch: it asks
    /// again when it is tried again.
    async fn catch_up(&mut self, places: &[Place]) {
        let catch_up = CatchUp { reactor: &*self.reactor, wake: &self.wake, clock: self.clock };
        for place in places {
            let taken = match self.session.connection().await {
                Ok(db) => catch_up.take(db, place).await,
                Err(error) => Err(error),
            };
            if let Err(error) = taken {
                tell(self.path, Verdict::Wait, &error, 1);
                self.session.close().await;
                return tokio::time::sleep(BACKOFF_TAKE).await;
            }
        }
    }

    /// After the commit: wake the relay, hand out effects, answer.
    fn finish(&self, entries: &mut [Entry<R::Input>], done: Done<R::World>) -> Settled {
        if done.announced > 0 {
            self.wake.poke();
        }
        if let Some(world) = done.world {
            self.reactor.committed(world);
        }
        let (mut applied, mut duplicate, mut parked, mut unknown) = (0, 0, 0, 0);
        for (entry, fate) in entries.iter_mut().zip(done.fates) {
            match fate {
                Fate::Live | Fate::Applied => applied += 1,
                Fate::Duplicate => duplicate += 1,
                Fate::Parked => parked += 1,
                Fate::Unknown => unknown += 1,
                Fate::Answered(end) => {
                    applied += 1;
                    entry.answer(end);
                }
            }
        }
        metrics::reacted("applied", applied);
        if duplicate > 0 {
            metrics::reacted("duplicate", duplicate);
            metrics::duplicates(duplicate);
        }
        if parked > 0 {
            metrics::reacted("parked", parked);
            metrics::parked(parked);
        }
        if unknown > 0 {
            metrics::reacted("unknown", unknown);
            metrics::unknown(unknown);
        }
        let set_aside = parked + unknown;
        Settled { newly_parked: done.newly_parked, set_aside, stopped: false }
    }

    async fn make_partitions(&mut self) {
        let made = match self.session.connection().await {
            Ok(db) => leaves::make_ahead(db, &self.weekly, 0).await,
            Err(error) => Err(error),
        };
        if let Err(error) = made {
            tracing::error!(error = &error as &dyn std::error::Error, "could not make partitions");
            self.session.close().await;
        }
    }
}

fn halves(part: &Range<usize>) -> [Range<usize>; 2] {
    let middle = part.start + part.len() / 2;
    [middle..part.end, part.start..middle]
}

fn is_answered<I>(entry: &Entry<I>) -> bool {
    entry.waiting().is_some_and(|waiting| waiting.reply.is_none())
}

/// Clients do not wait for ever: whether an expired command took effect, its key will tell.
fn expire_commands<I>(entries: &mut [Entry<I>]) {
    let now = Instant::now();
    for entry in entries {
        if entry.waiting().is_some_and(|waiting| waiting.deadline <= now) {
            entry.answer(Err(CommandError::Overloaded));
        }
    }
}

/// A commit may have happened although its answer was lost: its fates hold if the ids turn out to
/// be admitted.
fn remember<I>(entries: &mut [Entry<I>], broken: &Broken) {
    let Some(fates) = &broken.unsure else { return };
    for (entry, fate) in entries.iter_mut().zip(fates) {
        if let (Origin::Command(waiting), Fate::Answered(end)) = (&mut entry.origin, fate) {
            waiting.told = Some(end.clone());
        }
    }
}

/// Sets one message aside, or tells one command that it failed.
fn give_up<I>(entry: &mut Entry<I>, error: &sqlx::Error) {
    entry.answer(Err(CommandError::Failed));
    if entry.message().is_some() {
        entry.input = None;
        entry.flaw = Some(fault::park(error));
    }
}

fn tell(path: &'static str, verdict: Verdict, error: &sqlx::Error, count: u32) {
    let error = error as &dyn std::error::Error;
    match verdict {
        Verdict::Stall => {
            tracing::error!(path, count, error, "the database's schema is not this build's");
        }
        Verdict::Suspect { .. } => {
            tracing::error!(path, count, error, "the database refuses a batch");
        }
        _ => tracing::warn!(path, count, error, "a batch has to be done again"),
    }
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Collision => "collision",
            Self::MissingPartition => "missing_partition",
            Self::Stall => "stall",
            Self::Halve => "halve",
            Self::Suspect { .. } => "suspect",
        }
    }
}

/// Doubles from 20 ms to 5 s, spread by up to a half so that instances do not come back together.
fn backoff(count: u32) -> Duration {
    let full = BACKOFF_MIN.saturating_mul(1 << count.saturating_sub(1).min(8)).min(BACKOFF_MAX);
    full.saturating_sub(full / 2).saturating_add(full * rand::random_range(0..=128) / 256)
}

/// How often the same failure came in a row.
#[derive(Default)]
struct Failures {
    last: Option<String>,
    count: u32,
}

impl Failures {
    fn count(&mut self, error: &sqlx::Error) -> u32 {
        let signature = fault::signature(error);
        if self.last.as_ref() == Some(&signature) {
            self.count += 1;
        } else {
            self.last = Some(signature);
            self.count = 1;
        }
        self.count
    }
}
