//! A command: a request, a sweep's finding or a provider's answer, and what becomes of it.

use crate::{message::Trace, reactor::Answer};

/// A client's own key for a request, and the fingerprint of the request that the key was used for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    pub caller: String,
    /// Method and path.
    pub route: String,
    pub key: String,
    /// SHA-256 of the canonical request.
    pub fingerprint: [u8; 32],
}

/// A request, a sweep's finding or a provider's answer, on its way into a batch.
#[derive(Clone, Debug)]
pub struct Command<I> {
    pub input: I,
    pub key: Option<IdempotencyKey>,
    pub trace: Option<Trace>,
    /// Whether a provisional answer is acceptable; otherwise the client gets
    /// [`CommandError::TryAgain`] instead.
    pub is_last_try: bool,
}

impl<I> Command<I> {
    /// A command without an idempotency key or a trace.
    pub fn new(input: I) -> Self {
        Self { input, key: None, trace: None, is_last_try: true }
    }
}

/// The answer to a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub answer: Answer,
    /// Whether this is the stored first answer, given again.
    pub replayed: bool,
}

/// Why a command has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The command was not committed before its deadline. Whether it will be is unknown; repeating
    /// it under the same idempotency key tells.
    #[error("no answer before the deadline")]
    Overloaded,
    /// The data that the decision needs may merely be late: nothing changed, and no answer is
    /// stored.
    #[error("to be tried again in a moment")]
    TryAgain,
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The database refuses this command alone, or the service's code panics over it: a bug of
    /// ours.
    #[error("the command failed")]
    Failed,
}
