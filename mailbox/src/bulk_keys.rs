//! The keys of bulk operations: written down when an operation begins, each ended in the very
//! transaction that releases or discards it. All SQL on them.

use proto::words;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// Keys of one bulk operation at most, the oldest ones, so that its first transaction is bounded.
pub const BULK_KEYS_MAX: i64 = 10_000;

words! {
    /// What became of a key in a bulk operation.
    pub enum KeyOutcome {
        /// All its messages were processed: it is parked no more.
        Released = "released",
        /// The message that had stopped it was dropped.
        Discarded = "discarded",
        /// It stays parked: its first message still cannot be processed.
        Stopped = "stopped",
        /// Another message is its first by now than when the operation began: nothing was dropped.
        Changed = "changed",
        /// It was parked no more when its turn came.
        Gone = "gone",
        /// The database refused it, several times.
        Failed = "failed",
    }
}

/// Which of a service's parked keys a bulk operation is about; a part left out means any.
#[derive(Clone, Debug, Default)]
pub struct BulkFilter {
    pub topic: Option<String>,
    pub class: Option<String>,
}

/// How much a bulk operation is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BulkSize {
    pub keys: i64,
    /// Messages that wait under these keys.
    pub messages: i64,
    /// Whether more keys fit the filter than one operation takes.
    pub has_more: bool,
}

/// A key of a bulk operation, as its row identifies it.
#[derive(Clone, Debug)]
pub(crate) struct BulkEntry {
    pub(crate) bulk_id: Uuid,
    /// The key's place in the order of the operation, from 1.
    pub(crate) place: i64,
    pub(crate) topic: String,
    pub(crate) key: String,
    /// The key's first message when the operation began.
    pub(crate) first_id: i64,
}

/// A key of a bulk operation, with what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BulkKey {
    pub place: i64,
    pub topic: String,
    pub key: String,
    /// A word of [`KeyOutcome`]; absent while the key waits for its turn.
    pub outcome: Option<String>,
    /// Messages that were processed or dropped.
    pub messages: i64,
    /// Why the key stays parked, if it does.
    pub detail: Option<String>,
    pub ended_at: Option<OffsetDateTime>,
}

/// Counts what an operation that begins now would be about.
pub(crate) async fn size(db: &mut PgConnection, filter: &BulkFilter) -> sqlx::Result<BulkSize> {
    sqlx::query_as!(
        BulkSize,
        r#"-- bulk_keys.size
        select count(*) filter (where k.place <= $3::bigint) as "keys!",
               coalesce(sum(p.messages) filter (where k.place <= $3), 0)::bigint as "messages!",
               count(*) > $3 as "has_more!"
        from (
            select topic, key, row_number() over (order by since, topic, key) as place
            from parked_keys
            where ($1::text is null or topic = $1)
              and ($2::text is null or class = $2)
            order by since, topic, key
            limit $3::bigint + 1
        ) as k
        cross join lateral (
            select count(*) as messages
            from parked
            where topic = k.topic
              and key = k.key
        ) as p"#,
        filter.topic.as_deref(),
        filter.class.as_deref(),
        BULK_KEYS_MAX
    )
    .fetch_one(db)
    .await
}

/// Writes down the keys that an operation is about, the oldest first; returns how many, and how
/// many messages wait under them.
pub(crate) async fn take(
    db: &mut PgConnection,
    bulk_id: Uuid,
    filter: &BulkFilter,
) -> sqlx::Result<(i64, i64)> {
    let taken = sqlx::query!(
        r#"-- bulk_keys.take
        with taken as (
            insert into bulk_keys (bulk_id, place, topic, key, first_id, waiting)
            select $1, k.place, k.topic, k.key, p.first_id, p.waiting
            from (
                select topic, key, row_number() over (order by since, topic, key) as place
                from parked_keys
                where ($2::text is null or topic = $2)
                  and ($3::text is null or class = $3)
                order by since, topic, key
                limit $4
            ) as k
            cross join lateral (
                select coalesce(min(parked_id), 0) as first_id, count(*) as waiting
                from parked
                where topic = k.topic
                  and key = k.key
            ) as p
            returning waiting
        )
        select count(*) as "keys!", coalesce(sum(waiting), 0)::bigint as "messages!"
        from taken"#,
        bulk_id,
        filter.topic.as_deref(),
        filter.class.as_deref(),
        BULK_KEYS_MAX
    )
    .fetch_one(db)
    .await?;
    Ok((taken.keys, taken.messages))
}

/// The next keys of an operation whose turn has not come.
pub(crate) async fn pending(
    db: &mut PgConnection,
    bulk_id: Uuid,
    limit: i64,
) -> sqlx::Result<Vec<BulkEntry>> {
    sqlx::query_as!(
        BulkEntry,
        "-- bulk_keys.pending
        select bulk_id, place, topic, key, first_id
        from bulk_keys
        where bulk_id = $1
          and outcome is null
        order by place
        limit $2",
        bulk_id,
        limit
    )
    .fetch_all(db)
    .await
}

/// Adds messages to what was done about a key and, with an outcome, ends it. A key that has ended
/// stays as it is.
pub(crate) async fn note(
    db: &mut PgConnection,
    entry: &BulkEntry,
    messages: u64,
    end: Option<(KeyOutcome, Option<&str>)>,
) -> sqlx::Result<()> {
    let (outcome, detail) = end.unzip();
    sqlx::query!(
        "-- bulk_keys.note
        update bulk_keys
        set messages = messages + $3, outcome = $4, detail = $5,
            ended_at = case when $4::text is null then null else clock_timestamp() end
        where bulk_id = $1
          and place = $2
          and outcome is null",
        entry.bulk_id,
        entry.place,
        i64::try_from(messages).unwrap_or(i64::MAX),
        outcome.map(KeyOutcome::as_str),
        detail.flatten()
    )
    .execute(db)
    .await
    .map(drop)
}

/// How many keys of an operation have ended, by outcome.
pub(crate) async fn outcomes(
    db: &mut PgConnection,
    bulk_id: Uuid,
) -> sqlx::Result<Vec<(String, i64)>> {
    let rows = sqlx::query!(
        r#"-- bulk_keys.outcomes
        select outcome as "outcome!", count(*) as "keys!"
        from bulk_keys
        where bulk_id = $1
          and outcome is not null
        group by outcome
        order by outcome"#,
        bulk_id
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.outcome, row.keys)).collect())
}

/// The keys of an operation after the one at `after`, in its order; with an outcome, only those
/// that ended so.
pub(crate) async fn list(
    db: &mut PgConnection,
    bulk_id: Uuid,
    outcome: Option<KeyOutcome>,
    (after, limit): (i64, i64),
) -> sqlx::Result<Vec<BulkKey>> {
    sqlx::query_as!(
        BulkKey,
        "-- bulk_keys.list
        select place, topic, key, outcome, messages, detail, ended_at
        from bulk_keys
        where bulk_id = $1
          and place > $2
          and ($3::text is null or outcome = $3)
        order by place
        limit $4",
        bulk_id,
        after,
        outcome.map(KeyOutcome::as_str),
        limit
    )
    .fetch_all(db)
    .await
}
