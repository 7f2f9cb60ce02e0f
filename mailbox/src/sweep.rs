//! The sweep: makes leaves and weekly partitions before they are needed, drops old weeks, and
//! decides unknown events once this build knows their types.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use sqlx::PgConnection;
use tokio_util::sync::CancellationToken;

use crate::{
    Clock, UnknownEvents,
    catch_up::CatchUp,
    fault::{Fault, LockPolicy},
    idempotency, inbox, metrics,
    notices::Notices,
    parked::bounds,
    reactor::Reactor,
    session::{LOCK_TIMEOUT, Session, within, within_limit},
    unknown,
    wake::Wake,
};

/// Positions of one leaf, as in the migration `0001_mailbox.sql`.
const LEAF: i64 = 4_194_304;
/// Leaves that are made ahead of the last position, whatever the rate.
const LEAVES_AHEAD: i64 = 3;
/// Time for which leaves are made ahead at the rate of the last sweep, so that a sweep that has
/// stopped stops no sale for half an hour.
const AHEAD: Duration = Duration::from_mins(30);
/// Pause between two sweeps.
const EVERY: Duration = Duration::from_secs(10);
/// Limit of one round, longer than any one statement may take (`session`). One that takes longer has
/// lost its database host, or is continued by the next round: each statement is a step of its own.
const ROUND: Duration = Duration::from_secs(20);
/// Limit of a look after what is set aside, longer than one transaction of it may take (`batch`).
const CATCH_UP: Duration = Duration::from_secs(30);
/// How long a drop waits for the readers of an old week: while it waits for its lock on the parent,
/// nobody else can make a partition.
const DROP_PATIENCE: &str = "1s";
/// Advisory lock of the sweep: of all instances on a database, one sweeps at a time.
const SWEEP_LOCK: i64 = 0x6d61_696c_626f_7801;

/// A table that is partitioned by weeks of a UUIDv7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeeklyTable {
    pub name: &'static str,
    /// Weeks before this one for which partitions are made.
    pub behind: i32,
    /// Weeks before this one that are kept: older ones are dropped, whatever is in them. `None`
    /// keeps all.
    pub kept: Option<i32>,
}

impl WeeklyTable {
    /// The inbox, which every mailbox has.
    pub(crate) const INBOX: Self =
        Self { name: "inbox", behind: inbox::WEEKS_BEHIND, kept: Some(inbox::WEEKS_KEPT) };
}

/// The sweep of one mailbox.
pub(crate) struct Sweep<R: Reactor> {
    pub(crate) reactor: Arc<R>,
    pub(crate) session: Session,
    pub(crate) wake: Wake,
    pub(crate) clock: Clock,
    pub(crate) weekly: Vec<WeeklyTable>,
    pub(crate) notices: Arc<Notices>,
}

impl<R: Reactor> Sweep<R> {
    /// Sweeps until stopped. A failed sweep is logged and tried again: partitions are made half an
    /// hour ahead, so there is time to repair what fails.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        // The classes of parked keys that the metrics show.
        let (mut rate, mut classes) = (Rate::default(), BTreeSet::new());
        // One line for all failures in a row.
        let (mut is_swept, mut is_seen_to) = (true, true);
        loop {
            let swept = within_limit(ROUND, self.once(&mut rate)).await;
            let was_swept = std::mem::replace(&mut is_swept, swept.is_ok());
            if let Err(error) = swept {
                if was_swept {
                    tracing::warn!(error = &error as &dyn std::error::Error, "the sweep failed");
                }
                self.session.close().await;
            }
            let caught_up = tokio::time::timeout(CATCH_UP, self.catch_up(&mut classes)).await;
            let caught_up = caught_up.unwrap_or(Err(Fault::TooSlow));
            let was_seen_to = std::mem::replace(&mut is_seen_to, caught_up.is_ok());
            if let Err(error) = caught_up {
                if was_seen_to {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "could not look after what is set aside");
                }
                self.session.close().await;
            }
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// The part that one instance does for the whole database. What may have to wait for a reader,
    /// the drop, comes last.
    async fn once(&mut self, rate: &mut Rate) -> sqlx::Result<()> {
        let db = self.session.connection().await?;
        let mine = sqlx::query_scalar!(
            r#"-- sweep.lock
            select pg_try_advisory_lock($1) as "mine!""#,
            SWEEP_LOCK
        );
        // The first statement of a round, with a limit: the host may have vanished since the last
        // one.
        let mine = within(mine.fetch_one(&mut *db)).await?;
        if !mine {
            return Ok(());
        }
        let pos = sqlx::query_scalar!(
            "-- sweep.last_pos
            select last_value from outbox_pos"
        )
        .fetch_one(&mut *db)
        .await?;
        make_ahead(db, &self.weekly, rate.moved(pos)).await?;
        while idempotency::expire(db).await? == idempotency::EXPIRED_AT_ONCE {}
        for table in &self.weekly {
            drop_old_weeks(db, table).await?;
        }
        sqlx::query!(
            "-- sweep.unlock
            select pg_advisory_unlock($1)",
            SWEEP_LOCK
        )
        .fetch_one(&mut *db)
        .await?;
        Ok(())
    }

