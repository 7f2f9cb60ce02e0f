//! The outbox: events that wait for the relay. All SQL on it, and on the event types and the
//! source.

use anyhow::{Context, ensure};
use sqlx::PgConnection;

use crate::{fault::WakeUp, message::Trace, reactor::OutboxEvent};

/// Appends events in the order given. For one key that is the order of its versions, because the
/// writer holds the lock on the key's root. The relay is woken by the commit, if that is `wake_up`.
pub(crate) async fn append(
    db: &mut PgConnection,
    events: &[(OutboxEvent, Option<Trace>)],
    wake_up: WakeUp,
) -> sqlx::Result<()> {
    let mut columns = Columns::default();
    for (event, trace) in events {
        columns.ids.push(event.event_id);
        columns.keys.push(&event.key);
        columns.versions.push(event.version);
        columns.types.push(event.event_type);
        columns.traces.push(trace.as_ref().map(<[u8; 25]>::as_slice));
        columns.payloads.push(&event.payload);
    }
    sqlx::query!(
        "-- outbox.append
        with appended as (
            insert into outbox (event_id, key, version, type, trace, payload)
            select event_id, key, version, type, trace, payload
            from unnest($1::uuid[], $2::bytea[], $3::bigint[], $4::smallint[], $5::bytea[], $6::bytea[])
                with ordinality as e (event_id, key, version, type, trace, payload, place)
            order by place
        )
        select pg_notify('outbox', '')
        where $7",
        &columns.ids,
        &columns.keys as &[&[u8]],
        &columns.versions,
        &columns.types,
        &columns.traces as &[Option<&[u8]>],
        &columns.payloads as &[&[u8]],
        wake_up == WakeUp::InCommit
    )
    .execute(db)
    .await
    .map(drop)
}

#[derive(Default)]
struct Columns<'a> {
    ids: Vec<uuid::Uuid>,
    keys: Vec<&'a [u8]>,
    versions: Vec<i64>,
    types: Vec<i16>,
    traces: Vec<Option<&'a [u8]>>,
    payloads: Vec<&'a [u8]>,
}

/// Tells a listening relay that something was committed, in a transaction of its own.
pub(crate) async fn wake_relay(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        "-- outbox.wake_relay
        select pg_notify('outbox', '')"
    )
    .fetch_one(db)
    .await
    .map(drop)
}

/// How many events wait for the relay, `limit` at most. Below `limit` the answer is a difference of
/// positions, which may be too many, because a rolled-back transaction uses positions up, too. From
/// `limit` on the rows themselves are counted.
pub async fn backlog(db: &mut PgConnection, limit: i64) -> sqlx::Result<i64> {
    let at_most = sqlx::query!(
        r#"-- outbox.positions
        select
          s.last_value + s.is_called::int - greatest(t.published_pos, 1) as "waiting!",
          t.published_pos
        from outbox_pos s, relay_tick t
        order by t.tick_id desc
        limit 1"#
    )
    .fetch_one(&mut *db)
    .await?;
    if at_most.waiting < limit {
        return Ok(at_most.waiting);
    }
    sqlx::query_scalar!(
        r#"-- outbox.backlog
        select count(*) as "count!"
        from (select 1 from outbox where pos >= $1 limit $2) as waiting"#,
        at_most.published_pos,
        limit
    )
    .fetch_one(db)
    .await
}

/// Writes down the source and what the type numbers mean, before the first event; fails if the
/// database already has them with another meaning.
pub(crate) async fn register(
    db: &mut PgConnection,
    source: &str,
    types: &[(i16, &str, &str)],
) -> anyhow::Result<()> {
    let numbers: Vec<i16> = types.iter().map(|(number, _, _)| *number).collect();
    let topics: Vec<String> = types.iter().map(|(_, topic, _)| (*topic).to_owned()).collect();
    let names: Vec<String> = types.iter().map(|(_, _, name)| (*name).to_owned()).collect();
    sqlx::query!(
        "-- outbox.register_types
        insert into event_types (type, topic, name)
        select type, topic, name
        from unnest($1::smallint[], $2::text[], $3::text[]) as e (type, topic, name)
        on conflict do nothing",
        &numbers,
        &topics,
        &names
    )
    .execute(&mut *db)
    .await
    .context("could not write down the event types")?;
    let differing = sqlx::query_scalar!(
        "-- outbox.differing_types
        select t.name
        from event_types t
        join unnest($1::smallint[], $2::text[], $3::text[]) as e (type, topic, name) using (type)
        where t.topic <> e.topic or t.name <> e.name",
        &numbers,
        &topics,
        &names
    )
    .fetch_all(&mut *db)
    .await
    .context("could not compare the event types")?;
    ensure!(
        differing.is_empty(),
        "event types stand for something else in this database: {differing:?}"
    );
    sqlx::query!(
        "-- outbox.register_source
        insert into outbox_identity (source)
        values ($1)
        on conflict do nothing",
        source
    )
    .execute(&mut *db)
    .await
    .context("could not write down the event source")?;
    let written = sqlx::query_scalar!(
        "-- outbox.source
        select source
        from outbox_identity"
    )
    .fetch_one(&mut *db)
    .await
    .context("could not read the event source")?;
    ensure!(written == source, "this database speaks for {written}, not for {source}");
    Ok(())
}
