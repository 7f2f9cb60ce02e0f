//! What operators do to parked keys: release them in order, discard or replace their first message.

mod asker;

use std::sync::Arc;

use sqlx::{Connection, PgConnection};
use tokio::sync::Notify;

pub use self::asker::IdempotentRequest;
pub(crate) use self::asker::{Asker, BulkStep};
use crate::{
    Clock,
    batch::{self, ReleaseOutcome, in_time},
    bulk_keys::KeyOutcome,
    catch_up::CatchUp,
    fault::{self, Fault, LockPolicy, is_about_one, is_refusal},
    item::{Item, item},
    message::{Park, StoredMessage},
    operations::{self, Action, Operation},
    parked::{self, Replacement},
    reactor::{Answer, DecisionContext, Reactor},
    session::Session,
    unknown,
    wake::Wake,
};

/// Messages released in one transaction.
const CHUNK: i64 = 500;

/// Why an operation on a parked key failed.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No such key is parked.
    #[error("this key is not parked")]
    NotParked,
    /// The first message still cannot be processed; those before it were released.
    #[error("the first message still cannot be processed: {0}")]
    StillStopped(Park),
    /// The same request was answered before, under the same idempotency key: its stored answer.
    #[error("the request was answered before")]
    Answered(Answer),
    /// The idempotency key was used for another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The database refused or did not answer; nothing of the last chunk took effect.
    #[error("the database did not take it")]
    Database(#[from] sqlx::Error),
}

/// The operators' side of a mailbox.
pub(crate) struct Operators<R: Reactor> {
    pub(crate) reactor: Arc<R>,
    pub(crate) database_url: String,
    pub(crate) service: &'static str,
    pub(crate) wake: Wake,
    pub(crate) clock: Clock,
    /// Says that a bulk operation has begun.
    pub(crate) bulk_begun: Notify,
}

impl<R: Reactor> Operators<R> {
    /// A session for one request: operators are few, and must not use the batches' sessions.
    pub(crate) fn session(&self) -> sqlx::Result<Session> {
        Session::new(&self.database_url, &format!("{} operators", self.service))
    }

    /// Processes a key's messages in order, as if they came now; returns how many.
    pub(crate) async fn release(
        &self,
        session: &mut Session,
        (topic, key): (&str, &str),
        asker: Asker<'_>,
    ) -> Result<u64, OperatorError> {
        // Events of this key that were kept (`unknown`) before it stopped come before the message
        // that stopped it.
        let catch_up = CatchUp {
            reactor: &*self.reactor,
            wake: &self.wake,
            clock: self.clock,
            locking: LockPolicy::Wait,
        };
        let db = session.connection().await?;
        catch_up.take(db, &(topic.to_owned(), key.to_owned())).await?;
        let mut released = 0;
        let mut size = CHUNK;
        loop {
            let wanted = ReleaseChunk { topic, key, size, released, asker };
            match in_time(self.release_chunk(session, wanted)).await {
                Ok(ChunkOutcome { decided, refused: Some(park), .. }) => {
                    released += decided;
                    stays_parked((topic, key), released, &park);
                    return Err(OperatorError::StillStopped(park));
                }
                Ok(ChunkOutcome { decided, gone, refused: None }) => {
                    released += decided;
                    if gone {
                        tracing::info!(topic, key, released, "a parked key was released");
                        return Ok(released);
                    }
                }
                Err(Failure::Fault(fault)) => {
                    session.close().await;
                    // One message of the chunk is to blame: go on one by one, up to it.
                    if size > 1 && is_about_one(&fault) {
                        size = 1;
                    } else if is_refusal(&fault) {
                        let park = fault::park(&fault);
                        stays_parked((topic, key), released, &park);
                        in_time(self.explain(session, wanted, &park)).await?;
                        return Err(OperatorError::StillStopped(park));
                    } else {
                        return Err(fault.into());
                    }
                }
                Err(Failure::Refused(OperatorError::NotParked)) if released > 0 => {
                    return Ok(released);
                }
                Err(Failure::Refused(error)) => return Err(error),
            }
        }
    }

