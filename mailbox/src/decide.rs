//! Deciding a batch in memory: what the items touch is loaded, each item decided in order, what
//! changed saved, the announced events appended. Batches of messages and commands are decided so
//! (`batch`), and so are released messages (`operate`) and unknown events (`catch_up`).

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    CommandError, IdempotencyKey, Outcome,
    fault::{LockPolicy, WakeUp},
    idempotency::{self, Name},
    inbox,
    item::{Item, ItemOutcome},
    log,
    message::{OUT_OF_RANGE, Park, Trace},
    metrics, outbox,
    parked::{self, KeyRef},
    reactor::{Answer, DecisionContext, OutboxEvent, Reactor},
};

/// What to do with the messages after one that cannot be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnPark {
    /// The message is set aside with those that follow under its key; other keys go on.
    SetAside,
    /// The message stays where it is, with all that follow: they are of one key, in order, and come
    /// from an operator's release or from `catch_up`.
    Stop,
}

/// How a batch is decided.
#[derive(Clone, Copy)]
pub(crate) struct DecideOptions<'a> {
    pub(crate) context: &'a DecisionContext,
    pub(crate) locking: LockPolicy,
    pub(crate) on_park: OnPark,
    pub(crate) wake_up: WakeUp,
}

/// The items of a batch, and what becomes of them in one transaction.
pub(crate) struct Batch<'a, R: Reactor> {
    pub(crate) reactor: &'a R,
    pub(crate) items: &'a [Item<R::Input>],
    pub(crate) options: DecideOptions<'a>,
    pub(crate) outcomes: Vec<ItemOutcome>,
    /// Keys that are stopped: before this batch, or in it.
    pub(crate) stopped: HashSet<KeyRef>,
    /// The index of each item that stopped its key, and why it did.
    pub(crate) reasons: HashMap<usize, Park>,
    /// Answers given in this batch, for commands that repeat an idempotency key within it.
    answers: HashMap<Name, (&'a IdempotencyKey, Answer)>,
    pub(crate) announced: Vec<(OutboxEvent, Option<Trace>)>,
}

impl<'a, R: Reactor> Batch<'a, R> {
    pub(crate) fn new(
        reactor: &'a R,
        items: &'a [Item<R::Input>],
        options: DecideOptions<'a>,
    ) -> Self {
        Self {
            reactor,
            items,
            options,
            outcomes: items.iter().map(first_outcome).collect(),
            stopped: HashSet::new(),
            reasons: HashMap::new(),
            answers: HashMap::new(),
            announced: Vec::new(),
        }
    }

