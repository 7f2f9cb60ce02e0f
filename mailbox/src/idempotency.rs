//! Idempotency keys: the first answer to a request, given again for a day. All SQL on them.

use std::{collections::HashMap, time::Duration};

use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::{IdempotencyKey, reactor::Answer};

/// Caller, route and key: what identifies a row of `idempotency_keys`.
pub(crate) type Name = (String, String, String);

/// A stored answer, and the fingerprint of the request it was given to.
pub(crate) struct StoredAnswer {
    pub(crate) fingerprint: Vec<u8>,
    pub(crate) answer: Answer,
}

pub(crate) fn name(key: &IdempotencyKey) -> Name {
    (key.caller.clone(), key.route.clone(), key.key.clone())
}

/// The answers that were stored under these keys within a day.
pub(crate) async fn known(
    db: &mut PgConnection,
    keys: &[&IdempotencyKey],
) -> sqlx::Result<HashMap<Name, StoredAnswer>> {
    let (callers, routes, names) = columns(keys);
    let rows = sqlx::query!(
        r#"-- idempotency.known
        select i.caller, i.route, i.key, i.fingerprint, i.status, i.headers as "headers: Headers", i.body
        from unnest($1::text[], $2::text[], $3::text[]) as k (caller, route, key)
        join idempotency_keys i using (caller, route, key)
        where i.created_at >= clock_timestamp() - interval '24 hours'"#,
        &callers,
        &routes,
        &names
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| {
            let answer = Answer {
                status: u16::try_from(row.status).unwrap_or(500),
                headers: row.headers.0,
                body: row.body,
            };
            (
                (row.caller, row.route, row.key),
                StoredAnswer { fingerprint: row.fingerprint, answer },
            )
        })
        .collect())
}

type Headers = sqlx::types::Json<Vec<(String, String)>>;

/// Stores answers under their keys, as the last statement before the commit. Waits for transactions
/// that are just using one of the keys. `false` if another transaction has used one within a day:
/// then this one must not commit.
pub(crate) async fn keep(
    db: &mut PgConnection,
    answers: &[(&IdempotencyKey, &Answer)],
) -> sqlx::Result<bool> {
    let mut sorted = answers.to_vec();
    sorted.sort_by_key(|(key, _)| name(key));
    let keys: Vec<&IdempotencyKey> = sorted.iter().map(|(key, _)| *key).collect();
    let (callers, routes, names) = columns(&keys);
    let fingerprints: Vec<&[u8]> = keys.iter().map(|key| key.fingerprint.as_slice()).collect();
    let statuses: Vec<i16> =
        sorted.iter().map(|(_, answer)| i16::try_from(answer.status).unwrap_or(500)).collect();
    let headers: Vec<Headers> =
        sorted.iter().map(|(_, answer)| sqlx::types::Json(answer.headers.clone())).collect();
    let bodies: Vec<&[u8]> = sorted.iter().map(|(_, answer)| answer.body.as_slice()).collect();
    let done = sqlx::query!(
        "-- idempotency.keep
        insert into idempotency_keys (caller, route, key, fingerprint, status, headers, body)
        select caller, route, key, fingerprint, status, headers, body
        from unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::smallint[], $6::jsonb[], $7::bytea[])
            as k (caller, route, key, fingerprint, status, headers, body)
        on conflict (caller, route, key) do update
        set fingerprint = excluded.fingerprint, status = excluded.status, headers = excluded.headers,
            body = excluded.body, created_at = excluded.created_at
        where idempotency_keys.created_at < clock_timestamp() - interval '24 hours'",
        &callers,
        &routes,
        &names,
        &fingerprints as &[&[u8]],
        &statuses,
        &headers as &[Headers],
        &bodies as &[&[u8]]
    )
    .execute(db)
    .await?;
    Ok(usize::try_from(done.rows_affected()) == Ok(answers.len()))
}

/// Keys that are removed at once.
pub(crate) const EXPIRED_AT_ONCE: u64 = 1_000;

/// Removes keys older than a day, at most [`EXPIRED_AT_ONCE`]; returns how many it removed.
pub(crate) async fn expire(db: &mut PgConnection) -> sqlx::Result<u64> {
    sqlx::query!(
        "-- idempotency.expire
        delete from idempotency_keys
        where (caller, route, key) in (
            select caller, route, key
            from idempotency_keys
            where created_at < clock_timestamp() - interval '24 hours'
            order by created_at
            limit $1
        )",
        EXPIRED_AT_ONCE.cast_signed()
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected())
}

/// Empties the stored answers (`{}`) to a customer, and those about one: with the member
/// `customer_id`. Returns how many. The keys stay: a request that is repeated is not executed again.
/// No other text is looked for, since customers choose their addresses, and answers of others might
/// hold the same.
pub async fn erase_answers(db: &mut PgConnection, customer: &str) -> sqlx::Result<u64> {
    sqlx::query!(
        "-- idempotency.erase
        update idempotency_keys i
        set body = '{}'
        where i.caller = $1
           or position(convert_to('\"customer_id\":' || to_json($1::text)::text, 'UTF8') in i.body) > 0",
        customer
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected())
}

/// The pause between two looks whether writers are over.
const WRITERS_LOOK: Duration = Duration::from_millis(20);

/// Waits for the transactions of this service that were under way at the call and write: what they
/// have read, and somebody has erased since, may stand in an answer that they store. Returns
/// whether they are over within `patience`.
pub async fn await_writers(db: &mut PgConnection, patience: Duration) -> sqlx::Result<bool> {
    let now = database_time(db).await?;
    let give_up_at = Instant::now() + patience;
    while has_writers_before(db, now).await? {
        if Instant::now() >= give_up_at {
            return Ok(false);
        }
        tokio::time::sleep(WRITERS_LOOK).await;
    }
    Ok(true)
}

/// The database's time: that of other machines may differ from it.
async fn database_time(db: &mut PgConnection) -> sqlx::Result<OffsetDateTime> {
    sqlx::query_scalar!(
        r#"-- idempotency.database_time
        select clock_timestamp() as "now!""#
    )
    .fetch_one(db)
    .await
}

/// Whether a transaction of this service is under way that writes and began before `at`.
async fn has_writers_before(db: &mut PgConnection, at: OffsetDateTime) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- idempotency.has_writers_before
        select exists (
            select from pg_stat_activity
            where datname = current_database()
              and usename = current_user
              and pid <> pg_backend_pid()
              and backend_xid is not null
              and xact_start < $1
        ) as "has!""#,
        at
    )
    .fetch_one(db)
    .await
}

fn columns(keys: &[&IdempotencyKey]) -> (Vec<String>, Vec<String>, Vec<String>) {
    (
        keys.iter().map(|key| key.caller.clone()).collect(),
        keys.iter().map(|key| key.route.clone()).collect(),
        keys.iter().map(|key| key.key.clone()).collect(),
    )
}
