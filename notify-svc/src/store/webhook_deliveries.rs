//! Deliveries of events to webhooks: each attempt is leased to one process.

use std::time::Duration;

use mailbox::{invalid, wrote};
use proto::WebhookId;
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::WebhookDeliveryStatus,
    world::webhooks::{WebhookAttempt, WebhookDelivery, WebhookWorld},
};

/// How long an attempt belongs to the process that begins it, in milliseconds: longer than the
/// attempt and its record take.
const LEASE_MS: i64 = 30_000;
/// Attempts that are shown of a delivery, the latest ones: no more are made within three days, but
/// it may be resent.
const ATTEMPTS_MAX: i32 = 100;
/// Rows that are removed at once.
pub const EXPIRED_AT_ONCE: u64 = 1_000;

/// A delivery whose next attempt has begun.
#[derive(Clone, Copy, Debug)]
pub struct BegunDelivery {
    pub id: i64,
    pub event_id: Uuid,
    /// Which attempt it is.
    pub tries: i32,
}

struct DeliveryRow {
    delivery_id: i64,
    event_id: Uuid,
    event_type: i16,
    status: String,
    due_at: OffsetDateTime,
    attempts: Json<Vec<WebhookAttempt>>,
}

impl TryFrom<DeliveryRow> for WebhookDelivery {
    type Error = sqlx::Error;

    fn try_from(row: DeliveryRow) -> sqlx::Result<Self> {
        let DeliveryRow { delivery_id, event_id, event_type, status, due_at, attempts } = row;
        let status = WebhookDeliveryStatus::parse(&status)
            .ok_or_else(|| invalid(format!("no status is {status}")))?;
        let (id, number, attempts) = (delivery_id, event_type, attempts.0);
        Ok(Self { id, event_id, number, status, attempts, due_at })
    }
}

/// Begins attempts that are due, the longest due first. The first attempt of a delivery waits for
/// the first attempts of earlier events of the same key.
pub async fn begin(
    db: &mut PgConnection,
    webhook: WebhookId,
    limit: i64,
) -> sqlx::Result<Vec<BegunDelivery>> {
    sqlx::query_as!(
        BegunDelivery,
        "-- webhook_deliveries.begin
        update webhook_deliveries d
        set due_at = clock_timestamp() + $3::bigint * interval '1 millisecond',
            tries = d.tries + 1
        from (
            select c.delivery_id
            from webhook_deliveries c
            where c.webhook_id = $1
              and c.status = 'pending'
              and c.due_at <= clock_timestamp()
              and not (c.is_first and exists (
                  select from webhook_deliveries e
                  where e.webhook_id = c.webhook_id
                    and e.key = c.key
                    and e.status = 'pending'
                    and e.is_first
                    and e.delivery_id < c.delivery_id
              ))
            order by c.due_at, c.delivery_id
            limit $2
            for update of c skip locked
        ) as due
        where d.delivery_id = due.delivery_id
        returning d.delivery_id as id, d.event_id, d.tries",
        webhook.uuid(),
        limit,
        LEASE_MS
    )
    .fetch_all(db)
    .await
}

/// Records that a delivery was taken. Without effect if another process has begun it since.
pub async fn delivered(
    db: &mut PgConnection,
    begun: BegunDelivery,
    attempt: &WebhookAttempt,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- webhook_deliveries.delivered
        update webhook_deliveries
        set status = 'delivered', is_first = false, ended_at = clock_timestamp(),
            attempts = case when jsonb_array_length(attempts) < $4 then attempts else attempts - 0 end
                || jsonb_build_array($3::jsonb)
        where delivery_id = $1
          and tries = $2
          and status = 'pending'",
        begun.id,
        begun.tries,
        Json(attempt) as Json<&WebhookAttempt>,
        ATTEMPTS_MAX
    )
    .execute(db)
    .await
    .map(drop)
}

