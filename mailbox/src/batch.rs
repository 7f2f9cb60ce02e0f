//! One attempt at a batch: one transaction that admits, loads, decides, saves and appends, and
//! nothing else.
//!
//! The order of statements is the order of locks: inbox ids, idempotency keys, parked keys, then
//! whatever the service loads. Everybody who writes goes through here, so nobody meets anybody
//! else's locks the other way round.

use std::collections::{HashMap, HashSet};

use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::{
    CommandError, IdempotencyKey, Outcome, catch_up,
    entry::{Entry, Fate},
    idempotency, inbox,
    message::{Message, Park, Trace},
    metrics, outbox,
    parked::{self, Place},
    reactor::{Announced, Answer, Reactor, Turn},
    unknown,
};

/// How much an attempt takes for granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    /// Every id is new. Cheap; meeting a known one is an error.
    Hopeful,
    /// Ids may be known: each is asked for.
    Careful,
}

/// What a committed attempt did.
pub(crate) struct Done<W> {
    pub(crate) fates: Vec<Fate>,
    pub(crate) world: Option<W>,
    pub(crate) announced: usize,
    pub(crate) newly_parked: u64,
    /// Keys with kept events that are to be decided before this batch; then nothing was done.
    pub(crate) first: Vec<Place>,
}

/// A failed attempt.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) error: sqlx::Error,
    /// Set when the commit itself failed: it may have happened, and then these are the fates.
    pub(crate) unsure: Option<Vec<Fate>>,
}

impl From<sqlx::Error> for Broken {
    fn from(error: sqlx::Error) -> Self {
        Self { error, unsure: None }
    }
}

/// Runs one batch in one transaction.
pub(crate) async fn attempt<R: Reactor>(
    reactor: &R,
    db: &mut PgConnection,
    entries: &[Entry<R::Input>],
    pass: Pass,
    turn: &Turn,
) -> Result<Done<R::World>, Broken> {
    let mut tx = db.begin().await?;
    let done = within(reactor, &mut tx, entries, pass, turn).await?;
    if !done.first.is_empty() {
        tx.rollback().await?;
        return Ok(done);
    }
    match tx.commit().await {
        Ok(()) => Ok(done),
        Err(error) => Err(Broken { error, unsure: Some(done.fates) }),
    }
}

/// All of a batch but its beginning and its end.
pub(crate) async fn within<R: Reactor>(
    reactor: &R,
    db: &mut PgConnection,
    entries: &[Entry<R::Input>],
    pass: Pass,
    turn: &Turn,
) -> sqlx::Result<Done<R::World>> {
    let mut batch = Batch::new(reactor, entries, turn);
    batch.admit(db, pass).await?;
    batch.claim(db).await?;
    let first = batch.divert(db).await?;
    let mut world = None;
    if first.is_empty() {
        world = batch.decide(db).await?;
        batch.record(db).await?;
    }
    let Batch { fates, announced, newly_parked, .. } = batch;
    Ok(Done { fates, world, announced: announced.len(), newly_parked, first })
}

struct Batch<'a, R: Reactor> {
    reactor: &'a R,
    entries: &'a [Entry<R::Input>],
    turn: &'a Turn,
    fates: Vec<Fate>,
    /// Keys that stopped: before this batch, or in it.
    stopped: HashSet<Place>,
    /// Keys that stopped in this batch, and why.
    stopping: Vec<(Place, Park)>,
    /// Why an entry stopped its key.
    reasons: HashMap<usize, Park>,
    announced: Vec<(Announced, Option<Trace>)>,
    newly_parked: u64,
}

impl<'a, R: Reactor> Batch<'a, R> {
    fn new(reactor: &'a R, entries: &'a [Entry<R::Input>], turn: &'a Turn) -> Self {
        Self {
            reactor,
            entries,
            turn,
            fates: entries.iter().map(first_fate).collect(),
            stopped: HashSet::new(),
            stopping: Vec::new(),
            reasons: HashMap::new(),
            announced: Vec::new(),
            newly_parked: 0,
        }
    }

