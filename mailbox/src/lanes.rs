//! The relay's lane of this database, as operators see and steer it. All SQL on its pause.

use proto::words;
use sqlx::{Connection, PgConnection};
use time::OffsetDateTime;

use crate::{
    Mailbox, OperatorError,
    idempotent::{self, OperatorRequest},
    operations::{self, Action, Operation},
    outbox,
    reactor::{Answer, Reactor},
    replays,
};

/// Limit up to which events behind the last checkpoint are counted.
const LAG_MAX: i64 = 100_000;

words! {
    /// Whether a lane publishes.
    pub enum LaneState {
        Publishing = "publishing",
        /// Paused by an operator.
        Paused = "paused",
        /// Stopped until an operator says how the lane goes on.
        Stopped = "stopped",
    }
}

/// The lane's state, the reason for it, and its lag.
#[derive(Clone, Debug)]
pub struct Lane {
    pub state: LaneState,
    pub reason: Option<String>,
    /// Events that wait to be published, counted up to [`LAG_MAX`].
    pub lag: i64,
    /// When the lane was paused or stopped.
    pub since: Option<OffsetDateTime>,
}

/// How a stopped lane goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LaneStart {
    /// Topics that were made anew are taken as they are; what they lack stays lacking.
    Here,
    /// Topics that were made anew first get everything that the outbox has of them.
    Beginning,
}

/// What a request did to a lane.
#[derive(Debug)]
pub enum LaneChange {
    Done(Lane),
    /// The lane has stopped, and the request does not say from where it goes on.
    WhereFrom(Lane),
}

impl<R: Reactor> Mailbox<R> {
    /// The state of the lane that publishes this database's events.
    pub async fn lane(&self) -> sqlx::Result<Lane> {
        let mut session = self.operators.session()?;
        lane(session.connection().await?).await
    }

    /// Pauses the lane: nothing is published from this database until it is resumed.
    pub async fn pause_lane(
        &self,
        request: OperatorRequest<'_>,
        tell: impl Fn(LaneChange) -> Answer + Send,
    ) -> Result<Answer, OperatorError> {
        let mut session = self.operators.session()?;
        let mut tx = session.connection().await?.begin().await?;
        idempotent::first(&mut tx, request.key).await?;
        pause(&mut tx, request).await?;
        let done = Operation::new(request.caller, Action::LanesPause, request.reason);
        operations::record(&mut tx, done).await?;
        let answer = tell(LaneChange::Done(lane(&mut tx).await?));
        idempotent::keep(&mut tx, request.key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }

    /// Resumes the lane: a paused one goes on where it was, a stopped one as `from` says.
    pub async fn resume_lane(
        &self,
        request: OperatorRequest<'_>,
        from: Option<LaneStart>,
        tell: impl Fn(LaneChange) -> Answer + Send,
    ) -> Result<Answer, OperatorError> {
        let mut session = self.operators.session()?;
        let mut tx = session.connection().await?.begin().await?;
        idempotent::first(&mut tx, request.key).await?;
        let before = lane(&mut tx).await?;
        if before.state == LaneState::Stopped && from.is_none() {
            return Ok(tell(LaneChange::WhereFrom(before)));
        }
        unpause(&mut tx).await?;
        match from {
            Some(LaneStart::Here) => take_topics(&mut tx).await?,
            Some(LaneStart::Beginning) => {
                replays::start_lost(&mut tx, request, self.clock.new_id()).await?;
            }
            None => {}
        }
        let done = Operation::new(request.caller, Action::LanesResume, request.reason);
        operations::record(&mut tx, done).await?;
        let answer = tell(LaneChange::Done(lane(&mut tx).await?));
        idempotent::keep(&mut tx, request.key, &answer).await?;
        tx.commit().await?;
        Ok(answer)
    }
}

/// When the relay found that a topic was made anew, if nobody has decided yet how it goes on.
pub async fn topic_made_anew(
    db: &mut PgConnection,
    topic: &str,
) -> sqlx::Result<Option<OffsetDateTime>> {
    let made = sqlx::query_scalar!(
        "-- lanes.made_anew
        select made_anew_at
        from relay_topics
        where topic = $1",
        topic
    );
    Ok(made.fetch_optional(db).await?.flatten())
}

/// Lets a topic that was made anew be published to again, unless it was made anew once more after
/// `since`.
pub async fn take_topic(
    db: &mut PgConnection,
    topic: &str,
    since: OffsetDateTime,
) -> sqlx::Result<()> {
    sqlx::query!(
        "-- lanes.take_topic
        update relay_topics
        set made_anew_at = null
        where topic = $1
          and made_anew_at = $2",
        topic,
        since
    )
    .execute(db)
    .await
    .map(drop)
}

async fn lane(db: &mut PgConnection) -> sqlx::Result<Lane> {
    let found = sqlx::query!(
        r#"-- lanes.lane
        select
          pause.paused_at as "paused_at?",
          pause.reason as "reason?",
          (select min(made_anew_at) from relay_topics) as anew_at,
          (
            select string_agg(topic, ', ' order by topic)
            from relay_topics
            where made_anew_at is not null
          ) as anew,
          tick.at as ticked_at,
          tick.system_id <> (select system_identifier from pg_control_system()) as "is_foreign!"
        from relay_tick as tick
        left join lane_pause as pause on true
        order by tick.tick_id desc
        limit 1"#
    )
    .fetch_one(&mut *db)
    .await?;
    let lag = outbox::backlog(db, LAG_MAX).await?.min(LAG_MAX);
    let (state, reason, since) = if found.paused_at.is_some() {
        (LaneState::Paused, found.reason, found.paused_at)
    } else if let Some(anew) = found.anew {
        let reason = format!("{anew} was made anew and lacks what was in it");
        (LaneState::Stopped, Some(reason), found.anew_at)
    } else if found.is_foreign {
        let reason = "the database was upgraded or restored and waits for outbox-relay adopt";
        (LaneState::Stopped, Some(reason.to_owned()), Some(found.ticked_at))
    } else {
        (LaneState::Publishing, None, None)
    };
    Ok(Lane { state, reason, lag, since })
}

async fn pause(db: &mut PgConnection, request: OperatorRequest<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "-- lanes.pause
        insert into lane_pause (reason, caller)
        values ($1, $2)
        on conflict (only_row) do update
        set reason = excluded.reason, caller = excluded.caller",
        request.reason,
        request.caller
    )
    .execute(db)
    .await
    .map(drop)
}

async fn unpause(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        "-- lanes.unpause
        delete from lane_pause"
    )
    .execute(db)
    .await
    .map(drop)
}

/// Takes all topics that were made anew as they are.
async fn take_topics(db: &mut PgConnection) -> sqlx::Result<()> {
    sqlx::query!(
        "-- lanes.take_topics
        update relay_topics
        set made_anew_at = null
        where made_anew_at is not null"
    )
    .execute(db)
    .await
    .map(drop)
}