/// Records that an attempt failed, and puts the next one off by `pause`; `None` for one that is
/// useless. Returns whether the delivery has failed for good: its time is over, which what waited
/// while its webhook was disabled gets anew. Without effect if another process has begun it since.
pub async fn failed(
    db: &mut PgConnection,
    begun: BegunDelivery,
    attempt: &WebhookAttempt,
    pause: Option<Duration>,
) -> sqlx::Result<bool> {
    let pause = pause.map(|pause| i64::try_from(pause.as_millis()).unwrap_or(i64::MAX));
    let status = sqlx::query_scalar!(
        r#"-- webhook_deliveries.failed
        update webhook_deliveries d
        set is_first = false,
            status = case when over.is_over then 'failed' else 'pending' end,
            ended_at = case when over.is_over then clock_timestamp() end,
            due_at = least(
                clock_timestamp() + coalesce($3::bigint, 0) * interval '1 millisecond',
                over.give_up_at
            ),
            attempts = case when jsonb_array_length(attempts) < $5 then attempts else attempts - 0 end
                || jsonb_build_array($4::jsonb)
        from (
            select give_up_at, $3::bigint is null or clock_timestamp() >= give_up_at as is_over
            from (
                select greatest(m.give_up_at, w.enabled_at + interval '3 days') as give_up_at
                from webhook_deliveries m
                join webhooks w using (webhook_id)
                where m.delivery_id = $1
            ) as mine
        ) as over
        where d.delivery_id = $1
          and d.tries = $2
          and d.status = 'pending'
        returning d.status"#,
        begun.id,
        begun.tries,
        pause,
        Json(attempt) as Json<&WebhookAttempt>,
        ATTEMPTS_MAX
    )
    .fetch_optional(db)
    .await?;
    Ok(status.as_deref() == Some("failed"))
}

/// Ends the deliveries of a webhook whose events are not kept any more, at most
/// [`EXPIRED_AT_ONCE`]; returns how many. `attempt` says why.
pub async fn fail_unkept(
    db: &mut PgConnection,
    webhook: WebhookId,
    attempt: &WebhookAttempt,
) -> sqlx::Result<u64> {
    sqlx::query!(
        "-- webhook_deliveries.fail_unkept
        update webhook_deliveries
        set status = 'failed', is_first = false, ended_at = clock_timestamp(),
            attempts = attempts || jsonb_build_array($2::jsonb)
        where delivery_id in (
            select d.delivery_id
            from webhook_deliveries d
            where d.webhook_id = $1
              and d.status = 'pending'
              and not exists (select from webhook_events e where e.event_id = d.event_id)
            limit $3
            for update of d skip locked
        )",
        webhook.uuid(),
        Json(attempt) as Json<&WebhookAttempt>,
        EXPIRED_AT_ONCE.cast_signed()
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected())
}

/// Ends deliveries of a webhook whose time is over, whether they were tried or not, at most
/// [`EXPIRED_AT_ONCE`]; none that is under way. Those of a disabled one wait a week longer, for as
/// long as their events are kept. Returns for each whether it was tried.
pub async fn fail_overdue(db: &mut PgConnection, webhook: WebhookId) -> sqlx::Result<Vec<bool>> {
    sqlx::query_scalar!(
        r#"-- webhook_deliveries.fail_overdue
        update webhook_deliveries d
        set status = 'failed', is_first = false, ended_at = clock_timestamp()
        from (
            select o.delivery_id, o.is_first
            from webhook_deliveries o
            join webhooks w using (webhook_id)
            where o.webhook_id = $1
              and o.status = 'pending'
              and o.due_at <= clock_timestamp()
              and o.give_up_at <= clock_timestamp()
                  - case w.status when 'enabled' then interval '0' else interval '7 days' end
              and w.enabled_at <= clock_timestamp() - interval '3 days'
            order by o.give_up_at
            limit $2
            for update of o skip locked
        ) as over
        where d.delivery_id = over.delivery_id
        returning not over.is_first as "was_tried!""#,
        webhook.uuid(),
        EXPIRED_AT_ONCE.cast_signed()
    )
    .fetch_all(db)
    .await
}

