//! One thing to decide: a message or a command, on its way through a batch.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    time::Instant,
};

use tokio::sync::oneshot;
use uuid::Uuid;

use crate::{
    CommandError, IdempotencyKey, Outcome, fault,
    message::{Message, Park, Trace},
    reactor::{HeldRow, Reactor},
};

/// A message as it came from Kafka, with what is wrong with its envelope.
pub(crate) type IncomingMessage = (Message, Option<Park>);

/// A message or a command, with all that a batch must know of it.
pub(crate) struct Item<I> {
    /// What the inbox remembers it by. `None` where repetition does no harm, or no usable id came.
    pub(crate) id: Option<Uuid>,
    /// What it means; `None` for a message that is only to be parked, or to be kept because its
    /// type is unknown: then it has no flaw.
    pub(crate) input: Option<I>,
    pub(crate) trace: Option<Trace>,
    /// Why it cannot be processed, if that is known before deciding.
    pub(crate) flaw: Option<Park>,
    /// The row for which it has to wait, while others go on.
    pub(crate) held: Option<HeldRow>,
    pub(crate) origin: Origin,
}

pub(crate) enum Origin {
    Message(Message),
    Command(CommandClient),
}

/// The client's side of a command.
pub(crate) struct CommandClient {
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) reply: Option<oneshot::Sender<Result<Outcome, CommandError>>>,
    pub(crate) deadline: Instant,
    pub(crate) is_last_try: bool,
    /// The answer of a commit whose end was never heard: it holds if the command turns out to have
    /// taken effect.
    pub(crate) told: Option<Result<Outcome, CommandError>>,
}

/// What became of an item in one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ItemOutcome {
    /// Not settled yet: it is to be decided.
    Live,
    Applied,
    /// It has taken effect before.
    Duplicate,
    /// It, or a message before it, stopped its key.
    Parked,
    /// An event of a type that this build does not know: kept for one that does.
    Unknown,
    /// Another session holds a row that it, or a message of its key before it, needs.
    Held(HeldRow),
    /// A command's end.
    Answered(Result<Outcome, CommandError>),
}

impl<I> Item<I> {
    /// Whether it is an event of a type that this build does not know.
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

    /// Whether a command takes a provisional answer.
    pub(crate) fn is_last_try(&self) -> bool {
        self.waiting().is_none_or(|client| client.is_last_try)
    }

    /// The idempotency key of a command that came with one.
    pub(crate) fn idempotency_key(&self) -> Option<&IdempotencyKey> {
        self.waiting()?.key.as_ref()
    }

    /// Whether no attempt has anything left to do for it at present: its client was answered, or
    /// it waits for a row.
    pub(crate) fn is_over(&self) -> bool {
        self.held.is_some() || self.waiting().is_some_and(|waiting| waiting.reply.is_none())
    }

    /// Tells the client, if one waits.
    pub(crate) fn answer(&mut self, end: Result<Outcome, CommandError>) {
        if let Origin::Command(waiting) = &mut self.origin
            && let Some(reply) = waiting.reply.take()
        {
            // A client that went away needs no answer.
            let _gone = reply.send(end);
        }
    }
}

/// What a message means here; `None` when nobody here cares. A service that panics over it has
/// found a flaw of the message, as far as anybody can tell.
pub(crate) fn item<R: Reactor>(
    reactor: &R,
    (message, flaw): IncomingMessage,
) -> Option<Item<R::Input>> {
    if flaw.is_none() && !reactor.is_known(&message.event_type) {
        let trace = message.trace;
        // Without an id it could not be told from others like it, and would not be kept.
        let flaw = Park::no_envelope(&[(message.event_id.is_nil(), "ce_id")]);
        let origin = Origin::Message(message);
        return Some(Item { id: None, input: None, trace, flaw, held: None, origin });
    }
    let read = match flaw {
        Some(flaw) => Err(flaw),
        None => catch_unwind(AssertUnwindSafe(|| reactor.read(&message)))
            .unwrap_or_else(|panic| Err(fault::panicked(&fault::panic_text(&*panic)))),
    };
    let id = Some(message.event_id).filter(|id| !id.is_nil());
    let trace = message.trace;
    let (id, input, flaw) = match read {
        Ok(None) => return None,
        Ok(Some(reading)) => (id.filter(|_| reading.once), Some(reading.input), None),
        Err(flaw) => (id, None, Some(flaw)),
    };
    Some(Item { id, input, trace, flaw, held: None, origin: Origin::Message(message) })
}
