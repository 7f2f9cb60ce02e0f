//! Webhooks: what staff say of them, and what they are signed with.

use mailbox::{invalid, new_rows, wrote};
use proto::WebhookId;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    carriers::signed::SigningSecret,
    domain::{DisabledReason, EventFilter, WebhookSettings, WebhookStatus},
    world::webhooks::{Webhook, WebhookWorld},
};

struct WebhookRow {
    webhook_id: Uuid,
    url: String,
    description: Option<String>,
    events: Option<Vec<i16>>,
    status: String,
    disabled_reason: Option<String>,
    enabled_at: OffsetDateTime,
    secret: String,
    old_secret: Option<String>,
    old_secret_until: Option<OffsetDateTime>,
    created_at: OffsetDateTime,
}

impl TryFrom<WebhookRow> for (WebhookId, Webhook) {
    type Error = sqlx::Error;

    fn try_from(row: WebhookRow) -> sqlx::Result<Self> {
        let reason = |word: String| {
            DisabledReason::parse(&word).ok_or_else(|| invalid(format!("no reason is {word}")))
        };
        let status = WebhookStatus::parse(&row.status)
            .ok_or_else(|| invalid(format!("no status is {}", row.status)))?;
        let secret = |text| SigningSecret::parse(text).map_err(invalid);
        let webhook = Webhook {
            settings: WebhookSettings {
                url: row.url,
                events: EventFilter::numbered(row.events.as_deref()),
                description: row.description,
                status,
            },
            disabled_reason: row.disabled_reason.map(reason).transpose()?,
            enabled_at: row.enabled_at,
            secret: secret(row.secret)?,
            old_secret: row.old_secret.map(secret).transpose()?.zip(row.old_secret_until),
            created_at: row.created_at,
        };
        Ok((WebhookId::new(row.webhook_id), webhook))
    }
}

