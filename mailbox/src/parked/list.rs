//! What operators see of parked keys and of unknown events: pages whose cost does not depend on the
//! size of the messages. All SQL of these lists.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::REASON_CHARS_MAX;

/// Bytes of a payload that the list of a key's messages shows.
pub const PAYLOAD_SHOWN_MAX: i32 = 16 * 1024;

/// A key that stopped, or one that has unknown events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedKey {
    pub topic: String,
    pub key: String,
    /// Messages that are parked under the key.
    pub messages: i64,
    pub class: String,
    pub reason: String,
    pub since: OffsetDateTime,
}

/// Which keys are asked for, and after which one the page begins.
#[derive(Clone, Debug, Default)]
pub struct ParkedQuery {
    pub class: Option<String>,
    pub topic: Option<String>,
    pub after: Option<ParkedPlace>,
    /// Keys on the page at most.
    pub limit: i64,
}

/// A position in the list of keys, from which the next page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedPlace {
    pub since: OffsetDateTime,
    pub topic: String,
    pub key: String,
}

/// A message of a parked key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedMessage {
    pub parked_id: i64,
    pub partition: i32,
    pub offset: i64,
    pub event_id: Option<Uuid>,
    pub event_type: Option<String>,
    pub source: Option<String>,
    pub version: Option<i64>,
    /// The whole payload, or its beginning.
    pub payload: Vec<u8>,
    /// Length of the whole payload, in bytes.
    pub payload_bytes: i64,
    /// Why the message stopped its key; absent for those that only wait behind it.
    pub reason: Option<String>,
    pub parked_at: OffsetDateTime,
}

impl ParkedMessage {
    /// Whether `payload` is only the beginning of the message's payload.
    pub fn is_truncated(&self) -> bool {
        i64::try_from(self.payload.len()) != Ok(self.payload_bytes)
    }
}

/// Keys that stopped, the oldest first.
pub(crate) async fn keys(
    db: &mut PgConnection,
    query: &ParkedQuery,
) -> sqlx::Result<Vec<ParkedKey>> {
    let after = query.after.as_ref();
    sqlx::query_as!(
        ParkedKey,
        r#"-- parked.keys
        select k.topic, k.key, k.class, k.reason, k.since,
               (select count(*) from parked p where p.topic = k.topic and p.key = k.key) as "messages!"
        from (
            select topic, key, class, reason, since
            from parked_keys
            where (since, topic, key) > ($1, $2, $3)
              and ($4::text is null or class = $4)
              and ($5::text is null or topic = $5)
            order by since, topic, key
            limit $6
        ) as k
        order by k.since, k.topic, k.key"#,
        after.map_or(OffsetDateTime::UNIX_EPOCH, |place| place.since),
        after.map_or("", |place| &place.topic),
        after.map_or("", |place| &place.key),
        query.class.as_deref(),
        query.topic.as_deref(),
        query.limit
    )
    .fetch_all(db)
    .await
}

/// Which of these keys are parked in any of these topics.
pub async fn parked_among(
    db: &mut PgConnection,
    topics: &[&str],
    keys: &[String],
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "-- parked.among
        select distinct key
        from parked_keys
        where topic = any($1)
          and key = any($2)",
        topics as &[&str],
        keys
    )
    .fetch_all(db)
    .await
}

/// The keys after `after` that are parked in any of these topics, in their order, `limit` at most.
pub async fn parked_after(
    db: &mut PgConnection,
    topics: &[&str],
    after: &str,
    limit: i64,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        r#"-- parked.after
        select distinct key collate "C" as "key!"
        from parked_keys
        where topic = any($1)
          and key collate "C" > $2
        order by 1
        limit $3"#,
        topics as &[&str],
        after,
        limit
    )
    .fetch_all(db)
    .await
}

/// Keys that have unknown events, by topic and key; these keys did not stop.
pub(crate) async fn unknown_keys(
    db: &mut PgConnection,
    query: &ParkedQuery,
) -> sqlx::Result<Vec<ParkedKey>> {
    let after = query.after.as_ref();
    sqlx::query_as!(
        ParkedKey,
        r#"-- parked.unknown_keys
        select topic, key, count(*) as "messages!", 'unknown_event' as "class!", min(at) as "since!",
               'this build does not know '
                 || left(string_agg(distinct event_type, ', '), $5) as "reason!"
        from unknown_events
        where (topic, key) > ($1, $2)
          and ($3::text is null or topic = $3)
        group by topic, key
        order by topic, key
        limit $4"#,
        after.map_or("", |place| &place.topic),
        after.map_or("", |place| &place.key),
        query.topic.as_deref(),
        query.limit,
        i32::try_from(REASON_CHARS_MAX).unwrap_or(i32::MAX)
    )
    .fetch_all(db)
    .await
}

/// One key's messages in order after `after`, at most `limit`, each with the beginning of its
/// payload, so that the answer's size is bounded.
pub(crate) async fn messages(
    db: &mut PgConnection,
    (topic, key): (&str, &str),
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<ParkedMessage>> {
    sqlx::query_as!(
        ParkedMessage,
        r#"-- parked.messages
        select parked_id, "partition", "offset", event_id, event_type, source, version,
               coalesce(substr(payload, 1, $5), '') as "payload!",
               coalesce(octet_length(payload), 0)::bigint as "payload_bytes!", reason, parked_at
        from parked
        where topic = $1
          and key = $2
          and parked_id > $3
        order by parked_id
        limit $4"#,
        topic,
        key,
        after,
        limit,
        PAYLOAD_SHOWN_MAX
    )
    .fetch_all(db)
    .await
}

/// One message of a key, with its whole payload.
pub(crate) async fn message(
    db: &mut PgConnection,
    (topic, key): (&str, &str),
    parked_id: i64,
) -> sqlx::Result<Option<ParkedMessage>> {
    sqlx::query_as!(
        ParkedMessage,
        r#"-- parked.message
        select parked_id, "partition", "offset", event_id, event_type, source, version,
               coalesce(payload, '') as "payload!",
               coalesce(octet_length(payload), 0)::bigint as "payload_bytes!", reason, parked_at
        from parked
        where parked_id = $3
          and topic = $1
          and key = $2"#,
        topic,
        key,
        parked_id
    )
    .fetch_optional(db)
    .await
}
