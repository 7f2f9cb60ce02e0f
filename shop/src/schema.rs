//! Whether this build can go on with the data of an earlier one. This is checked before a service
//! starts, because each would find out by itself, end, and be started again.

use anyhow::{Context as _, ensure};
use sqlx::{
    Connection as _, PgConnection, SqlSafeStr as _,
    migrate::{AppliedMigration, Migrate as _, MigrateError, Migration, MigrationType},
};

/// The first migration of every database.
const MAILBOX: &str = include_str!("../migrations/0001_mailbox.sql");
/// The migrations that each database has besides, with their versions.
const OWN: [(&str, &[(i64, &str)]); 4] = [
    ("orders", &[(101, include_str!("../migrations/0101_orders.sql"))]),
    ("payments", &[(101, include_str!("../migrations/0101_payments.sql"))]),
    ("stock", &[(101, include_str!("../migrations/0101_stock.sql"))]),
    (
        "notify",
        &[
            (101, include_str!("../migrations/0101_notices.sql")),
            (102, include_str!("../migrations/0102_webhooks.sql")),
        ],
    ),
];
/// sqlx's table of migrations, which exists once one has run.
const APPLIED: &str = "_sqlx_migrations";
const UNDEFINED_TABLE: &str = "42P01";

/// Refuses data whose schema differs from the one that this build makes; the data is left as it is.
/// `place` is where it lies, and `url` leads to each of its databases.
pub async fn check(place: &str, url: impl Fn(&str) -> String) -> anyhow::Result<()> {
    for (database, own) in OWN {
        let applied =
            applied(&url(database)).await.with_context(|| format!("cannot look at {database}"))?;
        let foreign = foreign(&applied, own);
        ensure!(
            foreign.is_none(),
            "the data in {place} has the schema of another build (database {database}, migration {}): \
             it is kept, and the shop is not started. Go on with that build, or forget the data \
             with `shop down --fresh`",
            foreign.unwrap_or_default(),
        );
    }
    Ok(())
}

async fn applied(url: &str) -> anyhow::Result<Vec<AppliedMigration>> {
    let mut db = PgConnection::connect(url).await?;
    let applied = match db.list_applied_migrations(APPLIED).await {
        Err(MigrateError::Execute(sqlx::Error::Database(error)))
            if error.code().is_some_and(|code| code == UNDEFINED_TABLE) =>
        {
            Vec::new()
        }
        applied => applied?,
    };
    db.close().await?;
    Ok(applied)
}

/// The first applied migration that this build does not have, or has with another text.
fn foreign(applied: &[AppliedMigration], own: &[(i64, &'static str)]) -> Option<i64> {
    let migration = |(version, text): (i64, &'static str)| {
        Migration::new(version, "".into(), MigrationType::Simple, text.into_sql_str(), false)
    };
    let ours: Vec<_> = [(1, MAILBOX)].iter().chain(own).copied().map(migration).collect();
    let is_ours = |it: &AppliedMigration| {
        ours.iter().any(|our| our.version == it.version && our.checksum == it.checksum)
    };
    applied.iter().find(|it| !is_ours(it)).map(|it| it.version)
}
