//! Leaves: sealed when no writer can add to them and all their rows are published, dropped when
//! nobody needs them any more.
//!
//! A writer has its transaction id before its position. So once the sequence has passed a leaf's
//! end, a transaction id E that is assigned in a later statement is above that of every writer
//! which holds a position in the leaf. When no transaction below E runs (by the `pg_snapshot_xmin`
//! of now), nobody can add to the leaf; when the snapshot of the last durable tick says the same,
//! whatever those writers added is in Kafka. `xmax` will not do: a writer that still runs can be
//! above it.
//!
//! Dropping blocks nobody: the leaf is detached concurrently, in a session of its own, and only
//! then dropped. A detach waits for sessions that read the outbox, and its last wait holds the lock
//! on the parent that the making of leaves needs, too. So no wait lasts longer than a second
//! (`lock_timeout`): a detach that is cut short stays pending, and is finalized in one of the next
//! rounds.

use std::{sync::Arc, time::Duration};

use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Database, RelayOptions},
    metrics::Gauges,
    session::{ANSWER, connect, within},
    status::LaneStatus,
};

/// Leaves that are always kept, counting back from the one that is written, whatever their age.
const LEAVES_BEHIND: usize = 2;

/// How often the outbox is looked at for the metrics.
const OBSERVE: Duration = Duration::from_secs(5);

/// Limit of dropping a leaf: some gigabytes take seconds, and a host that takes longer will not
/// come back.
const DDL: Duration = Duration::from_mins(1);

/// Whoever makes leaves waits at most 8 s for the parent's lock, so a detach may hold it for one.
const SETTINGS: [(&str, &str); 8] = [
    ("statement_timeout", "55s"),
    ("lock_timeout", "1s"),
    ("jit", "off"),
    ("client_connection_check_interval", "1s"),
    ("tcp_keepalives_idle", "3"),
    ("tcp_keepalives_interval", "1"),
    ("tcp_keepalives_count", "5"),
    ("tcp_user_timeout", "10s"),
];

/// Assigns E, the `seal_xid`, to leaves whose end the sequence has passed according to an earlier
/// statement. Returns whether a leaf waits to be sealed.
pub(crate) async fn note_ends(session: &mut PgConnection, last_value: i64) -> sqlx::Result<bool> {
    let noted = sqlx::query!(
        "-- retire.note_ends
        update outbox_leaf
        set seal_xid = pg_current_xact_id()
        where seal_xid is null
          and end_pos <= $1",
        last_value,
    );
    within(ANSWER, noted.execute(&mut *session)).await?;
    let awaits = sqlx::query_scalar!(
        r#"-- retire.awaits_seal
        select exists (
          select from outbox_leaf
          where seal_xid is not null and sealed_at is null
        ) as "awaits!""#,
    );
    within(ANSWER, awaits.fetch_one(session)).await
}

/// Seals the leaves that can be sealed; true if there was one.
pub(crate) async fn seal(session: &mut PgConnection, durable: &str) -> sqlx::Result<bool> {
    let sealed = sqlx::query!(
        "-- retire.seal
        update outbox_leaf
        set sealed_at = clock_timestamp()
        where sealed_at is null
          and seal_xid <= pg_snapshot_xmin(pg_current_snapshot())
          and seal_xid <= pg_snapshot_xmin($1::text::pg_snapshot)",
        durable,
    );
    Ok(within(ANSWER, sealed.execute(session)).await?.rows_affected() > 0)
}

/// A leaf, as far as dropping needs to know.
#[derive(Clone, Debug)]
struct Leaf {
    first_pos: i64,
    end_pos: i64,
    bytes: i64,
    is_attached: bool,
    is_sealed: bool,
    is_expired: bool,
}

impl Leaf {
    /// The leaf's table, named as `make_outbox_leaf` of the migration names it.
    fn table(&self) -> String {
        format!("outbox_{:018}", self.first_pos)
    }
}

