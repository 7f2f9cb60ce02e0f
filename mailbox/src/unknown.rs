//! Events of types that this build does not know: kept without stopping their key, for the first
//! build that knows them (`catch_up`). All SQL on them, except their list (`parked/list`).

use std::collections::HashSet;

use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{
    message::{Message, StoredMessage},
    parked::{self, CHUNK_BYTES, KeyRef},
    reactor::Reactor,
};

/// How much is kept in all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnknownBacklog {
    pub(crate) events: i64,
    pub(crate) bytes: i64,
    /// When the oldest of them was kept.
    pub(crate) oldest: Option<OffsetDateTime>,
}

/// A key that has an unknown event of this type.
pub(crate) struct UnknownType {
    pub(crate) topic: String,
    pub(crate) key: String,
    pub(crate) event_type: String,
}

/// Keeps events in the order given; one that is kept already is left alone.
pub(crate) async fn keep(db: &mut PgConnection, events: &[&Message]) -> sqlx::Result<()> {
    for chunk in parked::chunks(events, |event| event) {
        insert(db, chunk).await?;
    }
    Ok(())
}

async fn insert(db: &mut PgConnection, events: &[&Message]) -> sqlx::Result<()> {
    let key_refs: Vec<KeyRef> = events.iter().map(|event| parked::key_ref(event)).collect();
    let (topics, keys) = parked::columns(&key_refs.iter().collect::<Vec<_>>());
    let traces: Vec<_> =
        events.iter().map(|it| it.trace.as_ref().map(<[u8; 25]>::as_slice)).collect();
    sqlx::query!(
        r#"-- unknown.keep
        insert into unknown_events
            (topic, key, "partition", "offset", message_key, event_id, event_type, source, version, trace,
             payload)
        select topic, key, "partition", "offset", message_key, event_id, event_type, source, version, trace,
               payload
        from unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bytea[], $6::uuid[], $7::text[],
                    $8::text[], $9::bigint[], $10::bytea[], $11::bytea[])
            with ordinality as e (topic, key, "partition", "offset", message_key, event_id, event_type,
                                  source, version, trace, payload, place)
        order by place
        on conflict (event_id) do nothing"#,
        &topics,
        &keys,
        &events.iter().map(|event| event.partition).collect::<Vec<_>>(),
        &events.iter().map(|event| event.offset).collect::<Vec<_>>(),
        &events.iter().map(|event| event.key.as_deref()).collect::<Vec<_>>() as &[Option<&[u8]>],
        &events.iter().map(|event| event.event_id).collect::<Vec<_>>(),
        &events.iter().map(|event| event.event_type.clone()).collect::<Vec<_>>(),
        &events.iter().map(|event| event.source.clone()).collect::<Vec<_>>(),
        &events.iter().map(|event| event.version).collect::<Vec<_>>(),
        &traces as &[Option<&[u8]>],
        &events.iter().map(|event| &*event.payload).collect::<Vec<_>>() as &[&[u8]]
    )
    .execute(db)
    .await
    .map(drop)
}

/// The types of these keys' unknown events, each with its key.
pub(crate) async fn of_keys(
    db: &mut PgConnection,
    key_refs: &[&KeyRef],
) -> sqlx::Result<Vec<UnknownType>> {
    let (topics, keys) = parked::columns(key_refs);
    sqlx::query_as!(
        UnknownType,
        r#"-- unknown.of_keys
        select distinct u.topic, u.key, u.event_type
        from unnest($1::text[], $2::text[]) as k (topic, key)
        join unknown_events u on u.topic = k.topic and u.key = k.key"#,
        &topics,
        &keys
    )
    .fetch_all(db)
    .await
}

/// The types of all unknown events.
pub(crate) async fn types(db: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "-- unknown.types
        select distinct event_type
        from unknown_events"
    )
    .fetch_all(db)
    .await
}

/// Keys that have unknown events of these types, at most `limit`.
pub(crate) async fn keys_of(
    db: &mut PgConnection,
    types: &[String],
    limit: i64,
) -> sqlx::Result<Vec<KeyRef>> {
    let keys = sqlx::query!(
        "-- unknown.keys_of
        select distinct topic, key
        from unknown_events
        where event_type = any($1::text[])
        limit $2",
        types,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(keys.into_iter().map(|row| (row.topic, row.key)).collect())
}

/// One key's first unknown events of these types in order, locked for this transaction: at most
/// `limit`, and no more bytes than a chunk has, but one at least.
pub(crate) async fn first(
    db: &mut PgConnection,
    (topic, key): &KeyRef,
    types: &[String],
    limit: i64,
) -> sqlx::Result<Vec<StoredMessage>> {
    sqlx::query_as!(
        StoredMessage,
        r#"-- unknown.first
        select u.kept_id as id, u."partition", u."offset", u.message_key, u.event_id as "event_id?",
               u.event_type as "event_type?", u.source as "source?", u.version as "version?", u.trace,
               u.payload as "payload?"
        from (
            select kept_id, row_number() over queue as place,
                   sum(octet_length(payload) + coalesce(octet_length(message_key), 0)) over queue as bytes
            from (
                select kept_id, payload, message_key
                from unknown_events
                where topic = $1
                  and key = $2
                  and event_type = any($3::text[])
                order by kept_id
                limit $4
            ) as first
            window queue as (order by kept_id)
        ) as sized
        join unknown_events u using (kept_id)
        where sized.place = 1 or sized.bytes <= $5
        order by u.kept_id
        for update of u"#,
        topic,
        key,
        types,
        limit,
        i64::try_from(CHUNK_BYTES).unwrap_or(i64::MAX)
    )
    .fetch_all(db)
    .await
}

/// Removes unknown events.
pub(crate) async fn remove(db: &mut PgConnection, kept_ids: &[i64]) -> sqlx::Result<()> {
    sqlx::query!(
        "-- unknown.remove
        delete from unknown_events
        where kept_id = any($1::bigint[])",
        kept_ids
    )
    .execute(db)
    .await
    .map(drop)
}

/// Removes the first unknown event of a key, whatever its type, and returns it.
pub(crate) async fn drop_first(
    db: &mut PgConnection,
    topic: &str,
    key: &str,
) -> sqlx::Result<Option<StoredMessage>> {
    let key_ref = (topic.to_owned(), key.to_owned());
    let types = types(&mut *db).await?;
    let dropped = first(&mut *db, &key_ref, &types, 1).await?.into_iter().next();
    if let Some(first) = &dropped {
        remove(db, &[first.id]).await?;
    }
    Ok(dropped)
}

/// How many events are kept, of how many bytes, and since when.
pub(crate) async fn stock(db: &mut PgConnection) -> sqlx::Result<UnknownBacklog> {
    sqlx::query_as!(
        UnknownBacklog,
        r#"-- unknown.stock
        select count(*) as "events!", coalesce(sum(octet_length(payload)), 0)::bigint as "bytes!",
               min(at) as oldest
        from unknown_events"#
    )
    .fetch_one(db)
    .await
}

/// Those of the keys that have unknown events of a type which this build knows.
pub(crate) async fn due<R: Reactor>(
    reactor: &R,
    db: &mut PgConnection,
    key_refs: &[&KeyRef],
) -> sqlx::Result<Vec<KeyRef>> {
    let unknown = of_keys(db, key_refs).await?;
    let known = unknown.into_iter().filter(|it| reactor.is_known(&it.event_type));
    let due: HashSet<KeyRef> = known.map(|it| (it.topic, it.key)).collect();
    Ok(due.into_iter().collect())
}
