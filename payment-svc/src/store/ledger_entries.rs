//! The ledger: every movement of money, written once.

use mailbox::{invalid, wrote};
use proto::{Currency, CustomerId, Money, OrderId};
use rust_decimal::Decimal;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::world::EntryRow;

/// Adds entries in the order of decisions, timed by the database's clock under the accounts' locks.
pub async fn append(db: &mut PgConnection, entries: &[EntryRow]) -> sqlx::Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let of = |text: fn(&EntryRow) -> &str| entries.iter().map(text).collect::<Vec<_>>();
    let ids: Vec<Uuid> = entries.iter().map(|row| row.id).collect();
    let amounts: Vec<Decimal> = entries.iter().map(|row| row.entry.amount.amount()).collect();
    let orders: Vec<Option<Uuid>> =
        entries.iter().map(|row| row.entry.order.map(OrderId::uuid)).collect();
    let done = sqlx::query!(
        "-- ledger_entries.append
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

/// A ledger entry as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct LedgerLine {
    /// The entry's number in the order of booking.
    pub seq: i64,
    pub id: Uuid,
    pub kind: String,
    pub debit: String,
    pub credit: String,
    pub amount: Money,
    pub order: Option<OrderId>,
    pub at: OffsetDateTime,
}

/// A page of an account's ledger, in the order of booking, after entry number `after`.
pub async fn page(
    db: &mut PgConnection,
    customer: &CustomerId,
    after: i64,
    limit: i64,
) -> sqlx::Result<Vec<LedgerLine>> {
    let rows = sqlx::query!(
        "-- ledger_entries.page
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
            let currency = Currency::parse(&row.currency).map_err(invalid)?;
            Ok(LedgerLine {
                seq: row.seq,
                id: row.entry_id,
                kind: row.kind,
                debit: row.debit,
                credit: row.credit,
                amount: Money::new(row.amount, currency).map_err(invalid)?,
                order: row.order_id.map(OrderId::new),
                at: row.at,
            })
        })
        .collect()
}