/// The leaves that may be dropped: sealed, past retention or beyond the size budget, and far enough
/// behind the written one. The oldest first, and none after one that stays.
fn droppable(leaves: &[Leaf], last_value: i64, budget: i64) -> Vec<Leaf> {
    let written = leaves.iter().filter(|leaf| leaf.end_pos <= last_value).count();
    let behind = (written + 1).saturating_sub(LEAVES_BEHIND);
    let mut bytes: i64 = leaves.iter().map(|leaf| leaf.bytes).sum();
    let mut goes = Vec::new();
    for leaf in leaves.iter().take(behind) {
        if !leaf.is_sealed || !(leaf.is_expired || bytes > budget) {
            break;
        }
        bytes -= leaf.bytes;
        goes.push(leaf.clone());
    }
    goes
}

/// Drops leaves and measures the outbox, while this process leads.
pub(crate) struct Retire {
    database: Database,
    options: Arc<RelayOptions>,
    status: LaneStatus,
    gauges: Gauges,
}

impl Retire {
    pub(crate) fn new(database: Database, options: Arc<RelayOptions>, status: LaneStatus) -> Self {
        let gauges = Gauges::new(&database.label);
        Self { database, options, status, gauges }
    }

    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        stop.run_until_cancelled(self.rounds()).await;
        Ok(())
    }

    /// Uses one session for all rounds, replaced after any error.
    async fn rounds(&self) {
        let (mut session, mut is_well) = (None, true);
        let (mut drops, mut looks) = (interval(self.options.tidy_every), interval(OBSERVE));
        drops.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_drop = tokio::select! {
                _ = drops.tick() => true,
                _ = looks.tick() => false,
            };
            if !self.status.leads() {
                session = None;
                continue;
            }
            let round = self.round(&mut session, is_drop).await;
            let was_well = std::mem::replace(&mut is_well, round.is_ok());
            if let Err(error) = round {
                // Of failures in a row only the first.
                if was_well {
                    let error = &error as &dyn std::error::Error;
                    let database = &*self.database.label;
                    tracing::warn!(database, error, is_drop, "could not look after the outbox");
                }
                session = None;
            }
        }
    }

    async fn round(&self, kept: &mut Option<PgConnection>, is_drop: bool) -> sqlx::Result<()> {
        let session = match kept {
            Some(session) => session,
            None => kept.insert(connect(&self.database, &SETTINGS).await?),
        };
        if is_drop { self.drop_leaves(session).await } else { self.observe(session).await }
    }

    async fn drop_leaves(&self, session: &mut PgConnection) -> sqlx::Result<()> {
        finalize(session).await?;
        let retention = self.options.outbox_retention.as_secs_f64();
        let leaves = leaves(session, retention).await?;
        let last_value = last_value(session).await?;
        let budget = i64::try_from(self.options.outbox_size).unwrap_or(i64::MAX);
        for leaf in droppable(&leaves, last_value, budget) {
            let (table, first) = (leaf.table(), leaf.first_pos);
            if leaf.is_attached {
                let detach = format!("alter table outbox detach partition {table} concurrently");
                ddl(session, detach).await?;
            }
            // Sent in one call, both statements are one transaction: the row goes with the table.
            let drop = format!(
                "drop table if exists {table}; delete from outbox_leaf where first_pos = {first}"
            );
            ddl(session, drop).await?;
            tracing::info!(database = &*self.database.label, table, "a leaf was dropped");
        }
        Ok(())
    }

    async fn observe(&self, session: &mut PgConnection) -> sqlx::Result<()> {
        let outbox = look(session).await?;
        self.gauges.pending.set(outbox.pending);
        self.gauges.oldest.set(outbox.oldest);
        self.gauges.leaves.set(outbox.leaves);
        self.gauges.bytes.set(outbox.bytes);
        Ok(())
    }
}

/// Finalizes a detach that was cut short: while it is pending, no other can begin.
async fn finalize(session: &mut PgConnection) -> sqlx::Result<()> {
    let pending = sqlx::query_scalar!(
        r#"-- retire.pending
        select quote_ident(relname) as "leaf!"
        from pg_inherits
        join pg_class on pg_class.oid = inhrelid
        where inhparent = 'outbox'::regclass
          and inhdetachpending"#,
    );
    for leaf in within(ANSWER, pending.fetch_all(&mut *session)).await? {
        ddl(session, format!("alter table outbox detach partition {leaf} finalize")).await?;
    }
    Ok(())
}

