//! The loop that carries out bulk operations, key by key.
//!
//! What became of a key is written in the transaction that releases or discards it, so an operation
//! goes on where it was after any crash, and no key is discarded twice. One instance of a service
//! works at a time; two, after a lost session, would find each other's keys ended.

use std::{error::Error, sync::Arc, time::Duration};

use tokio_util::sync::CancellationToken;

use super::{BulkAction, BulkOperation, end, next, try_lock, unlock};
use crate::{
    OperatorError,
    batch::in_time,
    bulk_keys::{self, BulkEntry, KeyOutcome},
    operate::{Asker, BulkStep, Operators},
    reactor::Reactor,
    session::{Session, within},
};

/// Pause between two looks for operations that another instance began and did not end.
const EVERY: Duration = Duration::from_secs(10);
/// Pause after a failure of the database.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// Keys that are read at a time.
const KEYS: i64 = 100;
/// Tries at one key, while the database answers otherwise.
const TRIES: u32 = 3;

/// Carries out the bulk operations of one mailbox.
pub(crate) struct BulkWorker<R: Reactor>(pub(crate) Arc<Operators<R>>);

impl<R: Reactor> BulkWorker<R> {
    /// Works until stopped. What is under way then is rolled back, or committed with its outcome.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        // Kept from look to look: logging in costs a hundred times what a look does.
        let mut lock = self.0.session()?;
        let working = async {
            let mut is_well = true;
            loop {
                let pause = match self.work(&mut lock).await {
                    Ok(()) => {
                        is_well = true;
                        EVERY
                    }
                    Err(error) => {
                        lock.close().await;
                        // One line for all failures in a row.
                        if std::mem::replace(&mut is_well, false) {
                            let error = &error as &dyn Error;
                            tracing::warn!(error, "the bulk operations stand still");
                        }
                        AFTER_FAILURE
                    }
                };
                let begun = self.0.bulk_begun.notified();
                // Begun or not: the next round looks.
                let _looked = tokio::time::timeout(pause, begun).await;
            }
        };
        stop.run_until_cancelled(working).await;
        Ok(())
    }

    /// Carries out all operations there are, unless another instance does: `lock` is the session
    /// that says so, and closed after a failure.
    async fn work(&self, lock: &mut Session) -> sqlx::Result<()> {
        if within(next(lock.connection().await?)).await?.is_none() {
            return Ok(());
        }
        if !within(try_lock(lock.connection().await?)).await? {
            return Ok(());
        }
        let mut session = self.0.session()?;
        while let Some(bulk) = within(next(session.connection().await?)).await? {
            self.carry_out(&mut session, &bulk).await?;
        }
        within(unlock(lock.connection().await?)).await
    }

    async fn carry_out(&self, session: &mut Session, bulk: &BulkOperation) -> sqlx::Result<()> {
        loop {
            let db = session.connection().await?;
            let keys = within(bulk_keys::pending(db, bulk.id, KEYS)).await?;
            if keys.is_empty() {
                within(end(db, bulk.id)).await?;
                tracing::info!(bulk_id = %bulk.id, keys = bulk.keys, "a bulk operation has ended");
                return Ok(());
            }
            for entry in &keys {
                self.settle(session, bulk, entry).await?;
            }
        }
    }

    /// Does to one key what the operation is for. Fails only if the database does not even take
    /// the outcome.
    async fn settle(
        &self,
        session: &mut Session,
        bulk: &BulkOperation,
        entry: &BulkEntry,
    ) -> sqlx::Result<()> {
        let (caller, reason) = (bulk.caller.as_str(), bulk.reason.as_str());
        let step = BulkStep { entry, caller, reason, done: bulk.action.done() };
        let mut tries = 1;
        let (outcome, detail) = loop {
            match self.act(session, bulk, step).await {
                // Written down with what was done, or with the reason why nothing could be.
                Ok(()) | Err(OperatorError::StillStopped(_)) => return Ok(()),
                Err(OperatorError::NotParked) => break (KeyOutcome::Gone, None),
                Err(error) => {
                    session.close().await;
                    if tries == TRIES {
                        break (KeyOutcome::Failed, Some(with_causes(&error)));
                    }
                    tracing::warn!(
                        error = &error as &dyn Error,
                        bulk_id = %bulk.id,
                        topic = entry.topic,
                        key = entry.key,
                        "a key is tried again"
                    );
                    tokio::time::sleep(AFTER_FAILURE).await;
                    tries += 1;
                }
            }
        };
        let db = session.connection().await?;
        within(bulk_keys::note(db, entry, 0, Some((outcome, detail.as_deref())))).await
    }

    async fn act(
        &self,
        session: &mut Session,
        bulk: &BulkOperation,
        step: BulkStep<'_>,
    ) -> Result<(), OperatorError> {
        let (topic, key) = (step.entry.topic.as_str(), step.entry.key.as_str());
        let asker = Asker::Bulk(step);
        match bulk.action {
            BulkAction::Release => self.0.release(session, (topic, key), asker).await.map(drop),
            BulkAction::Discard => {
                in_time(self.0.discard(session, (topic, key), &bulk.reason, asker)).await
            }
        }
    }
}

impl BulkAction {
    /// What becomes of a key if all goes well.
    fn done(self) -> KeyOutcome {
        match self {
            Self::Release => KeyOutcome::Released,
            Self::Discard => KeyOutcome::Discarded,
        }
    }
}

/// An error with its causes, for the outcome of a key.
fn with_causes(error: &dyn Error) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
