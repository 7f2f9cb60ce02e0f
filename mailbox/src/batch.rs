//! One attempt at a batch: one transaction that admits, loads, decides, saves and appends, and
//! nothing else.
//!
//! The order of statements is the order of locks: inbox ids, parked keys, whatever the service
//! loads, and idempotency keys at the very end. Everybody who writes goes through here, so nobody
//! meets anybody else's locks the other way round.

use std::{
    collections::{HashMap, HashSet},
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use futures::FutureExt;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::{
    CommandError, Outcome,
    decide::{Batch, DecideOptions, OnPark},
    fault::{self, Admission, Fault, LockPolicy, Pass},
    idempotency, inbox,
    item::{Item, ItemOutcome},
    message::{Message, Park},
    parked::{self, KeyRef},
    reactor::{DecisionContext, Reactor},
    session::{self, Session, within},
    unknown,
};

/// An attempt that takes longer is halved. Above the limit of one statement and above any command's
/// deadline.
pub(crate) const ATTEMPT_LIMIT: Duration = Duration::from_secs(20);

/// What a committed attempt did.
pub(crate) struct CommittedBatch<W> {
    pub(crate) outcomes: Vec<ItemOutcome>,
    pub(crate) world: Option<W>,
    pub(crate) announced: usize,
    pub(crate) newly_parked: u64,
    /// Keys with kept events that are to be decided before this batch; then nothing was done.
    pub(crate) first: Vec<KeyRef>,
}

/// A failed attempt.
#[derive(Debug)]
pub(crate) struct FailedAttempt {
    pub(crate) fault: Fault,
    /// Set when the commit itself failed: it may have happened, and then these are the outcomes.
    pub(crate) unsure: Option<Vec<ItemOutcome>>,
    /// Whether the session was rolled back and is as good as before.
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
        // The server has told what is wrong, so it listens: nothing is left but to roll back.
        Ok(Err(fault @ (Fault::Database(sqlx::Error::Database(_)) | Fault::KeyTaken))) => {
            let is_rolled_back = within(tx.rollback()).await.is_ok();
            return Err(FailedAttempt { fault, unsure: None, is_rolled_back });
        }
        Ok(Err(fault)) => return Err(fault.into()),
        Err(_elapsed) => return Err(Fault::TooSlow.into()),
    };
    match within(tx.commit()).await {
        Ok(()) => Ok(done),
        Err(error) => Err(FailedAttempt {
            fault: error.into(),
            unsure: Some(done.outcomes),
            is_rolled_back: false,
        }),
    }
}

/// A panic of the service's own code is a fault like others: whose, halving finds out.
async fn unpanicked<T>(work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    AssertUnwindSafe(work)
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| Err(Fault::Panicked(fault::panic_text(&*panic))))
}

/// Tells the service what was committed. A panic comes after the fact: it is told, and nothing
/// else follows.
pub(crate) fn committed<R: Reactor>(reactor: &R, world: R::World) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| reactor.committed(world))) {
        let panic = fault::panic_text(&*panic);
        tracing::error!(panic, "a reactor panicked after the commit; the batch is committed");
    }
}

/// All of a batch but its beginning and its end.
async fn work<R: Reactor>(
    reactor: &R,
    db: &mut PgConnection,
    items: &[Item<R::Input>],
    pass: Pass,
    context: &DecisionContext,
) -> Result<CommittedBatch<R::World>, Fault> {
    let options = DecideOptions { context, locking: pass.locking, on_park: OnPark::SetAside };
    let mut batch = Batch::new(reactor, items, options);
    if pass.locking == LockPolicy::SkipHeld {
        session::hurry(db).await?;
    }
    let some_aside = batch.admit(db, pass.admission).await?;
    batch.answer_known(db).await?;
    let first = if some_aside { batch.divert(db).await? } else { Vec::new() };
    if !first.is_empty() {
        let outcomes = batch.outcomes;
        return Ok(CommittedBatch { outcomes, world: None, announced: 0, newly_parked: 0, first });
    }
    let world = batch.decide(db).await?;
    let newly_parked = batch.set_aside(db).await?;
    let answers = batch.answers();
    if !answers.is_empty() && !idempotency::keep(db, &answers).await? {
        return Err(Fault::KeyTaken);
    }
    let Batch { outcomes, announced, .. } = batch;
    Ok(CommittedBatch { outcomes, world, announced: announced.len(), newly_parked, first })
}

