//! The leader: one session per database, which holds the lock, runs the polls and writes the ticks.
//!
//! A tick, as `PgQ` calls a checkpoint, says: everything visible in this snapshot is in Kafka. It
//! is a row of `relay_tick`, inserted, never updated (an updated row would grow a chain of dead
//! ones under a held snapshot), and only after Kafka has acknowledged all of it. The cursor in
//! memory is ahead of the ticks, and it dies with the session: a PostgreSQL that crashed hands the
//! ids of unflushed transactions that were rolled back out again, below a cursor that has seen
//! them. The transaction that wrote a tick is flushed, and everything before it, so ids that the
//! tick's snapshot calls finished never come back.
//!
//! Two leaders at once (one of them with a session that only its client believes in) can duplicate,
//! never lose or reorder: each publishes every difference in order, and every tick that is written
//! is true.

use std::{sync::Arc, time::Duration};

use sqlx::{Connection, PgConnection};

use crate::{
    config::Database,
    envelope::{EventType, Identity},
    poll::Bounds,
    session::{ANSWER, connect, within},
};

/// The advisory lock of an outbox's leader ("outbox" in ASCII). Locks are per database.
pub const LOCK: i64 = 0x6f75_7462_6f78;

/// How often a relay that stands by asks for the lock. If it waited for the lock inside of
/// PostgreSQL, it would hold a snapshot all the while.
const STAND_BY: Duration = Duration::from_millis(250);

/// How long closing a session may take; it only tells the server sooner (`Leader::close`).
const CLOSE: Duration = Duration::from_secs(1);

/// How far above the last position a poll's upper bound is, where no leaf is there to give it.
const BEYOND: i64 = 4_194_304;

/// Settings that pin the plans (see `poll`), and that end the session of a leader that is frozen or
/// gone: a leader polls or asks for a pause at least every second, so a session that is idle for
/// ten seconds has no leader any more.
pub const SETTINGS: [(&str, &str); 19] = [
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_sort", "off"),
    ("enable_incremental_sort", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("enable_material", "off"),
    ("jit", "off"),
    ("max_parallel_workers_per_gather", "0"),
    ("plan_cache_mode", "force_generic_plan"),
    ("synchronous_commit", "on"),
    ("statement_timeout", "10min"),
    ("lock_timeout", "10s"),
    ("idle_session_timeout", "10s"),
    // A backend whose client has given up on a statement ends, and frees the lock it holds.
    ("client_connection_check_interval", "1s"),
    ("tcp_keepalives_idle", "3"),
    ("tcp_keepalives_interval", "1"),
    ("tcp_keepalives_count", "5"),
    ("tcp_user_timeout", "10s"),
];

/// How far publishing has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Everything visible in this snapshot is in Kafka.
    pub(crate) snap: Arc<str>,
    /// A scan under way: the newer of its two snapshots, and the position reached.
    pub(crate) scan: Option<(Arc<str>, i64)>,
    /// Everything below this position that is visible in `snap` is in Kafka.
    pub(crate) published_pos: i64,
}

/// Why this process cannot lead the database.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoLeader {
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Session(#[from] sqlx::Error),
}

/// The session that leads a database.
pub(crate) struct Leader {
    pub(crate) session: PgConnection,
    pub(crate) epoch: i64,
    system_id: i64,
    /// The snapshot of the last committed tick.
    pub(crate) durable: Arc<str>,
}

/// The source and incarnation of a database, once its service has registered them.
pub(crate) async fn identity(session: &mut PgConnection) -> sqlx::Result<Option<Identity>> {
    let identity = sqlx::query_as!(
        Identity,
        "-- leader.identity
        select source, incarnation
        from outbox_identity",
    );
    within(ANSWER, identity.fetch_optional(session)).await
}

/// The topic and name of each type number.
pub(crate) async fn event_types(session: &mut PgConnection) -> sqlx::Result<Vec<EventType>> {
    let types = sqlx::query_as!(
        EventType,
        r#"-- leader.event_types
        select type as number, topic, name
        from event_types"#,
    );
    within(ANSWER, types.fetch_all(session)).await
}

