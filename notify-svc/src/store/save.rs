//! What a batch writes: one statement for each table and kind of change, arrays in the order of
//! keys.

use mailbox::wrote;
use proto::OrderId;
use sqlx::{PgConnection, types::Json};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{LEASE_MS, Piece};
use crate::{
    domain::DeliveryStatus,
    templates::Fields,
    wire::CHANNEL,
    world::{DeliveryReceipt, Kept, Notification, Root, World},
};

/// Writes all that changed, in the order of locks.
pub async fn world(db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
    let rows = |wanted: fn(&Kept) -> bool| {
        Rows::of(
            world.roots.iter().filter(|(_, kept)| wanted(kept)).map(|(id, kept)| (*id, &kept.now)),
        )
    };
    insert_notices(db, rows(Kept::is_new)).await?;
    update_notices(db, rows(Kept::is_changed)).await?;
    put_contacts(db, world).await?;
    insert_notifications(db, &world.notifications).await?;
    insert_deliveries(db, &world.notifications).await?;
    finish(db, &world.delivered).await
}

/// Notices as columns.
#[derive(Default)]
struct Rows {
    ids: Vec<Uuid>,
    versions: Vec<i64>,
    heard_orders: Vec<i64>,
    heard_payments: Vec<i64>,
    told: Vec<Json<Vec<Piece>>>,
}

impl Rows {
    fn of<'a>(roots: impl Iterator<Item = (OrderId, &'a Root)>) -> Self {
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

async fn insert_notices(db: &mut PgConnection, rows: Rows) -> sqlx::Result<()> {
    if rows.ids.is_empty() {
        return Ok(());
    }
    let done = sqlx::query!(
        "-- save.insert_notices
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
    wrote(&done, rows.ids.len())
}

async fn update_notices(db: &mut PgConnection, rows: Rows) -> sqlx::Result<()> {
    if rows.ids.is_empty() {
        return Ok(());
    }
    let done = sqlx::query!(
        "-- save.update_notices
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
    wrote(&done, rows.ids.len())
}

/// A contact is put as a whole, so the last one stands, whoever came first.
async fn put_contacts(db: &mut PgConnection, world: &World) -> sqlx::Result<()> {
    if world.put.is_empty() {
        return Ok(());
    }
    let contacts = world.put.values();
    let customers: Vec<String> = world.put.keys().map(ToString::to_string).collect();
    let emails: Vec<Option<String>> = contacts.clone().map(|it| it.email.clone()).collect();
    let phones: Vec<Option<String>> = contacts.clone().map(|it| it.phone.clone()).collect();
    let tokens: Vec<Option<String>> = contacts.clone().map(|it| it.push_token.clone()).collect();
    let languages: Vec<Option<String>> = contacts.map(|it| it.language.clone()).collect();
    let done = sqlx::query!(
        "-- save.put_contacts
        insert into contacts (customer_id, email, phone, push_token, language)
        select *
        from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
        on conflict (customer_id) do update
        set email = excluded.email,
            phone = excluded.phone,
            push_token = excluded.push_token,
            language = excluded.language",
        &customers,
        &emails as &[Option<String>],
        &phones as &[Option<String>],
        &tokens as &[Option<String>],
        &languages as &[Option<String>]
    )
    .execute(db)
    .await?;
    wrote(&done, customers.len())
}

/// Ids are made in the order of decisions, so the rows come in the order of their key.
async fn insert_notifications(db: &mut PgConnection, made: &[Notification]) -> sqlx::Result<()> {
    if made.is_empty() {
        return Ok(());
    }
    let status = |of: &Notification| match of.standing {
        DeliveryStatus::Queued => ("queued", None),
        DeliveryStatus::Sent => ("sent", None),
        DeliveryStatus::Failed(failure) => ("failed", Some(failure.name().to_owned())),
    };
    let ids: Vec<Uuid> = made.iter().map(|it| it.id.uuid()).collect();
    let orders: Vec<Uuid> = made.iter().map(|it| it.order.uuid()).collect();
    let customers: Vec<String> = made.iter().map(|it| it.customer.to_string()).collect();
    let templates: Vec<String> = made.iter().map(|it| it.template.name().to_owned()).collect();
    let recipients: Vec<Option<String>> = made.iter().map(|it| it.to.clone()).collect();
    let fields: Vec<Json<&Fields>> = made.iter().map(|it| Json(&it.fields)).collect();
    let statuses: Vec<String> = made.iter().map(|it| status(it).0.to_owned()).collect();
    let failures: Vec<Option<String>> = made.iter().map(|it| status(it).1).collect();
    let created: Vec<OffsetDateTime> = made.iter().map(|it| it.created_at).collect();
    let done = sqlx::query!(
        "-- save.insert_notifications
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
        &fields as &[Json<&Fields>],
        &statuses,
        &failures as &[Option<String>],
        &created,
        CHANNEL
    )
    .execute(db)
    .await?;
    wrote(&done, made.len())
}

/// Born leased: whoever commits them hands them over itself.
async fn insert_deliveries(db: &mut PgConnection, made: &[Notification]) -> sqlx::Result<()> {
    let queued = made.iter().filter(|it| it.standing == DeliveryStatus::Queued);
    let ids: Vec<Uuid> = queued.map(|it| it.id.uuid()).collect();
    if ids.is_empty() {
        return Ok(());
    }
    // The database's clock: whoever looks at a lease looks at the same one.
    let done = sqlx::query!(
        "-- save.insert_deliveries
        insert into deliveries (notification_id, leased_until, attempts)
        select id, clock_timestamp() + $2::bigint * interval '1 millisecond', 0
        from unnest($1::uuid[]) as u (id)",
        &ids,
        LEASE_MS
    )
    .execute(db)
    .await?;
    wrote(&done, ids.len())
}

/// Marks notifications as sent; nothing of them waits any more.
async fn finish(db: &mut PgConnection, delivered: &[DeliveryReceipt]) -> sqlx::Result<()> {
    if delivered.is_empty() {
        return Ok(());
    }
    let mut sorted: Vec<&DeliveryReceipt> = delivered.iter().collect();
    sorted.sort_unstable_by_key(|it| it.id);
    let ids: Vec<Uuid> = sorted.iter().map(|it| it.id.uuid()).collect();
    let at: Vec<OffsetDateTime> = sorted.iter().map(|it| it.at).collect();
    let attempts: Vec<i32> = sorted.iter().map(|it| it.attempts).collect();
    let done = sqlx::query!(
        "-- save.finish_notifications
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
    .execute(&mut *db)
    .await?;
    wrote(&done, ids.len())?;
    let done = sqlx::query!(
        "-- save.finish_deliveries
        delete from deliveries
        where notification_id = any($1)",
        &ids
    )
    .execute(db)
    .await?;
    wrote(&done, ids.len())
}