    async fn release_chunk(
        &self,
        session: &mut Session,
        wanted: ReleaseChunk<'_>,
    ) -> Result<ChunkOutcome, Failure> {
        let ReleaseChunk { topic, key, size, released, asker } = wanted;
        let db = session.connection().await.map_err(Fault::NotBegun)?;
        let mut tx = db.begin().await.map_err(Fault::NotBegun)?;
        hold(&mut tx, topic, key, asker).await?;
        // In a statement after the lock, so that it sees what the transactions before it committed.
        let mut items = Vec::new();
        let mut ids = Vec::new();
        let mut dropped = Vec::new();
        for row in parked::first(&mut tx, (topic, key), size).await? {
            let id = row.id;
            let message = row.into_message(topic);
            let flaw = message.lacks();
            match item(&*self.reactor, (message, flaw)) {
                Some(item) => {
                    items.push(item);
                    ids.push(id);
                }
                // This service has stopped caring for the message since it was parked.
                None => dropped.push(id),
            }
        }
        let context = DecisionContext::new(self.clock);
        let ReleaseOutcome { decided, refused, world } =
            batch::release(&*self.reactor, &mut tx, &items, &context).await?;
        let kept = items[..decided].iter().filter(|item| item.is_unknown());
        let kept: Vec<_> = kept.filter_map(Item::message).collect();
        unknown::keep(&mut tx, &kept).await?;
        let mut over: Vec<i64> = ids.into_iter().take(decided).collect();
        if refused.is_none() {
            over.extend(dropped);
        }
        let gone = parked::remove(&mut tx, topic, key, &over).await?;
        if let Some(park) = &refused {
            parked::explain(&mut tx, topic, key, park).await?;
        }
        let note = format!("{} messages", over.len());
        let reason = asker.reason().unwrap_or(&note);
        let deed = KeyOperation { action: Action::ParkedRelease, topic, key, reason, asker };
        log(&mut tx, deed, None).await?;
        let decided = u64::try_from(decided).unwrap_or(u64::MAX);
        let end = match &refused {
            Some(park) => Some(Err(park)),
            // If there are more messages, the last chunk is the end.
            None => gone.then_some(Ok(released + decided)),
        };
        asker.record(&mut tx, decided, end).await?;
        tx.commit().await?;
        self.wake.poke();
        if let Some(world) = world {
            batch::committed(&*self.reactor, world);
        }
        Ok(ChunkOutcome { decided, refused, gone })
    }

    /// Writes down why a key stays parked, after its transaction was refused.
    async fn explain(
        &self,
        session: &mut Session,
        ReleaseChunk { topic, key, asker, .. }: ReleaseChunk<'_>,
        park: &Park,
    ) -> Result<(), OperatorError> {
        let mut tx = session.connection().await?.begin().await?;
        hold(&mut tx, topic, key, asker).await?;
        parked::explain(&mut tx, topic, key, park).await?;
        asker.record(&mut tx, 0, Some(Err(park))).await?;
        Ok(tx.commit().await?)
    }

