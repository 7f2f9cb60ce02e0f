//! The sweep: leaves and partitions are there before they are needed, and go when nothing needs
//! them.

use std::time::Duration;

use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use crate::{idempotency, inbox, session::Session};

/// As the migration makes them.
const LEAF: i64 = 4_194_304;
/// Leaves ahead of the position in use, whatever the rate.
const LEAVES_AHEAD: i64 = 3;
/// And enough for half an hour at the rate of the last sweep, so that a stopped relay or sweep
/// stops no sale.
const AHEAD: Duration = Duration::from_mins(30);
const EVERY: Duration = Duration::from_secs(10);
/// One sweeper a database: any number of services' instances may try.
const SWEEP_LOCK: i64 = 0x6d61_696c_626f_7801;

/// Sweeps until stopped. A failed sweep is told and tried again: there is half an hour to mend it.
pub(crate) async fn sweep(
    mut session: Session,
    weekly: Vec<&'static str>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let mut rate = Rate::default();
    loop {
        if let Err(error) = once(&mut session, &weekly, &mut rate).await {
            tracing::warn!(error = &error as &dyn std::error::Error, "the sweep failed");
            session.close().await;
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

/// What is needed now; for a batch that met a missing partition.
pub(crate) async fn make_ahead(
    db: &mut PgConnection,
    weekly: &[&str],
    positions_per_sweep: i64,
) -> sqlx::Result<()> {
    let state = sqlx::query!(
        r#"-- leaves.state
        select (select last_value from outbox_pos) as "last_pos!",
               (select coalesce(max(end_pos), 1) from outbox_leaf) as "end_pos!""#
    )
    .fetch_one(&mut *db)
    .await?;
    for first in leaves_to_make(state.last_pos, state.end_pos, positions_per_sweep) {
        sqlx::query!(
            r#"-- leaves.make
            select make_outbox_leaf($1, $2) as "made: ()""#,
            first,
            first - first % LEAF + LEAF
        )
        .fetch_one(&mut *db)
        .await?;
    }
    for parent in weekly {
        sqlx::query!(
            r#"-- leaves.make_weeks
            select make_weeks($1, $2) as "made: ()""#,
            parent,
            if *parent == "inbox" { inbox::WEEKS_BEHIND } else { 0 }
        )
        .fetch_one(&mut *db)
        .await?;
    }
    Ok(())
}

/// The first positions of the leaves that are missing.
fn leaves_to_make(last_pos: i64, end_pos: i64, positions_per_sweep: i64) -> Vec<i64> {
    let sweeps = i64::try_from(AHEAD.as_secs() / EVERY.as_secs()).unwrap_or(i64::MAX);
    let ahead = (LEAVES_AHEAD * LEAF).max(positions_per_sweep.saturating_mul(sweeps));
    let needed = last_pos.saturating_add(ahead);
    let mut firsts = Vec::new();
    let mut first = end_pos;
    while first < needed {
        firsts.push(first);
        first = first - first % LEAF + LEAF;
    }
    firsts
}

#[derive(Default)]
struct Rate {
    last_pos: Option<i64>,
}

async fn once(session: &mut Session, weekly: &[&str], rate: &mut Rate) -> sqlx::Result<()> {
    let db = session.connection().await?;
    let mine = sqlx::query_scalar!(
        r#"-- leaves.lock
        select pg_try_advisory_lock($1) as "mine!""#,
        SWEEP_LOCK
    )
    .fetch_one(&mut *db)
    .await?;
    if !mine {
        return Ok(());
    }
    let pos = sqlx::query_scalar!(
        "-- leaves.last_pos
        select last_value from outbox_pos"
    )
    .fetch_one(&mut *db)
    .await?;
    let moved = rate.last_pos.replace(pos).map_or(0, |before| pos - before);
    make_ahead(db, weekly, moved).await?;
    drop_old_weeks(db).await?;
    while idempotency::expire(db).await? == 1_000 {}
    sqlx::query!(
        "-- leaves.unlock
        select pg_advisory_unlock($1)",
        SWEEP_LOCK
    )
    .fetch_one(&mut *db)
    .await?;
    Ok(())
}

/// Ids older than the inbox keeps leave with their week; writers of the others are not blocked.
async fn drop_old_weeks(db: &mut PgConnection) -> sqlx::Result<()> {
    let old = sqlx::query!(
        r#"-- leaves.old_weeks
        select c.relname as "leaf!", i.inhdetachpending as "pending!"
        from pg_inherits i
        join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'inbox'::regclass
          and c.relname ~ '^inbox_w[0-9]+$'
          and substr(c.relname::text, 8)::int
              < floor(extract(epoch from clock_timestamp()) / 604800)::int - $1::int"#,
        inbox::WEEKS_KEPT
    )
    .fetch_all(&mut *db)
    .await?;
    for week in old {
        let leaf = week.leaf;
        let how = if week.pending { "finalize" } else { "concurrently" };
        let detach = format!("alter table inbox detach partition {leaf} {how}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(detach)).execute(&mut *db).await?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("drop table {leaf}"))).execute(&mut *db).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_leaves_are_ahead_when_little_happens() {
        assert_eq!(leaves_to_make(1, 3 * LEAF, 0), vec![3 * LEAF]);
        assert!(leaves_to_make(1, 4 * LEAF, 0).is_empty());
    }

    #[test]
    fn half_an_hour_is_ahead_when_much_happens() {
        let last = 10 * LEAF;
        let made = leaves_to_make(last, 11 * LEAF, LEAF);
        assert_eq!(made.first(), Some(&(11 * LEAF)));
        assert_eq!(made.len(), 179);
    }

    #[test]
    fn a_fresh_database_starts_its_first_leaf_at_one() {
        assert_eq!(leaves_to_make(1, 1, 0), vec![1, LEAF, 2 * LEAF, 3 * LEAF]);
    }
}
