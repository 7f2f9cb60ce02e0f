//! What the mailbox's tables hold, the same in every service's database.

use futures::{Stream, TryStreamExt as _};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::audit::inbox;

/// An outbox row, and whether the relay's last tick calls it published.
#[derive(Debug)]
pub(in crate::audit) struct Row {
    pub(in crate::audit) key: Vec<u8>,
    pub(in crate::audit) version: i64,
    pub(in crate::audit) type_number: i16,
    pub(in crate::audit) event_id: Uuid,
    pub(in crate::audit) payload: Vec<u8>,
    pub(in crate::audit) trace: Option<Vec<u8>>,
    pub(in crate::audit) created_at: OffsetDateTime,
    pub(in crate::audit) is_published: bool,
}

/// All rows that the outbox has, in the order of their positions.
pub(in crate::audit) fn outbox(
    db: &mut PgConnection,
) -> impl Stream<Item = sqlx::Result<Row>> + '_ {
    sqlx::query_as!(
        Row,
        r#"-- audit.outbox
        select
            o.key,
            o.version,
            o.type as type_number,
            o.event_id,
            o.payload,
            o.trace,
            o.created_at,
            (
                pg_visible_in_snapshot(o.xid, t.snap)
                or coalesce(o.pos < t.scan_pos and pg_visible_in_snapshot(o.xid, t.scan_to), false)
            ) as "is_published!"
        from outbox o
        cross join (
            select snap, scan_to, scan_pos
            from relay_tick
            order by tick_id desc
            limit 1
        ) t
        order by o.pos"#
    )
    .fetch(db)
}

/// Whether no leaf of the outbox has been dropped yet: then every event ever announced is in it.
pub(in crate::audit) async fn outbox_is_whole(db: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- audit.outbox_is_whole
        select coalesce(min(first_pos) <= 1, false) as "is_whole!"
        from outbox_leaf"#
    )
    .fetch_one(db)
    .await
}

/// Something that is parked or has stopped until an operator looks after it.
#[derive(Debug)]
pub(in crate::audit) struct Stop {
    pub(in crate::audit) topic: String,
    /// What has stopped: a key, a partition, or a type of events.
    pub(in crate::audit) what: String,
    pub(in crate::audit) reason: String,
    pub(in crate::audit) seconds: i64,
}

/// The keys that are parked, the oldest first.
pub(in crate::audit) async fn parked(db: &mut PgConnection) -> sqlx::Result<Vec<Stop>> {
    sqlx::query_as!(
        Stop,
        r#"-- audit.parked
        select
            topic,
            key as what,
            reason,
            extract(epoch from clock_timestamp() - since)::bigint as "seconds!"
        from parked_keys
        order by since"#
    )
    .fetch_all(db)
    .await
}

/// The partitions that stopped, the oldest first.
pub(in crate::audit) async fn stopped(db: &mut PgConnection) -> sqlx::Result<Vec<Stop>> {
    sqlx::query_as!(
        Stop,
        r#"-- audit.stopped
        select
            topic,
            "partition"::text as "what!",
            reason,
            extract(epoch from clock_timestamp() - since)::bigint as "seconds!"
        from consumer_stops
        order by since"#
    )
    .fetch_all(db)
    .await
}

/// The types that the service does not know, each with how many events of it wait and the age of
/// the oldest, the oldest first.
pub(in crate::audit) async fn unknown(db: &mut PgConnection) -> sqlx::Result<Vec<Stop>> {
    sqlx::query_as!(
        Stop,
        r#"-- audit.unknown
        select
            topic,
            event_type as what,
            count(*) || ' wait for a build that knows their type' as "reason!",
            extract(epoch from clock_timestamp() - min(at))::bigint as "seconds!"
        from unknown_events
        group by topic, event_type
        order by min(at)"#
    )
    .fetch_all(db)
    .await
}

/// How often this database was restored from a backup: the highest incarnation that messages from
/// it may name.
pub(in crate::audit) async fn incarnation(db: &mut PgConnection) -> sqlx::Result<i32> {
    let found = sqlx::query_scalar!(
        r#"-- audit.incarnation
        select incarnation
        from outbox_identity"#
    )
    .fetch_optional(db)
    .await?;
    Ok(found.unwrap_or(1))
}

/// The ids of all messages that the service has taken in: the random half of each.
pub(in crate::audit) async fn inbox(db: &mut PgConnection) -> sqlx::Result<Vec<u64>> {
    sqlx::query_scalar!(
        r#"-- audit.inbox
        select event_id
        from inbox"#
    )
    .fetch(db)
    .map_ok(|id| inbox::half(id.as_u128()))
    .try_collect()
    .await
}

/// What an operator did to a parked message.
#[derive(Debug)]
pub(in crate::audit) struct Operation {
    pub(in crate::audit) action: String,
    pub(in crate::audit) topic: Option<String>,
    pub(in crate::audit) key: Option<String>,
    pub(in crate::audit) event_id: Option<Uuid>,
    pub(in crate::audit) version: Option<i64>,
}

/// The messages that operators discarded or replaced.
pub(in crate::audit) async fn mended(db: &mut PgConnection) -> sqlx::Result<Vec<Operation>> {
    sqlx::query_as!(
        Operation,
        r#"-- audit.mended
        select action, topic, key, event_id, version
        from operations
        where action in ('parked.discard', 'parked.replace')"#
    )
    .fetch_all(db)
    .await
}

/// How many messages were ever parked, as their numbers tell: those released since are among them.
pub(in crate::audit) async fn parked_arrivals(db: &mut PgConnection) -> sqlx::Result<u64> {
    let last = sqlx::query_scalar!(
        r#"-- audit.parked_arrivals
        select coalesce(pg_sequence_last_value(pg_get_serial_sequence('parked', 'parked_id')), 0) as "last!""#
    );
    Ok(u64::try_from(last.fetch_one(db).await?).unwrap_or_default())
}
