//! One attempt at a batch: one transaction that admits, loads, decides, saves and appends, and
//! nothing else.
//!
//! The order of statements is the order of locks: inbox ids, parked keys, whatever the service
//! loads, and idempotency keys at the very end. All batches, of messages and of commands, go
//! through here, so no two of them take their locks the other way round.

use std::{
    collections::{HashMap, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use futures::FutureExt;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::{
    CommandError, Outcome,
    decide::{Batch, DecideOptions, OnPark},
    fault::{self, Admission, Fault, LockPolicy, Pass, WakeUp},
    idempotency, inbox,
    item::{Item, ItemOutcome},
    message::{Message, Park},
    parked::{self, KeyRef},
    reactor::{DecisionContext, Reactor},
    session::{self, Session, within},
    unknown,
};

/// Limit of one attempt: a batch that takes longer is halved. It is above the limit of one
/// statement (`session`) and above any command's deadline.
pub(crate) const ATTEMPT_LIMIT: Duration = Duration::from_secs(20);

/// Limits a transaction that no caller would hang up on: released messages, unknown events.
pub(crate) async fn in_time<T, E: From<Fault>>(
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::time::timeout(ATTEMPT_LIMIT, work).await.unwrap_or_else(|_| Err(Fault::TooSlow.into()))
}

/// What a committed attempt did.
pub(crate) struct CommittedBatch<W> {
    pub(crate) outcomes: Vec<ItemOutcome>,
    pub(crate) world: Option<W>,
    pub(crate) announced: usize,
    /// How long the commit took.
    pub(crate) commit_took: Duration,
    pub(crate) newly_parked: u64,
    /// Why each message that stopped its key did so, by its index in the batch.
    pub(crate) reasons: HashMap<usize, Park>,
    /// Keys with unknown events (`unknown`) that are to be decided before this batch; if there are
    /// any, nothing else was done.
    pub(crate) first: Vec<KeyRef>,
}

/// A failed attempt.
#[derive(Debug)]
pub(crate) struct FailedAttempt {
    pub(crate) fault: Fault,
    /// Set when the commit itself failed: it may have happened, and then these are the outcomes.
    pub(crate) unsure: Option<Vec<ItemOutcome>>,
    /// Whether the transaction was rolled back, so that the session can be used again.
    pub(crate) is_rolled_back: bool,
}

impl From<Fault> for FailedAttempt {
    fn from(fault: Fault) -> Self {
        Self { fault, unsure: None, is_rolled_back: false }
    }
}

/// Runs one batch in one transaction.
pub(crate) async fn attempt<R: Reactor>(
    reactor: &R,
    session: &mut Session,
    items: &[Item<R::Input>],
    pass: Pass,
    context: &DecisionContext,
) -> Result<CommittedBatch<R::World>, FailedAttempt> {
    let db = session.connection().await.map_err(Fault::NotBegun)?;
    let mut tx = within(db.begin()).await.map_err(Fault::NotBegun)?;
    let work = unpanicked(work(reactor, &mut tx, items, pass, context));
    let done = match tokio::time::timeout(ATTEMPT_LIMIT, work).await {
        Ok(Ok(done)) if !done.first.is_empty() => {
            within(tx.rollback()).await.map_err(Fault::from)?;
            return Ok(done);
        }
        Ok(Ok(done)) => done,
        // The server itself reported the error, so it is answering: a rollback will do.
        Ok(Err(fault @ (Fault::Database(sqlx::Error::Database(_)) | Fault::KeyTaken))) => {
            let is_rolled_back = within(tx.rollback()).await.is_ok();
            return Err(FailedAttempt { fault, unsure: None, is_rolled_back });
        }
        Ok(Err(fault)) => return Err(fault.into()),
        Err(_elapsed) => return Err(Fault::TooSlow.into()),
    };
    let started = Instant::now();
    match within(tx.commit()).await {
        Ok(()) => Ok(CommittedBatch { commit_took: started.elapsed(), ..done }),
        Err(error) => Err(FailedAttempt {
            fault: error.into(),
            unsure: Some(done.outcomes),
            is_rolled_back: false,
        }),
    }
}

/// Turns a panic of the service's own code into a fault; halving the batch then finds the item at
/// which it panics.
async fn unpanicked<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| Err(Fault::Panicked(fault::panic_text(&*panic))))
}

