//! An item of a batch: one message or one command to decide, and what becomes of it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use proto::cloud_events;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::{
    CommandError, IdempotencyKey, Outcome, fault,
    message::{Message, Park, Trace},
    reactor::{HeldRow, Reactor},
    spans::ItemSpan,
};

/// A message from Kafka, and the flaw of its envelope if it has one.
pub(crate) type IncomingMessage = (Message, Option<Park>);

/// One message or command of a batch, with all that `batch` must know of it.
pub(crate) struct Item<I> {
    /// The id under which the inbox remembers the item. `None` where repetition does no harm, where
    /// the command has an idempotency key instead, or where the message came without a usable id.
    pub(crate) id: Option<Uuid>,
    /// What the item means to the service. `None` for a message that is only to be parked (it has a
    /// flaw), or to be kept because its type is unknown (it has none).
    pub(crate) input: Option<I>,
    pub(crate) trace: Option<Trace>,
    pub(crate) span: ItemSpan,
    /// Why the message cannot be processed, if that is known before deciding.
    pub(crate) flaw: Option<Park>,
    /// The held row that this item waits for, while other items go on.
    pub(crate) held: Option<HeldRow>,
    pub(crate) origin: Origin,
}

pub(crate) enum Origin {
    Message(Message),
    Command(CommandClient),
}

/// A command's side of its client: the deadline, and the channel for the answer.
pub(crate) struct CommandClient {
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) reply: Option<oneshot::Sender<Result<Outcome, CommandError>>>,
    pub(crate) deadline: Instant,
    pub(crate) is_last_try: bool,
    /// The answer of an attempt whose commit got no reply from the database. It holds if the inbox
    /// or the idempotency key shows that the command took effect.
    pub(crate) told: Option<Result<Outcome, CommandError>>,
}

/// What became of an item in one attempt at its batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ItemOutcome {
    /// Not settled yet: the item is to be decided.
    Live,
    Applied,
    /// The item took effect in an earlier batch, or earlier in this one.
    Duplicate,
    /// The message, or one before it, stopped its key.
    Parked,
    /// An event of a type that this build does not know: it is kept for a build that does.
    Unknown,
    /// Another session holds a row that this item, or a message of its key before it, needs.
    Held(HeldRow),
    /// The command is answered, with an outcome or an error.
    Answered(Result<Outcome, CommandError>),
}

impl<I> Item<I> {
    /// Whether the item is an event of a type that this build does not know.
    pub(crate) fn is_unknown(&self) -> bool {
        self.input.is_none() && self.flaw.is_none() && self.message().is_some()
    }

    pub(crate) fn message(&self) -> Option<&Message> {
        match &self.origin {
            Origin::Message(message) => Some(message),
            Origin::Command(_) => None,
        }
    }

    pub(crate) fn waiting(&self) -> Option<&CommandClient> {
        match &self.origin {
            Origin::Message(_) => None,
            Origin::Command(waiting) => Some(waiting),
        }
    }

    /// Whether a provisional decision is final for the item: a command on its last try, or a
    /// message.
    pub(crate) fn is_last_try(&self) -> bool {
        self.waiting().is_none_or(|client| client.is_last_try)
    }

    /// The idempotency key of a command that came with one.
    pub(crate) fn idempotency_key(&self) -> Option<&IdempotencyKey> {
        self.waiting()?.key.as_ref()
    }

    /// Whether this attempt has nothing left to do for the item: its client was answered, or the
    /// item waits for a held row.
    pub(crate) fn is_over(&self) -> bool {
        self.held.is_some() || self.waiting().is_some_and(|waiting| waiting.reply.is_none())
    }

    /// Sends the answer to the command's client, once; a message has none.
    pub(crate) fn answer(&mut self, end: Result<Outcome, CommandError>) {
        if let Origin::Command(waiting) = &mut self.origin
            && let Some(reply) = waiting.reply.take()
        {
            // A client that went away needs no answer.
            let _gone = reply.send(end);
        }
    }
}

/// The item for a message; `None` when this service does not care for the message. A service that
/// panics while it reads the message is taken as a flaw of the message, which is parked.
pub(crate) fn item<R: Reactor>(
    reactor: &R,
    (message, flaw): IncomingMessage,
) -> Option<Item<R::Input>> {
    if flaw.is_none() && !reactor.is_known(&message.event_type) {
        let (span, trace) = process(&message);
        // Without an id the event could not be told from others without one: `unknown_events` would
        // keep the first of them only.
        let flaw = Park::no_envelope(&[(message.event_id.is_nil(), cloud_events::ID)]);
        let origin = Origin::Message(message);
        return Some(Item { id: None, input: None, trace, span, flaw, held: None, origin });
    }
    let read = match flaw {
        Some(flaw) => Err(flaw),
        None => catch_unwind(AssertUnwindSafe(|| reactor.read(&message)))
            .unwrap_or_else(|panic| Err(fault::panicked(&fault::panic_text(&*panic)))),
    };
    let id = Some(message.event_id).filter(|id| !id.is_nil());
    let (id, input, flaw) = match read {
        Ok(None) => return None,
        Ok(Some(reading)) => (id.filter(|_| reading.once), Some(reading.input), None),
        Err(flaw) => (id, None, Some(flaw)),
    };
    let (span, trace) = process(&message);
    Some(Item { id, input, trace, span, flaw, held: None, origin: Origin::Message(message) })
}

/// The span of a message, and the trace of what follows from it.
fn process(message: &Message) -> (ItemSpan, Option<Trace>) {
    let span = ItemSpan::process(message);
    let trace = span.trace().or(message.trace);
    (span, trace)
}
