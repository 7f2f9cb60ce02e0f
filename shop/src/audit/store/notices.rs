//! What notify-svc's tables say.

use futures::TryStreamExt as _;
use serde::Deserialize;
use sqlx::{PgConnection, types::Json};

use super::{Which, forget, seconds, version};
use crate::audit::{
    check::CountResult,
    content,
    facts::{Notices, Orders, REFUND, TEMPLATES},
    inbox, tag,
};

/// Reads what the customers of orders were told.
pub(in crate::audit) async fn notices(
    db: &mut PgConnection,
    which: Which<'_>,
    orders: &mut Orders,
) -> anyhow::Result<()> {
    forget(orders, which, |facts| facts.notices = None);
    let mut rows = sqlx::query!(
        r#"-- audit.notices
        with waiting as (
            select n.order_id, min(d.leased_until) as until
            from deliveries d
            join notifications n on n.notification_id = d.notification_id
            group by n.order_id
        )
        select
            n.order_id as "order_id!",
            n.told as "told!: Json<Vec<NewsRow>>",
            w.until as "until?",
            n.version as "version!",
            n.heard_orders as "heard_orders!",
            n.heard_payments as "heard_payments!"
        from notices n
        left join waiting w on w.order_id = n.order_id
        where $1::uuid[] is null or n.order_id = any ($1)"#,
        which as _
    )
    .fetch(db);
    while let Some(row) = rows.try_next().await? {
        let mut notices = Notices {
            version: version(row.version),
            heard_orders: version(row.heard_orders),
            heard_payments: version(row.heard_payments),
            ..told(&row.told)
        };
        let is_queued = row.told.iter().any(|news| news.status == "queued");
        notices.delivery_until = if is_queued { seconds(row.until).max(1) } else { 0 };
        orders.of(row.order_id.as_u128()).notices = Some(notices);
    }
    Ok(())
}

/// One thing that a customer was told, as notify-svc stores it.
#[derive(Debug, Deserialize)]
struct NewsRow {
    id: String,
    channel: String,
    /// `None` for a text that staff wrote.
    template: Option<String>,
    /// `None` if staff asked for it, who may do so again.
    about: Option<i64>,
    revision: u32,
    /// `queued`, `sent`, or the failure.
    status: String,
}

fn told(news: &[NewsRow]) -> Notices {
    let mut notices = Notices::default();
    let mut before: Vec<(usize, i64)> = Vec::with_capacity(news.len());
    for NewsRow { id, channel, template, about, revision, status } in news {
        let template = template.as_deref().unwrap_or_default();
        let kind = TEMPLATES.iter().position(|known| *known == template);
        if let (Some(kind), Some(about)) = (kind, about) {
            notices.told[kind] = notices.told[kind].saturating_add(1);
            // Refunds come from another topic, so their order among the others is not fixed.
            let is_late = |(other, _): &(usize, i64)| *other > kind && *other != REFUND;
            notices.is_confused |= before.contains(&(kind, *about));
            notices.is_confused |= kind != REFUND && before.iter().any(is_late);
            before.push((kind, *about));
        }
        let (count, member, failure) = match status.as_str() {
            "queued" => continue,
            "sent" => (&mut notices.sent, tag::SENT, ""),
            failure => (&mut notices.failed, tag::FAILED, failure),
        };
        *count = count.saturating_add(1);
        let said = content::notified(id, (channel, template), *revision, failure);
        notices.foretold[member] = notices.foretold[member].wrapping_add(said);
    }
    notices
}

/// Compares what notices say was told with the notifications themselves.
pub(in crate::audit) async fn notifications(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    counted!(
        db,
        "-- audit.notifications
        with told as (
            select order_id, t.id as notification_id, t.template, t.channel, t.status
            from notices
            cross join jsonb_to_recordset(told) as t (id uuid, template text, channel text, status text)
        ),
        compared as (
            select
                notification_id::text as id,
                n.order_id = t.order_id
                and n.template is not distinct from t.template
                and n.channel = t.channel
                and case n.status when 'failed' then n.failure else n.status end = t.status as fits
            from told t
            full join (select * from notifications where order_id is not null) n using (notification_id)
        )"
    )
}

/// The notifications that were sent: the random half of each id.
pub(in crate::audit) async fn sent(db: &mut PgConnection) -> sqlx::Result<Vec<u64>> {
    sqlx::query_scalar!(
        r#"-- audit.sent
        select notification_id
        from notifications
        where status = 'sent'"#
    )
    .fetch(db)
    .map_ok(|id| inbox::half(id.as_u128()))
    .try_collect()
    .await
}

/// Compares deliveries with the notifications that wait for them.
pub(in crate::audit) async fn deliveries(db: &mut PgConnection) -> sqlx::Result<CountResult> {
    counted!(
        db,
        "-- audit.deliveries
        with compared as (
            select
                notification_id::text as id,
                d.notification_id is not null and n.status = 'queued' as fits
            from notifications n
            full join deliveries d using (notification_id)
            where d.notification_id is not null or n.status = 'queued'
        )"
    )
}
