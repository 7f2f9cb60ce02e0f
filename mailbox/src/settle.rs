//! Settling a batch: attempt it, and after a failure take the step that the table in `fault` names:
//! wait, deduplicate, go on without the items that need a held row, halve, or give one item up.

use std::{
    collections::HashMap,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio_util::sync::CancellationToken;

use crate::{
    Clock, CommandError,
    batch::{self, CommittedBatch, FailedAttempt},
    catch_up::CatchUp,
    fault::{self, Admission, Fault, LockPolicy, Pass, Step, Verdict, WakeUp},
    held::HeldBack,
    item::{Item, ItemOutcome, Origin},
    log,
    metrics::{self, APPLIED, DUPLICATE, PARKED, UNKNOWN},
    notices::Notices,
    parked::{self, KeyRef},
    reactor::{DecisionContext, HeldRow, Reactor},
    session::{Session, within},
    spans::BatchSpan,
    sweep::{self, WeeklyTable},
    wake::Wake,
};

/// First pause after a failure; each equal failure in a row doubles it, up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(20);
/// Pause after unknown events, which come before a batch, could not be decided.
const BACKOFF_TAKE: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// Settles the batches of one loop, one after the other, on a session of its own.
pub(crate) struct Settler<R: Reactor> {
    pub(crate) reactor: Arc<R>,
    pub(crate) session: Session,
    pub(crate) wake: Wake,
    pub(crate) clock: Clock,
    pub(crate) weekly: Vec<WeeklyTable>,
    pub(crate) notices: Arc<Notices>,
    /// The label of this loop's metrics: messages or commands.
    pub(crate) path: &'static str,
    /// Items that wait for rows which other sessions hold.
    pub(crate) held: HeldBack<R::Input>,
    /// Whether the last batch met known ids. Redeliveries come in runs, so the next batch then
    /// starts with the deduplicating insert, too.
    pub(crate) meets_duplicates: bool,
}

/// The counts of one settled batch.
#[derive(Debug, Default)]
pub(crate) struct SettleCounts {
    /// Keys that stopped newly.
    pub(crate) newly_parked: u64,
    /// Messages that took effect before.
    pub(crate) duplicates: u64,
    /// Messages that were parked, or kept because their type is unknown.
    pub(crate) set_aside: u64,
    /// Whether settling was asked to stop before the end: nothing of the rest took effect.
    pub(crate) stopped: bool,
}

enum Next {
    CommittedBatch(SettleCounts),
    Split,
    Stopped,
}

impl<R: Reactor> Settler<R> {
    /// Settles new items in order, together with those that are to be tried again. Commands are
    /// answered as soon as their part is committed. Items that need a held row are in `held`
    /// afterwards.
    pub(crate) async fn settle(
        &mut self,
        came: Vec<Item<R::Input>>,
        stop: &CancellationToken,
    ) -> SettleCounts {
        // While a row is held, each further item that needs it would make its whole batch wait for
        // the lock once more.
        let locking = if self.held.is_wary() { LockPolicy::SkipHeld } else { LockPolicy::Wait };
        let mut items = self.held.join(came);
        let mut settled = SettleCounts::default();
        let whole = 0..items.len();
        // A stack: the last part is the next one.
        let mut parts = vec![whole.clone()];
        while let Some(part) = parts.pop() {
            let admission = if part == whole && !self.meets_duplicates {
                Admission::Optimistic
            } else {
                Admission::Deduplicating
            };
            // A wait for the lock of a NOTIFY would be taken for one for a row.
            let is_free = part == whole && locking == LockPolicy::Wait;
            let wake_up = if is_free { self.wake.best_way() } else { WakeUp::AfterCommit };
            queue_behind(&mut items);
            let pass = Pass { admission, locking, wake_up };
            match self.settle_part(&mut items[part.clone()], pass, stop).await {
                Next::CommittedBatch(done) => {
                    settled.newly_parked += done.newly_parked;
                    settled.set_aside += done.set_aside;
                    settled.duplicates += done.duplicates;
                }
                Next::Split => parts.extend(halves(&part)),
                Next::Stopped => {
                    settled.stopped = true;
                    break;
                }
            }
        }
        self.held.keep(items, self.clock.now());
        settled
    }

    async fn settle_part(
        &mut self,
        items: &mut [Item<R::Input>],
        mut pass: Pass,
        stop: &CancellationToken,
    ) -> Next {
        let (mut failures, mut of_unknown) = (Failures::default(), Failures::default());
        loop {
            expire_commands(items);
            let open = items.iter().filter(|item| !item.is_over()).count();
            if open == 0 {
                return Next::CommittedBatch(SettleCounts::default());
            }
            let started = Instant::now();
            let context = DecisionContext::new(self.clock);
            let open_spans = items.iter().filter(|item| !item.is_over()).map(|item| &item.span);
            let span = BatchSpan::start(self.path, open_spans, open);
            let attempt =
                batch::attempt(&*self.reactor, &mut self.session, items, pass, &context).await;
            let broken = match attempt {
                Ok(done) if !done.first.is_empty() => {
                    self.catch_up(&done.first, items, pass.locking, &mut of_unknown).await;
                    if stop.is_cancelled() {
                        return Next::Stopped;
                    }
                    continue;
                }
                Ok(done) => {
                    let size = u32::try_from(open).unwrap_or(u32::MAX);
                    metrics::batch(self.path, started.elapsed().as_secs_f64(), size);
                    return Next::CommittedBatch(self.finish(items, done, pass.wake_up, &span));
                }
                Err(broken) => broken,
            };
            let verdict = fault::judge(&broken.fault);
            span.fail(verdict.name());
            let count = failures.count(&broken.fault);
            let next = fault::next_step(verdict, pass, open, count);
            self.recover(verdict, &broken).await;
            remember(items, &broken);
            log::failed(self.path, verdict, &broken.fault, count);
            metrics::retried(verdict.name());
            pass.admission = Admission::Deduplicating;
            self.wake.failed(pass.wake_up, broken.unsure.is_some());
            pass.wake_up = WakeUp::AfterCommit;
            match next {
                Step::Retry => {}
                Step::RetryNow => continue,
                Step::SkipHeld => {
                    pass.locking = LockPolicy::SkipHeld;
                    continue;
                }
                Step::MakePartitions => self.make_partitions().await,
                Step::Halve => return Next::Split,
                Step::HoldBack => {
                    one_open(items, hold_back);
                    return Next::CommittedBatch(SettleCounts::default());
                }
                Step::GiveUp => {
                    one_open(items, |item| give_up(item, &broken.fault));
                    continue;
                }
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return Next::Stopped,
                () = tokio::time::sleep(backoff(count)) => {}
            }
        }
    }

    /// Keeps a session whose transaction was only refused and rolled back; after any other failure
    /// nobody knows what state it is in, so it is closed.
    async fn recover(&mut self, verdict: Verdict, broken: &FailedAttempt) {
        let harmless = matches!(verdict, Verdict::Collision | Verdict::RowHeld);
        if !(harmless && broken.is_rolled_back) {
            self.session.close().await;
        }
    }

    /// Decides the unknown events that come before this batch. A failure blames no item of the
    /// batch: the batch is tried again, and finds those events again. Where a row is held, only the
    /// items of that key wait.
    async fn catch_up(
        &mut self,
        key_refs: &[KeyRef],
        items: &mut [Item<R::Input>],
        locking: LockPolicy,
        failures: &mut Failures,
    ) {
        let (reactor, wake) = (&*self.reactor, &self.wake);
        let catch_up = CatchUp { reactor, wake, clock: self.clock, locking };
        for key_ref in key_refs {
            let taken = match self.session.connection().await {
                Ok(db) => catch_up.take(db, key_ref).await,
                Err(error) => Err(Fault::NotBegun(error)),
            };
            let Err(fault) = taken else { continue };
            let verdict = fault::judge(&fault);
            log::failed(self.path, verdict, &fault, failures.count(&fault));
            self.session.close().await;
            if verdict != Verdict::RowHeld {
                return tokio::time::sleep(BACKOFF_TAKE).await;
            }
            let after = |item: &&mut Item<R::Input>| {
                item.message().is_some_and(|message| parked::key_ref(message) == *key_ref)
            };
            items.iter_mut().filter(after).for_each(hold_back);
        }
    }

    /// After the commit: wakes the relay, hands the world to the service, answers clients.
    fn finish(
        &mut self,
        items: &mut [Item<R::Input>],
        done: CommittedBatch<R::World>,
        wake_up: WakeUp,
        span: &BatchSpan,
    ) -> SettleCounts {
        if done.announced > 0 {
            self.wake.committed(wake_up, done.commit_took);
        }
        if let Some(world) = done.world {
            batch::committed(&*self.reactor, world);
        }
        let now = self.clock.now();
        for (index, park) in &done.reasons {
            if let Some(message) = items.get(*index).and_then(Item::message) {
                log::parked(message, park);
            }
        }
        let (mut applied, mut duplicates, mut parked, mut unknown) = (0, 0, 0, 0);
        for (item, outcome) in items.iter_mut().zip(done.outcomes) {
            let (count, result) = match outcome {
                ItemOutcome::Live | ItemOutcome::Applied => (&mut applied, APPLIED),
                ItemOutcome::Duplicate => (&mut duplicates, DUPLICATE),
                ItemOutcome::Parked => (&mut parked, PARKED),
                ItemOutcome::Unknown => (&mut unknown, UNKNOWN),
                ItemOutcome::Held(row) => {
                    item.held = Some(row);
                    continue;
                }
                ItemOutcome::Answered(end) => {
                    item.answer(end);
                    (&mut applied, APPLIED)
                }
            };
            *count += 1;
            if let (APPLIED, Some(message)) = (result, item.message()) {
                metrics::applied(message, now);
            }
            item.span.end(result, span);
        }
        metrics::reacted(APPLIED, applied);
        if duplicates > 0 {
            metrics::reacted(DUPLICATE, duplicates);
            metrics::duplicates(duplicates);
        }
        if parked > 0 {
            metrics::reacted(PARKED, parked);
            metrics::parked(parked);
        }
        if unknown > 0 {
            metrics::reacted(UNKNOWN, unknown);
            metrics::unknown(unknown);
        }
        self.meets_duplicates = duplicates > 0;
        let set_aside = parked + unknown;
        let newly_parked = done.newly_parked;
        SettleCounts { newly_parked, duplicates, set_aside, stopped: false }
    }

    async fn make_partitions(&mut self) {
        let made = match self.session.connection().await {
            Ok(db) => within(sweep::make_ahead(db, &self.weekly, 0)).await,
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

/// Nothing overtakes a message of its key that has to wait: if an earlier part held back a message,
/// the later ones of its key are held back, too.
fn queue_behind<I>(items: &mut [Item<I>]) {
    if items.iter().all(|item| item.held.is_none()) {
        return;
    }
    let mut waiting = HashMap::new();
    for item in items {
        let Some(key_ref) = item.message().map(parked::key_ref) else { continue };
        match &item.held {
            Some(row) => drop(waiting.insert(key_ref, row.clone())),
            None => item.held = waiting.get(&key_ref).cloned(),
        }
    }
}

/// Applies `act` to the one item that is left open.
fn one_open<I>(items: &mut [Item<I>], act: impl FnOnce(&mut Item<I>)) {
    if let Some(item) = items.iter_mut().find(|item| !item.is_over()) {
        act(item);
    }
}

/// Holds an item back for a row that is not known by name: a row below its root, whose lock was not
/// granted, or simply the time it takes. The item's own key stands in for the row.
fn hold_back<I>(item: &mut Item<I>) {
    let id = item.message().map_or_else(|| "command".to_owned(), |it| parked::key_ref(it).1);
    item.held = Some(HeldRow::new("row_of", id));
}

/// Parks one message, or tells one command's client that it failed.
fn give_up<I>(item: &mut Item<I>, fault: &Fault) {
    if item.message().is_some() {
        item.input = None;
        item.flaw = Some(fault::park(fault));
    } else {
        log::gave_up(item.trace.as_ref(), fault);
        item.answer(Err(CommandError::Failed));
    }
}

/// Answers commands whose deadline is over, because clients do not wait for ever. Whether such a
/// command took effect, the client learns by repeating it under its idempotency key.
fn expire_commands<I>(items: &mut [Item<I>]) {
    let now = Instant::now();
    for item in items {
        if item.waiting().is_some_and(|waiting| waiting.deadline <= now) {
            item.answer(Err(CommandError::Overloaded));
        }
    }
}

/// A commit may have happened although its reply was lost: its answers are remembered, and hold if
/// the ids or keys turn out to be known.
fn remember<I>(items: &mut [Item<I>], broken: &FailedAttempt) {
    let Some(outcomes) = &broken.unsure else { return };
    for (item, outcome) in items.iter_mut().zip(outcomes) {
        if let (
            Origin::Command(waiting),
            ItemOutcome::Answered(end @ (Ok(_) | Err(CommandError::KeyReused))),
        ) = (&mut item.origin, outcome)
        {
            waiting.told = Some(end.clone());
        }
    }
}

/// Pause before the next attempt: doubles from 20 ms to 5 s, spread by up to a half so that
/// instances do not come back together.
fn backoff(count: u32) -> Duration {
    let full = BACKOFF_MIN.saturating_mul(1 << count.saturating_sub(1).min(8)).min(BACKOFF_MAX);
    full.saturating_sub(full / 2).saturating_add(full * rand::random_range(0..=128) / 256)
}

/// Counts how often the same failure came in a row.
#[derive(Default)]
struct Failures {
    last: Option<String>,
    count: u32,
}

impl Failures {
    fn count(&mut self, fault: &Fault) -> u32 {
        let signature = fault::signature(fault);
        if self.last.as_ref() == Some(&signature) {
            self.count += 1;
        } else {
            self.last = Some(signature);
            self.count = 1;
        }
        self.count
    }
}
