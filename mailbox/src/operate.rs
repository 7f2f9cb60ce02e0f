//! What operators do to parked keys: release in order, discard the first, replace the first.

use std::sync::Arc;

use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;

use crate::{
    IdempotencyKey,
    catch_up::CatchUp,
    consume::entry,
    entry::Entry,
    fault::{self, Verdict},
    idempotency, inbox,
    message::{Park, StoredMessage},
    operations::{self, Action, Operation},
    outbox,
    parked::{self, Mended},
    reactor::{Answer, Reactor, Turn},
    session::Session,
    unknown,
    wake::Wake,
};

/// Messages released in one transaction.
const PIECE: i64 = 500;

/// Why an operator's wish was not fulfilled.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// No such key is parked.
    #[error("this key is not parked")]
    NotParked,
    /// The first message still cannot be processed; those before it were released.
    #[error("the first message still cannot be processed: {0}")]
    StillStopped(Park),
    /// The request was answered before, so.
    #[error("the request was answered before")]
    Answered(Answer),
    /// The same idempotency key came with another request.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// The database refused or did not answer; nothing of the last piece took effect.
    #[error("the database did not take it")]
    Database(#[from] sqlx::Error),
}

/// A request that takes effect once, however often it comes: what it came to is kept under its key.
#[derive(Clone)]
pub struct Once {
    pub key: IdempotencyKey,
    /// The answer to be told again: to how many messages something was done, or why it was not.
    pub tell: fn(Result<u64, &Park>) -> Answer,
}

/// The operators' side of a mailbox.
pub(crate) struct Operators<R: Reactor> {
    pub(crate) reactor: Arc<R>,
    pub(crate) database_url: String,
    pub(crate) service: &'static str,
    pub(crate) wake: Wake,
    pub(crate) clock: fn() -> OffsetDateTime,
}

impl<R: Reactor> Operators<R> {
    /// One session a request: operators are few, and theirs must not be the batches'.
    pub(crate) fn session(&self) -> sqlx::Result<Session> {
        Session::new(&self.database_url, &format!("{} operators", self.service))
    }

