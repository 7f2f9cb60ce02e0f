//! Refunds: a row for each, with what became of it.

use std::{collections::BTreeMap, sync::Arc};

use mailbox::{invalid, wrote};
use proto::{Currency, Money, OrderId};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    domain::{Refund, RefundCause, RefundState, refund_id},
    world::World,
};

/// Refunds with an order and a number, by order; the caller has locked their payments.
pub async fn find_all(
    db: &mut PgConnection,
    keys: &[(Uuid, i32)],
) -> sqlx::Result<BTreeMap<Uuid, Refund>> {
    if keys.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (orders, numbers): (Vec<Uuid>, Vec<i32>) = keys.iter().copied().unzip();
    let rows = sqlx::query!(
        "-- refunds.find_all
        select order_id, number, amount, currency, cause, state, reason
        from refunds
        where (order_id, number) in (select * from unnest($1::uuid[], $2::int[]))",
        &orders,
        &numbers,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let currency = Currency::parse(&row.currency).map_err(invalid)?;
            let refund = Refund {
                number: row.number.cast_unsigned(),
                amount: Money::new(row.amount, currency).map_err(invalid)?,
                cause: RefundCause::parse(&row.cause).ok_or_else(|| invalid(&row.cause))?,
                state: state(&row.state, row.reason)?,
            };
            Ok((row.order_id, refund))
        })
        .collect()
}

fn state(word: &str, reason: Option<String>) -> sqlx::Result<RefundState> {
    match (word, reason) {
        ("processing", None) => Ok(RefundState::Processing),
        ("refunded", None) => Ok(RefundState::Refunded),
        ("refused", Some(reason)) => Ok(RefundState::Refused(reason.into())),
        (other, _) => Err(invalid(other)),
    }
}

/// A refund's key, and the refund.
type Entry<'a> = (&'a (OrderId, u32), &'a Refund);

/// When a refund begins or ends: its payment changes with it.
fn changed_at(world: &World, order: OrderId) -> OffsetDateTime {
    world.root(order).expect("a refund's payment is in its batch").updated_at
}

/// The columns that a refund's beginning and its end both write.
#[derive(Default)]
struct Columns<'a> {
    orders: Vec<Uuid>,
    numbers: Vec<i32>,
    states: Vec<&'a str>,
    reasons: Vec<Option<&'a str>>,
    ended: Vec<Option<OffsetDateTime>>,
}

