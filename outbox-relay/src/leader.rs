//! Who publishes: one session per database, which holds the lock, runs the polls and writes the ticks.
//!
//! A tick says: everything visible in this snapshot is in Kafka. It is inserted, never updated (an
//! updated row would grow a chain of dead ones under a held snapshot), and only after Kafka has
//! acknowledged all of it. The cursor in memory is ahead of the ticks, and it dies with the
//! session: a PostgreSQL that crashed hands the ids of unflushed transactions that were rolled back
//! out again, below a cursor that has seen them. What a tick was committed with is flushed, so ids
//! that its snapshot calls finished never come back.
//!
//! Two leaders at once (a session that only its client believes in) can duplicate, never lose or
//! reorder: each publishes every difference in order, and every tick that is written is true.

use std::{str::FromStr, sync::Arc, time::Duration};

use sqlx::{
    ConnectOptions, Connection, PgConnection,
    postgres::{PgConnectOptions, PgSslMode},
};

use crate::{
    config::Database,
    envelope::{EventType, Identity},
    poll::Bounds,
};

/// The advisory lock of an outbox's leader ("outbox" in ASCII). Locks are per database.
pub const LOCK: i64 = 0x6f75_7462_6f78;

/// How often a relay that stands by asks for the lock. A wait for it inside of PostgreSQL would
/// hold a snapshot.
const STAND_BY: Duration = Duration::from_millis(250);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a statement that touches a handful of rows may take. The time-outs below are the
/// server's; a server that vanished without a word ends nothing, so every wait has one of ours.
pub(crate) const ANSWER: Duration = Duration::from_secs(10);

/// Closing is a courtesy.
const CLOSE: Duration = Duration::from_secs(1);

/// Beyond the leaves there are, a poll's bound is this much above the last position.
const BEYOND: i64 = 4_194_304;

/// What pins the plans (see `poll`), and what ends the session of a leader that is frozen or gone:
/// a leader polls or pings at least every second, so ten idle seconds mean that it is none.
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
    // A backend whose client has given a statement up ends, and the lock it holds with it.
    ("client_connection_check_interval", "1s"),
    ("tcp_keepalives_idle", "3"),
    ("tcp_keepalives_interval", "1"),
    ("tcp_keepalives_count", "5"),
    ("tcp_user_timeout", "10s"),
];

/// How far a relay has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Everything visible in it is in Kafka.
    pub(crate) snap: Arc<str>,
    /// A scan under way: its other snapshot, and the position reached.
    pub(crate) scan: Option<(Arc<str>, i64)>,
    /// Everything below it that can be seen in it is in Kafka.
    pub(crate) published_pos: i64,
}

/// Why nobody leads.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoLeader {
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Session(#[from] sqlx::Error),
}

/// The session that leads.
pub(crate) struct Leader {
    pub(crate) session: PgConnection,
    epoch: i64,
    system_id: i64,
    /// The snapshot of the last tick that is committed.
    pub(crate) durable: Arc<str>,
}

/// Opens a session of the relay's own.
pub(crate) async fn connect(
    database: &Database,
    settings: &[(&str, &str)],
) -> sqlx::Result<PgConnection> {
    let options = PgConnectOptions::from_str(database.url())?
        .application_name("outbox-relay")
        .ssl_mode(PgSslMode::Prefer)
        .statement_cache_capacity(16)
        .options(settings.iter().copied())
        .disable_statement_logging();
    within(CONNECT_TIMEOUT, PgConnection::connect_with(&options)).await
}

/// The end of `work`, or an error that costs its session, after `limit`.
pub(crate) async fn within<T>(
    limit: Duration,
    work: impl Future<Output = sqlx::Result<T>>,
) -> sqlx::Result<T> {
    tokio::time::timeout(limit, work).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Who speaks from a database, once its service has said so.
pub(crate) async fn identity(session: &mut PgConnection) -> sqlx::Result<Option<Identity>> {
    let identity = sqlx::query_as!(
        Identity,
        "-- leader.identity
        select source, incarnation
        from outbox_identity",
    );
    within(ANSWER, identity.fetch_optional(session)).await
}

/// What the type numbers mean.
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
    /// Waits for the lock, calling `stands_by` while another holds it, and says so in a tick.
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

    /// The last committed tick.
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

    /// Makes a cursor durable. Kafka has acknowledged everything before it.
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

    /// Ticks older than an hour go, the last never.
    pub(crate) async fn forget_ticks(&mut self) -> sqlx::Result<()> {
        let forgotten = sqlx::query!(
            "-- leader.forget_ticks
            delete from relay_tick
            where at < clock_timestamp() - interval '1 hour'
              and tick_id < (select max(tick_id) from relay_tick)",
        );
        within(ANSWER, forgotten.execute(&mut self.session)).await.map(drop)
    }

    /// Why an operator has paused the lane, if one has. Asked every second, it also keeps the
    /// session from looking idle, and finds out that it is lost.
    pub(crate) async fn pause(&mut self) -> sqlx::Result<Option<String>> {
        let paused = sqlx::query_scalar!(
            "-- leader.pause
            select reason
            from lane_pause",
        );
        within(ANSWER, paused.fetch_optional(&mut self.session)).await
    }

    /// Between which positions rows can be that are not published.
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
