//! Parked keys: the messages that could not be processed, and those that wait behind them. All SQL
//! on them, except the lists for operators (`parked/list`) and the limits (`parked/bounds`).

pub(crate) mod bounds;
pub(crate) mod list;

use std::{collections::HashSet, iter};

use sqlx::PgConnection;

use crate::{
    message::{Message, Park, StoredMessage},
    message_key::key_text,
};

/// A topic and one of its keys, in the text form of `message_key`.
pub(crate) type KeyRef = (String, String);

/// Bytes of messages in one chunk, which is what one statement writes or reads.
pub(crate) const CHUNK_BYTES: usize = 4 * 1024 * 1024;
/// Characters of a stored reason, which may quote a payload that does not decode.
const REASON_CHARS_MAX: usize = 1_000;

/// The topic and key under which a message is parked.
pub(crate) fn key_ref(message: &Message) -> KeyRef {
    (message.topic.to_string(), key_text(message.key.as_deref()))
}

/// Whether any key is parked, and whether there is any unknown event: nearly always neither, and
/// then no key has to be looked up.
pub(crate) struct Aside {
    pub(crate) has_parked: bool,
    pub(crate) has_unknown: bool,
}

/// Asks whether any key is parked or has unknown events.
pub(crate) async fn aside(db: &mut PgConnection) -> sqlx::Result<Aside> {
    sqlx::query_as!(
        Aside,
        r#"-- parked.aside
        select exists (select from parked_keys) as "has_parked!",
               exists (select from unknown_events) as "has_unknown!""#
    )
    .fetch_one(db)
    .await
}

/// Returns which of these keys are parked, and keeps them from being released before this
/// transaction ends.
pub(crate) async fn lock(
    db: &mut PgConnection,
    key_refs: &[&KeyRef],
) -> sqlx::Result<HashSet<KeyRef>> {
    let (topics, keys) = columns(key_refs);
    let rows = sqlx::query!(
        "-- parked.lock
        select p.topic, p.key
        from unnest($1::text[], $2::text[]) as k (topic, key)
        join parked_keys p on p.topic = k.topic and p.key = k.key
        order by p.topic, p.key
        for share of p",
        &topics,
        &keys
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.topic, row.key)).collect())
}

/// Parks the keys that are not parked yet, and keeps all of these from being released before this
/// transaction ends. Returns how many were new.
pub(crate) async fn park_keys(
    db: &mut PgConnection,
    keys: &[(&KeyRef, &Park)],
) -> sqlx::Result<u64> {
    let mut sorted = keys.to_vec();
    sorted.sort_by_key(|(key_ref, _)| (*key_ref).clone());
    sorted.dedup_by_key(|(key_ref, _)| (*key_ref).clone());
    let key_refs: Vec<&KeyRef> = sorted.iter().map(|(key_ref, _)| *key_ref).collect();
    let (topics, names) = columns(&key_refs);
    let classes: Vec<String> = sorted.iter().map(|(_, park)| park.class.to_owned()).collect();
    let reasons: Vec<String> = sorted.iter().map(|(_, park)| told(&park.reason)).collect();
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
    lock(db, &key_refs).await?;
    Ok(new)
}

/// Adds messages to the end of their keys' queues; a message that stopped its key has its reason.
/// One that is parked already is left alone.
pub(crate) async fn park_messages(
    db: &mut PgConnection,
    messages: &[(&Message, Option<&Park>)],
) -> sqlx::Result<()> {
    for chunk in chunks(messages, |(message, _)| message) {
        insert(db, chunk).await?;
    }
    Ok(())
}

/// Splits a list of messages, with what belongs to each, into chunks of at most [`CHUNK_BYTES`]; a
/// message that is larger has a chunk of its own.
pub(crate) fn chunks<T>(
    list: &[T],
    message: impl Fn(&T) -> &Message,
) -> impl Iterator<Item = &[T]> {
    let mut rest = list;
    iter::from_fn(move || {
        let mut bytes = 0;
        let fit = rest.iter().take_while(|it| {
            bytes += message(it).size();
            bytes <= CHUNK_BYTES
        });
        let (chunk, later) = rest.split_at(fit.count().max(1).min(rest.len()));
        rest = later;
        (!chunk.is_empty()).then_some(chunk)
    })
}

async fn insert(db: &mut PgConnection, messages: &[(&Message, Option<&Park>)]) -> sqlx::Result<()> {
    let mut columns = Columns::default();
    for (message, park) in messages {
        columns.push(message, *park);
    }
    sqlx::query!(
        r#"-- parked.park_messages
        insert into parked
            (topic, key, "partition", "offset", message_key, event_id, event_type, source, version,
             trace, payload, reason, digest)
        select topic, key, "partition", "offset", message_key, event_id, event_type, source, version,
               trace, payload, reason, digest
        from unnest($1::text[], $2::text[], $3::int[], $4::bigint[], $5::bytea[], $6::uuid[], $7::text[],
                    $8::text[], $9::bigint[], $10::bytea[], $11::bytea[], $12::text[], $13::bytea[])
            with ordinality as m (topic, key, "partition", "offset", message_key, event_id, event_type,
                                  source, version, trace, payload, reason, digest, place)
        order by place
        on conflict (topic, "partition", "offset", digest) do nothing"#,
        &columns.topics,
        &columns.keys,
        &columns.partitions,
        &columns.offsets,
        &columns.message_keys as &[Option<&[u8]>],
        &columns.event_ids as &[Option<uuid::Uuid>],
        &columns.event_types as &[Option<String>],
        &columns.sources as &[Option<String>],
        &columns.versions as &[Option<i64>],
        &columns.traces as &[Option<&[u8]>],
        &columns.payloads as &[&[u8]],
        &columns.reasons as &[Option<String>],
        &columns.digests as &[Vec<u8>]
    )
    .execute(db)
    .await
    .map(drop)
}

