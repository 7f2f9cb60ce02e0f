//! Deliveries: notifications to be delivered, each leased to one process.

use std::time::Duration;

use mailbox::wrote;
use proto::{NotificationId, OrderId};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{parse_channel, parse_template};
use crate::{
    domain::{Channel, DeliveryStatus, Language},
    templates::TemplateFields,
    world::{DeliveryReceipt, Job, Notification},
};

/// How long a delivery belongs to the process that queued or began it, in milliseconds: longer than
/// an attempt and its record take. A notification of a process that dies is late by this much.
const LEASE_MS: i64 = 30_000;

/// Takes over deliveries on a channel whose lease is over: their next attempt is due, or the
/// process that had them is gone.
pub async fn take_over(
    db: &mut PgConnection,
    channel: Channel,
    limit: i64,
) -> sqlx::Result<Vec<Job>> {
    let leased = sqlx::query!(
        "-- deliveries.take_over
        update deliveries d
        set leased_until = clock_timestamp() + $1::bigint * interval '1 millisecond'
        from (
            select notification_id
            from deliveries
            where leased_until <= clock_timestamp()
              and channel = $2
            order by leased_until
            limit $3
            for update skip locked
        ) as due
        where d.notification_id = due.notification_id
        returning d.notification_id, d.attempts",
        LEASE_MS,
        channel.as_str(),
        limit
    )
    .fetch_all(&mut *db)
    .await?;
    if leased.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = leased.iter().map(|row| row.notification_id).collect();
    let attempts: Vec<i32> = leased.iter().map(|row| row.attempts).collect();
    let rows = sqlx::query!(
        r#"-- deliveries.jobs
        select n.notification_id, n.order_id, n.channel, n.template, n.language, n.recipient,
            n.fields as "fields: Json<TemplateFields>", n.created_at, u.attempts as "attempts!"
        from unnest($1::uuid[], $2::int[]) as u (id, attempts)
        join notifications n on n.notification_id = u.id
        order by n.notification_id"#,
        &ids,
        &attempts
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            Ok(Job {
                id: NotificationId::new(row.notification_id),
                order: row.order_id.map(OrderId::new),
                channel: parse_channel(&row.channel)?,
                template: row.template.as_deref().map(parse_template).transpose()?,
                language: Language::fitting(&row.language),
                to: row.recipient,
                fields: row.fields.0,
                created_at: row.created_at,
                attempts: row.attempts,
                trace: None,
            })
        })
        .collect()
}

/// Counts an attempt at each of these deliveries and leases it anew; returns those that it did so
/// for. A delivery with another count was begun by another process, and one without a row was
/// delivered.
pub async fn begin(db: &mut PgConnection, jobs: &[Job]) -> sqlx::Result<Vec<Uuid>> {
    let ids: Vec<Uuid> = jobs.iter().map(|job| job.id.uuid()).collect();
    let attempts: Vec<i32> = jobs.iter().map(|job| job.attempts).collect();
    sqlx::query_scalar!(
        "-- deliveries.begin
        update deliveries d
        set leased_until = clock_timestamp() + $3::bigint * interval '1 millisecond',
            attempts = d.attempts + 1
        from (
            select notification_id
            from deliveries
            join unnest($1::uuid[], $2::int[]) as u (id, attempts)
                on notification_id = u.id and deliveries.attempts = u.attempts
            order by notification_id
            for update of deliveries
        ) as mine
        where d.notification_id = mine.notification_id
        returning d.notification_id",
        &ids,
        &attempts,
        LEASE_MS
    )
    .fetch_all(db)
    .await
}

/// Puts an attempt off that did not succeed: the lease lasts until the next one. Without effect if
/// somebody else has begun the delivery since.
pub async fn postpone(
    db: &mut PgConnection,
    job: &Job,
    pause: Duration,
    detail: &str,
) -> sqlx::Result<()> {
    let pause = i64::try_from(pause.as_millis()).unwrap_or(i64::MAX);
    sqlx::query!(
        "-- deliveries.postpone
        update deliveries
        set leased_until = clock_timestamp() + $3::bigint * interval '1 millisecond',
            detail = $4
        where notification_id = $1
          and attempts = $2",
        job.id.uuid(),
        job.attempts,
        pause,
        detail
    )
    .execute(db)
    .await
    .map(drop)
}

/// Adds deliveries for the queued notifications, leased from the start: the process that commits
/// them delivers them itself.
pub async fn insert(db: &mut PgConnection, made: &[Notification]) -> sqlx::Result<()> {
    let queued = made.iter().filter(|it| it.status == DeliveryStatus::Queued);
    let (ids, channels): (Vec<Uuid>, Vec<String>) =
        queued.map(|it| (it.id.uuid(), it.channel.as_str().to_owned())).unzip();
    if ids.is_empty() {
        return Ok(());
    }
    // Leases are set and compared by the database's clock alone: machines may differ.
    let done = sqlx::query!(
        "-- deliveries.insert
        insert into deliveries (notification_id, channel, leased_until, attempts)
        select id, channel, clock_timestamp() + $3::bigint * interval '1 millisecond', 0
        from unnest($1::uuid[], $2::text[]) as u (id, channel)",
        &ids,
        &channels,
        LEASE_MS
    )
    .execute(db)
    .await?;
    wrote(&done, ids.len())
}

/// Removes deliveries that have ended: only what is still to be delivered has a row.
pub async fn finish(db: &mut PgConnection, ended: &[DeliveryReceipt]) -> sqlx::Result<()> {
    if ended.is_empty() {
        return Ok(());
    }
    let mut ids: Vec<Uuid> = ended.iter().map(|it| it.id.uuid()).collect();
    ids.sort_unstable();
    let done = sqlx::query!(
        "-- deliveries.finish
        delete from deliveries
        where notification_id = any($1)",
        &ids
    )
    .execute(db)
    .await?;
    wrote(&done, ids.len())
}
