//! What requests look at, and how deliveries that were left over are taken on.

use proto::{NotificationId, OrderId};
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{invalid, parse_template, save::LEASE};
use crate::{deliveries::Job, templates::Fields};

/// A notification as it is kept.
#[derive(Clone, Debug)]
pub struct Kept {
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

/// Notifications by id, in the order of their ids: the order they were made in.
pub async fn notifications(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Kept>> {
    sqlx::query_as!(
        Kept,
        "-- look.notifications
        select notification_id, order_id, customer_id, template, recipient, status, attempts,
            provider_id, failure, created_at, sent_at
        from notifications
        where notification_id = any($1)
        order by notification_id",
        ids
    )
    .fetch_all(db)
    .await
}

/// The notifications of an order. Its notice leads to them, so that they need no index of their
/// own.
pub async fn of_order(db: &mut PgConnection, order: OrderId) -> sqlx::Result<Vec<Kept>> {
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
    match ids {
        Some(ids) => notifications(db, &ids).await,
        None => Ok(Vec::new()),
    }
}

/// Takes on deliveries whose lease is over: the process that had them is gone, or could not deliver
/// them.
pub async fn take_on(
    db: &mut PgConnection,
    now: OffsetDateTime,
    limit: i64,
) -> sqlx::Result<Vec<Job>> {
    let leased = sqlx::query!(
        "-- look.take_on
        update deliveries d
        set leased_until = $2,
            attempts = d.attempts + 1
        from (
            select notification_id
            from deliveries
            where leased_until <= $1
            order by leased_until
            limit $3
            for update skip locked
        ) as due
        where d.notification_id = due.notification_id
        returning d.notification_id, d.attempts",
        now,
        now.saturating_add(LEASE),
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