/// The deliveries of a webhook before one, the newest first, with one of these statuses.
pub async fn list(
    db: &mut PgConnection,
    webhook: WebhookId,
    statuses: &[WebhookDeliveryStatus],
    before: Option<i64>,
    limit: i64,
) -> sqlx::Result<Vec<WebhookDelivery>> {
    let statuses: Vec<_> = statuses.iter().map(|status| status.as_str().to_owned()).collect();
    let rows = sqlx::query_as!(
        DeliveryRow,
        r#"-- webhook_deliveries.list
        select d.delivery_id as "delivery_id!", d.event_id as "event_id!",
            d.event_type as "event_type!", d.status as "status!", d.due_at as "due_at!",
            d.attempts as "attempts!: Json<Vec<WebhookAttempt>>"
        from unnest($2::text[]) as wanted (status)
        cross join lateral (
            select delivery_id, event_id, event_type, status, due_at, attempts
            from webhook_deliveries
            where webhook_id = $1
              and status = wanted.status
              and delivery_id < $3
            order by delivery_id desc
            limit $4
        ) as d
        order by d.delivery_id desc
        limit $4"#,
        webhook.uuid(),
        &statuses,
        before.unwrap_or(i64::MAX),
        limit
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Locks one delivery of a webhook.
pub async fn lock(
    db: &mut PgConnection,
    webhook: WebhookId,
    id: i64,
) -> sqlx::Result<Option<WebhookDelivery>> {
    let row = sqlx::query_as!(
        DeliveryRow,
        r#"-- webhook_deliveries.lock
        select delivery_id, event_id, event_type, status, due_at,
            attempts as "attempts: Json<Vec<WebhookAttempt>>"
        from webhook_deliveries
        where delivery_id = $2
          and webhook_id = $1
        for update"#,
        webhook.uuid(),
        id
    )
    .fetch_optional(db)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// Makes deliveries due once more, for three days. They wait for no others of their key.
pub async fn resend(db: &mut PgConnection, world: &WebhookWorld) -> sqlx::Result<()> {
    if world.resent.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = world.resent.iter().copied().collect();
    let done = sqlx::query!(
        "-- webhook_deliveries.resend
        update webhook_deliveries
        set status = 'pending', is_first = false, ended_at = null, due_at = clock_timestamp(),
            give_up_at = clock_timestamp() + interval '3 days'
        where delivery_id = any($1)",
        &ids
    )
    .execute(db)
    .await?;
    wrote(&done, ids.len())
}

/// Removes deliveries of a webhook that ended a week ago, at most [`EXPIRED_AT_ONCE`]; returns how
/// many.
pub async fn expire(db: &mut PgConnection, webhook: WebhookId) -> sqlx::Result<u64> {
    sqlx::query!(
        "-- webhook_deliveries.expire
        delete from webhook_deliveries
        where delivery_id in (
            select delivery_id
            from webhook_deliveries
            where webhook_id = $1
              and ended_at < clock_timestamp() - interval '7 days'
            order by ended_at
            limit $2
        )",
        webhook.uuid(),
        EXPIRED_AT_ONCE.cast_signed()
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected())
}

/// Removes deliveries of a deleted webhook, at most [`EXPIRED_AT_ONCE`]; returns how many.
pub async fn forget(db: &mut PgConnection, webhook: WebhookId) -> sqlx::Result<u64> {
    sqlx::query!(
        "-- webhook_deliveries.forget
        delete from webhook_deliveries
        where delivery_id in (
            select delivery_id
            from webhook_deliveries
            where webhook_id = $1
            limit $2
        )",
        webhook.uuid(),
        EXPIRED_AT_ONCE.cast_signed()
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected())
}
