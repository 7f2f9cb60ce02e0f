//! Adopting a database that runs in another cluster than its last tick was written in, because it
//! was upgraded or restored from a backup. Only a person knows which; until one says so, its lane
//! stays stopped.
//!
//! Upgraded (`pg_upgrade`): transaction ids went on where they were, so the last tick is still
//! true. It is written once more, for this cluster.
//!
//! Restored: the transaction ids of the rows are another cluster's, and nobody here knows what was
//! published since the backup. So every row of a leaf that is not sealed gets the id of one
//! transaction of this cluster, and the new tick's snapshot is from before that transaction: all
//! these rows are new to the next poll, which publishes them once more, in order, by a scan. From
//! then on no transaction id of the other cluster is where a poll looks. A writer that holds a
//! position from before is an ordinary one of this cluster, and the leaves that were rewritten are
//! sealed by the ordinary rule only: their E (see `retire`) is assigned anew. The sequence moves on
//! to the next leaf, so that the rewritten ones are left soon. The incarnation is raised, because
//! what is said from here on may contradict what was said after the backup.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, ensure};
use chassis::config::read_command;
use clap::CommandFactory;
use sqlx::{Connection, PgConnection};

use crate::{
    config::Database,
    leader::SETTINGS,
    session::{ANSWER, connect, within},
};

const NAME: &str = "outbox-relay adopt";

/// How long the leader's lock is waited for: a relay whose lane is stopped holds it for a moment
/// every two seconds, one that leads holds it for good.
const PATIENCE: Duration = Duration::from_secs(8);

/// Limit of rewriting the rows: a leaf of four million takes a minute or two.
const REWRITE: Duration = Duration::from_hours(2);

/// What happened to the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adoption {
    Upgraded,
    Restored,
}

/// Takes over a database whose last tick was written in another cluster
#[derive(Debug, clap::Parser)]
#[command(name = NAME)]
struct Args {
    /// The database: orders=postgres://…
    #[arg(
        long,
        env = "SHOP_ADOPT_DATABASE",
        hide_env_values = true,
        value_parser = Database::parse
    )]
    database: Database,
    #[command(flatten)]
    adoption: Flags,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Flags {
    /// By `pg_upgrade`: transaction ids were kept, and no event is repeated
    #[arg(long)]
    upgraded: bool,
    /// From a dump or a backup: what is not known to be published is published once more
    #[arg(long)]
    restored: bool,
}

/// Runs the command `adopt`, if the process was started for it.
pub fn command() -> Option<ExitCode> {
    if std::env::args_os().nth(1)? != "adopt" {
        return None;
    }
    let args = std::env::args_os().skip(1).collect();
    let args: Args = match read_command(Args::command(), args) {
        Ok(args) => args,
        Err(bad) => return Some(bad.report(NAME)),
    };
    let adoption = if args.adoption.upgraded { Adoption::Upgraded } else { Adoption::Restored };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime needs a thread and nothing else");
    let words = runtime.block_on(adopt(&args.database, adoption));
    let (line, code) = match words {
        Ok(words) => (words, ExitCode::SUCCESS),
        Err(error) => (format!("not adopted: {error:#}"), ExitCode::FAILURE),
    };
    // When standard error is closed, there is nobody to report to.
    std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{line}\n")).ok();
    Some(code)
}

/// Makes the database one of this cluster; returns a line that says what was done.
pub async fn adopt(database: &Database, adoption: Adoption) -> anyhow::Result<String> {
    let mut settings = SETTINGS.to_vec();
    // Of two equal settings the last counts: a restored database is rewritten in one statement.
    settings.extend([("statement_timeout", "2h"), ("lock_timeout", "8s")]);
    let mut session = connect(database, &settings).await.context("cannot reach the database")?;
    lead(&mut session, database.lock)
        .await
        .context("a relay leads this database, stop it first, or it cannot be locked")?;
    let words = match adoption {
        Adoption::Upgraded => {
            ensure!(
                upgraded(&mut session).await? > 0,
                "this cluster's transaction ids lie below those that the outbox has seen: it was \
                 not upgraded but restored"
            );
            "adopted as upgraded: the relay goes on from the last tick".to_owned()
        }
        Adoption::Restored => {
            let rows = within(REWRITE, restored(&mut session)).await?;
            format!("adopted as restored: {rows} events will be published once more")
        }
    };
    within(ANSWER, session.close()).await.ok();
    Ok(words)
}

/// Waits for the leader's lock, and keeps it with the session.
async fn lead(session: &mut PgConnection, lock: i64) -> sqlx::Result<()> {
    let locked = sqlx::query!(
        "-- adopt.lead
        select pg_advisory_lock($1)",
        lock
    );
    within(PATIENCE + ANSWER, locked.fetch_one(session)).await.map(drop)
}

/// Writes the last tick once more for this cluster, unless transaction ids began anew in it.
/// Returns how many ticks it wrote.
async fn upgraded(session: &mut PgConnection) -> sqlx::Result<u64> {
    let ticked = sqlx::query!(
        "-- adopt.upgraded
        insert into relay_tick (epoch, system_id, snap, published_pos, scan_to, scan_pos)
        select epoch + 1, system_identifier, snap, published_pos, scan_to, scan_pos
        from relay_tick, pg_control_system()
        where tick_id = (select max(tick_id) from relay_tick)
          and pg_snapshot_xmax(snap) <= pg_snapshot_xmax(pg_current_snapshot())
          and not exists (
            select from outbox
            where xid >= pg_snapshot_xmax(pg_current_snapshot())
          )",
    );
    Ok(ticked.execute(session).await?.rows_affected())
}

/// Adopts a restored database (see the module's text); returns how many rows will be published once
/// more.
async fn restored(session: &mut PgConnection) -> sqlx::Result<u64> {
    let mut tx = session.begin_with("begin isolation level repeatable read").await?;
    // The snapshot is taken first, before the transaction has an id, so what it writes is not in
    // it.
    let before = sqlx::query!(
        r#"-- adopt.before
        select
          pg_current_snapshot()::text as "snapshot!",
          coalesce(
            (select min(first_pos) from outbox_leaf where sealed_at is null),
            (select max(end_pos) from outbox_leaf),
            1
          ) as "low!""#
    )
    .fetch_one(&mut *tx)
    .await?;
    let rewritten = sqlx::query!(
        "-- adopt.rewrite
        update outbox
        set xid = default
        where pos >= $1",
        before.low
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "-- adopt.unseal
        update outbox_leaf
        set seal_xid = null
        where sealed_at is null"
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "-- adopt.next_leaf
        select setval('outbox_pos', min(first_pos), false)
        from outbox_leaf
        where first_pos > (select last_value from outbox_pos)
        having min(first_pos) is not null"
    )
    .fetch_optional(&mut *tx)
    .await?;
    sqlx::query!(
        "-- adopt.incarnation
        update outbox_identity
        set incarnation = incarnation + 1"
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        "-- adopt.restored
        insert into relay_tick (epoch, system_id, snap, published_pos)
        select epoch + 1, system_identifier, $1::text::pg_snapshot, $2
        from relay_tick, pg_control_system()
        where tick_id = (select max(tick_id) from relay_tick)",
        before.snapshot,
        before.low
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(rewritten.rows_affected())
}
