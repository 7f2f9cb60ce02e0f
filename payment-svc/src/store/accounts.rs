//! Accounts, what is held in them, and their ledger.

use mailbox::wrote;
use proto::{Currency, CustomerId, Money, OrderId};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{AccountRow, EntryRow, impossible};
use crate::domain::{Account, Hold, HoldState};

struct Row {
    customer_id: String,
    currency: String,
    balance: Decimal,
    held: Decimal,
    created_at: OffsetDateTime,
}

impl TryFrom<Row> for AccountRow {
    type Error = sqlx::Error;

    fn try_from(row: Row) -> sqlx::Result<Self> {
        let currency = Currency::parse(&row.currency).map_err(impossible)?;
        let account = Account {
            customer: CustomerId::parse(&row.customer_id).map_err(impossible)?,
            balance: Money::new(row.balance, currency).map_err(impossible)?,
            held: Money::new(row.held, currency).map_err(impossible)?,
        };
        Ok(Self { account, created_at: row.created_at })
    }
}

/// Locks accounts in the order of their customers, as every writer does.
pub(super) async fn lock_accounts(
    db: &mut PgConnection,
    customers: &[String],
) -> sqlx::Result<Vec<AccountRow>> {
    let rows = sqlx::query_as!(
        Row,
        "-- accounts.lock_accounts
        select customer_id, currency, balance, held, created_at
        from accounts
        where customer_id = any($1)
        order by customer_id
        for update",
        customers,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter().map(TryInto::try_into).collect()
}

/// Locks the accounts that nobody holds, and says whose somebody does.
pub(super) async fn held_accounts(
    db: &mut PgConnection,
    customers: &[String],
) -> sqlx::Result<Vec<CustomerId>> {
    let held = sqlx::query_scalar!(
        "-- accounts.held_accounts
        with free as (
            select customer_id
            from accounts
            where customer_id = any($1)
            order by customer_id
            for update skip locked
        )
        select customer_id
        from accounts
        where customer_id = any($1)
          and customer_id not in (select customer_id from free)",
        customers,
    )
    .fetch_all(db)
    .await?;
    held.iter().map(|customer| CustomerId::parse(customer).map_err(impossible)).collect()
}

pub async fn account(
    db: &mut PgConnection,
    customer: &CustomerId,
) -> sqlx::Result<Option<AccountRow>> {
    let row = sqlx::query_as!(
        Row,
        "-- accounts.account
        select customer_id, currency, balance, held, created_at
        from accounts
        where customer_id = $1",
        customer.as_str(),
    )
    .fetch_optional(db)
    .await?;
    row.map(TryInto::try_into).transpose()
}

pub(super) async fn insert_accounts(
    db: &mut PgConnection,
    accounts: &[(&CustomerId, &AccountRow)],
) -> sqlx::Result<()> {
    if accounts.is_empty() {
        return Ok(());
    }
    let (customers, balances, held) = columns(accounts);
    let currencies: Vec<&str> = accounts.iter().map(|(_, r)| r.account.currency().code()).collect();
    let created: Vec<OffsetDateTime> = accounts.iter().map(|(_, row)| row.created_at).collect();
    let done = sqlx::query!(
        "-- accounts.insert_accounts
        insert into accounts (customer_id, currency, balance, held, created_at)
        select *
        from unnest($1::text[], $2::text[], $3::numeric[], $4::numeric[], $5::timestamptz[])",
        &customers as &[&str],
        &currencies as &[&str],
        &balances,
        &held,
        &created,
    )
    .execute(db)
    .await?;
    wrote(&done, accounts.len())
}

pub(super) async fn update_accounts(
    db: &mut PgConnection,
    accounts: &[(&CustomerId, &AccountRow)],
) -> sqlx::Result<()> {
    if accounts.is_empty() {
        return Ok(());
    }
    let (customers, balances, held) = columns(accounts);
    let done = sqlx::query!(
        "-- accounts.update_accounts
        update accounts
        set balance = t.balance, held = t.held
        from unnest($1::text[], $2::numeric[], $3::numeric[]) as t (customer_id, balance, held)
        where accounts.customer_id = t.customer_id",
        &customers as &[&str],
        &balances,
        &held,
    )
    .execute(db)
    .await?;
    wrote(&done, accounts.len())
}

fn columns<'a>(
    accounts: &[(&'a CustomerId, &AccountRow)],
) -> (Vec<&'a str>, Vec<Decimal>, Vec<Decimal>) {
    let customers = accounts.iter().map(|(customer, _)| customer.as_str()).collect();
    let balances = accounts.iter().map(|(_, row)| row.account.balance.amount()).collect();
    let held = accounts.iter().map(|(_, row)| row.account.held.amount()).collect();
    (customers, balances, held)
}

/// What is held for these orders in these accounts, which are locked.
pub(super) async fn holds(
    db: &mut PgConnection,
    customers: &[String],
    orders: &[Uuid],
) -> sqlx::Result<Vec<((CustomerId, OrderId), Hold)>> {
    let rows = sqlx::query!(
        "-- accounts.holds
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
            let customer = CustomerId::parse(&row.customer_id).map_err(impossible)?;
            let currency = Currency::parse(&row.currency).map_err(impossible)?;
            let amount = Money::new(row.amount, currency).map_err(impossible)?;
            let state = HoldState::parse(&row.state).ok_or_else(|| impossible(&row.state))?;
            Ok(((customer, OrderId::new(row.order_id)), Hold { amount, state }))
        })
        .collect()
}

pub(super) async fn insert_holds(
    db: &mut PgConnection,
    holds: &[(&(CustomerId, OrderId), &Hold)],
) -> sqlx::Result<()> {
    if holds.is_empty() {
        return Ok(());
    }
    let (customers, orders, amounts, states) = hold_columns(holds);
    let done = sqlx::query!(
        "-- accounts.insert_holds
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

pub(super) async fn update_holds(
    db: &mut PgConnection,
    holds: &[(&(CustomerId, OrderId), &Hold)],
) -> sqlx::Result<()> {
    if holds.is_empty() {
        return Ok(());
    }
    let (customers, orders, amounts, states) = hold_columns(holds);
    let done = sqlx::query!(
        "-- accounts.update_holds
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

/// What is held since `age_ms` and longer, for orders that never came or have ended.
pub async fn overdue_holds(
    db: &mut PgConnection,
    age_ms: i64,
    limit: i64,
) -> sqlx::Result<Vec<(CustomerId, OrderId)>> {
    let rows = sqlx::query!(
        "-- accounts.overdue_holds
        select holds.customer_id, holds.order_id
        from holds
        left join payments on payments.order_id = holds.order_id
        where state = 'held'
          and held_at <= clock_timestamp() - $1::bigint * interval '1 millisecond'
          and (
              payments.order_id is null
              or undoing <> 'not_asked'
              or standing in ('declined', 'captured')
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
            let customer = CustomerId::parse(&row.customer_id).map_err(impossible)?;
            Ok((customer, OrderId::new(row.order_id)))
        })
        .collect()
}

type HoldColumns<'a> = (Vec<&'a str>, Vec<Uuid>, Vec<Decimal>, Vec<&'static str>);

fn hold_columns<'a>(holds: &[(&'a (CustomerId, OrderId), &Hold)]) -> HoldColumns<'a> {
    (
        holds.iter().map(|((customer, _), _)| customer.as_str()).collect(),
        holds.iter().map(|((_, order), _)| order.uuid()).collect(),
        holds.iter().map(|(_, hold)| hold.amount.amount()).collect(),
        holds.iter().map(|(_, hold)| hold.state.as_str()).collect(),
    )
}

/// Books entries in the order of decisions: by the database's clock, under the accounts' locks.
pub(super) async fn append_entries(
    db: &mut PgConnection,
    entries: &[EntryRow],
) -> sqlx::Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let of = |text: fn(&EntryRow) -> &str| entries.iter().map(text).collect::<Vec<_>>();
    let ids: Vec<Uuid> = entries.iter().map(|row| row.id).collect();
    let amounts: Vec<Decimal> = entries.iter().map(|row| row.entry.amount.amount()).collect();
    let orders: Vec<Option<Uuid>> =
        entries.iter().map(|row| row.entry.order.map(OrderId::uuid)).collect();
    let done = sqlx::query!(
        "-- accounts.append_entries
        insert into ledger_entries
            (customer_id, entry_id, kind, debit, credit, amount, currency, order_id, at)
        select t.*, clock_timestamp()
        from unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::numeric[],
            $7::text[], $8::uuid[]) as t",
        &of(|row| row.entry.customer.as_str()) as &[&str],
        &ids,
        &of(|row| row.entry.movement.kind()) as &[&str],
        &of(|row| row.entry.movement.debit()) as &[&str],
        &of(|row| row.entry.movement.credit()) as &[&str],
        &amounts,
        &of(|row| row.entry.amount.currency().code()) as &[&str],
        &orders as &[Option<Uuid>],
    )
    .execute(db)
    .await?;
    wrote(&done, entries.len())
}

/// A line of the ledger as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerLine {
    /// Its place in the order of booking.
    pub seq: i64,
    pub id: Uuid,
    pub kind: String,
    pub debit: String,
    pub credit: String,
    pub amount: Money,
    pub order: Option<OrderId>,
    pub at: OffsetDateTime,
}

/// A page of an account's ledger, as it was booked, after the place `after`.
pub async fn entries(
    db: &mut PgConnection,
    customer: &CustomerId,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<LedgerLine>> {
    let rows = sqlx::query!(
        "-- accounts.entries
        select seq, entry_id, kind, debit, credit, amount, currency, order_id, at
        from ledger_entries
        where customer_id = $1
          and seq > $2
        order by seq
        limit $3",
        customer.as_str(),
        after,
        limit,
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|row| {
            let currency = Currency::parse(&row.currency).map_err(impossible)?;
            Ok(LedgerLine {
                seq: row.seq,
                id: row.entry_id,
                kind: row.kind,
                debit: row.debit,
                credit: row.credit,
                amount: Money::new(row.amount, currency).map_err(impossible)?,
                order: row.order_id.map(OrderId::new),
                at: row.at,
            })
        })
        .collect()
}