    fn live(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.entries.len()).filter(|&place| self.fates[place] == Fate::Live)
    }

    /// Admits each id once. An id outside the inbox's range is judged later, by its version.
    async fn admit(&mut self, db: &mut PgConnection, pass: Pass) -> sqlx::Result<()> {
        let mut first: HashMap<Uuid, usize> = HashMap::new();
        for place in 0..self.entries.len() {
            let id = self.entries[place].id.filter(|id| inbox::in_range(*id, self.turn.now));
            let Some(id) = id.filter(|_| self.fates[place] == Fate::Live) else { continue };
            // Twice in one batch: no conflict clause would see it.
            if *first.entry(id).or_insert(place) != place {
                self.fates[place] = Fate::Duplicate;
            }
        }
        if first.is_empty() {
            return Ok(());
        }
        let mut sorted: Vec<Uuid> = first.keys().copied().collect();
        sorted.sort_unstable();
        match pass {
            Pass::Hopeful => inbox::admit(db, &sorted).await,
            Pass::Careful => {
                let new = inbox::admit_new(db, &sorted).await?;
                for (_, place) in first.into_iter().filter(|(id, _)| !new.contains(id)) {
                    self.fates[place] = known(&self.entries[place]);
                }
                Ok(())
            }
        }
    }

    /// Claims the idempotency keys; what was answered before is answered so again.
    async fn claim(&mut self, db: &mut PgConnection) -> sqlx::Result<()> {
        let keyed: Vec<(usize, &IdempotencyKey)> = self
            .live()
            .filter_map(|place| Some((place, self.entries[place].waiting()?.key.as_ref()?)))
            .collect();
        if keyed.is_empty() {
            return Ok(());
        }
        let keys: Vec<&IdempotencyKey> = keyed.iter().map(|(_, key)| *key).collect();
        let claimed = idempotency::claim(db, &keys).await?;
        if claimed.len() == keys.len() {
            return Ok(());
        }
        let kept = idempotency::kept(db, &keys).await?;
        for (place, key) in keyed {
            let name = idempotency::name(key);
            if claimed.contains(&name) {
                continue;
            }
            let end = match kept.get(&name) {
                Some(kept) if kept.fingerprint == key.fingerprint => {
                    Ok(Outcome { answer: kept.answer.clone(), replayed: true })
                }
                Some(_) => Err(CommandError::KeyReused),
                // Its owner gave it back between the two statements: the client may ask again.
                None => Err(CommandError::Overloaded),
            };
            self.fates[place] = Fate::Answered(end);
        }
        Ok(())
    }

    /// Sets aside the messages of keys that stopped before. Says of which keys kept events come
    /// first.
    async fn divert(&mut self, db: &mut PgConnection) -> sqlx::Result<Vec<Place>> {
        if !self.live().any(|place| self.entries[place].message().is_some()) {
            return Ok(Vec::new());
        }
        let aside = parked::aside(db).await?;
        if !aside.has_parked && !aside.has_unknown {
            return Ok(Vec::new());
        }
        let messages: Vec<(usize, Place)> = self
            .live()
            .filter_map(|place| Some((place, parked::place(self.entries[place].message()?))))
            .collect();
        let distinct: HashSet<&Place> = messages.iter().map(|(_, place)| place).collect();
        let distinct: Vec<&Place> = distinct.into_iter().collect();
        let mut first = Vec::new();
        if aside.has_unknown {
            first = catch_up::due(self.reactor, db, &distinct).await?;
        }
        if aside.has_parked {
            self.stopped = parked::lock(db, &distinct).await?;
        }
        for (index, place) in messages {
            if self.stopped.contains(&place) {
                self.fates[index] = Fate::Parked;
            }
        }
        Ok(first)
    }

    /// Stops a key at this entry.
    fn stop(&mut self, index: usize, place: Place, park: Park) {
        self.fates[index] = Fate::Parked;
        self.reasons.insert(index, park.clone());
        self.stopped.insert(place.clone());
        self.stopping.push((place, park));
    }

    /// Loads what the live entries touch, decides each in order, saves.
    async fn decide(&mut self, db: &mut PgConnection) -> sqlx::Result<Option<R::World>> {
        let entries = self.entries;
        let inputs: Vec<&R::Input> =
            self.live().filter_map(|place| entries[place].input.as_ref()).collect();
        let mut world = if inputs.is_empty() {
            None
        } else {
            Some(self.reactor.load(&mut *db, &inputs).await?)
        };
        for (index, entry) in entries.iter().enumerate() {
            if self.fates[index] == Fate::Live
                && !self.stops(index, world.as_mut())
                && let (Some(world), Some(input)) = (world.as_mut(), &entry.input)
            {
                self.decide_one(index, world, input);
            }
        }
        if let Some(world) = &mut world {
            let closing = self.reactor.closing(world, self.turn);
            self.announced.extend(closing.into_iter().map(|event| (event, None)));
            self.reactor.save(db, world).await?;
        }
        Ok(world)
    }

    /// Whether a message is not to be decided: its key stopped earlier in this batch, or it stops
    /// its key itself, or the inbox has forgotten its time and its version says that it was heard.
    fn stops(&mut self, index: usize, world: Option<&mut R::World>) -> bool {
        let entry = &self.entries[index];
        let Some(message) = entry.message() else { return false };
        let place = parked::place(message);
        if self.stopped.contains(&place) {
            self.fates[index] = Fate::Parked;
            return true;
        }
        if let Some(flaw) = &entry.flaw {
            self.stop(index, place, flaw.clone());
            return true;
        }
        if entry.is_unknown() {
            self.fates[index] = Fate::Unknown;
            return true;
        }
        let heard = match (world, &entry.input) {
            (Some(world), Some(input)) => self.reactor.heard(world, input).map_or(0, |slot| *slot),
            _ => 0,
        };
        let in_range = entry.id.is_none_or(|id| inbox::in_range(id, self.turn.now));
        match (in_range, message.version <= heard) {
            (true, repeated) => {
                if repeated {
                    metrics::inversion();
                }
                false
            }
            (false, true) => {
                self.fates[index] = Fate::Duplicate;
                true
            }
            (false, false) => {
                let reason = format!(
                    "its id {} is outside the inbox's range and its version {} is above {heard}, the last one heard",
                    message.event_id, message.version
                );
                self.stop(index, place, Park { class: "out_of_range", reason });
                true
            }
        }
    }

    fn decide_one(&mut self, index: usize, world: &mut R::World, input: &R::Input) {
        let entry = &self.entries[index];
        match (self.reactor.decide(world, input, self.turn), entry.message()) {
            (Ok(decided), message) => {
                self.announced.extend(decided.announced.into_iter().map(|e| (e, entry.trace)));
                self.fates[index] = match message {
                    Some(message) => {
                        if let Some(slot) = self.reactor.heard(world, input) {
                            *slot = message.version.max(*slot);
                        }
                        Fate::Applied
                    }
                    None => Fate::Answered(Ok(Outcome { answer: decided.answer, replayed: false })),
                };
            }
            (Err(park), Some(message)) => self.stop(index, parked::place(message), park),
            (Err(park), None) => {
                tracing::error!(%park, "a command could not be decided");
                self.fates[index] = Fate::Answered(Err(CommandError::Failed));
            }
        }
    }

    /// Writes down what was announced, answered and parked.
    async fn record(&mut self, db: &mut PgConnection) -> sqlx::Result<()> {
        if !self.announced.is_empty() {
            outbox::append(db, &self.announced).await?;
        }
        self.keep_answers(db).await?;
        if !self.stopping.is_empty() {
            let keys: Vec<(&Place, &Park)> = self.stopping.iter().map(|(p, w)| (p, w)).collect();
            self.newly_parked = parked::park_keys(db, &keys).await?;
        }
        let set_aside: Vec<_> = (0..self.entries.len())
            .filter(|&index| self.fates[index] == Fate::Parked)
            .filter_map(|index| Some((self.entries[index].message()?, self.reasons.get(&index))))
            .collect();
        parked::park_messages(db, &set_aside).await?;
        let unknown: Vec<&Message> = (0..self.entries.len())
            .filter(|&index| self.fates[index] == Fate::Unknown)
            .filter_map(|index| self.entries[index].message())
            .collect();
        unknown::keep(db, &unknown).await
    }

    async fn keep_answers(&self, db: &mut PgConnection) -> sqlx::Result<()> {
        let mut keep: Vec<(&IdempotencyKey, &Answer)> = Vec::new();
        let mut forget: Vec<&IdempotencyKey> = Vec::new();
        for (entry, fate) in self.entries.iter().zip(&self.fates) {
            let Some(key) = entry.waiting().and_then(|waiting| waiting.key.as_ref()) else {
                continue;
            };
            match fate {
                Fate::Answered(Ok(Outcome { answer, replayed: false })) if answer.is_kept() => {
                    keep.push((key, answer));
                }
                Fate::Answered(Ok(Outcome { replayed: false, .. }) | Err(CommandError::Failed)) => {
                    forget.push(key);
                }
                _ => {}
            }
        }
        if !keep.is_empty() {
            idempotency::keep(db, &keep).await?;
        }
        if !forget.is_empty() {
            idempotency::forget(db, &forget).await?;
        }
        Ok(())
    }
}

/// A command whose client was told that it is too late is left out, unless a commit of it may have
/// happened.
fn first_fate<I>(entry: &Entry<I>) -> Fate {
    match entry.waiting() {
        Some(waiting) if waiting.reply.is_none() && waiting.told.is_none() => {
            Fate::Answered(Err(CommandError::Overloaded))
        }
        _ => Fate::Live,
    }
}

/// The fate of an entry whose id has been admitted before.
fn known<I>(entry: &Entry<I>) -> Fate {
    match entry.waiting() {
        None => Fate::Duplicate,
        // A commit whose end was never heard did happen: the answer of that attempt holds.
        Some(waiting) => Fate::Answered(waiting.told.clone().unwrap_or(Err(CommandError::Failed))),
    }
}