#[derive(Default)]
struct Columns<'a> {
    topics: Vec<String>,
    keys: Vec<String>,
    partitions: Vec<i32>,
    offsets: Vec<i64>,
    message_keys: Vec<Option<&'a [u8]>>,
    event_ids: Vec<Option<uuid::Uuid>>,
    event_types: Vec<Option<String>>,
    sources: Vec<Option<String>>,
    versions: Vec<Option<i64>>,
    traces: Vec<Option<&'a [u8]>>,
    payloads: Vec<&'a [u8]>,
    reasons: Vec<Option<String>>,
    digests: Vec<Vec<u8>>,
}

impl<'a> Columns<'a> {
    fn push(&mut self, message: &'a Message, park: Option<&Park>) {
        let some = |text: &str| (!text.is_empty()).then(|| told(text));
        let (topic, key) = key_ref(message);
        self.topics.push(topic);
        self.keys.push(key);
        self.partitions.push(message.partition);
        self.offsets.push(message.offset);
        self.message_keys.push(message.key.as_deref());
        self.event_ids.push(Some(message.event_id).filter(|id| !id.is_nil()));
        self.event_types.push(some(&message.event_type));
        self.sources.push(some(&message.source));
        self.versions.push(Some(message.version).filter(|version| *version > 0));
        self.traces.push(message.trace.as_ref().map(<[u8; 25]>::as_slice));
        self.payloads.push(&message.payload);
        self.reasons.push(park.map(|park| told(&park.reason)));
        self.digests.push(message.digest().to_vec());
    }
}

/// Text as a column and a person can take it: a foreign message may contain NUL, which PostgreSQL's
/// `text` cannot store, and may have any length.
pub(crate) fn told(text: &str) -> String {
    text.chars().take(REASON_CHARS_MAX).map(|c| if c == '\0' { '\u{fffd}' } else { c }).collect()
}

/// One key's first messages in order: at most `limit`, and no more bytes than a chunk has, but one
/// at least.
pub(crate) async fn first(
    db: &mut PgConnection,
    (topic, key): (&str, &str),
    limit: i64,
) -> sqlx::Result<Vec<StoredMessage>> {
    sqlx::query_as!(
        StoredMessage,
        r#"-- parked.first
        select p.parked_id as id, p."partition", p."offset", p.message_key, p.event_id, p.event_type,
               p.source, p.version, p.trace, p.payload
        from (
            select parked_id, row_number() over queue as place,
                   sum(octet_length(payload) + coalesce(octet_length(message_key), 0)) over queue as bytes
            from (
                select parked_id, payload, message_key
                from parked
                where topic = $1
                  and key = $2
                order by parked_id
                limit $3
            ) as first
            window queue as (order by parked_id)
        ) as sized
        join parked p using (parked_id)
        where sized.place = 1 or sized.bytes <= $4
        order by p.parked_id"#,
        topic,
        key,
        limit,
        i64::try_from(CHUNK_BYTES).unwrap_or(i64::MAX)
    )
    .fetch_all(db)
    .await
}

/// Locks a parked key for one operator alone: nothing is added to its queue meanwhile. `false` if
/// the key is not parked.
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

/// Removes messages, and their key with its last one. Returns whether the key is gone.
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

/// What an operator puts into a parked message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replacement<'a> {
    pub payload: &'a [u8],
    /// Its event type, for a message that came without one or with a wrong one.
    pub event_type: Option<&'a str>,
    /// Its number in its source's sequence, for a message that came without; the source's outbox
    /// has it.
    pub version: Option<i64>,
    /// Why the operator does it; recorded among the operations.
    pub reason: &'a str,
}

/// Puts another payload into a message, and its event type and version where they are given.
pub(crate) async fn replace(
    db: &mut PgConnection,
    parked_id: i64,
    mended: Replacement<'_>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- parked.replace
        update parked
        set payload = $2, event_type = coalesce($3, event_type), version = coalesce($4, version)
        where parked_id = $1",
        parked_id,
        mended.payload,
        mended.event_type,
        mended.version
    )
    .execute(db)
    .await
    .map(drop)
}

/// Writes down why a key still stands still.
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
        told(&park.reason)
    )
    .execute(db)
    .await
    .map(drop)
}

/// Topics and keys as two arrays.
pub(crate) fn columns(key_refs: &[&KeyRef]) -> (Vec<String>, Vec<String>) {
    key_refs.iter().map(|(topic, key)| (topic.clone(), key.clone())).unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_stranger_wrote_is_told_in_bounded_words_without_nul() {
        assert_eq!(told("a\0b"), "a\u{fffd}b");
        assert_eq!(told(&"é".repeat(1_000_000)).chars().count(), REASON_CHARS_MAX);
    }

    #[test]
    fn a_statement_brings_a_chunk_of_bounded_size_and_never_nothing() {
        let of = |sizes: &[usize]| {
            let messages: Vec<_> = sizes
                .iter()
                .map(|size| crate::testing::message("t", "", "t.Said", 1, vec![0; *size]))
                .collect();
            chunks(&messages, |message| message).map(<[_]>::len).collect::<Vec<_>>()
        };
        assert!(of(&[]).is_empty());
        assert_eq!(of(&[1, 2, 3]), [3]);
        assert_eq!(of(&[CHUNK_BYTES - 1, 1, 1]), [2, 1]);
        assert_eq!(of(&[CHUNK_BYTES + 1, 1]), [1, 1]);
    }
}
