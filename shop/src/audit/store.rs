//! Every statement of the audit, one file for each service's database.
//!
//! `shop/migrations` holds links to the migrations of all services. So the compiler checks these
//! statements against the tables as they are, and whoever changes a service's tables sees that the
//! audit no longer fits. Each database is read in one snapshot: its states, its outbox and the
//! relay's last tick are of the same moment.

/// Runs a statement whose last `with` part, `compared`, has a row's `id` and whether the row `fits`:
/// counts its rows and those that do not fit.
macro_rules! counted {
    ($db:expr, $compared:literal) => {
        sqlx::query_as!(
            $crate::audit::check::CountResult,
            $compared
                + r#"
        select
            count(*) as "checked!",
            count(*) filter (where fits is not true) as "wrong!",
            min(id) filter (where fits is not true) as first
        from compared"#
        )
        .fetch_one($db)
        .await
    };
}

pub(super) mod mailbox;
pub(super) mod money;
pub(super) mod notices;
pub(super) mod orders;
pub(super) mod payments;
pub(super) mod stock;

use std::str::FromStr as _;

use anyhow::Context as _;
use sqlx::{Connection as _, PgConnection, Postgres, Transaction, postgres::PgConnectOptions};
use time::OffsetDateTime;
use uuid::Uuid;

use super::facts::{Facts, Orders};
use crate::Stack;

/// A transaction that sees one moment of the database and can change nothing.
pub(super) async fn snapshot(db: &mut PgConnection) -> sqlx::Result<Transaction<'_, Postgres>> {
    db.begin_with("begin isolation level repeatable read read only").await
}

/// Which orders to read: all, or those that are read again.
pub(super) type Which<'a> = Option<&'a [Uuid]>;

/// A time in seconds since 1970; 0 for none.
fn seconds(at: Option<OffsetDateTime>) -> u32 {
    at.map_or(0, super::seconds)
}

/// A version, which is never negative.
fn version(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Clears what is known from a database about these orders: rows that are gone must not be
/// remembered.
fn forget(orders: &mut Orders, which: Which<'_>, clear: impl Fn(&mut Facts)) {
    for order in which.unwrap_or_default() {
        clear(orders.of(order.as_u128()));
    }
}

#[cfg(test)]
mod tests;

/// Connects as the service itself, without the limits that hold for a service's short statements.
pub(super) async fn connect(stack: &Stack, database: &str) -> anyhow::Result<PgConnection> {
    let options = PgConnectOptions::from_str(&stack.database(database)?)?.options([
        ("application_name", "shop audit"),
        ("statement_timeout", "0"),
        ("idle_in_transaction_session_timeout", "0"),
    ]);
    PgConnection::connect_with(&options)
        .await
        .with_context(|| format!("cannot open the database {database}"))
}