impl<'a> Columns<'a> {
    fn new(world: &World, refunds: &[Entry<'a>]) -> Self {
        let mut columns = Self::default();
        for ((order, number), refund) in refunds {
            let has_ended = refund.state != RefundState::Processing;
            columns.orders.push(order.uuid());
            columns.numbers.push(number.cast_signed());
            columns.states.push(refund.state.as_str());
            columns.reasons.push(refund.state.reason());
            columns.ended.push(has_ended.then(|| changed_at(world, *order)));
        }
        columns
    }
}

/// Adds refunds, sorted by order and number.
pub async fn insert(
    db: &mut PgConnection,
    world: &World,
    refunds: &[Entry<'_>],
) -> sqlx::Result<()> {
    if refunds.is_empty() {
        return Ok(());
    }
    let Columns { orders, numbers, states, reasons, ended } = Columns::new(world, refunds);
    let ids: Vec<Uuid> = refunds.iter().map(|((order, n), _)| refund_id(*order, *n)).collect();
    let customers: Vec<&str> = refunds
        .iter()
        .map(|((order, _), _)| {
            let customer = world.root(*order).and_then(|root| root.payment.customer());
            customer.expect("what was captured has a customer").as_str()
        })
        .collect();
    let amounts: Vec<Decimal> = refunds.iter().map(|(_, it)| it.amount.amount()).collect();
    let currencies: Vec<&str> = refunds.iter().map(|(_, it)| it.amount.currency().code()).collect();
    let causes: Vec<&str> = refunds.iter().map(|(_, it)| it.cause.as_str()).collect();
    let begun: Vec<OffsetDateTime> =
        refunds.iter().map(|((order, _), _)| changed_at(world, *order)).collect();
    let done = sqlx::query!(
        "-- refunds.insert
        insert into refunds (
            order_id, number, refund_id, customer_id, amount, currency, cause, state, reason,
            begun_at, ended_at
        )
        select *
        from unnest(
            $1::uuid[], $2::int[], $3::uuid[], $4::text[], $5::numeric[], $6::text[], $7::text[],
            $8::text[], $9::text[], $10::timestamptz[], $11::timestamptz[]
        )",
        &orders,
        &numbers,
        &ids,
        &customers as &[&str],
        &amounts,
        &currencies as &[&str],
        &causes as &[&str],
        &states as &[&str],
        &reasons as &[Option<&str>],
        &begun,
        &ended as &[Option<OffsetDateTime>],
    )
    .execute(db)
    .await?;
    wrote(&done, refunds.len())
}

/// Ends refunds, sorted by order and number.
pub async fn update(
    db: &mut PgConnection,
    world: &World,
    refunds: &[Entry<'_>],
) -> sqlx::Result<()> {
    if refunds.is_empty() {
        return Ok(());
    }
    let Columns { orders, numbers, states, reasons, ended } = Columns::new(world, refunds);
    let done = sqlx::query!(
        "-- refunds.update
        update refunds
        set state = t.state, reason = t.reason, ended_at = t.ended_at
        from unnest($1::uuid[], $2::int[], $3::text[], $4::text[], $5::timestamptz[])
            as t (order_id, number, state, reason, ended_at)
        where refunds.order_id = t.order_id
          and refunds.number = t.number",
        &orders,
        &numbers,
        &states as &[&str],
        &reasons as &[Option<&str>],
        &ended as &[Option<OffsetDateTime>],
    )
    .execute(db)
    .await?;
    wrote(&done, refunds.len())
}

/// What became of a refund.
#[derive(Clone, Debug, PartialEq)]
pub struct RefundOutcome {
    pub state: RefundState,
    pub ended_at: Option<OffsetDateTime>,
    /// What had gone back of the order's money once this refund had ended.
    pub refunded: Decimal,
}

/// What became of refund `number` of an order.
pub async fn outcome(
    db: &mut PgConnection,
    order: OrderId,
    number: u32,
) -> sqlx::Result<Option<RefundOutcome>> {
    let row = sqlx::query!(
        r#"-- refunds.outcome
        select
            state,
            reason,
            ended_at,
            (
                select coalesce(sum(amount), 0)
                from refunds
                where order_id = $1
                  and number <= $2
                  and state = 'refunded'
            ) as "refunded!"
        from refunds
        where order_id = $1
          and number = $2"#,
        order.uuid(),
        number.cast_signed(),
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        let state = state(&row.state, row.reason)?;
        Ok(RefundOutcome { state, ended_at: row.ended_at, refunded: row.refunded })
    })
    .transpose()
}

/// Refunds of cancelled orders that were refused and wait for staff.
#[derive(Clone, Debug, PartialEq)]
pub struct RefusedRefunds {
    /// How many there are.
    pub count: i64,
    /// The lowest order id among them.
    pub first: OrderId,
    /// Why that order's refund was refused.
    pub reason: Arc<str>,
}

/// The refunds that wait for staff; `None` if there are none.
pub async fn waiting_for_staff(db: &mut PgConnection) -> sqlx::Result<Option<RefusedRefunds>> {
    let row = sqlx::query!(
        r#"-- refunds.waiting_for_staff
        select refunds.order_id, coalesce(reason, '') as "reason!", count(*) over () as "count!"
        from refunds
        join payments on payments.order_id = refunds.order_id
        where state = 'refused'
          and compensation = 'owed'
          and number = refunds
        order by refunds.order_id
        limit 1"#
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| RefusedRefunds {
        count: row.count,
        first: OrderId::new(row.order_id),
        reason: row.reason.into(),
    }))
}
