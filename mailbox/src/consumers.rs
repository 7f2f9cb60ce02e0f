//! The tables of consuming: what is paused or stopped, and which message of each partition was
//! applied. All SQL on them, and the advisory lock on an instance's name.

use std::collections::HashMap;

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// One partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Partition {
    pub(crate) topic: String,
    pub(crate) number: i32,
}

/// Why a topic or a partition is not consumed, and since when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Halt {
    pub(crate) reason: String,
    pub(crate) since: OffsetDateTime,
}

/// All pauses and stops.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Halts {
    /// Topics that an operator paused.
    pub(crate) paused: HashMap<String, Halt>,
    /// Partitions that stopped by themselves, because Kafka lacks what comes next.
    pub(crate) stopped: HashMap<Partition, Halt>,
}

impl Halts {
    pub(crate) fn contains(&self, partition: &Partition) -> bool {
        self.paused.contains_key(&partition.topic) || self.stopped.contains_key(partition)
    }
}

/// A message that was applied: its offset in a partition, and its event id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AppliedMessage {
    pub(crate) offset: i64,
    pub(crate) event_id: Uuid,
}

/// Takes an instance's name for as long as this connection lives; `false` while another session has
/// it.
pub(crate) async fn take_name(db: &mut PgConnection, instance: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"-- consumers.take_name
        select pg_try_advisory_lock(hashtextextended('consumer ' || $1, 0)) as "taken!""#,
        instance
    )
    .fetch_one(db)
    .await
}

pub(crate) async fn halts(db: &mut PgConnection) -> sqlx::Result<Halts> {
    let rows = sqlx::query!(
        r#"-- consumers.halts
        select topic as "topic!", null::int as "partition", reason as "reason!", since as "since!"
        from consumer_pauses
        union all
        select topic, "partition", reason, since
        from consumer_stops"#
    )
    .fetch_all(db)
    .await?;
    let mut halts = Halts::default();
    for row in rows {
        let halt = Halt { reason: row.reason, since: row.since };
        match row.partition {
            None => drop(halts.paused.insert(row.topic, halt)),
            Some(number) => {
                drop(halts.stopped.insert(Partition { topic: row.topic, number }, halt));
            }
        }
    }
    Ok(halts)
}

/// Stops a partition, unless it is stopped already.
pub(crate) async fn stop(
    db: &mut PgConnection,
    partition: &Partition,
    reason: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"-- consumers.stop
        insert into consumer_stops (topic, "partition", reason)
        values ($1, $2, $3)
        on conflict do nothing"#,
        partition.topic,
        partition.number,
        reason
    )
    .execute(db)
    .await
    .map(drop)
}

/// Pauses topics; one that is paused keeps its first reason.
pub(crate) async fn pause(
    db: &mut PgConnection,
    topics: &[String],
    reason: &str,
) -> sqlx::Result<()> {
    sqlx::query!(
        r#"-- consumers.pause
        insert into consumer_pauses (topic, reason)
        select topic, $2
        from unnest($1::text[]) as t (topic)
        order by topic
        on conflict do nothing"#,
        topics,
        reason
    )
    .execute(db)
    .await
    .map(drop)
}

/// Ends the pauses of topics.
pub(crate) async fn unpause(db: &mut PgConnection, topics: &[String]) -> sqlx::Result<()> {
    sqlx::query!(
        r#"-- consumers.unpause
        delete from consumer_pauses
        where topic = any($1)"#,
        topics
    )
    .execute(db)
    .await
    .map(drop)
}

/// Ends the stop of a partition, and forgets what was applied of it, because it goes on at another
/// offset.
pub(crate) async fn restart(db: &mut PgConnection, partition: &Partition) -> sqlx::Result<()> {
    sqlx::query!(
        r#"-- consumers.restart
        with forgotten as (
            delete from consumer_positions
            where topic = $1
              and "partition" = $2
        )
        delete from consumer_stops
        where topic = $1
          and "partition" = $2"#,
        partition.topic,
        partition.number
    )
    .execute(db)
    .await
    .map(drop)
}

pub(crate) async fn positions(
    db: &mut PgConnection,
) -> sqlx::Result<HashMap<Partition, AppliedMessage>> {
    let rows = sqlx::query!(
        r#"-- consumers.positions
        select topic, "partition", "offset", event_id
        from consumer_positions"#
    )
    .fetch_all(db)
    .await?;
    let positions = rows.into_iter().map(|row| {
        let partition = Partition { topic: row.topic, number: row.partition };
        (partition, AppliedMessage { offset: row.offset, event_id: row.event_id })
    });
    Ok(positions.collect())
}

/// Writes down the last message that was applied of each partition.
pub(crate) async fn remember(
    db: &mut PgConnection,
    applied: &[(Partition, AppliedMessage)],
) -> sqlx::Result<()> {
    let topics: Vec<String> = applied.iter().map(|(at, _)| at.topic.clone()).collect();
    let partitions: Vec<i32> = applied.iter().map(|(at, _)| at.number).collect();
    let offsets: Vec<i64> = applied.iter().map(|(_, it)| it.offset).collect();
    let ids: Vec<Uuid> = applied.iter().map(|(_, it)| it.event_id).collect();
    sqlx::query!(
        r#"-- consumers.remember
        insert into consumer_positions (topic, "partition", "offset", event_id)
        select *
        from unnest($1::text[], $2::int[], $3::bigint[], $4::uuid[]) as a (topic, "partition", "offset", event_id)
        order by topic, "partition"
        on conflict (topic, "partition") do update
        set "offset" = excluded."offset", event_id = excluded.event_id"#,
        &topics,
        &partitions,
        &offsets,
        &ids
    )
    .execute(db)
    .await
    .map(drop)
}
