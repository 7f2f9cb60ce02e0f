//! What one instance knows of what all instances of its service share about consuming: which topics
//! are paused, which partitions have stopped, and which message of each partition was applied last.
//! Also this instance's name, which no other may have.
//!
//! An instance is a static member of its group: when it is started again under its name, it gets
//! its partitions back at once. A second process with that name would fence the first, so the name
//! is also an advisory lock in the service's own database, held by a session that lives as long as
//! the instance. A killed process loses the lock with its socket; a host that vanished loses it
//! when the server's keep-alives give up.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;

use crate::{
    consumers::{self, AppliedMessage, Halt, Halts, Partition},
    metrics,
    session::{Session, within_limit},
};

/// How soon an instance obeys what another, or an operator, has written.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often the last applied messages are written down; they only serve to recognize a topic that
/// was made anew (`positions`).
const REMEMBER_EVERY: Duration = Duration::from_secs(5);
/// How long to wait for the name: longer than the server takes to give up a session whose host has
/// vanished.
const NAME_PATIENCE: Duration = Duration::from_secs(15);
const NAME_PAUSE: Duration = Duration::from_millis(100);
/// Limit of one exchange with the database; one that takes longer is away.
const ANSWER: Duration = Duration::from_secs(2);

/// What the loop in `consume`, its polling thread and the operators share about what is consumed.
pub(crate) struct Control {
    /// The instance's name; empty for a member without one.
    instance: String,
    line: tokio::sync::Mutex<NamedSession>,
    known: Mutex<ControlState>,
    /// Counts the changes of what is halted.
    changes: AtomicU64,
}

/// The session for control, and whether it holds the instance's name.
struct NamedSession {
    session: Session,
    has_name: bool,
}

#[derive(Default)]
struct ControlState {
    /// Pauses and stops as the database has them.
    halts: Halts,
    /// Stops that were found here and are not written down yet.
    found: HashMap<Partition, Halt>,
    applied: HashMap<Partition, AppliedMessage>,
    /// Those of `applied` that are not written down yet.
    unwritten: HashMap<Partition, AppliedMessage>,
}

impl Control {
    /// Takes the instance's name, and reads what is halted. Fails if another process keeps the
    /// name.
    pub(crate) async fn open(session: Session, instance: &str) -> anyhow::Result<Self> {
        let control = Self {
            instance: instance.to_owned(),
            line: tokio::sync::Mutex::new(NamedSession { session, has_name: false }),
            known: Mutex::default(),
            changes: AtomicU64::new(0),
        };
        let started = Instant::now();
        while !control.take_name().await? {
            if started.elapsed() >= NAME_PATIENCE {
                bail!(
                    "another process consumes as {instance}: give each instance a name of its own \
                     (--instance), or stop the other"
                );
            }
            tokio::time::sleep(NAME_PAUSE).await;
        }
        control.look().await.context("could not read what is not consumed")?;
        Ok(control)
    }

    async fn take_name(&self) -> sqlx::Result<bool> {
        let mut line = self.line.lock().await;
        if !line.has_name && !self.instance.is_empty() {
            let db = line.session.connection().await?;
            line.has_name = consumers::take_name(db, &self.instance).await?;
            return Ok(line.has_name);
        }
        Ok(true)
    }

    /// Reads halts each second, and writes down stops and applied messages, until stopped.
    pub(crate) async fn run(&self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut remembered = Instant::now();
        let mut is_well = true;
        while !stop.is_cancelled() {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let is_due = remembered.elapsed() >= REMEMBER_EVERY || stop.is_cancelled();
            if is_due {
                remembered = Instant::now();
            }
            match self.exchange(is_due).await {
                Ok(()) => is_well = true,
                Err(error) => {
                    // The exchange is tried each second: one log line for all its failures in a
                    // row.
                    if std::mem::replace(&mut is_well, false) {
                        tracing::warn!(
                            error = &error as &dyn std::error::Error,
                            "could not read or tell what is not consumed"
                        );
                    }
                }
            }
        }
        // Frees the name at once, so that whoever is started next under it need not wait for this
        // process to end.
        self.hang_up().await;
        Ok(())
    }

    async fn hang_up(&self) {
        let mut line = self.line.lock().await;
        line.session.close().await;
        line.has_name = false;
    }

