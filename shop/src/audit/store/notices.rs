//! What notify-svc's tables say.

use futures::TryStreamExt as _;
use sqlx::PgConnection;

use super::{Each, Which, counted, forget, version};
use crate::audit::check::Counted;
use crate::audit::facts::{Notices, Orders};

/// Reads what the customers of orders were told; `each` is given every order's count of events.
pub(in crate::audit) async fn notices(
    db: &mut PgConnection,
    which: Which<'_>,
    orders: &mut Orders,
    each: &mut Each<'_>,
) -> anyhow::Result<()> {
    forget(orders, which, |facts| facts.notices = None);
    let mut rows = sqlx::query!(
        r#"-- audit.notices
        select
            order_id,
            told @> '[{"template": "order_confirmation"}]' as "told_confirmed!",
            told @> '[{"template": "order_cancelled"}]' as "told_cancelled!",
            told @> '[{"standing": "queued"}]' as "is_delivering!",
            version,
            heard_orders,
            heard_payments
        from notices
        where $1::uuid[] is null or order_id = any ($1)"#,
        which as _
    )
    .fetch(db);
    while let Some(row) = rows.try_next().await? {
        let order = row.order_id.as_u128();
        each(order, row.version);
        orders.of(order).notices = Some(Notices {
            told_confirmed: row.told_confirmed,
            told_cancelled: row.told_cancelled,
            is_delivering: row.is_delivering,
            version: version(row.version),
            heard_orders: version(row.heard_orders),
            heard_payments: version(row.heard_payments),
        });
    }
    Ok(())
}

/// Deliveries against the notifications that wait for them.
pub(in crate::audit) async fn deliveries(db: &mut PgConnection) -> sqlx::Result<Counted> {
    let row = sqlx::query!(
        r#"-- audit.deliveries
        with compared as (
            select
                notification_id,
                d.notification_id is not null and n.status = 'queued' as fits
            from notifications n
            full join deliveries d using (notification_id)
            where d.notification_id is not null or n.status = 'queued'
        )
        select
            count(*) as "checked!",
            count(*) filter (where fits is not true) as "wrong!",
            min(notification_id::text) filter (where fits is not true) as first
        from compared"#
    )
    .fetch_one(db)
    .await?;
    Ok(counted(row.checked, row.wrong, row.first))
}