    /// Processes a key's messages in order, as if they came now; how many were.
    pub(crate) async fn release(
        &self,
        topic: &str,
        key: &str,
        once: Option<&Once>,
    ) -> Result<u64, OperatorError> {
        let mut session = self.session()?;
        let db = session.connection().await?;
        // What was kept of this key before it stopped comes before what stopped it.
        let catch_up = CatchUp { reactor: &*self.reactor, wake: &self.wake, clock: self.clock };
        catch_up.take(db, &(topic.to_owned(), key.to_owned())).await?;
        let mut released = 0;
        let mut size = PIECE;
        loop {
            let wanted = Wanted { topic, key, size, released, once };
            match self.release_piece(db, wanted).await {
                Ok(Piece { decided, refused: Some(park), .. }) => {
                    released += decided;
                    tracing::warn!(topic, key, released, %park, "a parked key stays parked");
                    return Err(OperatorError::StillStopped(park));
                }
                Ok(Piece { decided, gone, refused: None }) => {
                    released += decided;
                    if gone {
                        tracing::info!(topic, key, released, "a parked key was released");
                        return Ok(released);
                    }
                }
                // One of the piece is to blame: one by one, up to it.
                Err(OperatorError::Database(error)) if size > 1 && is_about_one(&error) => size = 1,
                Err(OperatorError::Database(error)) if is_refusal(&error) => {
                    let park = fault::park(&error);
                    tracing::warn!(topic, key, released, %park, "a parked key stays parked");
                    self.explain(db, wanted, &park).await?;
                    return Err(OperatorError::StillStopped(park));
                }
                Err(error) if released > 0 && matches!(error, OperatorError::NotParked) => {
                    return Ok(released);
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn release_piece(
        &self,
        db: &mut PgConnection,
        wanted: Wanted<'_>,
    ) -> Result<Piece, OperatorError> {
        let Wanted { topic, key, size, released, once } = wanted;
        let mut tx = db.begin().await?;
        claim(&mut tx, once).await?;
        if !parked::hold(&mut tx, topic, key).await? {
            return Err(OperatorError::NotParked);
        }
        // In a statement after the lock, so that it sees what the lock waited for.
        let mut entries = Vec::new();
        let mut ids = Vec::new();
        let mut dropped = Vec::new();
        for row in parked::first(&mut tx, (topic, key), size).await? {
            let id = row.id;
            let message = row.into_message(topic);
            let flaw = message.lacks();
            match entry(&*self.reactor, (message, flaw)) {
                Some(entry) => {
                    entries.push(entry);
                    ids.push(id);
                }
                // Since it was parked, this service has stopped caring.
                None => dropped.push(id),
            }
        }
        let turn = Turn::at((self.clock)());
        let (decided, refused, world) =
            decide_parked(&*self.reactor, &mut tx, &entries, &turn).await?;
        let kept = entries[..decided].iter().filter(|entry| entry.is_unknown());
        let kept: Vec<_> = kept.filter_map(Entry::message).collect();
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
        log(&mut tx, Deed { action: Action::ParkedRelease, topic, key, reason: &note, once }, None)
            .await?;
        let decided = u64::try_from(decided).unwrap_or(u64::MAX);
        match &refused {
            Some(park) => keep(&mut tx, once, Err(park)).await?,
            None if gone => keep(&mut tx, once, Ok(released + decided)).await?,
            // There is more of it: the last piece is the one that answers.
            None => forget(&mut tx, once).await?,
        }
        tx.commit().await?;
        self.wake.poke();
        if let Some(world) = world {
            self.reactor.committed(world);
        }
        Ok(Piece { decided, refused, gone })
    }

    /// Says of a key why it stays parked, after a transaction that was refused.
    async fn explain(
        &self,
        db: &mut PgConnection,
        Wanted { topic, key, once, .. }: Wanted<'_>,
        park: &Park,
    ) -> Result<(), OperatorError> {
        let mut tx = db.begin().await?;
        claim(&mut tx, once).await?;
        if !parked::hold(&mut tx, topic, key).await? {
            return Err(OperatorError::NotParked);
        }
        parked::explain(&mut tx, topic, key, park).await?;
        keep(&mut tx, once, Err(park)).await?;
        Ok(tx.commit().await?)
    }

    /// Drops a key's first message for good; the others wait for the release. Of a key that did
    /// not stop, the first event that is kept because its type is unknown.
    pub(crate) async fn discard(
        &self,
        topic: &str,
        key: &str,
        reason: &str,
        once: Option<&Once>,
    ) -> Result<(), OperatorError> {
        let mut session = self.session()?;
        let mut tx = session.connection().await?.begin().await?;
        claim(&mut tx, once).await?;
        let dropped = match hold_first(&mut tx, topic, key).await {
            Ok(first) => {
                parked::remove(&mut tx, topic, key, &[first.id]).await?;
                first
            }
            Err(OperatorError::NotParked) => {
                let first = unknown::drop_first(&mut tx, topic, key).await?;
                first.ok_or(OperatorError::NotParked)?
            }
            Err(error) => return Err(error),
        };
        let deed = Deed { action: Action::ParkedDiscard, topic, key, reason, once };
        log(&mut tx, deed, Some(&dropped)).await?;
        keep(&mut tx, once, Ok(1)).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Gives a key's first message another payload; the old one is kept in the log.
    pub(crate) async fn replace(
        &self,
        topic: &str,
        key: &str,
        mended: Mended<'_>,
        once: Option<&Once>,
    ) -> Result<(), OperatorError> {
        let mut session = self.session()?;
        let mut tx = session.connection().await?.begin().await?;
        claim(&mut tx, once).await?;
        let first = hold_first(&mut tx, topic, key).await?;
        log(
            &mut tx,
            Deed { action: Action::ParkedReplace, topic, key, reason: mended.reason, once },
            Some(&first),
        )
        .await?;
        parked::replace(&mut tx, first.id, mended).await?;
        keep(&mut tx, once, Ok(1)).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// A piece of a release.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    topic: &'a str,
    key: &'a str,
    size: i64,
    /// Messages of the pieces before.
    released: u64,
    once: Option<&'a Once>,
}

struct Piece {
    decided: u64,
    refused: Option<Park>,
    gone: bool,
}

/// Whether fewer messages in a piece would help.
pub(crate) fn is_about_one(error: &sqlx::Error) -> bool {
    !matches!(fault::judge(error), Verdict::Wait | Verdict::Stall)
}

/// Whether the database would say the same again.
pub(crate) fn is_refusal(error: &sqlx::Error) -> bool {
    matches!(fault::judge(error), Verdict::Suspect { .. })
}

/// Claims the request's key until the transaction ends; an answer given before is the end of it.
async fn claim(db: &mut PgConnection, once: Option<&Once>) -> Result<(), OperatorError> {
    let Some(Once { key, .. }) = once else { return Ok(()) };
    if !idempotency::claim(db, &[key]).await?.is_empty() {
        return Ok(());
    }
    let kept = idempotency::kept(db, &[key]).await?.into_values().next();
    let kept = kept.ok_or(sqlx::Error::RowNotFound)?;
    Err(if kept.fingerprint == key.fingerprint {
        OperatorError::Answered(kept.answer)
    } else {
        OperatorError::KeyReused
    })
}

async fn keep(
    db: &mut PgConnection,
    once: Option<&Once>,
    end: Result<u64, &Park>,
) -> sqlx::Result<()> {
    let Some(Once { key, tell }) = once else { return Ok(()) };
    idempotency::keep(db, &[(key, &tell(end))]).await
}

async fn forget(db: &mut PgConnection, once: Option<&Once>) -> sqlx::Result<()> {
    let Some(Once { key, .. }) = once else { return Ok(()) };
    idempotency::forget(db, &[key]).await
}

/// Something that an operator does to a key.
struct Deed<'a> {
    action: Action,
    topic: &'a str,
    key: &'a str,
    reason: &'a str,
    once: Option<&'a Once>,
}

/// Writes down what was done to a key, and to which of its messages.
async fn log(
    db: &mut PgConnection,
    Deed { action, topic, key, reason, once }: Deed<'_>,
    message: Option<&StoredMessage>,
) -> sqlx::Result<()> {
    // Until callers are known, whoever sends no key is nobody in particular.
    let caller = once.map_or("anonymous", |once| once.key.caller.as_str());
    let done = Operation {
        topic: Some(topic),
        key: Some(key),
        event_id: message.and_then(|message| message.event_id),
        source: message.and_then(|message| message.source.as_deref()),
        version: message.and_then(|message| message.version),
        payload: message.and_then(|message| message.payload.as_deref()),
        ..Operation::new(caller, action, reason)
    };
    operations::record(db, done).await
}

async fn hold_first(
    db: &mut PgConnection,
    topic: &str,
    key: &str,
) -> Result<StoredMessage, OperatorError> {
    if !parked::hold(db, topic, key).await? {
        return Err(OperatorError::NotParked);
    }
    parked::first(db, (topic, key), 1).await?.into_iter().next().ok_or(OperatorError::NotParked)
}

/// Decides parked messages that an operator lets go, within a transaction that holds their key. How
/// many of them, from the first, were decided; the rest stay parked, for the reason given.
pub(crate) async fn decide_parked<R: Reactor>(
    reactor: &R,
    db: &mut PgConnection,
    entries: &[Entry<R::Input>],
    turn: &Turn,
) -> sqlx::Result<(usize, Option<Park>, Option<R::World>)> {
    let readable = entries.iter().position(|entry| entry.flaw.is_some()).unwrap_or(entries.len());
    let inputs: Vec<&R::Input> =
        entries[..readable].iter().filter_map(|entry| entry.input.as_ref()).collect();
    let mut refused = entries.get(readable).and_then(|entry| entry.flaw.clone());
    if inputs.is_empty() {
        return Ok((0, refused, None));
    }
    let mut announced = Vec::new();
    let mut decided = 0;
    let mut world = reactor.load(&mut *db, &inputs).await?;
    for entry in &entries[..readable] {
        if let (Some(input), Some(message)) = (&entry.input, entry.message())
            && !is_old_news(reactor, &mut world, entry, turn)
        {
            match reactor.decide(&mut world, input, turn) {
                Ok(decision) => {
                    announced.extend(decision.announced.into_iter().map(|e| (e, entry.trace)));
                    if let Some(slot) = reactor.heard(&mut world, input) {
                        *slot = message.version.max(*slot);
                    }
                }
                Err(park) => {
                    refused = Some(park);
                    break;
                }
            }
        }
        decided += 1;
    }
    announced.extend(reactor.closing(&mut world, turn).into_iter().map(|event| (event, None)));
    reactor.save(&mut *db, &world).await?;
    if !announced.is_empty() {
        outbox::append(db, &announced).await?;
    }
    Ok((decided, refused, Some(world)))
}

/// Whether the message's version says that it was heard, where the inbox cannot tell: its time is
/// forgotten, or it came without an id.
fn is_old_news<R: Reactor>(
    reactor: &R,
    world: &mut R::World,
    entry: &Entry<R::Input>,
    turn: &Turn,
) -> bool {
    let is_out = entry.id.is_none_or(|id| !inbox::in_range(id, turn.now));
    let (Some(input), Some(message)) = (&entry.input, entry.message()) else { return false };
    is_out && reactor.heard(world, input).is_some_and(|heard| message.version <= *heard)
}
