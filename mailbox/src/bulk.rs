//! Bulk operations of operators: all parked keys of a kind are released or discarded, one after the
//! other, by a loop of its own (`worker`), so that they go on after a restart. All SQL on the
//! operations themselves; that on their keys is in `bulk_keys`.

mod worker;

use proto::words;
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

pub(crate) use self::worker::BulkWorker;
use crate::{
    Mailbox, OperatorError,
    bulk_keys::{self, BulkFilter, BulkKey, BulkSize, KeyOutcome},
    idempotent::{self, OperatorRequest},
    operations::{self, Action, Operation},
    reactor::{Answer, Reactor},
};

words! {
    /// What a bulk operation does to each of its keys.
    pub enum BulkAction {
        /// Hands the messages over again, in order.
        Release = "release",
        /// Drops the first message, the one that stopped the key.
        Discard = "discard",
    }
}

/// What an operator wants to be done to parked keys.
#[derive(Clone, Debug)]
pub struct BulkRequest {
    pub action: BulkAction,
    pub filter: BulkFilter,
    /// The number of keys that the operator has seen.
    pub expected: i64,
}

/// A bulk operation, with how far it is.
#[derive(Clone, Debug)]
pub struct BulkOperation {
    pub id: Uuid,
    pub action: BulkAction,
    pub topic: Option<String>,
    pub class: Option<String>,
    pub caller: String,
    pub reason: String,
    pub keys: i64,
    /// Messages that waited under the keys when the operation began.
    pub messages: i64,
    pub started_at: OffsetDateTime,
    pub ended_at: Option<OffsetDateTime>,
    /// How many keys have ended, by outcome (a word of [`KeyOutcome`]).
    pub outcomes: Vec<(String, i64)>,
}

impl<R: Reactor> Mailbox<R> {
    /// Counts what a bulk operation would be about.
    pub async fn size_bulk(&self, filter: &BulkFilter) -> sqlx::Result<BulkSize> {
        let mut session = self.operators.session()?;
        bulk_keys::size(session.connection().await?, filter).await
    }

    /// Begins a bulk operation, if it is about as many keys as expected. `tell` makes the answer:
    /// from the operation, or from the number of keys where it is another one.
    pub async fn start_bulk(
        &self,
        wanted: &BulkRequest,
        request: OperatorRequest<'_>,
        tell: impl Fn(Result<&BulkOperation, i64>) -> Answer + Send,
    ) -> Result<Answer, OperatorError> {
        let mut session = self.operators.session()?;
        let mut tx = session.connection().await?.begin().await?;
        idempotent::first(&mut tx, request.key).await?;
        let answer = match start(&mut tx, wanted, request, self.clock.new_id()).await? {
            Ok(begun) => tell(Ok(&begun)),
            Err(keys) => {
                tx.rollback().await?;
                tx = session.connection().await?.begin().await?;
                tell(Err(keys))
            }
        };
        idempotent::keep(&mut tx, request.key, &answer).await?;
        tx.commit().await?;
        self.operators.bulk_begun.notify_one();
        Ok(answer)
    }

    /// A bulk operation by its id.
    pub async fn bulk(&self, id: Uuid) -> sqlx::Result<Option<BulkOperation>> {
        let mut session = self.operators.session()?;
        find(session.connection().await?, id).await
    }

    /// The keys of a bulk operation after the one at place `after`, in its order; with an outcome,
    /// only those that ended so.
    pub async fn bulk_keys(
        &self,
        id: Uuid,
        outcome: Option<KeyOutcome>,
        after: i64,
        limit: i64,
    ) -> sqlx::Result<Vec<BulkKey>> {
        let mut session = self.operators.session()?;
        bulk_keys::list(session.connection().await?, id, outcome, (after, limit)).await
    }
}

/// Writes an operation down with its keys. Fails with the number of keys if it is not the expected
/// one; then the transaction must not commit.
async fn start(
    db: &mut PgConnection,
    BulkRequest { action, filter, expected }: &BulkRequest,
    request: OperatorRequest<'_>,
    id: Uuid,
) -> sqlx::Result<Result<BulkOperation, i64>> {
    sqlx::query!(
        "-- bulk.start
        insert into bulk_operations (bulk_id, action, topic, class, caller, reason, keys)
        values ($1, $2, $3, $4, $5, $6, $7)",
        id,
        action.as_str(),
        filter.topic,
        filter.class,
        request.caller,
        request.reason,
        expected
    )
    .execute(&mut *db)
    .await?;
    let (keys, messages) = bulk_keys::take(db, id, filter).await?;
    if keys != *expected {
        return Ok(Err(keys));
    }
    sqlx::query!(
        "-- bulk.count
        update bulk_operations
        set messages = $2
        where bulk_id = $1",
        id,
        messages
    )
    .execute(&mut *db)
    .await?;
    let done = Operation {
        topic: filter.topic.as_deref(),
        ..Operation::new(request.caller, Action::ParkedBulk, request.reason)
    };
    operations::record(db, done).await?;
    find(db, id).await?.ok_or(sqlx::Error::RowNotFound).map(Ok)
}

async fn find(db: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<BulkOperation>> {
    let found = sqlx::query!(
        "-- bulk.find
        select action, topic, class, caller, reason, keys, messages, started_at, ended_at
        from bulk_operations
        where bulk_id = $1",
        id
    )
    .fetch_optional(&mut *db)
    .await?;
    let Some(row) = found else { return Ok(None) };
    let outcomes = bulk_keys::outcomes(db, id).await?;
    Ok(Some(BulkOperation {
        id,
        action: BulkAction::parse(&row.action).ok_or_else(|| crate::invalid(&row.action))?,
        topic: row.topic,
        class: row.class,
        caller: row.caller,
        reason: row.reason,
        keys: row.keys,
        messages: row.messages,
        started_at: row.started_at,
        ended_at: row.ended_at,
        outcomes,
    }))
}

/// The operation that began first of those that have not ended.
async fn next(db: &mut PgConnection) -> sqlx::Result<Option<BulkOperation>> {
    let next = sqlx::query_scalar!(
        "-- bulk.next
        select bulk_id
        from bulk_operations
        where ended_at is null
        order by started_at
        limit 1"
    )
    .fetch_optional(&mut *db)
    .await?;
    match next {
        Some(id) => find(db, id).await,
        None => Ok(None),
    }
}

/// Ends an operation whose keys have all ended.
async fn end(db: &mut PgConnection, id: Uuid) -> sqlx::Result<()> {
    sqlx::query!(
        "-- bulk.end
        update bulk_operations
        set ended_at = clock_timestamp()
        where bulk_id = $1",
        id
    )
    .execute(db)
    .await
    .map(drop)
}

/// Takes the lock under which one instance of a service works on bulk operations, until its session
/// ends or [`unlock`].
async fn try_lock(db: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- bulk.try_lock
        select pg_try_advisory_lock($1) as "mine!""#,
        BULK_LOCK
    )
    .fetch_one(db)
    .await
}

async fn unlock(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        "-- bulk.unlock
        select pg_advisory_unlock($1)",
        BULK_LOCK
    )
    .fetch_one(db)
    .await
    .map(drop)
}

/// Advisory lock of bulk operations; the sweep has the number before it.
const BULK_LOCK: i64 = 0x6d61_696c_626f_7802;
