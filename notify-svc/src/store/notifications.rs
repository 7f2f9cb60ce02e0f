//! Notifications: one row for each thing that a customer is told.

use mailbox::wrote;
use proto::{NotificationId, OrderId};
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{CHANNEL, DeliveryStatus},
    templates::TemplateFields,
    world::{DeliveryReceipt, Notification},
};

/// A notification as it is stored.
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

/// Notifications by id, in the order of their ids, which is the order they were made in. A queued
/// one whose delivery was begun is shown as `sending`.
pub async fn find_all(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<NotificationRow>> {
    sqlx::query_as!(
        NotificationRow,
        r#"-- notifications.find_all
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

/// Some of an order's notifications: those after the one with the id `after`. Their ids stand in
/// the order's notice, so they need no index of their own.
pub async fn of_order(
    db: &mut PgConnection,
    order: OrderId,
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
    find_all(db, &ids).await
}

/// Adds notifications. Their ids are made in the order of decisions, so the rows come in the order
/// of their key.
pub async fn insert(db: &mut PgConnection, made: &[Notification]) -> sqlx::Result<()> {
    if made.is_empty() {
        return Ok(());
    }
    let status = |of: &Notification| match of.status {
        DeliveryStatus::Queued => ("queued", None),
        DeliveryStatus::Sent => ("sent", None),
        DeliveryStatus::Failed(failure) => ("failed", Some(failure.name().to_owned())),
    };
    let ids: Vec<Uuid> = made.iter().map(|it| it.id.uuid()).collect();
    let orders: Vec<Uuid> = made.iter().map(|it| it.order.uuid()).collect();
    let customers: Vec<String> = made.iter().map(|it| it.customer.to_string()).collect();
    let templates: Vec<String> = made.iter().map(|it| it.template.name().to_owned()).collect();
    let recipients: Vec<Option<String>> = made.iter().map(|it| it.to.clone()).collect();
    let fields: Vec<Json<&TemplateFields>> = made.iter().map(|it| Json(&it.fields)).collect();
    let statuses: Vec<String> = made.iter().map(|it| status(it).0.to_owned()).collect();
    let failures: Vec<Option<String>> = made.iter().map(|it| status(it).1).collect();
    let created: Vec<OffsetDateTime> = made.iter().map(|it| it.created_at).collect();
    let done = sqlx::query!(
        "-- notifications.insert
        insert into notifications
            (notification_id, order_id, customer_id, template, recipient, fields, status, failure,
             created_at, channel, attempts)
        select u.*, $10, 0
        from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::jsonb[],
            $7::text[], $8::text[], $9::timestamptz[]) as u",
        &ids,
        &orders,
        &customers,
        &templates,
        &recipients as &[Option<String>],
        &fields as &[Json<&TemplateFields>],
        &statuses,
        &failures as &[Option<String>],
        &created,
        CHANNEL
    )
    .execute(db)
    .await?;
    wrote(&done, made.len())
}

/// Marks notifications as sent.
pub async fn finish(db: &mut PgConnection, delivered: &[DeliveryReceipt]) -> sqlx::Result<()> {
    if delivered.is_empty() {
        return Ok(());
    }
    let mut sorted: Vec<&DeliveryReceipt> = delivered.iter().collect();
    sorted.sort_unstable_by_key(|it| it.id);
    let ids: Vec<Uuid> = sorted.iter().map(|it| it.id.uuid()).collect();
    let at: Vec<OffsetDateTime> = sorted.iter().map(|it| it.at).collect();
    let attempts: Vec<i32> = sorted.iter().map(|it| it.attempts).collect();
    let done = sqlx::query!(
        "-- notifications.finish
        update notifications n
        set status = 'sent',
            sent_at = u.at,
            attempts = u.attempts
        from unnest($1::uuid[], $2::timestamptz[], $3::int[]) as u (id, at, attempts)
        where n.notification_id = u.id",
        &ids,
        &at,
        &attempts
    )
    .execute(db)
    .await?;
    wrote(&done, ids.len())
}