/// Hands the committed world to the service. A panic in there comes after the commit: it is logged,
/// and changes nothing else.
pub(crate) fn committed<R: Reactor>(reactor: &R, world: R::World) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| reactor.committed(world))) {
        let panic = fault::panic_text(&*panic);
        tracing::error!(panic, "a reactor panicked after the commit; the batch is committed");
    }
}

/// Everything of a batch between its begin and its commit.
async fn work<R: Reactor>(
    reactor: &R,
    db: &mut PgConnection,
    items: &[Item<R::Input>],
    pass: Pass,
    context: &DecisionContext,
) -> Result<CommittedBatch<R::World>, Fault> {
    let Pass { admission, locking, wake_up } = pass;
    let options = DecideOptions { context, locking, on_park: OnPark::SetAside, wake_up };
    let mut batch = Batch::new(reactor, items, options);
    if locking == LockPolicy::SkipHeld {
        session::shorten_lock_timeout(db).await?;
    }
    let some_aside = batch.admit(db, admission).await?;
    batch.answer_known(db).await?;
    let first = if some_aside { batch.divert(db).await? } else { Vec::new() };
    if !first.is_empty() {
        let (outcomes, commit_took) = (batch.outcomes, Duration::ZERO);
        let (announced, newly_parked, reasons) = (0, 0, HashMap::new());
        return Ok(CommittedBatch {
            outcomes,
            world: None,
            announced,
            commit_took,
            newly_parked,
            reasons,
            first,
        });
    }
    let world = batch.decide(db).await?;
    let newly_parked = batch.set_aside(db).await?;
    let answers = batch.answers();
    if !answers.is_empty() && !idempotency::keep(db, &answers).await? {
        return Err(Fault::KeyTaken);
    }
    let Batch { outcomes, announced, reasons, .. } = batch;
    let (announced, commit_took) = (announced.len(), Duration::ZERO);
    Ok(CommittedBatch { outcomes, world, announced, commit_took, newly_parked, reasons, first })
}

/// What came of releasing parked messages of one key, or of deciding unknown events.
pub(crate) struct ReleaseOutcome<W> {
    /// How many of the messages, from the first, were decided.
    pub(crate) decided: usize,
    /// Why the next message, and with it the rest, stays parked.
    pub(crate) refused: Option<Park>,
    pub(crate) world: Option<W>,
}

/// Decides messages of one key in order, within a transaction of the caller that holds the key:
/// `operate` for parked messages, `catch_up` for unknown events.
pub(crate) async fn release<R: Reactor>(
    reactor: &R,
    db: &mut PgConnection,
    items: &[Item<R::Input>],
    context: &DecisionContext,
) -> Result<ReleaseOutcome<R::World>, Fault> {
    let (locking, wake_up) = (LockPolicy::Wait, WakeUp::AfterCommit);
    let options = DecideOptions { context, locking, on_park: OnPark::Stop, wake_up };
    let mut batch = Batch::new(reactor, items, options);
    let world = unpanicked(async { Ok(batch.decide(db).await?) }).await?;
    let decided =
        batch.outcomes.iter().take_while(|outcome| **outcome != ItemOutcome::Parked).count();
    Ok(ReleaseOutcome { decided, refused: batch.reasons.remove(&decided), world })
}