/// The webhooks with these ids, read without locks.
pub async fn find_all(
    db: &mut PgConnection,
    ids: &[Uuid],
) -> sqlx::Result<Vec<(WebhookId, Webhook)>> {
    let rows = sqlx::query_as!(
        WebhookRow,
        "-- webhooks.find_all
        select webhook_id, url, description, events, status, disabled_reason, enabled_at, secret,
            old_secret, old_secret_until, created_at
        from webhooks
        where webhook_id = any($1)
          and status <> 'deleted'",
        ids
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The webhooks after one, in the order in which they were made.
pub async fn list(
    db: &mut PgConnection,
    after: Option<WebhookId>,
    limit: i64,
) -> sqlx::Result<Vec<(WebhookId, Webhook)>> {
    let rows = sqlx::query_as!(
        WebhookRow,
        "-- webhooks.list
        select webhook_id, url, description, events, status, disabled_reason, enabled_at, secret,
            old_secret, old_secret_until, created_at
        from webhooks
        where ($1::uuid is null or webhook_id > $1)
          and status <> 'deleted'
        order by webhook_id
        limit $2",
        after.map(WebhookId::uuid),
        limit
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// How many webhooks there are. Nothing is locked: two batches at once may make one too many.
pub async fn count(db: &mut PgConnection) -> sqlx::Result<usize> {
    let count = sqlx::query_scalar!(
        r#"-- webhooks.count
        select count(*) as "webhooks!"
        from webhooks
        where status <> 'deleted'"#
    )
    .fetch_one(db)
    .await?;
    usize::try_from(count).map_err(invalid)
}

/// Locks the webhooks that exist, in the order of their ids.
pub async fn lock(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<(WebhookId, Webhook)>> {
    let rows = sqlx::query_as!(
        WebhookRow,
        "-- webhooks.lock
        select webhook_id, url, description, events, status, disabled_reason, enabled_at, secret,
            old_secret, old_secret_until, created_at
        from webhooks
        where webhook_id = any($1)
          and status <> 'deleted'
        order by webhook_id
        for update",
        ids
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Locks those webhooks that no other session holds, and returns those held.
pub async fn held(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<WebhookId>> {
    let held = sqlx::query_scalar!(
        "-- webhooks.held
        with free as (
            select webhook_id
            from webhooks
            where webhook_id = any($1)
            order by webhook_id
            for update skip locked
        )
        select webhook_id
        from webhooks
        where webhook_id = any($1)
          and webhook_id not in (select webhook_id from free)",
        ids
    )
    .fetch_all(db)
    .await?;
    Ok(held.into_iter().map(WebhookId::new).collect())
}

/// Writes the webhooks that a batch made, changed and deleted: a handful at most, so each is a
/// statement.
pub async fn save(db: &mut PgConnection, world: &WebhookWorld) -> sqlx::Result<()> {
    for (id, webhook) in new_rows(&world.rows) {
        insert(db, *id, webhook).await?;
    }
    for (id, row) in &world.rows {
        let Some(was) = row.was() else { continue };
        if (&was.secret, &was.old_secret) != (&row.now.secret, &row.now.old_secret) {
            rotate(db, *id, &row.now).await?;
        }
        if (&was.settings, was.enabled_at) != (&row.now.settings, row.now.enabled_at) {
            update(db, *id, &row.now).await?;
        }
    }
    if world.deleted.is_empty() {
        return Ok(());
    }
    let deleted: Vec<Uuid> = world.deleted.iter().map(|id| id.uuid()).collect();
    let done = sqlx::query!(
        "-- webhooks.delete
        update webhooks
        set status = 'deleted', url = '', description = null, secret = '', old_secret = null,
            old_secret_until = null, enabled_at = clock_timestamp()
        where webhook_id = any($1)",
        &deleted
    )
    .execute(db)
    .await?;
    wrote(&done, deleted.len())
}

async fn insert(db: &mut PgConnection, id: WebhookId, webhook: &Webhook) -> sqlx::Result<()> {
    let settings = &webhook.settings;
    let events = settings.events.numbers();
    let done = sqlx::query!(
        "-- webhooks.insert
        insert into webhooks (webhook_id, url, description, events, status, enabled_at, secret,
            created_at)
        values ($1, $2, $3, $4, $5, $6, $7, $8)",
        id.uuid(),
        settings.url,
        settings.description,
        events.as_deref(),
        settings.status.as_str(),
        webhook.enabled_at,
        webhook.secret.expose(),
        webhook.created_at
    )
    .execute(db)
    .await?;
    wrote(&done, 1)
}

/// Writes the secrets alone: a build that does not know all types of events must not take those of
/// a later one out of the filter.
async fn rotate(db: &mut PgConnection, id: WebhookId, webhook: &Webhook) -> sqlx::Result<()> {
    let (old_secret, until) =
        webhook.old_secret.as_ref().map(|(old, at)| (old.expose(), *at)).unzip();
    let done = sqlx::query!(
        "-- webhooks.rotate
        update webhooks
        set secret = $2, old_secret = $3, old_secret_until = $4
        where webhook_id = $1",
        id.uuid(),
        webhook.secret.expose(),
        old_secret,
        until
    )
    .execute(db)
    .await?;
    wrote(&done, 1)
}

async fn update(db: &mut PgConnection, id: WebhookId, webhook: &Webhook) -> sqlx::Result<()> {
    let settings = &webhook.settings;
    let events = settings.events.numbers();
    let done = sqlx::query!(
        "-- webhooks.update
        update webhooks
        set url = $2, description = $3, events = $4, status = $5, disabled_reason = $6,
            enabled_at = $7
        where webhook_id = $1",
        id.uuid(),
        settings.url,
        settings.description,
        events.as_deref(),
        settings.status.as_str(),
        webhook.disabled_reason.map(DisabledReason::as_str),
        webhook.enabled_at
    )
    .execute(db)
    .await?;
    wrote(&done, 1)
}

/// What the workers have to know of all webhooks: which have something to do, and which stand still.
#[derive(Debug, Default)]
pub struct WebhookSurvey {
    /// Those that are not deleted.
    pub known: Vec<WebhookId>,
    pub enabled: usize,
    /// Those with deliveries that are due, or with a replay.
    pub busy: Vec<WebhookId>,
    /// Those that were disabled by themselves, and why.
    pub disabled: Vec<(WebhookId, String)>,
    pub deleted: Vec<WebhookId>,
    /// Enabled ones for which something waits, and since when the oldest of it does.
    pub waiting: Vec<(WebhookId, OffsetDateTime)>,
}

/// Looks at all webhooks.
pub async fn survey(db: &mut PgConnection) -> sqlx::Result<WebhookSurvey> {
    let rows = sqlx::query!(
        r#"-- webhooks.survey
        select webhook_id, status, disabled_reason,
            status = 'enabled' and (
                exists (
                    select from webhook_deliveries d
                    where d.webhook_id = w.webhook_id
                      and d.status = 'pending'
                      and d.due_at <= clock_timestamp()
                )
                or exists (select from webhook_replays r where r.webhook_id = w.webhook_id)
            ) as "is_busy!",
            (
                select min(d.give_up_at) - interval '3 days'
                from webhook_deliveries d
                where d.webhook_id = w.webhook_id
                  and d.status = 'pending'
            ) as waits_since
        from webhooks w
        order by webhook_id"#
    )
    .fetch_all(db)
    .await?;
    let mut survey = WebhookSurvey::default();
    for row in rows {
        let id = WebhookId::new(row.webhook_id);
        match row.status.as_str() {
            "enabled" => {
                survey.enabled += 1;
                survey.waiting.extend(row.waits_since.map(|since| (id, since)));
            }
            "deleted" => survey.deleted.push(id),
            _ => survey.disabled.extend(row.disabled_reason.map(|why| (id, why))),
        }
        if row.status != "deleted" {
            survey.known.push(id);
        }
        if row.is_busy {
            survey.busy.push(id);
        }
    }
    Ok(survey)
}

/// Disables a webhook whose receiver is gone, if it is still as it has been since `enabled_at`: a
/// late answer from an old address says nothing of a new one. Returns whether this call has done
/// it.
pub async fn disable_gone(
    db: &mut PgConnection,
    id: WebhookId,
    enabled_at: OffsetDateTime,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "-- webhooks.disable_gone
        update webhooks
        set status = 'disabled', disabled_reason = $2
        where webhook_id = $1
          and status = 'enabled'
          and enabled_at = $3",
        id.uuid(),
        DisabledReason::Gone.as_str(),
        enabled_at
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Disables a webhook that stood as it is for three days in which nothing was delivered to it,
/// although something was tried for as long: one that `is_over` by now, or the oldest that waits,
/// which may be far behind in a long queue. Returns whether this call has done it.
pub async fn disable_failing(
    db: &mut PgConnection,
    id: WebhookId,
    is_over: bool,
) -> sqlx::Result<bool> {
    let done = sqlx::query!(
        "-- webhooks.disable_failing
        update webhooks w
        set status = 'disabled', disabled_reason = $3
        where w.webhook_id = $1
          and w.status = 'enabled'
          and w.enabled_at <= clock_timestamp() - interval '3 days'
          and not exists (
              select from webhook_deliveries d
              where d.webhook_id = w.webhook_id
                and d.ended_at >= clock_timestamp() - interval '3 days'
                and d.status = 'delivered'
          )
          and ($2 or (
              select not d.is_first and d.give_up_at <= clock_timestamp()
              from webhook_deliveries d
              where d.webhook_id = w.webhook_id
                and d.status = 'pending'
              order by d.delivery_id
              limit 1
          ))",
        id.uuid(),
        is_over,
        DisabledReason::Failures.as_str()
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Removes a deleted webhook that has no deliveries left. Not within a minute: a batch that began
/// before the deletion may still add some.
pub async fn forget(db: &mut PgConnection, id: WebhookId) -> sqlx::Result<()> {
    sqlx::query!(
        "-- webhooks.forget
        delete from webhooks
        where webhook_id = $1
          and status = 'deleted'
          and enabled_at <= clock_timestamp() - interval '1 minute'
          and not exists (select from webhook_deliveries d where d.webhook_id = $1)",
        id.uuid()
    )
    .execute(db)
    .await
    .map(drop)
}
