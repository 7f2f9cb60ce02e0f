//! Events, kept for webhooks, and their way to those that are told of them.

use std::{collections::HashMap, time::Duration};

use mailbox::invalid;
use sqlx::{PgConnection, error::DatabaseError};
use uuid::Uuid;

use crate::input::KeptEvent;

/// The database's code for a statement that took too long.
const CANCELLED: &str = "57014";

/// Keeps events, and queues each for the webhooks that are enabled and told of it. One that is kept
/// already is left as it is, and queued for nobody: so each is told once, however often it comes.
///
/// Without a webhook this is one narrow insert. Of one source and key, events are queued in the
/// order of their versions.
pub async fn keep(db: &mut PgConnection, events: &[KeptEvent]) -> sqlx::Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    // Sorted, so that two batches with the same events wait for each other one way round.
    let mut sorted: Vec<&KeptEvent> = events.iter().collect();
    sorted.sort_by_key(|event| event.id);
    let ids: Vec<Uuid> = sorted.iter().map(|event| event.id).collect();
    let numbers: Vec<i16> = sorted.iter().map(|event| event.number).collect();
    let keys: Vec<&str> = sorted.iter().map(|event| &*event.key).collect();
    let versions: Vec<i64> = sorted.iter().map(|event| event.version).collect();
    let traces: Vec<Option<&[u8]>> =
        sorted.iter().map(|event| event.trace.as_ref().map(|trace| &trace[..])).collect();
    let payloads: Vec<&[u8]> = sorted.iter().map(|event| &*event.payload).collect();
    sqlx::query!(
        "-- webhook_events.keep
        with kept as (
            insert into webhook_events (event_id, event_type, key, version, trace, payload)
            select *
            from unnest($1::uuid[], $2::smallint[], $3::text[], $4::bigint[], $5::bytea[], $6::bytea[])
            on conflict do nothing
            returning event_id, event_type, key, version
        )
        insert into webhook_deliveries (webhook_id, event_id, event_type, key)
        select w.webhook_id, k.event_id, k.event_type, k.key
        from kept k
        join webhooks w on w.status = 'enabled' and (w.events is null or k.event_type = any(w.events))
        order by k.key, k.version, k.event_id",
        &ids,
        &numbers,
        &keys as &[&str],
        &versions,
        &traces as &[Option<&[u8]>],
        &payloads as &[&[u8]]
    )
    .execute(db)
    .await
    .map(drop)
}

/// The events with these ids, as far as they are still kept.
pub async fn find_all(
    db: &mut PgConnection,
    ids: &[Uuid],
) -> sqlx::Result<HashMap<Uuid, KeptEvent>> {
    let rows = sqlx::query!(
        "-- webhook_events.find_all
        select event_id, event_type, key, version, trace, payload
        from webhook_events
        where event_id = any($1)",
        ids
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let trace = row.trace.map(TryInto::try_into).transpose();
            let event = KeptEvent {
                id: row.event_id,
                number: row.event_type,
                key: row.key,
                version: row.version,
                trace: trace.map_err(|_| invalid("a trace has 25 bytes"))?,
                payload: row.payload,
            };
            Ok((row.event_id, event))
        })
        .collect()
}

/// How many events of these types, or of all, lie between two ids; `None` if they are too many to
/// be counted `within` a time. The database ends the statement, whoever waits for it: so it does from
/// now on with every statement of this connection, which is for counts alone.
pub async fn count(
    db: &mut PgConnection,
    (after, before): (Uuid, Uuid),
    types: Option<&[i16]>,
    within: Duration,
) -> sqlx::Result<Option<i64>> {
    sqlx::query!(
        "-- webhook_events.limit
        select set_config('statement_timeout', $1, false)",
        within.as_millis().to_string()
    )
    .fetch_one(&mut *db)
    .await?;
    let counted = sqlx::query_scalar!(
        r#"-- webhook_events.count
        select count(*) as "events!"
        from webhook_events
        where event_id > $1
          and event_id < $2
          and ($3::smallint[] is null or event_type = any($3))"#,
        after,
        before,
        types as Option<&[i16]>
    )
    .fetch_one(db)
    .await;
    let is_cancelled = |error: &sqlx::Error| {
        error
            .as_database_error()
            .and_then(DatabaseError::code)
            .is_some_and(|code| code == CANCELLED)
    };
    match counted {
        Ok(events) => Ok(Some(events)),
        Err(error) if is_cancelled(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
