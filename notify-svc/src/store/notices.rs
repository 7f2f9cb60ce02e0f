//! Notices: what the customer of each order has been told.

use mailbox::wrote;
use proto::{NotificationId, OrderId};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{invalid, parse_template};
use crate::{
    domain::{DeliveryStatus, Failure, News, Notice, NotificationState},
    world::Root,
};

/// One thing that a customer was told, as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Piece {
    template: String,
    about: i64,
    id: NotificationId,
    status: String,
}

impl Piece {
    fn new(NotificationState { news, id, status }: NotificationState) -> Self {
        let status = match status {
            DeliveryStatus::Queued => "queued",
            DeliveryStatus::Sent => "sent",
            DeliveryStatus::Failed(failure) => failure.name(),
        };
        let template = news.template.name().to_owned();
        Self { template, about: news.about, id, status: status.to_owned() }
    }

    fn told(self) -> sqlx::Result<NotificationState> {
        let template = parse_template(&self.template)?;
        let status = match self.status.as_str() {
            "queued" => DeliveryStatus::Queued,
            "sent" => DeliveryStatus::Sent,
            "no_address" => DeliveryStatus::Failed(Failure::NoAddress),
            other => return Err(invalid(format!("no notification is {other}"))),
        };
        Ok(NotificationState { news: News { template, about: self.about }, id: self.id, status })
    }
}

/// Notices as columns.
#[derive(Default)]
struct Columns {
    ids: Vec<Uuid>,
    versions: Vec<i64>,
    heard_orders: Vec<i64>,
    heard_payments: Vec<i64>,
    told: Vec<Json<Vec<Piece>>>,
}

impl Columns {
    fn new(roots: &[(&OrderId, &Root)]) -> Self {
        let mut rows = Self::default();
        for (id, root) in roots {
            rows.ids.push(id.uuid());
            rows.versions.push(root.version);
            rows.heard_orders.push(root.heard_orders);
            rows.heard_payments.push(root.heard_payments);
            rows.told.push(Json(root.notice.told.iter().copied().map(Piece::new).collect()));
        }
        rows
    }
}

/// Locks the notices that exist, in the order of their ids.
pub async fn lock(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<(OrderId, Root)>> {
    let rows = sqlx::query!(
        r#"-- notices.lock
        select order_id, version, heard_orders, heard_payments, told as "told: Json<Vec<Piece>>"
        from notices
        where order_id = any($1)
        order by order_id
        for update"#,
        ids
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let told = row.told.0.into_iter().map(Piece::told).collect::<sqlx::Result<_>>()?;
            let root = Root {
                version: row.version,
                heard_orders: row.heard_orders,
                heard_payments: row.heard_payments,
                notice: Notice { told },
            };
            Ok((OrderId::new(row.order_id), root))
        })
        .collect()
}

/// Locks those notices that no other session holds, and returns the orders of those held.
pub async fn held(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<OrderId>> {
    let held = sqlx::query_scalar!(
        "-- notices.held
        with free as (
            select order_id
            from notices
            where order_id = any($1)
            order by order_id
            for update skip locked
        )
        select order_id
        from notices
        where order_id = any($1)
          and order_id not in (select order_id from free)",
        ids
    )
    .fetch_all(db)
    .await?;
    Ok(held.into_iter().map(OrderId::new).collect())
}

/// Adds notices, sorted by order.
pub async fn insert(db: &mut PgConnection, roots: &[(&OrderId, &Root)]) -> sqlx::Result<()> {
    if roots.is_empty() {
        return Ok(());
    }
    let rows = Columns::new(roots);
    let done = sqlx::query!(
        "-- notices.insert
        insert into notices (order_id, version, heard_orders, heard_payments, told)
        select *
        from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::jsonb[])",
        &rows.ids,
        &rows.versions,
        &rows.heard_orders,
        &rows.heard_payments,
        &rows.told as &[Json<Vec<Piece>>]
    )
    .execute(db)
    .await?;
    wrote(&done, roots.len())
}

/// Writes notices, sorted by order.
pub async fn update(db: &mut PgConnection, roots: &[(&OrderId, &Root)]) -> sqlx::Result<()> {
    if roots.is_empty() {
        return Ok(());
    }
    let rows = Columns::new(roots);
    let done = sqlx::query!(
        "-- notices.update
        update notices n
        set version = u.version,
            heard_orders = u.heard_orders,
            heard_payments = u.heard_payments,
            told = u.told
        from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::jsonb[])
            as u (order_id, version, heard_orders, heard_payments, told)
        where n.order_id = u.order_id",
        &rows.ids,
        &rows.versions,
        &rows.heard_orders,
        &rows.heard_payments,
        &rows.told as &[Json<Vec<Piece>>]
    )
    .execute(db)
    .await?;
    wrote(&done, roots.len())
}
