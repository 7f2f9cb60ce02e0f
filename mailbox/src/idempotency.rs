//! Idempotency keys: the first answer to a request, told again for a day. All SQL on them.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;

use crate::{IdempotencyKey, reactor::Answer};

/// A key without its fingerprint: what the table is keyed by.
pub(crate) type Name = (String, String, String);

/// A kept answer and the request it was given to.
pub(crate) struct Kept {
    pub(crate) fingerprint: Vec<u8>,
    pub(crate) answer: Answer,
}

pub(crate) fn name(key: &IdempotencyKey) -> Name {
    (key.caller.clone(), key.route.clone(), key.key.clone())
}

/// Claims the keys that nobody has used within a day, and says which. Waits for whoever is just
/// using one.
pub(crate) async fn claim(
    db: &mut PgConnection,
    keys: &[&IdempotencyKey],
) -> sqlx::Result<HashSet<Name>> {
    let mut sorted = keys.to_vec();
    sorted.sort_by_key(|key| name(key));
    let (callers, routes, names) = columns(&sorted);
    let fingerprints: Vec<&[u8]> = sorted.iter().map(|key| key.fingerprint.as_slice()).collect();
    let claimed = sqlx::query!(
        "-- idempotency.claim
        insert into idempotency_keys (caller, route, key, fingerprint, status, headers, body)
        select caller, route, key, fingerprint, 0, '[]'::jsonb, ''::bytea
        from unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) as k (caller, route, key, fingerprint)
        on conflict (caller, route, key) do update
        set fingerprint = excluded.fingerprint, status = 0, created_at = excluded.created_at
        where idempotency_keys.created_at < clock_timestamp() - interval '24 hours'
        returning caller, route, key",
        &callers,
        &routes,
        &names,
        &fingerprints as &[&[u8]]
    )
    .fetch_all(db)
    .await?;
    Ok(claimed.into_iter().map(|row| (row.caller, row.route, row.key)).collect())
}

/// The answers that were given under these keys.
pub(crate) async fn kept(
    db: &mut PgConnection,
    keys: &[&IdempotencyKey],
) -> sqlx::Result<HashMap<Name, Kept>> {
    let (callers, routes, names) = columns(keys);
    let rows = sqlx::query!(
        r#"-- idempotency.kept
        select i.caller, i.route, i.key, i.fingerprint, i.status, i.headers as "headers: Headers", i.body
        from unnest($1::text[], $2::text[], $3::text[]) as k (caller, route, key)
        join idempotency_keys i using (caller, route, key)"#,
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
            ((row.caller, row.route, row.key), Kept { fingerprint: row.fingerprint, answer })
        })
        .collect())
}

type Headers = sqlx::types::Json<Vec<(String, String)>>;

/// Keeps answers under keys that were claimed before.
pub(crate) async fn keep(
    db: &mut PgConnection,
    answers: &[(&IdempotencyKey, &Answer)],
) -> sqlx::Result<()> {
    let keys: Vec<&IdempotencyKey> = answers.iter().map(|(key, _)| *key).collect();
    let (callers, routes, names) = columns(&keys);
    let statuses: Vec<i16> =
        answers.iter().map(|(_, answer)| i16::try_from(answer.status).unwrap_or(500)).collect();
    let headers: Vec<Headers> =
        answers.iter().map(|(_, answer)| sqlx::types::Json(answer.headers.clone())).collect();
    let bodies: Vec<&[u8]> = answers.iter().map(|(_, answer)| answer.body.as_slice()).collect();
    sqlx::query!(
        "-- idempotency.keep
        update idempotency_keys i
        set status = k.status, headers = k.headers, body = k.body
        from unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::jsonb[], $6::bytea[])
            as k (caller, route, key, status, headers, body)
        where i.caller = k.caller and i.route = k.route and i.key = k.key",
        &callers,
        &routes,
        &names,
        &statuses,
        &headers as &[Headers],
        &bodies as &[&[u8]]
    )
    .execute(db)
    .await
    .map(drop)
}

/// Gives claimed keys back: their answers are not kept, the next request is executed anew.
pub(crate) async fn forget(db: &mut PgConnection, keys: &[&IdempotencyKey]) -> sqlx::Result<()> {
    let (callers, routes, names) = columns(keys);
    sqlx::query!(
        "-- idempotency.forget
        delete from idempotency_keys i
        using unnest($1::text[], $2::text[], $3::text[]) as k (caller, route, key)
        where i.caller = k.caller and i.route = k.route and i.key = k.key",
        &callers,
        &routes,
        &names
    )
    .execute(db)
    .await
    .map(drop)
}

/// Removes keys older than a day, some at a time; how many went.
pub(crate) async fn expire(db: &mut PgConnection) -> sqlx::Result<u64> {
    sqlx::query!(
        "-- idempotency.expire
        delete from idempotency_keys
        where (caller, route, key) in (
            select caller, route, key
            from idempotency_keys
            where created_at < clock_timestamp() - interval '24 hours'
            order by created_at
            limit 1000
        )"
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected())
}

fn columns(keys: &[&IdempotencyKey]) -> (Vec<String>, Vec<String>, Vec<String>) {
    (
        keys.iter().map(|key| key.caller.clone()).collect(),
        keys.iter().map(|key| key.route.clone()).collect(),
        keys.iter().map(|key| key.key.clone()).collect(),
    )
}
