//! Provider calls without an answer: each begins leased to the process that decided it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use mailbox::{Trace, invalid, wrote};
use proto::{Currency, CustomerId, Money, OrderId, SealKeyRing};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    milliseconds,
    rows::{opened, provider},
};
use crate::{
    domain::{Call, CallName, Operation, PaymentProvider},
    world::CallRow,
};

/// Adds calls, sorted by order, leased to this process.
pub async fn begin(
    db: &mut PgConnection,
    calls: &BTreeMap<OrderId, CallRow>,
    lease: Duration,
) -> sqlx::Result<()> {
    if calls.is_empty() {
        return Ok(());
    }
    let orders: Vec<Uuid> = calls.keys().map(|order| order.uuid()).collect();
    let customers: Vec<&str> = calls.values().map(|row| row.customer.as_str()).collect();
    let parts: Vec<_> = calls.values().map(|row| parts(&row.call.operation)).collect();
    let kinds: Vec<&str> = parts.iter().map(|(kind, _)| *kind).collect();
    let numbers: Vec<i32> = parts.iter().map(|(_, number)| number.cast_signed()).collect();
    let amounts: Vec<Decimal> = calls.values().map(|row| row.call.amount.amount()).collect();
    let currencies: Vec<&str> =
        calls.values().map(|row| row.call.amount.currency().code()).collect();
    let traces: Vec<Option<&[u8]>> =
        calls.values().map(|row| row.trace.as_ref().map(|trace| &trace[..])).collect();
    // Leases are set and compared by the database's clock alone: machines may differ.
    let done = sqlx::query!(
        "-- provider_calls.begin
        insert into provider_calls
            (order_id, customer_id, kind, number, amount, currency, trace, attempts, leased_until)
        select t.*, 0, clock_timestamp() + $8::bigint * interval '1 millisecond'
        from unnest($1::uuid[], $2::text[], $3::text[], $4::int[], $5::numeric[], $6::text[],
            $7::bytea[]) as t",
        &orders,
        &customers as &[&str],
        &kinds as &[&str],
        &numbers,
        &amounts,
        &currencies as &[&str],
        &traces as &[Option<&[u8]>],
        milliseconds(lease),
    )
    .execute(db)
    .await?;
    wrote(&done, calls.len())
}

fn parts(operation: &Operation) -> (&'static str, u32) {
    match operation {
        Operation::Charge { revision, .. } => ("charge", *revision),
        Operation::Refund { number, .. } => ("refund", *number),
    }
}

/// Removes answered calls. The payment's lock and its phase let only one answer end a call.
pub async fn end(db: &mut PgConnection, orders: &BTreeSet<OrderId>) -> sqlx::Result<()> {
    if orders.is_empty() {
        return Ok(());
    }
    let orders: Vec<Uuid> = orders.iter().map(|order| order.uuid()).collect();
    let done = sqlx::query!(
        "-- provider_calls.end
        delete from provider_calls
        where order_id = any($1)",
        &orders,
    )
    .execute(db)
    .await?;
    wrote(&done, orders.len())
}

/// Takes over calls whose lease has run out, those that have waited longest first. What they are
/// about stands in their payments: a card's token, which `keys` open, or the provider's name for the
/// charge. A call that cannot be read keeps nobody from the others: it comes as an error with its
/// order, each time that its lease has run out.
pub async fn lease(
    db: &mut PgConnection,
    lease: Duration,
    limit: i64,
    keys: &SealKeyRing,
) -> sqlx::Result<Vec<Result<CallRow, (OrderId, sqlx::Error)>>> {
    let leased_until = Instant::now() + lease;
    let rows = sqlx::query!(
        r#"-- provider_calls.lease
        update provider_calls
        set leased_until = clock_timestamp() + $1::bigint * interval '1 millisecond',
            attempts = attempts + 1
        from payments
        where payments.order_id = provider_calls.order_id
          and provider_calls.order_id in (
              select order_id
              from provider_calls
              where leased_until <= clock_timestamp()
              order by leased_until
              limit $2
              for update skip locked
          )
        returning provider_calls.order_id, provider_calls.customer_id, kind, number, amount,
            provider_calls.currency, trace, attempts, tried_token, tried_provider, reference,
            greatest(extract(epoch from clock_timestamp() - begun_at), 0)::bigint as "age_seconds!""#,
        milliseconds(lease),
        limit,
    )
    .fetch_all(db)
    .await?;
    let read = rows.into_iter().map(|row| {
        let order = OrderId::new(row.order_id);
        let call = || {
            let number = row.number.cast_unsigned();
            let operation = match (row.kind.as_str(), row.tried_token, row.reference) {
                ("charge", Some(token), _) => {
                    let token = opened(row.order_id, &token, Some(keys));
                    Operation::Charge { revision: number, token }
                }
                ("refund", _, Some(reference)) => {
                    Operation::Refund { number, reference: reference.into() }
                }
                (other, ..) => return Err(invalid(format_args!("a {other} of nothing"))),
            };
            let currency = Currency::parse(&row.currency).map_err(invalid)?;
            let amount = Money::new(row.amount, currency).map_err(invalid)?;
            let provider = provider(row.tried_provider.as_deref());
            let provider = provider.ok_or_else(|| invalid("a call that nobody is asked for"))?;
            let call = Call { order, amount, provider, operation };
            let customer = CustomerId::parse(&row.customer_id).map_err(invalid)?;
            let trace = row.trace.and_then(|trace| trace.try_into().ok());
            let age = Duration::from_secs(row.age_seconds.unsigned_abs());
            Ok(CallRow { call, customer, trace, attempts: row.attempts, age, leased_until })
        };
        call().map_err(|error| (order, error))
    });
    Ok(read.collect())
}

