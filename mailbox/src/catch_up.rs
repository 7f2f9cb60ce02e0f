//! Catch-up: events that were kept because the build that received them did not know their type are
//! decided by the first build that does, before the next message of their key.
//!
//! A batch asks for it when one of its keys has such events, and is tried again afterwards; the
//! sweep (`sweep`) asks for it where a key gets no next message. An event that cannot be decided
//! parks its key, as it would have when it was received.

use std::collections::HashSet;

use sqlx::{Connection, PgConnection};

use crate::{
    Clock,
    batch::{self, ReleaseOutcome, in_time},
    fault::{self, Fault, LockPolicy, is_about_one, is_refusal},
    inbox,
    item::item,
    log,
    message::{Message, Park, StoredMessage},
    parked::{self, KeyRef},
    reactor::{DecisionContext, Reactor},
    session::{self, within},
    unknown,
    wake::Wake,
};

/// Events decided in one transaction.
const CHUNK: i64 = 500;
/// Keys that the sweep looks up at a time.
const KEYS: i64 = 100;

/// What deciding unknown events needs.
pub(crate) struct CatchUp<'a, R: Reactor> {
    pub(crate) reactor: &'a R,
    pub(crate) wake: &'a Wake,
    pub(crate) clock: Clock,
    /// What to do about a row that another session holds; a batch passes on its own policy.
    pub(crate) locking: LockPolicy,
}

/// An unknown event and the id of its row.
struct UnknownEvent {
    id: i64,
    message: Message,
}

