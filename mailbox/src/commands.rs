//! The loop for commands: requests, sweeps' findings and providers' answers, in batches.

use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    Clock, Command, CommandError, Outcome,
    item::{CommandClient, Item, Origin},
    pace::Pace,
    reactor::Reactor,
    settle::Settler,
    spans::ItemSpan,
};

/// Commands that may wait for a batch: more would not be committed before their deadline anyway.
const QUEUE: usize = 20_000;

/// The sending side of the command loop.
pub(crate) struct Commands<I> {
    queue: mpsc::Sender<Item<I>>,
    deadline: Duration,
    clock: Clock,
}

impl<I> Clone for Commands<I> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), deadline: self.deadline, clock: self.clock }
    }
}

impl<I: Send> Commands<I> {
    pub(crate) fn new(deadline: Duration, clock: Clock) -> (Self, mpsc::Receiver<Item<I>>) {
        let (queue, taken) = mpsc::channel(QUEUE);
        (Self { queue, deadline, clock }, taken)
    }

    /// Queues a command and waits for its end. A command without an idempotency key gets an id of
    /// its own, by which the inbox tells whether a commit whose reply was lost has happened.
    pub(crate) async fn submit(&self, command: Command<I>) -> Result<Outcome, CommandError> {
        let (reply, end) = oneshot::channel();
        let id = command.key.is_none().then(|| self.clock.new_id());
        let waiting = CommandClient {
            key: command.key,
            reply: Some(reply),
            deadline: Instant::now() + self.deadline,
            is_last_try: command.is_last_try,
            told: None,
        };
        let span = ItemSpan::execute(command.trace);
        let item = Item {
            id,
            input: Some(command.input),
            trace: span.trace().or(command.trace),
            span,
            flaw: None,
            held: None,
            origin: Origin::Command(waiting),
        };
        self.queue.try_send(item).map_err(|_| CommandError::Overloaded)?;
        // The batch itself answers at the deadline; the margin covers a batch that hangs in the
        // database.
        match tokio::time::timeout(self.deadline + Duration::from_secs(1), end).await {
            Ok(Ok(end)) => end,
            Ok(Err(_)) | Err(_) => Err(CommandError::Overloaded),
        }
    }
}

/// Settles commands until stopped; those that are queued by then are still settled.
pub(crate) async fn run<R: Reactor>(
    mut settler: Settler<R>,
    mut taken: mpsc::Receiver<Item<R::Input>>,
    limit: usize,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut received = Vec::with_capacity(limit);
    let mut pace = Pace::new();
    loop {
        pace.keep().await;
        let has_room = stop.is_cancelled() || !settler.held.is_full();
        tokio::select! {
            biased;
            some = taken.recv_many(&mut received, limit), if has_room => {
                if some == 0 {
                    return Ok(());
                }
            }
            () = settler.held.due() => {}
            () = stop.cancelled() => taken.close(),
        }
        pace.start();
        if settler.settle(std::mem::take(&mut received), &stop).await.stopped {
            return Ok(());
        }
    }
}
