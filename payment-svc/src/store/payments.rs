//! Payments: one row for each order, tombstones included. A payment's last refund is read with it.

use mailbox::wrote;
use proto::{OrderId, SealKeyRing};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{refunds, rows::Row};
use crate::world::Root;

/// Locks payments in the order of their order ids, as every writer does, so that nobody deadlocks.
pub async fn lock(
    db: &mut PgConnection,
    orders: &[Uuid],
    keys: &SealKeyRing,
) -> sqlx::Result<Vec<Root>> {
    let rows = sqlx::query_as!(
        Row,
        "-- payments.lock
        select
            order_id, customer_id, revision, due, currency, instrument, token, provider, phase,
            tried_revision, tried, tried_method, tried_token, tried_provider, reference, brand,
            last4, decline_code, decline_detail, refunded, refunds, refunding, compensation,
            cancelled_revision, version, heard_orders, heard_stock, created_at, updated_at,
            outcome_at
        from payments
        where order_id = any($1)
        order by order_id
        for update",
        orders,
    )
    .fetch_all(&mut *db)
    .await?;
    roots(db, rows, Some(keys)).await
}

async fn roots(
    db: &mut PgConnection,
    rows: Vec<Row>,
    keys: Option<&SealKeyRing>,
) -> sqlx::Result<Vec<Root>> {
    let last: Vec<(Uuid, i32)> = rows.iter().filter_map(Row::last_refund).collect();
    let mut refunds = refunds::find_all(db, &last).await?;
    rows.into_iter().map(|row| row.root(&mut refunds, keys)).collect()
}

/// Locks those payments that no other session holds, and returns the orders of those held.
pub async fn held(db: &mut PgConnection, orders: &[Uuid]) -> sqlx::Result<Vec<OrderId>> {
    let held = sqlx::query_scalar!(
        "-- payments.held
        with free as (
            select order_id
            from payments
            where order_id = any($1)
            order by order_id
            for update skip locked
        )
        select order_id
        from payments
        where order_id = any($1)
          and order_id not in (select order_id from free)",
        orders,
    )
    .fetch_all(db)
    .await?;
    Ok(held.into_iter().map(OrderId::new).collect())
}

/// The payment of an order, for reading: tokens stay sealed. Only of an order of `owner`, if one is
/// given.
pub async fn find(
    db: &mut PgConnection,
    order: OrderId,
    owner: Option<&str>,
) -> sqlx::Result<Option<Root>> {
    let row = sqlx::query_as!(
        Row,
        "-- payments.find
        select
            order_id, customer_id, revision, due, currency, instrument, token, provider, phase,
            tried_revision, tried, tried_method, tried_token, tried_provider, reference, brand,
            last4, decline_code, decline_detail, refunded, refunds, refunding, compensation,
            cancelled_revision, version, heard_orders, heard_stock, created_at, updated_at,
            outcome_at
        from payments
        where order_id = $1
          and ($2::text is null or customer_id = $2)",
        order.uuid(),
        owner,
    )
    .fetch_all(&mut *db)
    .await?;
    Ok(roots(db, row, None).await?.pop())
}

/// A statement that takes the columns of `$rows`, and then whatever else it needs.
macro_rules! with_columns {
    ($statement:literal, $rows:expr $(, $more:expr)*) => {
        sqlx::query!(
            $statement,
            &column($rows, |row| row.order_id),
            &column($rows, |row| row.customer_id.as_deref()) as &[Option<&str>],
            &column($rows, |row| row.revision) as &[Option<i32>],
            &column($rows, |row| row.due) as &[Option<Decimal>],
            &column($rows, |row| row.currency.as_deref()) as &[Option<&str>],
            &column($rows, |row| row.instrument.as_deref()) as &[Option<&str>],
            &column($rows, |row| row.token.as_deref()) as &[Option<&[u8]>],
            &column($rows, |row| row.phase.as_str()) as &[&str],
            &column($rows, |row| row.tried_revision) as &[Option<i32>],
            &column($rows, |row| row.tried) as &[Option<Decimal>],
            &column($rows, |row| row.tried_method.as_deref()) as &[Option<&str>],
            &column($rows, |row| row.tried_token.as_deref()) as &[Option<&[u8]>],
            &column($rows, |row| row.reference.as_deref()) as &[Option<&str>],
            &column($rows, |row| row.brand.as_deref()) as &[Option<&str>],
            &column($rows, |row| row.last4.as_deref()) as &[Option<&str>],
            &column($rows, |row| row.decline_code.as_deref()) as &[Option<&str>],
            &column($rows, |row| row.decline_detail.as_deref()) as &[Option<&str>],
            &column($rows, |row| row.refunded) as &[Option<Decimal>],
            &column($rows, |row| row.refunds) as &[Option<i32>],
            &column($rows, |row| row.refunding) as &[Option<Decimal>],
            &column($rows, |row| row.compensation.as_str()) as &[&str],
            &column($rows, |row| row.version),
            &column($rows, |row| row.heard_orders),
            &column($rows, |row| row.heard_stock),
            &column($rows, |row| row.updated_at),
            &column($rows, |row| row.cancelled_revision) as &[Option<i32>],
            &column($rows, |row| row.outcome_at) as &[Option<OffsetDateTime>],
            &column($rows, |row| row.provider.as_deref()) as &[Option<&str>],
            &column($rows, |row| row.tried_provider.as_deref()) as &[Option<&str>],
            $($more,)*
        )
    };
}

