//! Notifications: one row for each thing that a customer is told.

use std::collections::BTreeMap;

use mailbox::wrote;
use proto::{NotificationId, OrderId};
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{parse_channel, parse_template};
use crate::{
    domain::{DeliveryStatus, Notice, NotificationState, Template},
    templates::TemplateFields,
    world::{DeliveryReceipt, Notification},
};

/// A notification as it is stored.
#[derive(Clone, Debug)]
pub struct NotificationRow {
    pub notification_id: Uuid,
    pub order_id: Option<Uuid>,
    pub customer_id: Option<String>,
    pub channel: String,
    pub template: Option<String>,
    pub recipient: Option<String>,
    pub status: String,
    pub attempts: i32,
    pub provider_id: Option<String>,
    pub failure: Option<String>,
    pub detail: Option<String>,
    pub created_at: OffsetDateTime,
    pub sent_at: Option<OffsetDateTime>,
}

/// Notifications by id, in the order of their ids, which is the order they were made in. A queued
/// one whose delivery was begun is shown as `sending`. Only those of `owner`, if one is given.
pub async fn find_all(
    db: &mut PgConnection,
    ids: &[Uuid],
    owner: Option<&str>,
) -> sqlx::Result<Vec<NotificationRow>> {
    sqlx::query_as!(
        NotificationRow,
        r#"-- notifications.find_all
        select n.notification_id, n.order_id, n.customer_id, n.channel, n.template, n.recipient,
            case when n.status = 'queued' and d.attempts > 0 then 'sending' else n.status end
                as "status!",
            coalesce(d.attempts, n.attempts) as "attempts!",
            n.provider_id, n.failure, coalesce(d.detail, n.detail) as detail,
            n.created_at, n.sent_at
        from notifications n
        left join deliveries d on d.notification_id = n.notification_id
        where n.notification_id = any($1)
          and ($2::text is null or n.customer_id = $2)
        order by n.notification_id"#,
        ids,
        owner
    )
    .fetch_all(db)
    .await
}

/// Locks notifications about no order that have not ended, each as a notice of its own.
pub async fn lock_single(
    db: &mut PgConnection,
    ids: &[NotificationId],
) -> sqlx::Result<BTreeMap<NotificationId, Notice>> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.uuid()).collect();
    let rows = sqlx::query!(
        "-- notifications.lock_single
        select notification_id, channel, template
        from notifications
        where notification_id = any($1)
          and order_id is null
          and status = 'queued'
        order by notification_id
        for update",
        &ids
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let id = NotificationId::new(row.notification_id);
            let state = NotificationState {
                id,
                channel: parse_channel(&row.channel)?,
                template: row.template.as_deref().map(parse_template).transpose()?,
                about: None,
                revision: 0,
                status: DeliveryStatus::Queued,
            };
            Ok((id, Notice { told: vec![state] }))
        })
        .collect()
}