    /// The part that every instance does, because it may know types that the others do not: decides
    /// unknown events, and counts the rest and what is parked.
    async fn catch_up(&mut self, classes: &mut BTreeSet<String>) -> Result<(), Fault> {
        let catch_up = CatchUp {
            reactor: &*self.reactor,
            wake: &self.wake,
            clock: self.clock,
            locking: LockPolicy::Wait,
        };
        let db = self.session.connection().await?;
        catch_up.sweep(db).await?;
        let stock = unknown::stock(db).await?;
        let now = self.clock.now();
        let age = stock.oldest.map(|since| now - since).unwrap_or_default();
        metrics::unknown_kept(stock.events, age);
        metrics::keys_parked(bounds::classes(db).await?, classes, now);
        let unknown = stock.oldest.map(|since| UnknownEvents { count: stock.events, since });
        self.notices.set_unknown(unknown);
        Ok(())
    }
}

/// Makes the leaves and weeks that are missing. A batch that met a missing partition calls it, too.
pub(crate) async fn make_ahead(
    db: &mut PgConnection,
    weekly: &[WeeklyTable],
    positions_per_sweep: i64,
) -> sqlx::Result<()> {
    let state = sqlx::query!(
        r#"-- sweep.state
        select (select last_value from outbox_pos) as "last_pos!",
               (select coalesce(max(end_pos), 1) from outbox_leaf) as "end_pos!""#
    )
    .fetch_one(&mut *db)
    .await?;
    for first in leaves_to_make(state.last_pos, state.end_pos, positions_per_sweep) {
        sqlx::query!(
            r#"-- sweep.make
            select make_outbox_leaf($1, $2) as "made: ()""#,
            first,
            first - first % LEAF + LEAF
        )
        .fetch_one(&mut *db)
        .await?;
    }
    for table in weekly {
        sqlx::query!(
            r#"-- sweep.make_weeks
            select make_weeks($1, $2) as "made: ()""#,
            table.name,
            table.behind
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

/// How fast the outbox uses positions up.
#[derive(Default)]
struct Rate {
    last_pos: Option<i64>,
}

impl Rate {
    /// Positions since the last sweep; none at the first.
    fn moved(&mut self, pos: i64) -> i64 {
        self.last_pos.replace(pos).map_or(0, |before| pos - before)
    }
}

/// Drops the weeks of a table that are older than it keeps, without blocking writers of other
/// weeks. A week that somebody reads is left for the next sweep. A week whose detaching or dropping
/// was broken off is found by its name, whether it is still a partition or not.
async fn drop_old_weeks(db: &mut PgConnection, table: &WeeklyTable) -> sqlx::Result<()> {
    let Some(kept) = table.kept else { return Ok(()) };
    let old = sqlx::query!(
        r#"-- sweep.old_weeks
        select c.relname as "leaf!", i.inhrelid is not null as "is_attached!",
               coalesce(i.inhdetachpending, false) as "is_pending!"
        from pg_class c
        left join pg_inherits i on i.inhrelid = c.oid
        where c.relkind = 'r'
          and c.relnamespace = (select relnamespace from pg_class where oid = 'inbox'::regclass)
          and case when c.relname ~ ('^' || $2::text || '_w[0-9]+$') then
              substr(c.relname::text, length($2) + 3)::bigint
              < floor(extract(epoch from clock_timestamp()) / 604800)::int - $1::int
          end
        -- A pending detach lets no other begin.
        order by 3 desc, 1"#,
        kept,
        table.name
    )
    .fetch_all(&mut *db)
    .await?;
    if old.is_empty() {
        return Ok(());
    }
    ddl(db, format!("set lock_timeout = '{DROP_PATIENCE}'")).await?;
    for week in old {
        let leaf = week.leaf;
        let (is_attached, is_pending) = (week.is_attached, week.is_pending);
        if let Err(error) = drop_week(db, (table.name, &leaf), is_attached, is_pending).await {
            tracing::info!(
                leaf,
                error = &error as &dyn std::error::Error,
                "an old week of a table stays for now"
            );
        }
    }
    ddl(db, format!("set lock_timeout = '{LOCK_TIMEOUT}'")).await
}

async fn drop_week(
    db: &mut PgConnection,
    (parent, leaf): (&str, &str),
    is_attached: bool,
    is_pending: bool,
) -> sqlx::Result<()> {
    if is_attached {
        let how = if is_pending { "finalize" } else { "concurrently" };
        ddl(db, format!("alter table {parent} detach partition {leaf} {how}")).await?;
    }
    ddl(db, format!("drop table {leaf}")).await
}

/// Runs one statement by itself: `detach partition concurrently` may be in no transaction.
async fn ddl(db: &mut PgConnection, statement: String) -> sqlx::Result<()> {
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement)).execute(db).await.map(drop)
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
    fn the_rate_is_what_was_used_up_since_the_last_sweep() {
        let mut rate = Rate::default();
        assert_eq!(rate.moved(1_000), 0, "nobody knows how long that took");
        assert_eq!(rate.moved(1_500), 500);
        assert_eq!(rate.moved(1_500), 0);
    }

    #[test]
    fn a_fresh_database_starts_its_first_leaf_at_one() {
        assert_eq!(leaves_to_make(1, 1, 0), vec![1, LEAF, 2 * LEAF, 3 * LEAF]);
    }
}
