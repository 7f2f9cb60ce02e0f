//! What the mailbox's tables hold, the same in every service's database.

use futures::{Stream, TryStreamExt as _};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::audit::inbox;

/// An outbox row, and whether the relay's last tick calls it shipped.
#[derive(Debug)]
pub(in crate::audit) struct Row {
    pub(in crate::audit) key: Vec<u8>,
    pub(in crate::audit) version: i64,
    pub(in crate::audit) type_number: i16,
    pub(in crate::audit) event_id: Uuid,
    pub(in crate::audit) payload: Vec<u8>,
    pub(in crate::audit) trace: Option<Vec<u8>>,
    pub(in crate::audit) created_at: OffsetDateTime,
    pub(in crate::audit) is_shipped: bool,
}

/// All rows that the outbox keeps, in the order of their positions.
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
                or coalesce(o.pos < t.walk_pos and pg_visible_in_snapshot(o.xid, t.walk_to), false)
            ) as "is_shipped!"
        from outbox o
        cross join (
            select snap, walk_to, walk_pos
            from relay_tick
            order by tick_id desc
            limit 1
        ) t
        order by o.pos"#
    )
    .fetch(db)
}

/// Whether no leaf of the outbox has been dropped yet: then every event ever said is in it.
pub(in crate::audit) async fn outbox_is_whole(db: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- audit.outbox_is_whole
        select coalesce(min(first_pos) <= 1, false) as "is_whole!"
        from outbox_leaf"#
    )
    .fetch_one(db)
    .await
}

/// A key that was set aside.
#[derive(Debug)]
pub(in crate::audit) struct Parked {
    pub(in crate::audit) topic: String,
    pub(in crate::audit) key: String,
    pub(in crate::audit) reason: String,
}

/// The keys that are parked.
pub(in crate::audit) async fn parked(db: &mut PgConnection) -> sqlx::Result<Vec<Parked>> {
    sqlx::query_as!(
        Parked,
        r#"-- audit.parked
        select topic, key, reason
        from parked_keys
        order by since"#
    )
    .fetch(db)
    .try_collect()
    .await
}

/// How often this database was restored from a backup: the highest incarnation that its messages
/// may name.
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

/// The ids of all that the service has taken in: of each the random half.
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

/// The messages that operators discarded or gave another payload.
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
