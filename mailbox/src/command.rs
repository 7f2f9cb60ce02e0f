//! A command: a request, a sweep's finding or a provider's answer, and what becomes of it.

use crate::{message::Trace, reactor::Answer};

/// A client's own key for a request, and what the key was used for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    pub caller: String,
    /// Method and path.
    pub route: String,
    pub key: String,
    /// SHA-256 of the canonical request.
    pub fingerprint: [u8; 32],
}

/// A request, a sweep's finding or a provider's answer on its way into a batch.
#[derive(Clone, Debug)]
pub struct Command<I> {
    pub input: I,
    pub key: Option<IdempotencyKey>,
    pub trace: Option<Trace>,
    /// Whether a provisional answer is the answer; otherwise it is [`CommandError::TryAgain`].
    pub is_last_try: bool,
}

impl<I> Command<I> {
    /// A command without an idempotency key or a trace.
    pub fn new(input: I) -> Self {
        Self { input, key: None, trace: None, is_last_try: true }
    }
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub answer: Answer,
    /// Whether this is the first answer told again.
    pub replayed: bool,
}

/// Why a command has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Not committed before its deadline; whether it will be is unknown, and a repetition with the
    /// same key tells.
    #[error("no answer before the deadline")]
    Overloaded,
    /// What the decision is made from may merely be late: nothing has changed, and nothing is kept.
    #[error("to be tried again in a moment")]
    TryAgain,
    /// The same idempotency key came with another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The database refuses this command alone: a bug of ours.
    #[error("the command failed")]
    Failed,
}
