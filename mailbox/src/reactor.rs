//! What a service gives the mailbox: its reading of messages and the shell around its pure domain.

use std::future::Future;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    fault::LockPolicy,
    message::{Message, Park},
};

/// A service's answer to messages and commands: the thin shell around its pure `domain`.
///
/// The mailbox calls it for a whole batch at once, in one transaction that it owns: admit, `load`,
/// `decide` for each input in order, `save`, append the outbox, commit, `committed`. All of it may
/// run again from `load` on when the database asks for it, so nothing here may act outside the
/// transaction before `committed`.
pub trait Reactor: Send + Sync + 'static {
    /// What a message, a request, a sweep or a provider's answer means here.
    type Input: Send + Sync + 'static;
    /// All rows that one batch touches, locked.
    type World: Send + 'static;

    /// The topics this service hears.
    fn hears(&self) -> &'static [&'static str];

    /// Those of them whose oldest messages are superseded (a compacted topic): they may be read
    /// from wherever they begin.
    fn compacted(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether this build knows events of `event_type`, a `ce_type`, be they heard here or not. One
    /// that it does not know is kept for a build that does, and does not stop its key.
    fn is_known(&self, event_type: &str) -> bool;

    /// What `message`, whose type is known, means here: `None` when this service does not care (no
    /// inbox row then).
    fn read(&self, message: &Message) -> Result<Option<DecodedMessage<Self::Input>>, Park>;

    /// Locks the roots that exist in the one order of locks, then reads what hangs below them in
    /// later statements. With [`LockPolicy::SkipHeld`] it waits for no lock on a root: it leaves out
    /// the roots that another session holds, and notes them in its world for `held`.
    fn load(
        &self,
        db: &mut PgConnection,
        batch: &[&Self::Input],
        locking: LockPolicy,
    ) -> impl Future<Output = sqlx::Result<Self::World>> + Send;

    /// The row for which `input` has to wait: one that it needs and that `load` has left out. It is
    /// not decided then, nor is what follows it under its key.
    fn held(&self, _world: &Self::World, _input: &Self::Input) -> Option<HeldRow> {
        None
    }

    /// The slot that holds the last version heard from this input's source on its aggregate; `None`
    /// if there is no such row, or the input did not come as an event of one. The mailbox reads and
    /// raises it.
    fn heard<'w>(&self, world: &'w mut Self::World, input: &Self::Input) -> Option<&'w mut i64>;

    /// Applies one input through `domain`: the events to announce and, for a command, its answer. A
    /// refused command leaves `world` as it was and says no in its answer; only a message that
    /// cannot be decided parks.
    fn decide(
        &self,
        world: &mut Self::World,
        input: &Self::Input,
        context: &DecisionContext,
    ) -> Result<Effects, Park>;

    /// Called once after the batch's last decision: what is announced for the batch as a whole,
    /// such as a product that many orders changed.
    fn closing(&self, _world: &mut Self::World, _turn: &DecisionContext) -> Vec<OutboxEvent> {
        Vec::new()
    }

    /// Writes every changed row, with one statement per table.
    fn save(
        &self,
        db: &mut PgConnection,
        world: &Self::World,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Called after the commit with what was saved: wakes those who wait, hands effects to workers.
    /// Must not block.
    fn committed(&self, _world: Self::World) {}
}

/// A row that another session holds locked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeldRow {
    /// What it is: `order`, `account`, `product`.
    pub kind: &'static str,
    pub id: String,
}

impl HeldRow {
    /// The row of this kind and id.
    pub fn new(kind: &'static str, id: impl Into<String>) -> Self {
        Self { kind, id: id.into() }
    }
}

/// What a message means to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedMessage<I> {
    pub input: I,
    /// Whether it must take effect once only. `false` where repetition does no harm (the
    /// catalogue): no inbox row.
    pub once: bool,
}

impl<I> DecodedMessage<I> {
    /// An event that takes effect once.
    pub fn once(input: I) -> Self {
        Self { input, once: true }
    }

    /// An event that may be applied again and again.
    pub fn repeatable(input: I) -> Self {
        Self { input, once: false }
    }
}

/// What a decision may know of its moment: the time, and ids that nobody used before.
#[derive(Debug)]
pub struct DecisionContext {
    /// When the batch is decided.
    pub now: OffsetDateTime,
}

impl DecisionContext {
    /// The context of a decision at `now`.
    pub fn at(now: OffsetDateTime) -> Self {
        Self { now }
    }

    /// A new UUIDv7 of this context; later ones sort later.
    pub fn new_id(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// What a decision asks the mailbox to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Events to append to the outbox, in this order.
    pub announced: Vec<OutboxEvent>,
    /// What a command is told; ignored for messages.
    pub answer: Answer,
    /// Whether the same command may be answered otherwise in a moment. Then nothing may have
    /// changed.
    pub is_provisional: bool,
}

/// One event for the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEvent {
    /// From [`DecisionContext::new_id`].
    pub event_id: Uuid,
    /// The Kafka key.
    pub key: Vec<u8>,
    /// The aggregate's count of events said, this one included.
    pub version: i64,
    /// Its number in the table of event types.
    pub event_type: i16,
    /// The topic's message, encoded.
    pub payload: Vec<u8>,
}

/// What a command is told: an HTTP answer in plain parts, so that it can be kept under an
/// idempotency key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether it is told again under its idempotency key: what was done, or refused for good.
    pub fn is_kept(&self) -> bool {
        matches!(self.status, 200..=299 | 402 | 409 | 422)
    }
}