    /// Drops a key's first message for good; the others wait for the release. If the key did not
    /// stop, drops its first unknown event instead.
    pub(crate) async fn discard(
        &self,
        session: &mut Session,
        (topic, key): (&str, &str),
        reason: &str,
        asker: Asker<'_>,
    ) -> Result<(), OperatorError> {
        let mut tx = session.connection().await?.begin().await?;
        let dropped = match hold_first(&mut tx, topic, key, asker).await {
            Ok(first) if !asker.means(first.id) => {
                asker.pass_over(&mut tx, KeyOutcome::Changed).await?;
                return Ok(tx.commit().await?);
            }
            Ok(first) => {
                parked::remove(&mut tx, topic, key, &[first.id]).await?;
                first
            }
            Err(OperatorError::NotParked) if asker.is_single() => {
                let Some(first) = unknown::drop_first(&mut tx, topic, key).await? else {
                    // Of two requests at once the second has waited for the first to drop the
                    // event: the first may have been this very request, sent twice.
                    asker.check(&mut tx).await?;
                    return Err(OperatorError::NotParked);
                };
                first
            }
            Err(error) => return Err(error),
        };
        let deed = KeyOperation { action: Action::ParkedDiscard, topic, key, reason, asker };
        log(&mut tx, deed, Some(&dropped)).await?;
        asker.record(&mut tx, 1, Some(Ok(1))).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Gives a key's first message another payload; the old one is recorded among the operations.
    pub(crate) async fn replace(
        &self,
        topic: &str,
        key: &str,
        mended: Replacement<'_>,
        asker: Asker<'_>,
    ) -> Result<(), OperatorError> {
        let mut session = self.session()?;
        let mut tx = session.connection().await?.begin().await?;
        let first = hold_first(&mut tx, topic, key, asker).await?;
        let reason = mended.reason;
        let deed = KeyOperation { action: Action::ParkedReplace, topic, key, reason, asker };
        log(&mut tx, deed, Some(&first)).await?;
        parked::replace(&mut tx, first.id, mended).await?;
        asker.record(&mut tx, 1, Some(Ok(1))).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Logs that a release has come to a message that still cannot be processed.
fn stays_parked((topic, key): (&str, &str), released: u64, park: &Park) {
    let Park { class, reason } = park;
    tracing::warn!(topic, key, released, class, reason, "a parked key stays parked");
}

/// One chunk of a release: its transaction's input.
#[derive(Clone, Copy)]
struct ReleaseChunk<'a> {
    topic: &'a str,
    key: &'a str,
    size: i64,
    /// Messages that the chunks before released.
    released: u64,
    asker: Asker<'a>,
}

struct ChunkOutcome {
    decided: u64,
    refused: Option<Park>,
    gone: bool,
}

/// Why a chunk was not released.
enum Failure {
    Refused(OperatorError),
    Fault(Fault),
}

impl From<OperatorError> for Failure {
    fn from(error: OperatorError) -> Self {
        match error {
            OperatorError::Database(error) => Self::Fault(error.into()),
            error => Self::Refused(error),
        }
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Fault(error.into())
    }
}

impl From<Fault> for OperatorError {
    fn from(fault: Fault) -> Self {
        Self::Database(match fault {
            Fault::NotBegun(error) | Fault::Database(error) => error,
            fault => sqlx::Error::Protocol(fault.to_string()),
        })
    }
}

/// Locks a key for this request alone, and looks for a stored answer to the request. It looks under
/// the lock, so that of two equal requests at once the second finds the answer of the first.
async fn hold(
    db: &mut PgConnection,
    topic: &str,
    key: &str,
    asker: Asker<'_>,
) -> Result<(), OperatorError> {
    let is_parked = parked::hold(db, topic, key).await?;
    asker.check(db).await?;
    if is_parked { Ok(()) } else { Err(OperatorError::NotParked) }
}

/// An operation on a key, to be recorded.
struct KeyOperation<'a> {
    action: Action,
    topic: &'a str,
    key: &'a str,
    reason: &'a str,
    asker: Asker<'a>,
}

/// Records what was done to a key, and to which of its messages.
async fn log(
    db: &mut PgConnection,
    KeyOperation { action, topic, key, reason, asker }: KeyOperation<'_>,
    message: Option<&StoredMessage>,
) -> sqlx::Result<()> {
    let done = Operation {
        topic: Some(topic),
        key: Some(key),
        event_id: message.and_then(|message| message.event_id),
        source: message.and_then(|message| message.source.as_deref()),
        version: message.and_then(|message| message.version),
        payload: message.and_then(|message| message.payload.as_deref()),
        ..Operation::new(asker.caller(), action, reason)
    };
    operations::record(db, done).await
}

async fn hold_first(
    db: &mut PgConnection,
    topic: &str,
    key: &str,
    asker: Asker<'_>,
) -> Result<StoredMessage, OperatorError> {
    hold(db, topic, key, asker).await?;
    parked::first(db, (topic, key), 1).await?.into_iter().next().ok_or(OperatorError::NotParked)
}
