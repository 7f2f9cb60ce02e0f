//! Every SQL statement of this service: here what a batch locks and reads, in `save` what it
//! writes, in `look` what requests and deliveries look at.
//!
//! Order of locks: notices by order id, contacts by customer, deliveries.

pub mod look;
pub mod save;

use proto::{CustomerId, NotificationId, OrderId};
use serde::{Deserialize, Serialize};
use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use crate::{
    domain::{Failure, News, Notice, DeliveryStatus, Template, NotificationState},
    world::{Contact, Root},
};

/// How long a delivery belongs to the process that queued or began it, in milliseconds, of which it
/// needs some. A mail in the hands of a process that dies is late by so much.
pub const LEASE_MS: i64 = 15_000;

/// The schema's history.
pub static MIGRATOR: sqlx::migrate::Migrator = sqlx::migrate!();

/// A piece of news as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Piece {
    template: String,
    about: i64,
    id: NotificationId,
    standing: String,
}

impl Piece {
    fn new(NotificationState { news, id, standing }: NotificationState) -> Self {
        let standing = match standing {
            DeliveryStatus::Queued => "queued",
            DeliveryStatus::Sent => "sent",
            DeliveryStatus::Failed(failure) => failure.name(),
        };
        let template = news.template.name().to_owned();
        Self { template, about: news.about, id, standing: standing.to_owned() }
    }

    fn told(self) -> sqlx::Result<NotificationState> {
        let template = parse_template(&self.template)?;
        let standing = match self.standing.as_str() {
            "queued" => DeliveryStatus::Queued,
            "sent" => DeliveryStatus::Sent,
            "no_address" => DeliveryStatus::Failed(Failure::NoAddress),
            other => return Err(invalid(format!("no notification is {other}"))),
        };
        Ok(NotificationState { news: News { template, about: self.about }, id: self.id, standing })
    }
}

fn parse_template(name: &str) -> sqlx::Result<Template> {
    Template::named(name).ok_or_else(|| invalid(format!("there is no template {name}")))
}

/// A row that is no valid state: said at load, not as a surprise later.
fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> sqlx::Error {
    sqlx::Error::Decode(error.into())
}

/// Locks the notices that exist, in the order of their ids.
pub async fn lock_notices(
    db: &mut PgConnection,
    ids: &[Uuid],
) -> sqlx::Result<Vec<(OrderId, Root)>> {
    let rows = sqlx::query!(
        r#"-- store.lock_notices
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

/// Locks the notices that nobody holds, and says which somebody does.
pub async fn held_notices(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<OrderId>> {
    let held = sqlx::query_scalar!(
        "-- store.held_notices
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

/// Locks the contacts that nobody holds, and says whose somebody does.
pub async fn held_contacts(
    db: &mut PgConnection,
    customers: &[String],
) -> sqlx::Result<Vec<CustomerId>> {
    let held = sqlx::query_scalar!(
        "-- store.held_contacts
        with free as (
            select customer_id
            from contacts
            where customer_id = any($1)
            order by customer_id
            for update skip locked
        )
        select customer_id
        from contacts
        where customer_id = any($1)
          and customer_id not in (select customer_id from free)",
        customers
    )
    .fetch_all(db)
    .await?;
    held.iter().map(|customer| CustomerId::parse(customer).map_err(invalid)).collect()
}

struct ContactRow {
    customer_id: String,
    email: Option<String>,
    phone: Option<String>,
    push_token: Option<String>,
    language: Option<String>,
}

impl TryFrom<ContactRow> for (CustomerId, Contact) {
    type Error = sqlx::Error;

    fn try_from(row: ContactRow) -> sqlx::Result<Self> {
        let ContactRow { customer_id, email, phone, push_token, language } = row;
        let customer = CustomerId::parse(&customer_id).map_err(invalid)?;
        Ok((customer, Contact { email, phone, push_token, language }))
    }
}

/// Where customers can be reached.
pub async fn contacts(
    db: &mut PgConnection,
    customers: &[String],
) -> sqlx::Result<Vec<(CustomerId, Contact)>> {
    let rows = sqlx::query_as!(
        ContactRow,
        "-- store.contacts
        select customer_id, email, phone, push_token, language
        from contacts
        where customer_id = any($1)",
        customers
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// The same for contacts that are to change, locked in the order of their customers.
pub async fn lock_contacts(
    db: &mut PgConnection,
    customers: &[String],
) -> sqlx::Result<Vec<(CustomerId, Contact)>> {
    let rows = sqlx::query_as!(
        ContactRow,
        "-- store.lock_contacts
        select customer_id, email, phone, push_token, language
        from contacts
        where customer_id = any($1)
        order by customer_id
        for update",
        customers
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}