impl<R: Reactor> CatchUp<'_, R> {
    /// Decides all unknown events that this build knows by now, key by key.
    pub(crate) async fn sweep(&self, db: &mut PgConnection) -> Result<(), Fault> {
        let known = self.known(db).await?;
        while !known.is_empty() {
            let key_refs = within(unknown::keys_of(db, &known, KEYS)).await?;
            for key_ref in &key_refs {
                self.take_known(db, key_ref, &known).await?;
            }
            if key_refs.is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// Decides the unknown events of one key, in order, as far as this build knows their types.
    pub(crate) async fn take(&self, db: &mut PgConnection, key_ref: &KeyRef) -> Result<(), Fault> {
        let known = self.known(db).await?;
        self.take_known(db, key_ref, &known).await
    }

    async fn take_known(
        &self,
        db: &mut PgConnection,
        key_ref: &KeyRef,
        known: &[String],
    ) -> Result<(), Fault> {
        let mut size = CHUNK;
        loop {
            match in_time(self.take_chunk(db, key_ref, known, size)).await {
                Ok(0) => return Ok(()),
                Ok(events) => {
                    tracing::info!(
                        topic = key_ref.0,
                        key = key_ref.1,
                        events,
                        "unknown events were taken"
                    );
                }
                // One event of the chunk is to blame: go on one by one, up to it.
                Err(error) if size > 1 && is_about_one(&error) => size = 1,
                Err(error) if is_refusal(&error) => {
                    self.park_first(db, key_ref, known, &fault::park(&error)).await?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The types of unknown events that this build knows.
    async fn known(&self, db: &mut PgConnection) -> sqlx::Result<Vec<String>> {
        let mut types = within(unknown::types(db)).await?;
        types.retain(|event_type| self.reactor.is_known(event_type));
        Ok(types)
    }

    /// Decides the first events of a key in one transaction; returns how many there were.
    async fn take_chunk(
        &self,
        db: &mut PgConnection,
        key_ref: &KeyRef,
        known: &[String],
        size: i64,
    ) -> Result<usize, Fault> {
        let mut tx = db.begin().await.map_err(Fault::NotBegun)?;
        if self.locking == LockPolicy::SkipHeld {
            session::shorten_lock_timeout(&mut tx).await?;
        }
        let context = DecisionContext::new(self.clock);
        let events = first(&mut tx, key_ref, known, size).await?;
        if events.is_empty() {
            return Ok(0);
        }
        let new = admit(&mut tx, &events, &context).await?;
        let mut items = Vec::new();
        let mut heard = Vec::new();
        for event in events.iter().filter(|event| new.contains(&event.id)) {
            // An event that gives no item is one that this service does not care for.
            if let Some(mut item) = item(self.reactor, (event.message.clone(), None)) {
                // Later events of its key have taken effect, so the version says nothing about this
                // one, and a new id in the inbox's range keeps `decide` from judging by it. `admit`
                // above has seen to it that the event takes effect once.
                item.id = Some(context.new_id());
                items.push(item);
                heard.push(event);
            }
        }
        let ReleaseOutcome { decided, refused, world } =
            batch::release(self.reactor, &mut tx, &items, &context).await?;
        remove(&mut tx, &events).await?;
        if let Some(why) = &refused {
            park(&mut tx, key_ref, &heard[decided..], Stop { why, is_here: true }).await?;
            let behind = Stop { why, is_here: false };
            park_all(&mut tx, key_ref, known, behind, &context).await?;
        }
        tx.commit().await?;
        self.wake.poke();
        if let Some(world) = world {
            batch::committed(self.reactor, world);
        }
        Ok(events.len())
    }

    /// Parks the key at its first unknown event, which the database refuses.
    async fn park_first(
        &self,
        db: &mut PgConnection,
        key_ref: &KeyRef,
        known: &[String],
        why: &Park,
    ) -> Result<(), Fault> {
        let mut tx = db.begin().await.map_err(Fault::NotBegun)?;
        let context = DecisionContext::new(self.clock);
        park_all(&mut tx, key_ref, known, Stop { why, is_here: true }, &context).await?;
        Ok(tx.commit().await?)
    }
}

/// Why a key stops, and whether it stops at the first of the events in hand or did so before them.
#[derive(Clone, Copy)]
struct Stop<'a> {
    why: &'a Park,
    is_here: bool,
}

async fn first(
    db: &mut PgConnection,
    key_ref: &KeyRef,
    known: &[String],
    size: i64,
) -> sqlx::Result<Vec<UnknownEvent>> {
    let rows = unknown::first(db, key_ref, known, size).await?;
    let event =
        |row: StoredMessage| UnknownEvent { id: row.id, message: row.into_message(&key_ref.0) };
    Ok(rows.into_iter().map(event).collect())
}

/// Admits the events that have not taken effect yet: a replay may have brought an event to a build
/// that knew its type. Returns the row ids of those that are new.
async fn admit(
    db: &mut PgConnection,
    events: &[UnknownEvent],
    context: &DecisionContext,
) -> sqlx::Result<HashSet<i64>> {
    let in_range = |event: &&UnknownEvent| inbox::in_range(event.message.event_id, context.now);
    let mut ids: Vec<_> = events.iter().filter(in_range).map(|it| it.message.event_id).collect();
    ids.sort_unstable();
    let admitted = inbox::admit_new(db, &ids).await?;
    let is_new =
        |event: &&UnknownEvent| !in_range(event) || admitted.contains(&event.message.event_id);
    Ok(events.iter().filter(is_new).map(|event| event.id).collect())
}

/// Parks all unknown events of a key that this build knows: none of them may overtake the first.
async fn park_all(
    db: &mut PgConnection,
    key_ref: &KeyRef,
    known: &[String],
    stop: Stop<'_>,
    context: &DecisionContext,
) -> sqlx::Result<()> {
    let mut stop = stop;
    loop {
        let events = first(&mut *db, key_ref, known, CHUNK).await?;
        if events.is_empty() {
            return Ok(());
        }
        let new = admit(&mut *db, &events, context).await?;
        let heard: Vec<_> = events.iter().filter(|event| new.contains(&event.id)).collect();
        park(&mut *db, key_ref, &heard, stop).await?;
        remove(&mut *db, &events).await?;
        stop.is_here &= heard.is_empty();
    }
}

/// Adds these events to the end of their key's queue, and parks the key if it is not parked yet.
async fn park(
    db: &mut PgConnection,
    key_ref: &KeyRef,
    events: &[&UnknownEvent],
    stop: Stop<'_>,
) -> sqlx::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let Stop { why, is_here } = stop;
    match events.first() {
        Some(stopper) if is_here => log::parked(&stopper.message, why),
        _ => {
            let Park { class, reason } = why;
            tracing::warn!(
                topic = key_ref.0,
                key = key_ref.1,
                class,
                reason,
                "unknown events are parked"
            );
        }
    }
    parked::park_keys(db, &[(key_ref, why)]).await?;
    let reasons = std::iter::once(is_here.then_some(why)).chain(std::iter::repeat(None));
    let messages: Vec<_> = events.iter().map(|event| &event.message).zip(reasons).collect();
    parked::park_messages(db, &messages).await
}

async fn remove(db: &mut PgConnection, events: &[UnknownEvent]) -> sqlx::Result<()> {
    let ids: Vec<i64> = events.iter().map(|event| event.id).collect();
    unknown::remove(db, &ids).await
}
