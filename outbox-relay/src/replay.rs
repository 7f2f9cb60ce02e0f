//! Replays: events that were published before are published once more, because an operator asked
//! for it.
//!
//! A replay repeats, and never overtakes. It publishes only what is in Kafka as of the last tick,
//! in the order of positions, hence in each key's order, and under the same ids, so that consumers
//! which have received an event drop it. Events that are not published yet come with their lane. A
//! topic that was made anew gets its past before its lane goes on: `topics` stops the lane until a
//! whole replay of the topic has ended, so the first occurrences in the new topic are in order,
//! too.
//!
//! A replay's position is in its row, so it survives the relay. If two relays work on one replay
//! (because one has a session that only its client believes in), they repeat it twice.

use std::{sync::Arc, time::Duration};

use futures::TryStreamExt;
use rdkafka::error::KafkaError;
use sqlx::PgConnection;
use time::OffsetDateTime;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    config::{Database, RelayOptions},
    delivery::{End, Way},
    envelope::Envelope,
    leader::{SETTINGS, event_types, identity},
    poll::{Row, prepared},
    producer::Producer,
    progress::OutgoingBatch,
    scan,
    session::{ANSWER, connect, within},
    status::{LanePhase, LaneStatus},
    stop_reason::StopReason,
    topics::Topics,
    traffic::Traffic,
};

/// How often the relay looks for a replay, and for topics that were made anew.
const LOOK: Duration = Duration::from_secs(1);

/// Positions that one statement looks through: they may hold no event of the replay's key at all.
const SPAN: i64 = 50_000;

/// Publishes replays, one after the other, and meanwhile looks for topics that were made anew.
pub(crate) struct Replayer {
    pub(crate) database: Database,
    pub(crate) options: Arc<RelayOptions>,
    pub(crate) traffic: Arc<Traffic>,
    pub(crate) status: LaneStatus,
    pub(crate) topics: Arc<Topics>,
}

impl Replayer {
    pub(crate) async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        stop.run_until_cancelled(self.rounds()).await;
        Ok(())
    }

    async fn rounds(&mut self) {
        let (mut session, mut is_well) = (None, true);
        loop {
            tokio::time::sleep(LOOK).await;
            // A relay that stands by leaves replays to the leader; a stopped lane may be waiting
            // for one.
            if !self.status.leads() || matches!(self.status.state(), LanePhase::Waiting(_)) {
                session = None;
                continue;
            }
            let round = self.round(&mut session).await;
            let was_well = std::mem::replace(&mut is_well, round.is_ok());
            if let Err(reason) = round {
                // Of failures in a row only the first.
                if was_well {
                    let error = &reason as &dyn std::error::Error;
                    tracing::warn!(database = &*self.database.label, error, "no replay for now");
                }
                session = None;
            }
        }
    }

    async fn round(&mut self, kept: &mut Option<PgConnection>) -> Result<(), StopReason> {
        let session = match kept {
            Some(session) => session,
            None => kept.insert(connect(&self.database, &SETTINGS).await?),
        };
        self.topics.look(session).await?;
        match next(session, self.database.lock).await? {
            Some(replay) => self.replay(session, replay).await,
            None => Ok(()),
        }
    }

    /// Publishes a replay from its position to its end, with a producer of its own.
    async fn replay(&self, session: &mut PgConnection, replay: Replay) -> Result<(), StopReason> {
        let mut producer = Producer::create(&self.options, &self.traffic, Arc::default())
            .map_err(|error| no_producer(&error))?;
        let ended = self.publish(session, &mut producer, &replay).await;
        producer.close().await;
        ended
    }

    async fn publish(
        &self,
        session: &mut PgConnection,
        producer: &mut Producer,
        replay: &Replay,
    ) -> Result<(), StopReason> {
        let (database, replay_id) = (&*self.database.label, replay.id);
        let Some(identity) = identity(session).await? else { return Ok(()) };
        let types = event_types(session).await?;
        let envelope = Envelope::new(&identity, &types);
        let looked = producer.find_topics(&envelope.topics()).await;
        looked.map_err(|error| StopReason::Kafka(format!("it does not answer: {error}")))?;
        producer.prepare_scan().map_err(|error| no_producer(&error))?;
        let producer = &*producer;
        let named = types.iter().filter(|it| replay.topics.contains(&it.topic));
        let filter = Filter { types: named.map(|it| it.number).collect(), replay };
        tracing::info!(database, %replay_id, "a replay begins or goes on");
        let mut position = replay.position;
        while let Some(first) = first_after(session, position).await? {
            if first > replay.last_position {
                break;
            }
            let rows;
            let sending = (producer, &envelope);
            (position, rows) = window(session, sending, &filter, first - 1).await?;
            if advance(session, replay.id, position, i64::from(rows)).await? {
                tracing::info!(database, %replay_id, "a replay waits: paused");
                return Ok(());
            }
            self.topics.look(session).await?;
        }
        end(session, replay.id).await?;
        tracing::info!(database, %replay_id, "a replay has ended");
        Ok(())
    }
}

