//! Commands: requests, sweeps and providers' answers, batched with their neighbours.

use std::{
    collections::{HashSet, VecDeque},
    time::{Duration, Instant},
};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    Command, CommandError, Outcome,
    entry::{Entry, Origin, Waiting},
    idempotency,
    pace::Pace,
    reactor::Reactor,
    settle::Settler,
};

/// Commands that may wait for a batch: more would not be committed before their deadline anyway.
const QUEUE: usize = 20_000;

/// The way in.
pub(crate) struct Commands<I> {
    queue: mpsc::Sender<Entry<I>>,
    deadline: Duration,
}

impl<I> Clone for Commands<I> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone(), deadline: self.deadline }
    }
}

impl<I: Send> Commands<I> {
    pub(crate) fn new(deadline: Duration) -> (Self, mpsc::Receiver<Entry<I>>) {
        let (queue, taken) = mpsc::channel(QUEUE);
        (Self { queue, deadline }, taken)
    }

    /// Queues a command under an id of its own and waits for its end.
    pub(crate) async fn submit(&self, command: Command<I>) -> Result<Outcome, CommandError> {
        let (reply, end) = oneshot::channel();
        let waiting = Waiting {
            key: command.key,
            reply: Some(reply),
            deadline: Instant::now() + self.deadline,
            told: None,
        };
        let entry = Entry {
            id: Some(Uuid::now_v7()),
            input: Some(command.input),
            trace: command.trace,
            flaw: None,
            origin: Origin::Command(waiting),
        };
        self.queue.try_send(entry).map_err(|_| CommandError::Overloaded)?;
        // The batch keeps the deadline; the margin is for one that hangs in the database.
        match tokio::time::timeout(self.deadline + Duration::from_secs(1), end).await {
            Ok(Ok(end)) => end,
            Ok(Err(_)) | Err(_) => Err(CommandError::Overloaded),
        }
    }
}

/// Settles commands until stopped; what was queued by then is settled still.
pub(crate) async fn run<R: Reactor>(
    mut settler: Settler<R>,
    mut taken: mpsc::Receiver<Entry<R::Input>>,
    limit: usize,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut waiting: VecDeque<Entry<R::Input>> = VecDeque::new();
    let mut received = Vec::with_capacity(limit);
    let mut pace = Pace::new();
    loop {
        pace.keep().await;
        if waiting.is_empty() {
            tokio::select! {
                biased;
                some = taken.recv_many(&mut received, limit) => {
                    if some == 0 {
                        return Ok(());
                    }
                }
                () = stop.cancelled() => taken.close(),
            }
        } else {
            while received.len() < limit
                && let Ok(entry) = taken.try_recv()
            {
                received.push(entry);
            }
        }
        waiting.extend(received.drain(..));
        let mut batch = take_batch(&mut waiting, limit);
        if !batch.is_empty() {
            pace.start();
            let settled = settler.settle(&mut batch, &stop).await;
            if settled.stopped {
                return Ok(());
            }
        }
    }
}

/// The next batch: one request of each idempotency key, so that the second finds the first one's
/// answer.
fn take_batch<I>(waiting: &mut VecDeque<Entry<I>>, limit: usize) -> Vec<Entry<I>> {
    let mut names = HashSet::new();
    let (mut batch, mut later) = (Vec::new(), VecDeque::new());
    while let Some(entry) = waiting.pop_front() {
        let key = entry.waiting().and_then(|it| it.key.as_ref());
        if batch.len() < limit && key.is_none_or(|key| names.insert(idempotency::name(key))) {
            batch.push(entry);
        } else {
            later.push_back(entry);
        }
    }
    *waiting = later;
    batch
}