/// What came of parked messages that an operator let go.
pub(crate) struct ReleaseOutcome<W> {
    /// How many of them, from the first, were decided.
    pub(crate) decided: usize,
    /// Why the rest stays parked.
    pub(crate) refused: Option<Park>,
    pub(crate) world: Option<W>,
}

/// Decides the parked messages of one key in order, within a transaction that holds the key.
pub(crate) async fn release<R: Reactor>(
    reactor: &R,
    db: &mut PgConnection,
    items: &[Item<R::Input>],
    context: &DecisionContext,
) -> Result<ReleaseOutcome<R::World>, Fault> {
    let options = DecideOptions { context, locking: LockPolicy::Wait, on_park: OnPark::Stop };
    let mut batch = Batch::new(reactor, items, options);
    let world = unpanicked(async { Ok(batch.decide(db).await?) }).await?;
    let decided =
        batch.outcomes.iter().take_while(|outcome| **outcome != ItemOutcome::Parked).count();
    Ok(ReleaseOutcome { decided, refused: batch.reasons.remove(&decided), world })
}

impl<R: Reactor> Batch<'_, R> {
    /// Admits each id once. An id outside the inbox's range is judged later, by its version. Says
    /// whether something may be set aside.
    async fn admit(&mut self, db: &mut PgConnection, admission: Admission) -> sqlx::Result<bool> {
        let mut first: HashMap<Uuid, usize> = HashMap::new();
        for index in 0..self.items.len() {
            let id = self.items[index].id;
            let id = id.filter(|id| inbox::in_range(*id, self.options.context.now));
            let Some(id) = id.filter(|_| self.outcomes[index] == ItemOutcome::Live) else {
                continue;
            };
            // Twice in one batch: no conflict clause would see it.
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

    /// What was answered before is answered so again.
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
                // It is this command's own: its commit happened, and the answer was lost.
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

    /// Sets aside the messages of keys that stopped before. Says of which keys kept events come
    /// first.
    async fn divert(&mut self, db: &mut PgConnection) -> sqlx::Result<Vec<KeyRef>> {
        if !self.live().any(|place| self.items[place].message().is_some()) {
            return Ok(Vec::new());
        }
        let aside = parked::aside(db).await?;
        if !aside.has_parked && !aside.has_unknown {
            return Ok(Vec::new());
        }
        let messages: Vec<(usize, KeyRef)> = self
            .live()
            .filter_map(|index| Some((index, parked::place(self.items[index].message()?))))
            .collect();
        let distinct: HashSet<&KeyRef> = messages.iter().map(|(_, place)| place).collect();
        let distinct: Vec<&KeyRef> = distinct.into_iter().collect();
        let mut first = Vec::new();
        if aside.has_unknown {
            first = unknown::due(self.reactor, db, &distinct).await?;
        }
        if aside.has_parked {
            self.stopped = parked::lock(db, &distinct).await?;
        }
        for (index, place) in messages {
            if self.stopped.contains(&place) {
                self.outcomes[index] = ItemOutcome::Parked;
            }
        }
        Ok(first)
    }

    /// Writes down which keys stopped in this batch, the messages of all that are stopped, and those
    /// of unknown types. How many keys are newly stopped.
    async fn set_aside(&self, db: &mut PgConnection) -> sqlx::Result<u64> {
        let mut newly_parked = 0;
        if !self.reasons.is_empty() {
            let stopping: Vec<(KeyRef, &Park)> = self
                .reasons
                .iter()
                .filter_map(|(index, park)| {
                    Some((parked::place(self.items[*index].message()?), park))
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
        // A commit whose end was never heard did happen: the answer of that attempt holds. Without
        // one the client has to ask again, under its key.
        Some(waiting) => {
            ItemOutcome::Answered(waiting.told.clone().unwrap_or(Err(CommandError::Overloaded)))
        }
    }
}