fn no_producer(error: &KafkaError) -> StopReason {
    StopReason::Kafka(format!("no producer can be made: {error}"))
}

/// Publishes the replay's events at positions after `after`; returns the position reached, and how
/// many events went out.
async fn window(
    session: &mut PgConnection,
    (producer, envelope): (&Producer, &Envelope),
    filter: &Filter<'_>,
    after: i64,
) -> Result<(i64, u32), StopReason> {
    let done = Arc::new(Notify::new());
    let mut sending = OutgoingBatch::new(Way::Scan, producer, envelope, &done);
    let to = after + SPAN;
    let is_full = filter.rows(session, after, to, |row| sending.send(row)).await?;
    let reached = if is_full { sending.last_pos } else { to };
    let mark = sending.close();
    loop {
        producer.send_admitted();
        match mark.receipt.end() {
            Some(End::Acknowledged) => return Ok((reached, mark.rows)),
            Some(End::Failed) => return Err(StopReason::Kafka(producer.failure())),
            None => tokio::select! {
                () = done.notified() => {}
                () = producer.broken() => return Err(StopReason::Kafka(producer.failure())),
                () = tokio::time::sleep(LOOK) => ping(session).await?,
            },
        }
    }
}

/// A replay that has not ended.
struct Replay {
    id: Uuid,
    topics: Vec<String>,
    key: Option<String>,
    from_at: Option<OffsetDateTime>,
    to_at: OffsetDateTime,
    position: i64,
    last_position: i64,
}

/// Which rows belong to a replay.
struct Filter<'a> {
    types: Vec<i16>,
    replay: &'a Replay,
}

/// The replay's rows that are in Kafka as of the last tick. A sealed leaf is published whole, so
/// its transaction ids are not looked at: in a restored database those of sealed leaves mean
/// nothing.
const WINDOW: &str = "-- replay.window
select pos, event_id, key, version, type, trace, payload, created_at
from (
  select
    pos, event_id, key, version, type, trace, payload, created_at,
    sum(octet_length(payload)) over (order by pos rows unbounded preceding)
      - octet_length(payload) as bytes_before
  from outbox
  where pos > $1 and pos <= $2
    and type = any($3)
    and ($4::text is null or key = convert_to($4, 'UTF8'))
    and ($5::timestamptz is null or created_at >= $5)
    and created_at < $6
    and (
      pos < (
        select coalesce(min(first_pos) filter (where sealed_at is null), max(end_pos))
        from outbox_leaf
      )
      or pg_visible_in_snapshot(
        xid, (select snap from relay_tick order by tick_id desc limit 1)
      )
    )
  order by pos
  limit $7
) as replayed
where bytes_before < $8
order by pos";

