//! Parked keys: what could not be processed, and what waits behind it. All SQL on them.

use std::collections::HashSet;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::message::{Message, Park};

/// A topic and a key of it, written as operators see it.
pub(crate) type Place = (String, String);

/// A key that stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedKey {
    pub topic: String,
    pub key: String,
    pub messages: i64,
    pub class: String,
    pub reason: String,
    pub since: OffsetDateTime,
}

/// A message of a parked key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedMessage {
    pub parked_id: i64,
    pub partition: i32,
    pub offset: i64,
    pub message_key: Option<Vec<u8>>,
    pub event_id: Option<Uuid>,
    pub event_type: Option<String>,
    pub source: Option<String>,
    pub version: Option<i64>,
    pub trace: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    /// Why it stopped the key; absent for those that only wait behind it.
    pub reason: Option<String>,
    pub parked_at: OffsetDateTime,
}

/// How a Kafka key is written: an id of ours as it is, anything else `base64url:…`, none at all
/// `none`.
pub fn key_text(key: Option<&[u8]>) -> String {
    let Some(key) = key else { return "none".to_owned() };
    let ours = (1..=64).contains(&key.len())
        && key.iter().all(|byte| byte.is_ascii_alphanumeric() || b"._:-".contains(byte))
        && key != b"none"
        && !key.starts_with(b"base64url:");
    match std::str::from_utf8(key) {
        Ok(text) if ours => text.to_owned(),
        _ => format!("base64url:{}", BASE64_URL_SAFE_NO_PAD.encode(key)),
    }
}

/// Where a message would be parked.
pub(crate) fn place(message: &Message) -> Place {
    (message.topic.to_string(), key_text(message.key.as_deref()))
}

/// Which of these keys are parked. They stay so until this transaction ends.
pub(crate) async fn lock(db: &mut PgConnection, places: &[&Place]) -> sqlx::Result<HashSet<Place>> {
    let (topics, keys) = columns(places);
    let rows = sqlx::query!(
        "-- parked.lock
        select p.topic, p.key
        from unnest($1::text[], $2::text[]) as k (topic, key)
        join parked_keys p on p.topic = k.topic and p.key = k.key
        -- Nearly always nothing is parked, and then no key has to be looked up.
        where exists (select from parked_keys)
        order by p.topic, p.key
        for share of p",
        &topics,
        &keys
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.topic, row.key)).collect())
}

/// Parks keys that are not parked yet, and keeps all of these from being released before this
/// transaction ends. Says how many were new.
pub(crate) async fn park_keys(
    db: &mut PgConnection,
    keys: &[(&Place, &Park)],
) -> sqlx::Result<u64> {
    let mut sorted = keys.to_vec();
    sorted.sort_by_key(|(place, _)| (*place).clone());
    sorted.dedup_by_key(|(place, _)| (*place).clone());
    let places: Vec<&Place> = sorted.iter().map(|(place, _)| *place).collect();
    let (topics, names) = columns(&places);
    let classes: Vec<String> = sorted.iter().map(|(_, park)| park.class.to_owned()).collect();
    let reasons: Vec<String> = sorted.iter().map(|(_, park)| printable(&park.reason)).collect();
    let new = sqlx::query!(
        "-- parked.park_keys
        insert into parked_keys (topic, key, class, reason)
        select topic, key, class, reason
        from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as k (topic, key, class, reason)
        on conflict do nothing",
        &topics,
        &names,
        &classes,
        &reasons
    )
    .execute(&mut *db)
    .await?
    .rows_affected();
    lock(db, &places).await?;
    Ok(new)
}