/// Some of an order's notifications, of `owner` alone if one is given: those after the one with the
/// id `after`. Their ids stand in
/// the order's notice, so they need no index of their own.
pub async fn of_order(
    db: &mut PgConnection,
    (order, owner): (OrderId, Option<&str>),
    after: Option<NotificationId>,
    limit: i64,
) -> sqlx::Result<Vec<NotificationRow>> {
    let ids: Option<Vec<Uuid>> = sqlx::query_scalar!(
        r#"-- notices.notifications
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
    find_all(db, &ids, owner).await
}

/// Adds notifications. Their ids are made in the order of decisions, so the rows come in the order
/// of their key.
pub async fn insert(db: &mut PgConnection, made: &[Notification]) -> sqlx::Result<()> {
    if made.is_empty() {
        return Ok(());
    }
    let about = |it: &Notification| it.about.clone().unzip();
    let ids: Vec<Uuid> = made.iter().map(|it| it.id.uuid()).collect();
    let orders: Vec<Option<Uuid>> = made.iter().map(|it| about(it).0.map(OrderId::uuid)).collect();
    let customers: Vec<Option<String>> =
        made.iter().map(|it| about(it).1.map(|customer| customer.to_string())).collect();
    let channels: Vec<String> = made.iter().map(|it| it.channel.as_str().to_owned()).collect();
    let templates: Vec<Option<String>> =
        made.iter().map(|it| it.template.map(|it| Template::as_str(it).to_owned())).collect();
    let languages: Vec<String> = made.iter().map(|it| it.language.as_str().to_owned()).collect();
    let recipients: Vec<Option<String>> = made.iter().map(|it| it.to.clone()).collect();
    let fields: Vec<Json<&TemplateFields>> = made.iter().map(|it| Json(&it.fields)).collect();
    let (statuses, failures): (Vec<_>, Vec<_>) = made.iter().map(|it| columns(it.status)).unzip();
    let created: Vec<OffsetDateTime> = made.iter().map(|it| it.created_at).collect();
    let requested: Vec<bool> = made.iter().map(|it| it.requested).collect();
    let done = sqlx::query!(
        "-- notifications.insert
        insert into notifications
            (notification_id, order_id, customer_id, channel, template, language, recipient,
             fields, status, failure, created_at, requested, attempts)
        select u.*, 0
        from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[],
            $7::text[], $8::jsonb[], $9::text[], $10::text[], $11::timestamptz[], $12::bool[])
            as u",
        &ids,
        &orders as &[Option<Uuid>],
        &customers as &[Option<String>],
        &channels,
        &templates as &[Option<String>],
        &languages,
        &recipients as &[Option<String>],
        &fields as &[Json<&TemplateFields>],
        &statuses as &[&str],
        &failures as &[Option<&str>],
        &created,
        &requested
    )
    .execute(db)
    .await?;
    wrote(&done, made.len())
}

/// A status as the columns `status` and `failure`.
fn columns(status: DeliveryStatus) -> (&'static str, Option<&'static str>) {
    match status {
        DeliveryStatus::Queued => ("queued", None),
        DeliveryStatus::Sent => ("sent", None),
        DeliveryStatus::Failed(failure) => ("failed", Some(failure.as_str())),
    }
}

/// Writes how notifications ended.
pub async fn finish(db: &mut PgConnection, ended: &[DeliveryReceipt]) -> sqlx::Result<()> {
    if ended.is_empty() {
        return Ok(());
    }
    let mut sorted: Vec<&DeliveryReceipt> = ended.iter().collect();
    sorted.sort_unstable_by_key(|it| it.id);
    let ids: Vec<Uuid> = sorted.iter().map(|it| it.id.uuid()).collect();
    let (statuses, failures): (Vec<_>, Vec<_>) = sorted.iter().map(|it| columns(it.status)).unzip();
    let sent: Vec<Option<OffsetDateTime>> =
        sorted.iter().map(|it| (it.status == DeliveryStatus::Sent).then_some(it.at)).collect();
    let attempts: Vec<i32> = sorted.iter().map(|it| it.attempts).collect();
    let provider_ids: Vec<Option<String>> =
        sorted.iter().map(|it| it.provider_id.clone()).collect();
    let details: Vec<Option<String>> = sorted.iter().map(|it| it.detail.clone()).collect();
    let done = sqlx::query!(
        "-- notifications.finish
        update notifications n
        set status = u.status,
            failure = u.failure,
            sent_at = u.at,
            attempts = u.attempts,
            provider_id = u.provider_id,
            detail = case when not n.erased then u.detail end
        from unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::int[], $6::text[],
            $7::text[]) as u (id, status, failure, at, attempts, provider_id, detail)
        where n.notification_id = u.id",
        &ids,
        &statuses as &[&str],
        &failures as &[Option<&str>],
        &sent as &[Option<OffsetDateTime>],
        &attempts,
        &provider_ids as &[Option<String>],
        &details as &[Option<String>]
    )
    .execute(db)
    .await?;
    wrote(&done, ids.len())
}