impl Filter<'_> {
    /// Hands each row to `each`; true when there may be more rows up to the position `to`.
    async fn rows(
        &self,
        session: &mut PgConnection,
        after: i64,
        to: i64,
        mut each: impl FnMut(&Row<'_>) -> Result<(), StopReason>,
    ) -> Result<bool, StopReason> {
        let text = Arc::from(WINDOW);
        let statement = prepared(&text)
            .bind(after)
            .bind(to)
            .bind(&self.types)
            .bind(&self.replay.key)
            .bind(self.replay.from_at)
            .bind(self.replay.to_at)
            .bind(scan::ROWS_MAX)
            .bind(scan::BYTES_MAX);
        let read = async {
            let mut rows = statement.fetch(session);
            let (mut count, mut bytes) = (0, 0);
            while let Some(row) = rows.try_next().await? {
                let row = Row::read(&row)?;
                count += 1;
                bytes += i64::try_from(row.payload.len()).unwrap_or(i64::MAX);
                each(&row)?;
            }
            Ok(count >= scan::ROWS_MAX || bytes >= scan::BYTES_MAX)
        };
        within(Duration::from_mins(1), read).await
    }
}

/// The oldest replay that has not ended; none while the lane is paused, or while another relay is
/// at it. For that there is a second advisory lock: the leader's, with every bit inverted.
async fn next(session: &mut PgConnection, lock: i64) -> sqlx::Result<Option<Replay>> {
    let next = sqlx::query_as!(
        Replay,
        r#"-- replay.next
        select replay_id as id, topics, key, from_at, to_at, position, last_position
        from replays
        where ended_at is null
          and not exists (select from lane_pause)
          and pg_try_advisory_lock(~$1::bigint)
        order by started_at, replay_id
        limit 1"#,
        lock,
    );
    within(ANSWER, next.fetch_optional(session)).await
}

/// The first existing position after another: none lies between them, or it was dropped.
async fn first_after(session: &mut PgConnection, position: i64) -> sqlx::Result<Option<i64>> {
    let first = sqlx::query_scalar!(
        "-- replay.first_after
        select min(pos)
        from outbox
        where pos > $1",
        position,
    );
    within(ANSWER, first.fetch_one(session)).await
}

/// Notes that Kafka has acknowledged the replay up to a position; true if the lane is paused by
/// now.
async fn advance(
    session: &mut PgConnection,
    replay_id: Uuid,
    position: i64,
    rows: i64,
) -> sqlx::Result<bool> {
    let advanced = sqlx::query_scalar!(
        r#"-- replay.advance
        update replays
        set position = $2, done = done + $3
        where replay_id = $1
          and position < $2
        returning exists (select from lane_pause) as "is_paused!""#,
        replay_id,
        position,
        rows,
    );
    // No row: another relay works on this replay, and is further.
    Ok(within(ANSWER, advanced.fetch_optional(session)).await?.unwrap_or(false))
}

/// Ends a replay. After a whole one, topics that were made anew before it began are complete again.
async fn end(session: &mut PgConnection, replay_id: Uuid) -> sqlx::Result<()> {
    let ended = sqlx::query!(
        "-- replay.end
        with ended as (
          update replays
          set ended_at = clock_timestamp()
          where replay_id = $1
          returning topics, is_whole, started_at
        )
        update relay_topics
        set made_anew_at = null
        from ended
        where is_whole
          and topic = any(topics)
          and made_anew_at <= started_at",
        replay_id,
    );
    within(ANSWER, ended.execute(session)).await.map(drop)
}

/// Keeps the session from being idle while Kafka is waited for.
async fn ping(session: &mut PgConnection) -> sqlx::Result<()> {
    let pinged = sqlx::query_scalar!(
        r#"-- replay.ping
        select 1 as "one!""#
    );
    within(ANSWER, pinged.fetch_one(session)).await.map(drop)
}
