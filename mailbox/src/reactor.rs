//! What a service gives the mailbox: how it reads messages, and the shell around its pure domain.

use std::future::Future;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Clock,
    fault::LockPolicy,
    message::{Message, Park},
};

/// A service's answer to messages and commands: the thin shell around its pure `domain`.
///
/// The mailbox calls it for a whole batch at once, in one transaction that the mailbox owns: admit,
/// `load`, `decide` for each input in order, `save`, append to the outbox, commit, `committed`.
/// After a failure everything from `load` on runs again, so nothing here may act outside the
/// transaction before `committed`.
pub trait Reactor: Send + Sync + 'static {
    /// What a message, a request, a sweep or a provider's answer means here.
    type Input: Send + Sync + 'static;
    /// All rows that one batch touches, locked.
    type World: Send + 'static;

    /// The topics this service consumes.
    fn hears(&self) -> &'static [&'static str];

    /// Those of the topics in `hears` that are compacted: their oldest messages are superseded, so
    /// they may be read from whatever offset they begin at.
    fn compacted(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether this build knows events of `event_type`, a `ce_type`, even if this service ignores
    /// them. An event of a type that it does not know is kept for a build that does, and does not
    /// stop its key.
    fn is_known(&self, event_type: &str) -> bool;

    /// Whether an event of `event_type` may linger for a tenth of a second, so that others come
    /// into its batch: where nobody waits for its effect, a transaction of its own is wasted.
    fn may_linger(&self, _event_type: &str) -> bool {
        false
    }

    /// What `message`, whose type is known, means here: `None` when this service does not care (no
    /// inbox row then).
    fn read(&self, message: &Message) -> Result<Option<DecodedMessage<Self::Input>>, Park>;

    /// Locks the roots that exist, in the service's one order of locks, then reads what hangs below
    /// them in later statements. With [`LockPolicy::SkipHeld`] it waits for no lock on a root: it
    /// leaves out the roots that another session holds, and notes them in its world for `held`.
    fn load(
        &self,
        db: &mut PgConnection,
        batch: &[&Self::Input],
        locking: LockPolicy,
    ) -> impl Future<Output = sqlx::Result<Self::World>> + Send;

    /// The row for which `input` has to wait: one that it needs and that `load` has left out
    /// because another session holds it. Then neither `input` nor a later message of its key is
    /// decided.
    fn held(&self, _world: &Self::World, _input: &Self::Input) -> Option<HeldRow> {
        None
    }

    /// The counter in `world` of the last version received from this input's source on its
    /// aggregate. `None` if there is no such row, or the input did not come as an event of an
    /// aggregate. The mailbox compares the counter, and raises it.
    fn heard<'w>(&self, world: &'w mut Self::World, input: &Self::Input) -> Option<&'w mut i64>;

    /// Applies one input through `domain`: returns the events to announce and, for a command, its
    /// answer. A refused command leaves `world` as it was and carries the refusal in its answer;
    /// only a message that cannot be decided parks.
    fn decide(
        &self,
        world: &mut Self::World,
        input: &Self::Input,
        context: &DecisionContext,
    ) -> Result<Effects, Park>;

    /// Called once after the batch's last decision: the events that are announced for the batch as
    /// a whole, such as one for a product that many orders changed.
    fn closing(&self, _world: &mut Self::World, _context: &DecisionContext) -> Vec<OutboxEvent> {
        Vec::new()
    }

    /// Writes every changed row, with one statement per table.
    fn save(
        &self,
        db: &mut PgConnection,
        world: &Self::World,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Called after the commit with what was saved: wakes waiters, hands effects to workers. Must
    /// not block.
    fn committed(&self, _world: Self::World) {}
}

/// A row that another session holds locked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HeldRow {
    /// What the row is, in operators' words: `order`, `account`, `product`.
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
    /// Whether the message must take effect once only. `false` where repetition does no harm (the
    /// catalogue): such a message gets no inbox row.
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

/// What a decision may know besides its input and world: the time, and new ids.
#[derive(Debug)]
pub struct DecisionContext {
    /// The time at which the batch is decided.
    pub now: OffsetDateTime,
    clock: Clock,
}

impl DecisionContext {
    /// The context of decisions made now.
    pub fn new(clock: Clock) -> Self {
        Self { now: clock.now(), clock }
    }

    /// A new UUIDv7; later ones sort later.
    pub fn new_id(&self) -> Uuid {
        self.clock.new_id()
    }
}

/// What a decision asks the mailbox to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// Events to append to the outbox, in this order.
    pub announced: Vec<OutboxEvent>,
    /// The answer to a command; ignored for messages.
    pub answer: Answer,
    /// Whether the same command may get another answer in a moment. Then nothing may have changed.
    pub is_provisional: bool,
}

/// One event for the outbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxEvent {
    /// From [`DecisionContext::new_id`].
    pub event_id: Uuid,
    /// The Kafka key: the aggregate's id.
    pub key: Vec<u8>,
    /// The aggregate's count of announced events, this one included.
    pub version: i64,
    /// The type's number in the table `event_types`.
    pub event_type: i16,
    /// The payload: the topic's protobuf message, encoded.
    pub payload: Vec<u8>,
}

/// The answer to a command: an HTTP answer in plain parts, so that it can be stored under an
/// idempotency key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether the answer is stored under its idempotency key and given again: a success, or a
    /// refusal for good.
    pub fn is_kept(&self) -> bool {
        matches!(self.status, 200..=299 | 402 | 409 | 422)
    }
}