/// Adds messages to the end of their keys' queues; one that is there already is left alone.
pub(crate) async fn park_messages(
    db: &mut PgConnection,
    messages: &[(&Message, Option<&Park>)],
) -> sqlx::Result<()> {
    for (message, park) in messages {
        let (topic, key) = place(message);
        sqlx::query!(
            r#"-- parked.park_message
            insert into parked
                (topic, key, "partition", "offset", message_key, event_id, event_type, source, version, trace,
                 payload, reason)
            values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
            on conflict (topic, "partition", "offset") do nothing"#,
            topic,
            key,
            message.partition,
            message.offset,
            message.key.as_deref(),
            Some(message.event_id).filter(|id| !id.is_nil()),
            Some(printable(&message.event_type)).filter(|name| !name.is_empty()),
            Some(printable(&message.source)).filter(|source| !source.is_empty()),
            Some(message.version).filter(|version| *version > 0),
            message.trace.as_ref().map(<[u8; 25]>::as_slice),
            &message.payload,
            park.map(|park| printable(&park.reason))
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// PostgreSQL's text has no NUL; what a stranger sent may.
fn printable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// All parked keys, the oldest first.
pub(crate) async fn list(db: &mut PgConnection) -> sqlx::Result<Vec<ParkedKey>> {
    sqlx::query_as!(
        ParkedKey,
        r#"-- parked.list
        select k.topic, k.key, k.class, k.reason, k.since,
               (select count(*) from parked p where p.topic = k.topic and p.key = k.key) as "messages!"
        from parked_keys k
        order by k.since, k.topic, k.key
        limit 1000"#
    )
    .fetch_all(db)
    .await
}

/// How many keys have stopped within the last minute, counted up to `limit`.
pub(crate) async fn lately(db: &mut PgConnection, limit: i64) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"-- parked.lately
        select count(*) as "count!"
        from (
            select 1
            from parked_keys
            where since > clock_timestamp() - interval '1 minute'
            limit $1
        ) as lately"#,
        limit
    )
    .fetch_one(db)
    .await
}

/// One key's messages in order, at most `limit`.
pub(crate) async fn messages(
    db: &mut PgConnection,
    topic: &str,
    key: &str,
    limit: i64,
) -> sqlx::Result<Vec<ParkedMessage>> {
    sqlx::query_as!(
        ParkedMessage,
        r#"-- parked.messages
        select parked_id, "partition", "offset", message_key, event_id, event_type, source, version, trace,
               payload, reason, parked_at
        from parked
        where topic = $1
          and key = $2
        order by parked_id
        limit $3"#,
        topic,
        key,
        limit
    )
    .fetch_all(db)
    .await
}

/// Takes a key for one operator alone: nothing is added to it meanwhile. `false` if it is not
/// parked.
pub(crate) async fn hold(db: &mut PgConnection, topic: &str, key: &str) -> sqlx::Result<bool> {
    let held = sqlx::query_scalar!(
        "-- parked.hold
        select key
        from parked_keys
        where topic = $1
          and key = $2
        for update",
        topic,
        key
    )
    .fetch_optional(db)
    .await?;
    Ok(held.is_some())
}

/// Removes messages, and the key with its last one. Says whether the key is gone.
pub(crate) async fn remove(
    db: &mut PgConnection,
    topic: &str,
    key: &str,
    parked_ids: &[i64],
) -> sqlx::Result<bool> {
    sqlx::query!(
        "-- parked.remove
        delete from parked
        where parked_id = any($1::bigint[])",
        parked_ids
    )
    .execute(&mut *db)
    .await?;
    let gone = sqlx::query!(
        "-- parked.remove_key
        delete from parked_keys
        where topic = $1
          and key = $2
          and not exists (select 1 from parked where topic = $1 and key = $2)",
        topic,
        key
    )
    .execute(db)
    .await?;
    Ok(gone.rows_affected() == 1)
}

/// What an operator puts in a message's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mended<'a> {
    pub payload: &'a [u8],
    /// What it is, for a message that came without a name of its own.
    pub event_type: Option<&'a str>,
    /// Why, for the log.
    pub reason: &'a str,
}

/// Puts another payload into a message.
pub(crate) async fn replace(
    db: &mut PgConnection,
    parked_id: i64,
    mended: Mended<'_>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- parked.replace
        update parked
        set payload = $2, event_type = coalesce(event_type, $3)
        where parked_id = $1",
        parked_id,
        mended.payload,
        mended.event_type
    )
    .execute(db)
    .await
    .map(drop)
}

/// Says why a key still stands still.
pub(crate) async fn explain(
    db: &mut PgConnection,
    topic: &str,
    key: &str,
    park: &Park,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- parked.explain
        update parked_keys
        set class = $3, reason = $4
        where topic = $1
          and key = $2",
        topic,
        key,
        park.class,
        printable(&park.reason)
    )
    .execute(db)
    .await
    .map(drop)
}

fn columns(places: &[&Place]) -> (Vec<String>, Vec<String>) {
    places.iter().map(|(topic, key)| (topic.clone(), key.clone())).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_written_so_that_none_is_taken_for_another() {
        assert_eq!(key_text(None), "none");
        assert_eq!(key_text(Some(b"none")), "base64url:bm9uZQ");
        assert_eq!(key_text(Some(b"SKU-1:a.b_c")), "SKU-1:a.b_c");
        assert_eq!(key_text(Some(b"")), "base64url:");
        assert_eq!(key_text(Some(&[0xff])), "base64url:_w");
        assert_eq!(key_text(Some(b"base64url:x")), "base64url:YmFzZTY0dXJsOng");
    }
}