/// Every leaf, the oldest first.
async fn leaves(session: &mut PgConnection, retention_seconds: f64) -> sqlx::Result<Vec<Leaf>> {
    let leaves = sqlx::query_as!(
        Leaf,
        r#"-- retire.leaves
        select
          first_pos,
          end_pos,
          coalesce(pg_total_relation_size(leaf), 0) as "bytes!",
          exists (select from pg_inherits where inhrelid = leaf) as "is_attached!",
          sealed_at is not null as "is_sealed!",
          coalesce(sealed_at < clock_timestamp() - make_interval(secs => $1), false) as "is_expired!"
        from outbox_leaf, to_regclass('outbox_' || lpad(first_pos::text, 18, '0')) as leaf
        order by first_pos"#,
        retention_seconds,
    );
    within(ANSWER, leaves.fetch_all(session)).await
}

async fn last_value(session: &mut PgConnection) -> sqlx::Result<i64> {
    let last_value = sqlx::query_scalar!(
        r#"-- retire.last_value
        select last_value as "last_value!"
        from outbox_pos"#
    );
    within(ANSWER, last_value.fetch_one(session)).await
}

/// What the gauges show of an outbox.
struct Outbox {
    pending: f64,
    oldest: f64,
    leaves: f64,
    bytes: f64,
}

/// Measures the outbox; rows behind the last tick are counted up to a limit that keeps this cheap.
async fn look(session: &mut PgConnection) -> sqlx::Result<Outbox> {
    let looked = sqlx::query_as!(
        Outbox,
        r#"-- retire.look
        with
          tick as (select published_pos from relay_tick order by tick_id desc limit 1),
          behind as (
            select pos, created_at
            from outbox
            where pos >= (select published_pos from tick)
            order by pos
            limit 100000
          )
        select
          (select count(*) from behind)::float8 as "pending!",
          coalesce(
            extract(epoch from clock_timestamp()
              - (select created_at from behind order by pos limit 1)), 0
          )::float8 as "oldest!",
          count(*)::float8 as "leaves!",
          coalesce(
            sum(pg_total_relation_size(to_regclass('outbox_' || lpad(first_pos::text, 18, '0')))), 0
          )::float8 as "bytes!"
        from outbox_leaf"#,
    );
    within(ANSWER, looked.fetch_one(session)).await
}

/// Runs a statement with computed names by itself: `detach … concurrently` may be in no
/// transaction.
async fn ddl(session: &mut PgConnection, text: String) -> sqlx::Result<()> {
    within(DDL, sqlx::raw_sql(AssertSqlSafe(text)).execute(session)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(number: i64, is_sealed: bool, is_expired: bool) -> Leaf {
        let (first_pos, end_pos) = (number * 100, number * 100 + 100);
        Leaf { first_pos, end_pos, bytes: 10, is_attached: true, is_sealed, is_expired }
    }

    fn dropped(leaves: &[Leaf], last_value: i64, budget: i64) -> Vec<i64> {
        droppable(leaves, last_value, budget).iter().map(|leaf| leaf.first_pos).collect()
    }

    #[test]
    fn only_what_is_sealed_and_old_and_behind_goes() {
        let leaves: Vec<_> = (0..6).map(|n| leaf(n, n < 3, n < 3)).collect();

        assert_eq!(dropped(&leaves, 350, 1000), [0, 100], "two stay behind the one written");
        assert_eq!(dropped(&leaves, 599, 1000), [0, 100, 200], "what is not sealed stays");
        assert_eq!(dropped(&leaves, 150, 1000), [] as [i64; 0]);
    }

    #[test]
    fn a_budget_takes_the_oldest_first_and_no_more_than_needed() {
        let leaves: Vec<_> = (0..6).map(|n| leaf(n, n < 4, false)).collect();

        assert_eq!(dropped(&leaves, 599, 60), [] as [i64; 0]);
        assert_eq!(dropped(&leaves, 599, 45), [0, 100]);
        assert_eq!(dropped(&leaves, 599, 0), [0, 100, 200, 300]);
    }

    #[test]
    fn nothing_goes_from_behind_one_that_stays() {
        let leaves =
            [leaf(0, true, false), leaf(1, true, true), leaf(2, true, true), leaf(3, true, true)];

        assert_eq!(dropped(&leaves, 399, 1000), [] as [i64; 0]);
    }
}
