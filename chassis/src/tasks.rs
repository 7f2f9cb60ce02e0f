//! A process as a list of named tasks: the first to end ends all.
//!
//! The order of stopping: taking in stops (HTTP, polls), then the work that handlers left running
//! ends, then the tasks that those needed (`spawn_last`: a batch loop, a producer), and after them
//! the process flushes its telemetry. Everything but the telemetry has one deadline.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, anyhow};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::problem::Problem;

/// The tasks of one process.
pub struct Tasks {
    running: Group,
    last: Group,
    detached: DetachedRunner,
    waiting: Arc<AtomicBool>,
    drain: Duration,
}

impl Tasks {
    /// `drain` is how long stopping may take.
    pub fn new(drain: Duration) -> Self {
        Self {
            running: Group::default(),
            last: Group::default(),
            detached: DetachedRunner(TaskTracker::new()),
            waiting: Arc::new(AtomicBool::new(false)),
            drain,
        }
    }

    /// Spawns `task`, handing it the token that asks it to finish what it holds and return.
    pub fn spawn<F>(&mut self, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.running.spawn(name, task);
    }

    /// Spawns a task that others need in order to finish: it is asked to stop only when all work of
    /// [`Tasks::spawn`] and [`Tasks::detached`] has ended.
    pub fn spawn_last<F>(&mut self, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.last.spawn(name, task);
    }

    /// Runs work that handlers start and that must end even when their client goes away.
    pub fn detached(&self) -> DetachedRunner {
        self.detached.clone()
    }

    /// Cancelled when the process is asked to stop; cancelling it asks the process to stop.
    pub fn stop_token(&self) -> CancellationToken {
        self.running.stop.clone()
    }

    /// True once the process has started everything and waits for its end.
    pub fn waiting(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.waiting)
    }

    /// Waits until the process is asked to stop or a task ends, then stops everything in order.
    ///
    /// A task that ends before it was asked to is a failure, even with `Ok`.
    pub async fn wait(mut self) -> anyhow::Result<()> {
        self.waiting.store(true, Ordering::Release);
        let stop = self.stop_token();
        let early = tokio::select! {
            // A task that has ended because it was asked to is not early.
            biased;
            () = stop.cancelled() => None,
            Some(end) = self.running.next() => Some(end),
            Some(end) = self.last.next() => Some(end),
        };
        let early = early.map_or(Ok(()), |(name, end)| {
            tracing::warn!(task = name, "a task has ended, so the process stops");
            match end {
                Ok(()) => Err(anyhow!("{name} ended early")),
                Err(error) => Err(error.context(format!("{name} failed"))),
            }
        });

        let drained = tokio::time::timeout(self.drain, self.stop_in_order()).await;
        let drained = drained.unwrap_or_else(|_| {
            let names = [self.running.names(), self.last.names()].concat().join(", ");
            Err(anyhow!("not finished within {:?} and aborted: {names}", self.drain))
        });
        first(early, drained)
    }

    async fn stop_in_order(&mut self) -> anyhow::Result<()> {
        let running = self.running.end().await;
        self.detached.0.close();
        self.detached.0.wait().await;
        first(running, self.last.end().await)
    }
}

/// Tasks that are asked to stop together.
#[derive(Default)]
struct Group {
    stop: CancellationToken,
    set: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, &'static str>,
}

impl Group {
    fn spawn<F>(&mut self, name: &'static str, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let handle = self.set.spawn(task(self.stop.clone()));
        self.names.insert(handle.id(), name);
    }

    async fn next(&mut self) -> Option<(&'static str, anyhow::Result<()>)> {
        let end = self.set.join_next_with_id().await?;
        let id = end.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let name = self.names.remove(&id).unwrap_or("a task");
        Some((name, end.map(|(_, end)| end).context("panicked").flatten()))
    }

    /// Asks all tasks to stop and waits for them; returns the first failure.
    async fn end(&mut self) -> anyhow::Result<()> {
        self.stop.cancel();
        let mut all = Ok(());
        while let Some((name, end)) = self.next().await {
            all = first(all, end.with_context(|| format!("{name} failed while stopping")));
        }
        all
    }

    fn names(&self) -> Vec<&'static str> {
        self.names.values().copied().collect()
    }
}

/// The first failure, which whoever waits for the end of the process logs; a later one is logged
/// here.
fn first(all: anyhow::Result<()>, next: anyhow::Result<()>) -> anyhow::Result<()> {
    if let (Err(_), Err(error)) = (&all, &next) {
        tracing::error!(error = &**error as &dyn std::error::Error, "a task failed, too");
    }
    all.and(next)
}

/// Runs futures that do not depend on whoever started them: hyper drops a handler when its client
/// goes away, and work that changes state has to end nevertheless.
#[derive(Clone)]
pub struct DetachedRunner(TaskTracker);

impl DetachedRunner {
    /// Runs `work` to its end and returns its result; dropping the returned future does not stop
    /// it.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, Problem> {
        use tracing::Instrument;

        self.0.spawn(work.in_current_span()).await.map_err(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, "detached work failed");
            Problem::internal()
        })
    }
}