/// Puts a call off after its answer was lost. Nothing happens if another call has replaced it, or
/// if another process has taken it over and so holds the lease.
pub async fn postpone(db: &mut PgConnection, row: &CallRow, pause: Duration) -> sqlx::Result<()> {
    let (kind, number) = parts(&row.call.operation);
    sqlx::query!(
        "-- provider_calls.postpone
        update provider_calls
        set leased_until = clock_timestamp() + $5::bigint * interval '1 millisecond'
        where order_id = $1
          and kind = $2
          and number = $3
          and attempts = $4",
        row.call.order.uuid(),
        kind,
        number.cast_signed(),
        row.attempts,
        milliseconds(pause),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Locks calls whose answer is about to be recorded, so that nobody takes them over meanwhile, and
/// returns how often each was taken over.
pub async fn lock_attempts(
    db: &mut PgConnection,
    orders: &BTreeSet<OrderId>,
) -> sqlx::Result<BTreeMap<OrderId, i32>> {
    if orders.is_empty() {
        return Ok(BTreeMap::new());
    }
    let orders: Vec<Uuid> = orders.iter().map(|order| order.uuid()).collect();
    let rows = sqlx::query!(
        "-- provider_calls.lock_attempts
        select order_id, attempts
        from provider_calls
        where order_id = any($1)
        order by order_id
        for update",
        &orders,
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (OrderId::new(row.order_id), row.attempts)).collect())
}

/// A call without an answer, as far as a provider's notice of it has to be compared with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenCall {
    pub name: CallName,
    pub amount: Money,
    pub trace: Option<Trace>,
    pub attempts: i32,
}

/// The call of an order that `provider` has not answered, if there is one.
pub async fn open(
    db: &mut PgConnection,
    order: OrderId,
    provider: PaymentProvider,
) -> sqlx::Result<Option<OpenCall>> {
    let row = sqlx::query!(
        "-- provider_calls.open
        select kind, number, amount, provider_calls.currency, trace, attempts
        from provider_calls
        join payments using (order_id)
        where provider_calls.order_id = $1
          and tried_provider = $2",
        order.uuid(),
        provider.as_str(),
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        let number = row.number.cast_unsigned();
        let name = match row.kind.as_str() {
            "charge" => CallName::Charge { order, revision: number },
            _ => CallName::Refund { order, number },
        };
        let currency = Currency::parse(&row.currency).map_err(invalid)?;
        let amount = Money::new(row.amount, currency).map_err(invalid)?;
        let trace = row.trace.and_then(|trace| trace.try_into().ok());
        Ok(OpenCall { name, amount, trace, attempts: row.attempts })
    })
    .transpose()
}

/// Calls that were taken over at least once and still have no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnansweredCalls {
    pub calls: i64,
    /// How long ago the oldest of them was begun.
    pub seconds: i64,
}

/// How many calls were not answered to the process that made them, and since when.
pub async fn unanswered(db: &mut PgConnection) -> sqlx::Result<UnansweredCalls> {
    sqlx::query_as!(
        UnansweredCalls,
        r#"-- provider_calls.unanswered
        select
            count(*) as "calls!",
            coalesce(extract(epoch from clock_timestamp() - min(begun_at)), 0)::bigint as "seconds!"
        from provider_calls
        where attempts > 0"#
    )
    .fetch_one(db)
    .await
}
