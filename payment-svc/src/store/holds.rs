//! Holds: money of an account that is set aside for an order.

use mailbox::{invalid, wrote};
use proto::{Currency, CustomerId, Money, OrderId};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{Hold, HoldState};

/// The holds for these orders in these accounts; the caller has locked the accounts.
pub async fn find_all(
    db: &mut PgConnection,
    customers: &[String],
    orders: &[Uuid],
) -> sqlx::Result<Vec<((CustomerId, OrderId), Hold)>> {
    let rows = sqlx::query!(
        "-- holds.find_all
        select customer_id, order_id, amount, state, accounts.currency
        from holds
        join accounts using (customer_id)
        where customer_id = any($1)
          and order_id = any($2)",
        customers,
        orders,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let customer = CustomerId::parse(&row.customer_id).map_err(invalid)?;
            let currency = Currency::parse(&row.currency).map_err(invalid)?;
            let amount = Money::new(row.amount, currency).map_err(invalid)?;
            let state = HoldState::parse(&row.state).ok_or_else(|| invalid(&row.state))?;
            Ok(((customer, OrderId::new(row.order_id)), Hold { amount, state }))
        })
        .collect()
}

/// Adds holds, sorted by customer and order.
pub async fn insert(
    db: &mut PgConnection,
    holds: &[(&(CustomerId, OrderId), &Hold)],
) -> sqlx::Result<()> {
    if holds.is_empty() {
        return Ok(());
    }
    let (customers, orders, amounts, states) = columns(holds);
    let done = sqlx::query!(
        "-- holds.insert
        insert into holds (customer_id, order_id, amount, state)
        select *
        from unnest($1::text[], $2::uuid[], $3::numeric[], $4::text[])",
        &customers as &[&str],
        &orders,
        &amounts,
        &states as &[&str],
    )
    .execute(db)
    .await?;
    wrote(&done, holds.len())
}

/// Writes holds, sorted by customer and order.
pub async fn update(
    db: &mut PgConnection,
    holds: &[(&(CustomerId, OrderId), &Hold)],
) -> sqlx::Result<()> {
    if holds.is_empty() {
        return Ok(());
    }
    let (customers, orders, amounts, states) = columns(holds);
    let done = sqlx::query!(
        "-- holds.update
        update holds
        set amount = t.amount,
            state = t.state,
            held_at = case when t.state = 'held' then clock_timestamp() else holds.held_at end
        from unnest($1::text[], $2::uuid[], $3::numeric[], $4::text[])
            as t (customer_id, order_id, amount, state)
        where holds.customer_id = t.customer_id
          and holds.order_id = t.order_id",
        &customers as &[&str],
        &orders,
        &amounts,
        &states as &[&str],
    )
    .execute(db)
    .await?;
    wrote(&done, holds.len())
}

/// Holds as old as `age_ms` or older whose order has no payment here, or one that has ended.
pub async fn overdue(
    db: &mut PgConnection,
    age_ms: i64,
    limit: i64,
) -> sqlx::Result<Vec<(CustomerId, OrderId)>> {
    let rows = sqlx::query!(
        "-- holds.overdue
        select holds.customer_id, holds.order_id
        from holds
        left join payments on payments.order_id = holds.order_id
        where state = 'held'
          and held_at <= clock_timestamp() - $1::bigint * interval '1 millisecond'
          and (
              payments.order_id is null
              or compensation <> 'not_asked'
              or phase in ('declined', 'captured')
          )
        order by held_at
        limit $2",
        age_ms,
        limit,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let customer = CustomerId::parse(&row.customer_id).map_err(invalid)?;
            Ok((customer, OrderId::new(row.order_id)))
        })
        .collect()
}

type Columns<'a> = (Vec<&'a str>, Vec<Uuid>, Vec<Decimal>, Vec<&'static str>);

fn columns<'a>(holds: &[(&'a (CustomerId, OrderId), &Hold)]) -> Columns<'a> {
    (
        holds.iter().map(|((customer, _), _)| customer.as_str()).collect(),
        holds.iter().map(|((_, order), _)| order.uuid()).collect(),
        holds.iter().map(|(_, hold)| hold.amount.amount()).collect(),
        holds.iter().map(|(_, hold)| hold.state.as_str()).collect(),
    )
}