/// Adds new payments. A plain insert, so that it fails if another session was quicker.
pub async fn insert(
    db: &mut PgConnection,
    roots: &[(&OrderId, &Root)],
    keys: &SealKeyRing,
) -> sqlx::Result<()> {
    if roots.is_empty() {
        return Ok(());
    }
    let rows = &rows_of(roots, keys);
    let done = with_columns!(
        "-- payments.insert
        insert into payments (
            order_id, customer_id, revision, due, currency, instrument, token, phase,
            tried_revision, tried, tried_method, tried_token, reference, brand, last4,
            decline_code, decline_detail, refunded, refunds, refunding, compensation, version,
            heard_orders, heard_stock, updated_at, cancelled_revision, outcome_at, provider,
            tried_provider, created_at
        )
        select *
        from unnest(
            $1::uuid[], $2::text[], $3::int[], $4::numeric[], $5::text[], $6::text[], $7::bytea[],
            $8::text[], $9::int[], $10::numeric[], $11::text[], $12::bytea[], $13::text[],
            $14::text[], $15::text[], $16::text[], $17::text[], $18::numeric[], $19::int[],
            $20::numeric[], $21::text[], $22::bigint[], $23::bigint[], $24::bigint[],
            $25::timestamptz[], $26::int[], $27::timestamptz[], $28::text[], $29::text[],
            $30::timestamptz[]
        )",
        rows,
        &column(rows, |row| row.created_at)
    )
    .execute(db)
    .await?;
    wrote(&done, roots.len())
}

/// Writes payments, sorted by order. A token that could not be read stays as it is.
pub async fn update(
    db: &mut PgConnection,
    roots: &[(&OrderId, &Root)],
    keys: &SealKeyRing,
) -> sqlx::Result<()> {
    if roots.is_empty() {
        return Ok(());
    }
    let rows = &rows_of(roots, keys);
    let done = with_columns!(
        "-- payments.update
        update payments
        set
            customer_id = t.customer_id, revision = t.revision, due = t.due,
            currency = t.currency, instrument = t.instrument, provider = t.provider,
            token = case t.token when '' then payments.token else t.token end, phase = t.phase,
            tried_revision = t.tried_revision, tried = t.tried, tried_method = t.tried_method,
            tried_token = case t.tried_token
                when '' then coalesce(payments.tried_token, payments.token)
                else t.tried_token
            end,
            tried_provider = t.tried_provider, reference = t.reference, brand = t.brand,
            last4 = t.last4, decline_code = t.decline_code, decline_detail = t.decline_detail,
            refunded = t.refunded, refunds = t.refunds, refunding = t.refunding,
            compensation = t.compensation, cancelled_revision = t.cancelled_revision,
            version = t.version, heard_orders = t.heard_orders, heard_stock = t.heard_stock,
            updated_at = t.updated_at, outcome_at = t.outcome_at
        from unnest(
            $1::uuid[], $2::text[], $3::int[], $4::numeric[], $5::text[], $6::text[], $7::bytea[],
            $8::text[], $9::int[], $10::numeric[], $11::text[], $12::bytea[], $13::text[],
            $14::text[], $15::text[], $16::text[], $17::text[], $18::numeric[], $19::int[],
            $20::numeric[], $21::text[], $22::bigint[], $23::bigint[], $24::bigint[],
            $25::timestamptz[], $26::int[], $27::timestamptz[], $28::text[], $29::text[]
        ) as t (
            order_id, customer_id, revision, due, currency, instrument, token, phase,
            tried_revision, tried, tried_method, tried_token, reference, brand, last4, decline_code,
            decline_detail, refunded, refunds, refunding, compensation, version, heard_orders,
            heard_stock, updated_at, cancelled_revision, outcome_at, provider, tried_provider
        )
        where payments.order_id = t.order_id",
        rows
    )
    .execute(db)
    .await?;
    wrote(&done, roots.len())
}

fn rows_of(roots: &[(&OrderId, &Root)], keys: &SealKeyRing) -> Vec<Row> {
    roots.iter().map(|(_, root)| Row::of(root, keys)).collect()
}

fn column<'a, T>(rows: &'a [Row], value: impl Fn(&'a Row) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}