impl<R: Reactor> Batch<'_, R> {
    /// Admits each id once. An id outside the inbox's range is judged later, by its version
    /// (`decide`). Returns whether any key may be parked or have unknown events.
    async fn admit(&mut self, db: &mut PgConnection, admission: Admission) -> sqlx::Result<bool> {
        let mut first: HashMap<Uuid, usize> = HashMap::new();
        for index in 0..self.items.len() {
            let id = self.items[index].id;
            let id = id.filter(|id| inbox::in_range(*id, self.options.context.now));
            let Some(id) = id.filter(|_| self.outcomes[index] == ItemOutcome::Live) else {
                continue;
            };
            // The same id twice in one batch: a conflict clause does not see rows of its own
            // statement.
            if *first.entry(id).or_insert(index) != index {
                self.outcomes[index] = ItemOutcome::Duplicate;
            }
        }
        if first.is_empty() {
            return Ok(true);
        }
        let mut sorted: Vec<Uuid> = first.keys().copied().collect();
        sorted.sort_unstable();
        match admission {
            Admission::Optimistic => inbox::admit(db, &sorted).await,
            Admission::Deduplicating => {
                let new = inbox::admit_new(db, &sorted).await?;
                for (_, index) in first.into_iter().filter(|(id, _)| !new.contains(id)) {
                    self.outcomes[index] = known(&self.items[index]);
                }
                Ok(true)
            }
        }
    }

    /// Answers commands whose idempotency key has a stored answer with that answer.
    async fn answer_known(&mut self, db: &mut PgConnection) -> sqlx::Result<()> {
        let items = self.items;
        let keyed: Vec<_> = self
            .live()
            .filter_map(|index| Some((index, items[index].idempotency_key()?)))
            .collect();
        if keyed.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = keyed.iter().map(|(_, key)| *key).collect();
        let known = idempotency::known(db, &keys).await?;
        for (index, key) in keyed {
            let Some(kept) = known.get(&idempotency::name(key)) else { continue };
            let told = items[index].waiting().and_then(|waiting| waiting.told.as_ref());
            let end = match told {
                // The stored answer is of this very command: its commit happened, and the reply was
                // lost.
                Some(Ok(told)) if told.answer == kept.answer => Ok(told.clone()),
                _ if kept.fingerprint == key.fingerprint => {
                    Ok(Outcome { answer: kept.answer.clone(), replayed: true })
                }
                _ => Err(CommandError::KeyReused),
            };
            self.outcomes[index] = ItemOutcome::Answered(end);
        }
        Ok(())
    }

    /// Marks the messages of keys that are parked already. Returns the keys whose unknown events
    /// are to be decided first.
    async fn divert(&mut self, db: &mut PgConnection) -> sqlx::Result<Vec<KeyRef>> {
        if !self.live().any(|index| self.items[index].message().is_some()) {
            return Ok(Vec::new());
        }
        let aside = parked::aside(db).await?;
        if !aside.has_parked && !aside.has_unknown {
            return Ok(Vec::new());
        }
        let messages: Vec<(usize, KeyRef)> = self
            .live()
            .filter_map(|index| Some((index, parked::key_ref(self.items[index].message()?))))
            .collect();
        let distinct: HashSet<&KeyRef> = messages.iter().map(|(_, key_ref)| key_ref).collect();
        let distinct: Vec<&KeyRef> = distinct.into_iter().collect();
        let mut first = Vec::new();
        if aside.has_unknown {
            first = unknown::due(self.reactor, db, &distinct).await?;
        }
        if aside.has_parked {
            self.stopped = parked::lock(db, &distinct).await?;
        }
        for (index, key_ref) in messages {
            if self.stopped.contains(&key_ref) {
                self.outcomes[index] = ItemOutcome::Parked;
            }
        }
        Ok(first)
    }

    /// Writes down the keys that stopped in this batch, the messages of all stopped keys, and the
    /// events of unknown types. Returns how many keys stopped newly.
    async fn set_aside(&self, db: &mut PgConnection) -> sqlx::Result<u64> {
        let mut newly_parked = 0;
        if !self.reasons.is_empty() {
            let stopping: Vec<(KeyRef, &Park)> = self
                .reasons
                .iter()
                .filter_map(|(index, park)| {
                    Some((parked::key_ref(self.items[*index].message()?), park))
                })
                .collect();
            let keys: Vec<(&KeyRef, &Park)> = stopping.iter().map(|(p, park)| (p, *park)).collect();
            newly_parked = parked::park_keys(db, &keys).await?;
        }
        let set_aside: Vec<_> = (0..self.items.len())
            .filter(|&index| self.outcomes[index] == ItemOutcome::Parked)
            .filter_map(|index| Some((self.items[index].message()?, self.reasons.get(&index))))
            .collect();
        parked::park_messages(db, &set_aside).await?;
        let unknown: Vec<&Message> = (0..self.items.len())
            .filter(|&index| self.outcomes[index] == ItemOutcome::Unknown)
            .filter_map(|index| self.items[index].message())
            .collect();
        unknown::keep(db, &unknown).await?;
        Ok(newly_parked)
    }
}

/// The outcome of an item whose id has been admitted before.
fn known<I>(item: &Item<I>) -> ItemOutcome {
    match item.waiting() {
        None => ItemOutcome::Duplicate,
        // An earlier commit of this command got no reply from the database, and did happen: the
        // answer of that attempt holds. Without one the client has to ask again, under its
        // idempotency key.
        Some(waiting) => {
            ItemOutcome::Answered(waiting.told.clone().unwrap_or(Err(CommandError::Overloaded)))
        }
    }
}
