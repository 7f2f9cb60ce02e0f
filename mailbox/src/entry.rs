//! One thing to decide: a message or a command, on its way through a batch.

use std::time::Instant;

use tokio::sync::oneshot;
use uuid::Uuid;

use crate::{
    CommandError, IdempotencyKey, Outcome,
    message::{Message, Park, Trace},
};

/// A message or a command, with all that a batch must know of it.
pub(crate) struct Entry<I> {
    /// What the inbox remembers it by. `None` where repetition does no harm, or no usable id came.
    pub(crate) id: Option<Uuid>,
    /// What it means; `None` for a message that is only to be parked, or to be kept because its
    /// type is unknown: then it has no flaw.
    pub(crate) input: Option<I>,
    pub(crate) trace: Option<Trace>,
    /// Why it cannot be processed, if that is known before deciding.
    pub(crate) flaw: Option<Park>,
    pub(crate) origin: Origin,
}

pub(crate) enum Origin {
    Message(Message),
    Command(Waiting),
}

/// The client's side of a command.
pub(crate) struct Waiting {
    pub(crate) key: Option<IdempotencyKey>,
    pub(crate) reply: Option<oneshot::Sender<Result<Outcome, CommandError>>>,
    pub(crate) deadline: Instant,
    /// The answer of a commit whose end was never heard: it holds if the id turns out to be
    /// admitted.
    pub(crate) told: Option<Result<Outcome, CommandError>>,
}

/// What became of an entry in one attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Not settled yet: it is to be decided.
    Live,
    Applied,
    /// It has taken effect before.
    Duplicate,
    /// It, or a message before it, stopped its key.
    Parked,
    /// An event of a type that this build does not know: kept for one that does.
    Unknown,
    /// A command's end.
    Answered(Result<Outcome, CommandError>),
}

impl<I> Entry<I> {
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

    pub(crate) fn waiting(&self) -> Option<&Waiting> {
        match &self.origin {
            Origin::Message(_) => None,
            Origin::Command(waiting) => Some(waiting),
        }
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
