//! What requests look at, and how deliveries that were left over are taken on.

use proto::{NotificationId, OrderId};
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{LEASE_MS, invalid, parse_template};
use crate::{deliveries::Job, templates::Fields};

/// A notification as it is kept.
#[derive(Clone, Debug)]
pub struct NotificationRow {
    pub notification_id: Uuid,
    pub order_id: Uuid,
    pub customer_id: String,
    pub template: String,
    pub recipient: Option<String>,
    pub status: String,
    pub attempts: i32,
    pub provider_id: Option<String>,
    pub failure: Option<String>,
    pub created_at: OffsetDateTime,
    pub sent_at: Option<OffsetDateTime>,
}

/// Notifications by id, in the order of their ids: the order they were made in. One that was begun
/// and is not recorded as sent is being sent.
pub async fn notifications(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<NotificationRow>> {
    sqlx::query_as!(
        NotificationRow,
        r#"-- look.notifications
        select n.notification_id, n.order_id, n.customer_id, n.template, n.recipient,
            case when n.status = 'queued' and d.attempts > 0 then 'sending' else n.status end
                as "status!",
            coalesce(d.attempts, n.attempts) as "attempts!",
            n.provider_id, n.failure, n.created_at, n.sent_at
        from notifications n
        left join deliveries d on d.notification_id = n.notification_id
        where n.notification_id = any($1)
        order by n.notification_id"#,
        ids
    )
    .fetch_all(db)
    .await
}

/// Some of an order's notifications, those after the one with the id `after`. Its notice leads to
/// them, so that they need no index of their own.
pub async fn of_order(
    db: &mut PgConnection,
    order: OrderId,
    after: Option<NotificationId>,
    limit: i64,
) -> sqlx::Result<Vec<NotificationRow>> {
    let ids: Option<Vec<Uuid>> = sqlx::query_scalar!(
        r#"-- look.of_order
        select array(
            select (told.piece ->> 'id')::uuid
            from jsonb_array_elements(told) as told (piece)
        ) as "ids!"
        from notices
        where order_id = $1"#,
        order.uuid()
    )
    .fetch_optional(&mut *db)
    .await?;
    let mut ids = ids.unwrap_or_default();
    ids.retain(|id| after.is_none_or(|after| *id > after.uuid()));
    ids.sort_unstable();
    ids.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    notifications(db, &ids).await
}

/// Takes over deliveries whose lease is over: the process that had them is gone, or could not
/// deliver them.
pub async fn take_over(db: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Job>> {
    let leased = sqlx::query!(
        "-- look.take_over
        update deliveries d
        set leased_until = clock_timestamp() + $1::bigint * interval '1 millisecond'
        from (
            select notification_id
            from deliveries
            where leased_until <= clock_timestamp()
            order by leased_until
            limit $2
            for update skip locked
        ) as due
        where d.notification_id = due.notification_id
        returning d.notification_id, d.attempts",
        LEASE_MS,
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
        r#"-- look.jobs
        select n.notification_id, n.order_id, n.template, n.recipient,
            n.fields as "fields: Json<Fields>", u.attempts as "attempts!"
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
                order: OrderId::new(row.order_id),
                to: row.recipient.ok_or_else(|| invalid("a delivery without a recipient"))?,
                template: parse_template(&row.template)?,
                fields: row.fields.0,
                attempts: row.attempts,
                trace: None,
            })
        })
        .collect()
}

/// Counts an attempt at each of these deliveries and leases it anew; says which. One that somebody
/// has begun since is theirs, and one that is gone was delivered.
pub async fn begin(db: &mut PgConnection, jobs: &[Job]) -> sqlx::Result<Vec<Uuid>> {
    let ids: Vec<Uuid> = jobs.iter().map(|job| job.id.uuid()).collect();
    let attempts: Vec<i32> = jobs.iter().map(|job| job.attempts).collect();
    sqlx::query_scalar!(
        "-- look.begin
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