impl Leader {
    /// Waits for the lock, calling `stands_by` while another session holds it, then raises the
    /// epoch with a first tick.
    pub(crate) async fn take(database: &Database, stands_by: impl Fn()) -> Result<Self, NoLeader> {
        let mut session = connect(database, &SETTINGS).await?;
        loop {
            let asked = sqlx::query!(
                r#"-- leader.take
                select
                  pg_is_in_recovery() as "is_standby!",
                  case when pg_is_in_recovery() then false else pg_try_advisory_lock($1) end as "is_held!""#,
                database.lock,
            );
            let seat = within(ANSWER, asked.fetch_one(&mut session)).await?;
            if seat.is_standby {
                let why = "this is a standby: only a primary says what is committed".to_owned();
                return Err(NoLeader::Refused(why));
            }
            if seat.is_held {
                break;
            }
            stands_by();
            tokio::time::sleep(STAND_BY).await;
        }
        let mut leader = Self { session, epoch: 0, system_id: 0, durable: "".into() };
        let cursor = leader.resume().await?;
        leader.epoch += 1;
        leader.tick(&cursor).await?;
        Ok(leader)
    }

    /// Reads the last committed tick, from which publishing goes on.
    pub(crate) async fn resume(&mut self) -> Result<Cursor, NoLeader> {
        let found = sqlx::query!(
            r#"-- leader.resume
            select
              epoch,
              system_id,
              snap::text as "snap!",
              published_pos,
              scan_to::text as scan_to,
              scan_pos,
              (select system_identifier from pg_control_system()) as "cluster!"
            from relay_tick
            order by tick_id desc
            limit 1"#,
        );
        let last = within(ANSWER, found.fetch_one(&mut self.session)).await?;
        if last.system_id != last.cluster {
            return Err(NoLeader::Refused(format!(
                "the last tick was written in cluster {}, this is cluster {}: an upgraded one or a \
                 restored dump. Which of the two, a person has to say (outbox-relay adopt)",
                last.system_id, last.cluster
            )));
        }
        self.epoch = self.epoch.max(last.epoch);
        self.system_id = last.system_id;
        self.durable = last.snap.as_str().into();
        let scan = last.scan_to.zip(last.scan_pos).map(|(to, pos)| (to.into(), pos));
        Ok(Cursor { snap: last.snap.into(), scan, published_pos: last.published_pos })
    }

    /// Writes a cursor as a tick. Kafka must have acknowledged everything before it.
    pub(crate) async fn tick(&mut self, cursor: &Cursor) -> sqlx::Result<()> {
        let (scan_to, scan_pos) = cursor.scan.as_ref().map(|(to, pos)| (&**to, *pos)).unzip();
        let tick = sqlx::query!(
            "-- leader.tick
            insert into relay_tick (epoch, system_id, snap, published_pos, scan_to, scan_pos)
            values ($1, $2, $3::text::pg_snapshot, $4, $5::text::pg_snapshot, $6)",
            self.epoch,
            self.system_id,
            &*cursor.snap,
            cursor.published_pos,
            scan_to,
            scan_pos,
        );
        within(ANSWER, tick.execute(&mut self.session)).await?;
        self.durable = Arc::clone(&cursor.snap);
        Ok(())
    }

    /// Deletes ticks that are older than an hour, never the last one.
    pub(crate) async fn forget_ticks(&mut self) -> sqlx::Result<()> {
        let forgotten = sqlx::query!(
            "-- leader.forget_ticks
            delete from relay_tick
            where at < clock_timestamp() - interval '1 hour'
              and tick_id < (select max(tick_id) from relay_tick)",
        );
        within(ANSWER, forgotten.execute(&mut self.session)).await.map(drop)
    }

    /// The reason of an operator's pause, if the lane is paused. Asked every second, the question
    /// also keeps the session from being idle, and finds out if it is lost.
    pub(crate) async fn pause(&mut self) -> sqlx::Result<Option<String>> {
        let paused = sqlx::query_scalar!(
            "-- leader.pause
            select reason
            from lane_pause",
        );
        within(ANSWER, paused.fetch_optional(&mut self.session)).await
    }

    /// The positions between which unpublished rows can be.
    pub(crate) async fn bounds(&mut self) -> sqlx::Result<Bounds> {
        let looked = sqlx::query!(
            r#"-- leader.bounds
            select
              coalesce(
                (select min(first_pos) from outbox_leaf where sealed_at is null),
                (select max(end_pos) from outbox_leaf),
                1
              ) as "low!",
              (
                select min(end_pos)
                from outbox_leaf
                where end_pos > (select last_value from outbox_pos)
              ) as high,
              (select last_value from outbox_pos) as "last_value!""#,
        );
        let found = within(ANSWER, looked.fetch_one(&mut self.session)).await?;
        let high = found.high.unwrap_or(found.last_value + BEYOND);
        Ok(Bounds { low: found.low, high: high.max(found.low) })
    }

    pub(crate) async fn close(self) {
        // Closing tells PostgreSQL at once that the lock is free; a failure only delays that.
        drop(within(CLOSE, self.session.close()).await);
    }
}
