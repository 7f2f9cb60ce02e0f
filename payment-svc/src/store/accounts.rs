//! Accounts: what a customer has, and how much of it is held.

use mailbox::{invalid, wrote};
use proto::{Currency, CustomerId, Money};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::{domain::Account, world::AccountRow};

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
        let currency = Currency::parse(&row.currency).map_err(invalid)?;
        let account = Account {
            customer: CustomerId::parse(&row.customer_id).map_err(invalid)?,
            balance: Money::new(row.balance, currency).map_err(invalid)?,
            held: Money::new(row.held, currency).map_err(invalid)?,
        };
        Ok(Self { account, created_at: row.created_at })
    }
}

/// Locks accounts in the order of their customers, as every writer does, so that nobody deadlocks.
pub async fn lock(db: &mut PgConnection, customers: &[String]) -> sqlx::Result<Vec<AccountRow>> {
    let rows = sqlx::query_as!(
        Row,
        "-- accounts.lock
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

/// Locks those accounts that no other session holds, and returns the customers of those held.
pub async fn held(db: &mut PgConnection, customers: &[String]) -> sqlx::Result<Vec<CustomerId>> {
    let held = sqlx::query_scalar!(
        "-- accounts.held
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
    held.iter().map(|customer| CustomerId::parse(customer).map_err(invalid)).collect()
}

/// An account, for reading.
pub async fn find(
    db: &mut PgConnection,
    customer: &CustomerId,
) -> sqlx::Result<Option<AccountRow>> {
    let row = sqlx::query_as!(
        Row,
        "-- accounts.find
        select customer_id, currency, balance, held, created_at
        from accounts
        where customer_id = $1",
        customer.as_str(),
    )
    .fetch_optional(db)
    .await?;
    row.map(TryInto::try_into).transpose()
}

/// Adds accounts, sorted by customer: empty, since their ledger entries fill them.
pub async fn insert(
    db: &mut PgConnection,
    accounts: &[(&CustomerId, &AccountRow)],
) -> sqlx::Result<()> {
    if accounts.is_empty() {
        return Ok(());
    }
    let customers: Vec<&str> = accounts.iter().map(|(customer, _)| customer.as_str()).collect();
    let currencies: Vec<&str> = accounts.iter().map(|(_, r)| r.account.currency().code()).collect();
    let created: Vec<OffsetDateTime> = accounts.iter().map(|(_, row)| row.created_at).collect();
    let done = sqlx::query!(
        "-- accounts.insert
        insert into accounts (customer_id, currency, created_at)
        select *
        from unnest($1::text[], $2::text[], $3::timestamptz[])",
        &customers as &[&str],
        &currencies as &[&str],
        &created,
    )
    .execute(db)
    .await?;
    wrote(&done, accounts.len())
}
