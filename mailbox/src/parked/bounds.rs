//! The limits of what is parked, and the flood of parked keys that stops consuming. All SQL on
//! both.

use sqlx::PgConnection;
use time::OffsetDateTime;

/// A parked key with more messages or bytes than anybody will look through.
pub(crate) struct Heap {
    pub(crate) topic: String,
    pub(crate) key: String,
    pub(crate) messages: i64,
    pub(crate) bytes: i64,
}

/// Notes the start of a flood if more than `limit` keys have stopped within the last minute, or
/// since an operator let consuming go on; ends it when half of its keys are not parked any more.
/// Returns how many keys were parked when the present flood began.
pub(crate) async fn flood(db: &mut PgConnection, limit: i64) -> sqlx::Result<Option<i64>> {
    sqlx::query!(
        r#"-- parked.note_flood
        insert into parked_flood (keys)
        select (select count(*) from parked_keys)
        where $1::bigint < (
            select count(*)
            from (
                select
                from parked_keys
                where since > greatest(
                    clock_timestamp() - interval '1 minute', (select over_at from parked_flood)
                )
                limit $1::bigint + 1
            ) as lately
        )
        on conflict (only_row) do update
        set keys = excluded.keys, since = excluded.since, over_at = null
        where parked_flood.over_at is not null"#,
        limit
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "-- parked.end_flood
        update parked_flood
        set over_at = clock_timestamp()
        where over_at is null
          and keys / 2 >= (select count(*) from parked_keys)"
    )
    .execute(&mut *db)
    .await?;
    sqlx::query_scalar!(
        "-- parked.present_flood
        select keys
        from parked_flood
        where over_at is null"
    )
    .fetch_optional(db)
    .await
}

/// Ends the present flood although its keys are still parked. `false` if there is none.
pub(crate) async fn lift_flood(db: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query!(
        "-- parked.lift_flood
        update parked_flood
        set over_at = clock_timestamp()
        where over_at is null"
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// The parked keys of one class.
pub(crate) struct ParkedClass {
    pub(crate) name: String,
    pub(crate) keys: i64,
    /// Since when the oldest is parked.
    pub(crate) since: OffsetDateTime,
}

/// The parked keys by class.
pub(crate) async fn classes(db: &mut PgConnection) -> sqlx::Result<Vec<ParkedClass>> {
    sqlx::query_as!(
        ParkedClass,
        r#"-- parked.classes
        select class as name, count(*) as "keys!", min(since) as "since!"
        from parked_keys
        group by class"#
    )
    .fetch_all(db)
    .await
}

/// A key with at least so many messages or bytes, looked for among the keys of the last 500
/// messages parked.
pub(crate) async fn heap(
    db: &mut PgConnection,
    messages: i64,
    bytes: i64,
) -> sqlx::Result<Option<Heap>> {
    sqlx::query_as!(
        Heap,
        r#"-- parked.heap
        select k.topic as "topic!", k.key as "key!", heap.messages as "messages!", heap.bytes as "bytes!"
        from (
            select distinct topic, key
            from (select topic, key from parked order by parked_id desc limit 500) as newest
        ) as k
        cross join lateral (
            select count(*) as messages, coalesce(sum(octet_length(p.payload)), 0)::bigint as bytes
            from parked p
            where p.topic = k.topic
              and p.key = k.key
        ) as heap
        where heap.messages >= $1
           or heap.bytes >= $2
        limit 1"#,
        messages,
        bytes
    )
    .fetch_optional(db)
    .await
}
