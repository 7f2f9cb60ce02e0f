//! What operators did, when and why: every change by hand leaves a row here. All SQL on them.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// One thing that an operator did; what does not apply stays empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation<'a> {
    /// Who asked.
    pub(crate) caller: &'a str,
    pub(crate) action: Action,
    pub(crate) reason: &'a str,
    pub(crate) topic: Option<&'a str>,
    pub(crate) partition: Option<i32>,
    /// As operators see it: [`crate::key_text`].
    pub(crate) key: Option<&'a str>,
    pub(crate) event_id: Option<Uuid>,
    pub(crate) source: Option<&'a str>,
    pub(crate) version: Option<i64>,
    /// What a message held before.
    pub(crate) payload: Option<&'a [u8]>,
}

impl<'a> Operation<'a> {
    /// An operation on nothing in particular yet.
    pub(crate) fn new(caller: &'a str, action: Action, reason: &'a str) -> Self {
        Self {
            caller,
            action,
            reason,
            topic: None,
            partition: None,
            key: None,
            event_id: None,
            source: None,
            version: None,
            payload: None,
        }
    }
}

/// What an operator can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    ParkedRelease,
    ParkedDiscard,
    ParkedReplace,
    ConsumersPause,
    ConsumersResume,
    LanesPause,
    LanesResume,
    ReplaysStart,
}

impl Action {
    /// As the table writes it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::ParkedRelease => "parked.release",
            Self::ParkedDiscard => "parked.discard",
            Self::ParkedReplace => "parked.replace",
            Self::ConsumersPause => "consumers.pause",
            Self::ConsumersResume => "consumers.resume",
            Self::LanesPause => "lanes.pause",
            Self::LanesResume => "lanes.resume",
            Self::ReplaysStart => "replays.start",
        }
    }
}

/// Writes down what was done, in the transaction that does it.
pub(crate) async fn record(db: &mut PgConnection, done: Operation<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        r#"-- operations.record
        insert into operations
            (caller, action, reason, topic, "partition", key, event_id, source, version, payload)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"#,
        done.caller,
        done.action.as_str(),
        done.reason,
        done.topic,
        done.partition,
        done.key,
        done.event_id,
        done.source,
        done.version,
        done.payload
    )
    .execute(db)
    .await
    .map(drop)
}

/// What an operator did, as it was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRecord {
    pub operation_id: i64,
    pub at: OffsetDateTime,
    pub caller: String,
    /// As noun.verb: `parked.discard`.
    pub action: String,
    pub reason: String,
    pub topic: Option<String>,
    pub partition: Option<i32>,
    pub key: Option<String>,
    pub event_id: Option<Uuid>,
    pub source: Option<String>,
    pub version: Option<i64>,
}

/// What was done before the operation `before`, the newest first.
pub(crate) async fn list(
    db: &mut PgConnection,
    before: i64,
    limit: i64,
) -> sqlx::Result<Vec<OperationRecord>> {
    sqlx::query_as!(
        OperationRecord,
        r#"-- operations.list
        select
            operation_id, at, caller, action, reason, topic, "partition", key, event_id, source,
            version
        from operations
        where operation_id < $1
        order by operation_id desc
        limit $2"#,
        before,
        limit
    )
    .fetch_all(db)
    .await
}