    pub(crate) fn live(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.items.len()).filter(|&index| self.outcomes[index] == ItemOutcome::Live)
    }

    /// Loads what the live items touch, decides each in order, saves, and appends the announced
    /// events.
    pub(crate) async fn decide(&mut self, db: &mut PgConnection) -> sqlx::Result<Option<R::World>> {
        let items = self.items;
        let inputs: Vec<&R::Input> =
            self.live().filter_map(|index| items[index].input.as_ref()).collect();
        let mut world = if inputs.is_empty() {
            None
        } else {
            Some(self.reactor.load(&mut *db, &inputs, self.options.locking).await?)
        };
        if let Some(world) = &world
            && self.options.locking == LockPolicy::SkipHeld
        {
            let left_out = self.hold_back(world);
            if !left_out.is_empty() {
                inbox::forget(&mut *db, &left_out).await?;
            }
        }
        for index in 0..items.len() {
            if self.outcomes[index] == ItemOutcome::Live && !self.stops(index, world.as_mut()) {
                self.decide_one(index, world.as_mut());
            }
        }
        if let Some(world) = &mut world {
            let closing = self.reactor.closing(world, self.options.context);
            self.announced.extend(closing.into_iter().map(|event| (event, None)));
            self.reactor.save(&mut *db, world).await?;
        }
        if !self.announced.is_empty() {
            outbox::append(db, &self.announced, self.options.wake_up).await?;
        }
        Ok(world)
    }

    /// Leaves out the items that need a held row, and what follows them under the same key. Returns
    /// their ids, which must not stay admitted.
    fn hold_back(&mut self, world: &R::World) -> Vec<Uuid> {
        let mut waiting = HashMap::new();
        let mut ids = Vec::new();
        for (item, outcome) in self.items.iter().zip(&mut self.outcomes) {
            let key_ref = item.message().map(parked::key_ref);
            let row = match (&*outcome, &item.input) {
                (ItemOutcome::Held(row), _) => Some(row.clone()),
                (ItemOutcome::Live, input) => key_ref
                    .as_ref()
                    .and_then(|key_ref| waiting.get(key_ref).cloned())
                    .or_else(|| self.reactor.held(world, input.as_ref()?)),
                _ => None,
            };
            let Some(row) = row else { continue };
            if let Some(key_ref) = key_ref {
                waiting.insert(key_ref, row.clone());
            }
            if *outcome == ItemOutcome::Live {
                ids.extend(item.id.filter(|id| inbox::in_range(*id, self.options.context.now)));
                *outcome = ItemOutcome::Held(row);
            }
        }
        ids
    }

    /// Stops a key at this item.
    fn stop(&mut self, index: usize, key_ref: KeyRef, park: Park) {
        self.outcomes[index] = ItemOutcome::Parked;
        self.reasons.insert(index, park);
        self.stopped.insert(key_ref);
    }

    /// Whether an item is not to be decided: its key stopped earlier in this batch; or it stops its
    /// key itself; or its type is unknown; or the inbox no longer covers its id and its version
    /// says that it took effect before.
    fn stops(&mut self, index: usize, world: Option<&mut R::World>) -> bool {
        let item = &self.items[index];
        let Some(message) = item.message() else { return false };
        // Nearly always nothing has stopped and nothing is wrong: then no key is written out as
        // text.
        if !self.stopped.is_empty() && self.stopped.contains(&parked::key_ref(message)) {
            self.outcomes[index] = ItemOutcome::Parked;
            return true;
        }
        if let Some(flaw) = &item.flaw {
            self.stop(index, parked::key_ref(message), flaw.clone());
            return true;
        }
        if item.is_unknown() {
            self.outcomes[index] = ItemOutcome::Unknown;
            return true;
        }
        let heard = match (world, &item.input) {
            (Some(world), Some(input)) => self.reactor.heard(world, input).map_or(0, |last| *last),
            _ => 0,
        };
        let in_range = match item.id {
            Some(id) => inbox::in_range(id, self.options.context.now),
            // A message that was parked without an id was never admitted to the inbox.
            None => self.options.on_park == OnPark::SetAside,
        };
        match (in_range, message.version <= heard) {
            (true, repeated) => {
                if repeated {
                    metrics::inversion();
                }
                false
            }
            (false, true) => {
                self.outcomes[index] = ItemOutcome::Duplicate;
                true
            }
            // The operator who releases the message has seen why it stopped.
            (false, false) if self.options.on_park == OnPark::Stop => false,
            (false, false) => {
                let reason = format!(
                    "its id {} is outside the inbox's range and its version {} is above {heard}, the last one heard",
                    message.event_id, message.version
                );
                let park = Park { class: OUT_OF_RANGE, reason };
                self.stop(index, parked::key_ref(message), park);
                true
            }
        }
    }

    fn decide_one(&mut self, index: usize, world: Option<&mut R::World>) {
        let item = &self.items[index];
        let (Some(world), Some(input)) = (world, &item.input) else { return };
        if let Some(answered) = self.answered_before(item.idempotency_key()) {
            self.outcomes[index] = ItemOutcome::Answered(answered);
            return;
        }
        match (self.reactor.decide(world, input, self.options.context), item.message()) {
            (Ok(decided), message) => {
                self.announced.extend(decided.announced.into_iter().map(|e| (e, item.trace)));
                self.outcomes[index] = match message {
                    Some(message) => {
                        if let Some(last) = self.reactor.heard(world, input) {
                            *last = message.version.max(*last);
                        }
                        ItemOutcome::Applied
                    }
                    None if decided.is_provisional && !item.is_last_try() => {
                        ItemOutcome::Answered(Err(CommandError::TryAgain))
                    }
                    None => self.first_answer(item.idempotency_key(), decided.answer),
                };
            }
            (Err(park), Some(message)) => self.stop(index, parked::key_ref(message), park),
            (Err(park), None) => {
                log::gave_up(item.trace.as_ref(), &park);
                self.outcomes[index] = ItemOutcome::Answered(Err(CommandError::Failed));
            }
        }
    }

    fn first_answer(&mut self, key: Option<&'a IdempotencyKey>, answer: Answer) -> ItemOutcome {
        if let Some(key) = key.filter(|_| answer.is_kept()) {
            self.answers.insert(idempotency::name(key), (key, answer.clone()));
        }
        ItemOutcome::Answered(Ok(Outcome { answer, replayed: false }))
    }

    /// The answer to a command whose idempotency key an earlier command of this batch used.
    fn answered_before(
        &self,
        key: Option<&IdempotencyKey>,
    ) -> Option<Result<Outcome, CommandError>> {
        let key = key.filter(|_| !self.answers.is_empty())?;
        let (first, answer) = self.answers.get(&idempotency::name(key))?;
        Some(if first.fingerprint == key.fingerprint {
            Ok(Outcome { answer: answer.clone(), replayed: true })
        } else {
            Err(CommandError::KeyReused)
        })
    }

    /// The answers to be stored, each with the idempotency key it was given under.
    pub(crate) fn answers(&self) -> Vec<(&'a IdempotencyKey, &Answer)> {
        self.answers.values().map(|(key, answer)| (*key, answer)).collect()
    }
}

/// Where an item begins. An item that waits for a held row stays held. A command whose client was
/// answered "too late" is left out, unless an earlier commit of it may have happened.
fn first_outcome<I>(item: &Item<I>) -> ItemOutcome {
    if let Some(row) = &item.held {
        return ItemOutcome::Held(row.clone());
    }
    match item.waiting() {
        Some(waiting) if waiting.reply.is_none() && waiting.told.is_none() => {
            ItemOutcome::Answered(Err(CommandError::Overloaded))
        }
        _ => ItemOutcome::Live,
    }
}
