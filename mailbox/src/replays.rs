//! Replays as operators ask for them: counted, written down for the relay, looked at. All SQL of
//! services on them; the relay's own is in outbox-relay/src/replay.rs.

use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Mailbox, OperatorError,
    idempotent::{self, OperatorRequest},
    operations::{self, Action, Operation},
    reactor::{Answer, Reactor},
};

/// Which events are to be published once more.
#[derive(Clone, Debug)]
pub struct ReplayScope {
    pub topics: Vec<String>,
    pub key: Option<String>,
    /// The first moment of the range, itself included.
    pub from_at: Option<OffsetDateTime>,
    /// The end of the range, itself excluded.
    pub to_at: Option<OffsetDateTime>,
}

impl ReplayScope {
    /// Whether the replay is of all that the outbox has of its topics.
    fn is_whole(&self) -> bool {
        self.key.is_none() && self.from_at.is_none() && self.to_at.is_none()
    }
}

/// How many events and keys a replay has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplaySize {
    /// Events that would be published.
    pub events: i64,
    /// Keys that they belong to.
    pub keys: i64,
}

/// A replay, with how many of its events are done.
#[derive(Clone, Debug)]
pub struct Replay {
    pub id: Uuid,
    pub topics: Vec<String>,
    pub key: Option<String>,
    pub reason: String,
    pub events: i64,
    pub keys: i64,
    /// Events that were published so far.
    pub done: i64,
    pub started_at: OffsetDateTime,
    pub ended_at: Option<OffsetDateTime>,
}

impl<R: Reactor> Mailbox<R> {
    /// The topics that this database's events go to.
    pub async fn topics(&self) -> sqlx::Result<Vec<String>> {
        let mut session = self.operators.session()?;
        topics(session.connection().await?).await
    }

    /// How much a replay would publish.
    pub async fn size_replay(&self, scope: &ReplayScope) -> sqlx::Result<ReplaySize> {
        let mut session = self.operators.session()?;
        size(session.connection().await?, scope).await
    }

    /// Asks the relay to publish events once more.
    pub async fn start_replay(
        &self,
        scope: &ReplayScope,
        request: OperatorRequest<'_>,
        tell: impl Fn(&Replay) -> Answer + Send,
    ) -> Result<Answer, OperatorError> {
        let mut session = self.operators.session()?;
        let mut tx = session.connection().await?.begin().await?;
        idempotent::first(&mut tx, request.key).await?;
        let replay = start(&mut tx, scope, request, self.clock.new_id()).await?;
        let answer = tell(&replay);
        idempotent::keep(&mut tx, request.key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// A replay by its id.
    pub async fn replay(&self, id: Uuid) -> sqlx::Result<Option<Replay>> {
        let mut session = self.operators.session()?;
        replay(session.connection().await?, id).await
    }
}

/// Starts a replay of all that the outbox has of the topics that were made anew.
pub(crate) async fn start_lost(
    db: &mut PgConnection,
    request: OperatorRequest<'_>,
    id: Uuid,
) -> sqlx::Result<()> {
    let topics = sqlx::query_scalar!(
        "-- replays.lost
        select topic
        from relay_topics
        where made_anew_at is not null
        order by topic"
    )
    .fetch_all(&mut *db)
    .await?;
    if !topics.is_empty() {
        let scope = ReplayScope { topics, key: None, from_at: None, to_at: None };
        start(db, &scope, request, id).await?;
    }
    Ok(())
}

async fn start(
    db: &mut PgConnection,
    scope: &ReplayScope,
    request: OperatorRequest<'_>,
    id: Uuid,
) -> sqlx::Result<Replay> {
    let size = size(db, scope).await?;
    sqlx::query!(
        "-- replays.start
        insert into replays (
          replay_id, topics, key, from_at, to_at, is_whole, reason, caller, events, keys,
          last_position
        )
        values (
          $1, $2, $3, $4, least($5, clock_timestamp()), $6, $7, $8, $9, $10,
          (select last_value from outbox_pos)
        )",
        id,
        &scope.topics,
        scope.key,
        scope.from_at,
        scope.to_at,
        scope.is_whole(),
        request.reason,
        request.caller,
        size.events,
        size.keys
    )
    .execute(&mut *db)
    .await?;
    let topic = scope.topics.join(",");
    let done = Operation {
        topic: Some(&topic),
        key: scope.key.as_deref(),
        ..Operation::new(request.caller, Action::ReplaysStart, request.reason)
    };
    operations::record(db, done).await?;
    replay(db, id).await?.ok_or(sqlx::Error::RowNotFound)
}

async fn topics(db: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar!(
        "-- replays.topics
        select distinct topic
        from event_types
        order by topic"
    )
    .fetch_all(db)
    .await
}

/// Counts what the relay would publish: of the events in scope, those that are in Kafka as of the
/// last checkpoint.
async fn size(db: &mut PgConnection, scope: &ReplayScope) -> sqlx::Result<ReplaySize> {
    sqlx::query_as!(
        ReplaySize,
        r#"-- replays.size
        select coalesce(sum(events), 0)::bigint as "events!", count(*) as "keys!"
        from (
          select count(*) as events
          from outbox
          where type = any(array(select type from event_types where topic = any($1)))
            and ($2::text is null or key = convert_to($2, 'UTF8'))
            and ($3::timestamptz is null or created_at >= $3)
            and created_at < least($4, clock_timestamp())
            and (
              pos < (
                select coalesce(min(first_pos) filter (where sealed_at is null), max(end_pos))
                from outbox_leaf
              )
              or pg_visible_in_snapshot(
                xid, (select snap from relay_tick order by tick_id desc limit 1)
              )
            )
          group by key
        ) as keys"#,
        &scope.topics,
        scope.key,
        scope.from_at,
        scope.to_at
    )
    .fetch_one(db)
    .await
}

async fn replay(db: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Replay>> {
    sqlx::query_as!(
        Replay,
        "-- replays.replay
        select replay_id as id, topics, key, reason, events, keys, done, started_at, ended_at
        from replays
        where replay_id = $1",
        id
    )
    .fetch_optional(db)
    .await
}