    async fn exchange(&self, remember: bool) -> sqlx::Result<()> {
        let ended = within_limit(ANSWER, async {
            // The name may have been lost with a session and taken by another process meanwhile:
            // then Kafka fences one of the two.
            let _has_name = self.take_name().await?;
            self.tell_stops().await?;
            if remember {
                self.remember().await?;
            }
            self.look().await
        })
        .await;
        if ended.is_err() {
            self.hang_up().await;
        }
        ended
    }

    /// Reads what is halted from the database.
    pub(crate) async fn look(&self) -> sqlx::Result<()> {
        let mut line = self.line.lock().await;
        let halts = consumers::halts(line.session.connection().await?).await?;
        drop(line);
        let mut known = self.known();
        if known.halts != halts {
            known.halts = halts;
            self.changed(&known);
        }
        Ok(())
    }

    async fn tell_stops(&self) -> sqlx::Result<()> {
        let found = self.known().found.clone();
        for (partition, halt) in found {
            let mut line = self.line.lock().await;
            let db = line.session.connection().await?;
            consumers::stop(db, &partition, &halt.reason).await?;
            drop(line);
            let mut known = self.known();
            known.found.remove(&partition);
            known.halts.stopped.insert(partition, halt);
        }
        Ok(())
    }

    async fn remember(&self) -> sqlx::Result<()> {
        let mut rows: Vec<_> =
            self.known().unwritten.iter().map(|(at, it)| (at.clone(), *it)).collect();
        if rows.is_empty() {
            return Ok(());
        }
        rows.sort_by(|(one, _), (other, _)| one.cmp(other));
        let mut line = self.line.lock().await;
        consumers::remember(line.session.connection().await?, &rows).await?;
        drop(line);
        let mut known = self.known();
        for (partition, written) in rows {
            if known.unwritten.get(&partition) == Some(&written) {
                known.unwritten.remove(&partition);
            }
        }
        Ok(())
    }

    /// Reads what was applied, by whichever instance: needed when partitions are assigned.
    pub(crate) async fn recall(&self) {
        let recalled = within_limit(ANSWER, async {
            let mut line = self.line.lock().await;
            consumers::positions(line.session.connection().await?).await
        });
        match recalled.await {
            Ok(mut applied) => {
                let mut known = self.known();
                applied.extend(known.unwritten.iter().map(|(at, it)| (at.clone(), *it)));
                known.applied = applied;
            }
            // What this instance knows already is older, and serves as well.
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not read what was applied"
                );
                self.hang_up().await;
            }
        }
    }

    /// The last message of a partition that was applied, as far as it is known here.
    pub(crate) fn applied(&self, partition: &Partition) -> Option<AppliedMessage> {
        self.known().applied.get(partition).copied()
    }

    /// Notes messages that were applied.
    pub(crate) fn note(&self, applied: Vec<(Partition, AppliedMessage)>) {
        let mut known = self.known();
        known.applied.extend(applied.iter().cloned());
        known.unwritten.extend(applied);
    }

    /// Forgets what was applied of halted partitions: an operator may move them.
    pub(crate) fn forget(&self, partitions: &[Partition]) {
        let mut known = self.known();
        for partition in partitions {
            known.unwritten.remove(partition);
            known.applied.remove(partition);
        }
    }

    /// Stops a partition: in this instance at once, for the others once it is written down.
    pub(crate) fn stop(&self, partition: Partition, reason: &str, now: time::OffsetDateTime) {
        let Partition { topic, number } = &partition;
        tracing::error!(
            topic,
            partition = number,
            reason,
            "a partition has stopped until somebody resumes it: see \
             docs/runbooks/consumer_stopped.md"
        );
        let mut known = self.known();
        known.unwritten.remove(&partition);
        known.applied.remove(&partition);
        known.found.insert(partition, Halt { reason: reason.to_owned(), since: now });
        self.changed(&known);
    }

    /// All pauses and stops, including those that are not written down yet.
    pub(crate) fn halts(&self) -> Halts {
        let known = self.known();
        let mut halts = known.halts.clone();
        halts.stopped.extend(known.found.clone());
        halts
    }

    /// A count that changes whenever what is halted does.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    fn changed(&self, known: &ControlState) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        let stopped = known.halts.stopped.len() + known.found.len();
        metrics::halted(known.halts.paused.len(), stopped);
    }

    fn known(&self) -> MutexGuard<'_, ControlState> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
