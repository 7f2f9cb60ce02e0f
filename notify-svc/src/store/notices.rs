//! Notices: what the customer of each order has been told.

use mailbox::{invalid, wrote};
use proto::{CustomerId, NotificationId, OrderId};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use super::{parse_channel, parse_template};
use crate::{
    domain::{DeliveryStatus, Failure, Notice, NotificationState, Template},
    world::Root,
};

/// One notification, as its order's notice stores it.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Piece {
    id: NotificationId,
    channel: String,
    template: Option<String>,
    about: Option<i64>,
    revision: u32,
    status: String,
}

impl Piece {
    fn new(state: NotificationState) -> Self {
        let NotificationState { id, channel, template, about, revision, status } = state;
        let status = match status {
            DeliveryStatus::Queued => "queued",
            DeliveryStatus::Sent => "sent",
            DeliveryStatus::Failed(failure) => failure.as_str(),
        };
        let template = template.map(|template| Template::as_str(template).to_owned());
        let (channel, status) = (channel.as_str().to_owned(), status.to_owned());
        Self { id, channel, template, about, revision, status }
    }

    fn told(self) -> sqlx::Result<NotificationState> {
        let Self { id, channel, template, about, revision, status } = self;
        let status = match status.as_str() {
            "queued" => DeliveryStatus::Queued,
            "sent" => DeliveryStatus::Sent,
            name => Failure::parse(name)
                .map(DeliveryStatus::Failed)
                .ok_or_else(|| invalid(format!("no notification is {name}")))?,
        };
        let channel = parse_channel(&channel)?;
        let template = template.as_deref().map(parse_template).transpose()?;
        Ok(NotificationState { id, channel, template, about, revision, status })
    }
}

/// Notices as columns.
#[derive(Default)]
struct Columns {
    ids: Vec<Uuid>,
    customers: Vec<Option<String>>,
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
            rows.customers.push(root.customer.as_ref().map(ToString::to_string));
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
        select order_id, customer_id, version, heard_orders, heard_payments, told as "told: Json<Vec<Piece>>"
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
                customer: Some(CustomerId::parse(&row.customer_id).map_err(invalid)?),
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
        insert into notices (order_id, customer_id, version, heard_orders, heard_payments, told)
        select *
        from unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::jsonb[])",
        &rows.ids,
        &rows.customers as &[Option<String>],
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
