//! The record of operators' changes: every change by hand leaves a row, with who, when and why. All
//! SQL on it.

use proto::words;
use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

/// One operation to record; fields that do not apply stay empty.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation<'a> {
    /// Who asked.
    pub(crate) caller: &'a str,
    pub(crate) action: Action,
    pub(crate) reason: &'a str,
    pub(crate) topic: Option<&'a str>,
    pub(crate) partition: Option<i32>,
    /// The key in its text form: [`crate::key_text`].
    pub(crate) key: Option<&'a str>,
    pub(crate) event_id: Option<Uuid>,
    pub(crate) source: Option<&'a str>,
    pub(crate) version: Option<i64>,
    /// The payload that a message had before.
    pub(crate) payload: Option<&'a [u8]>,
}

impl<'a> Operation<'a> {
    /// An operation without a subject; the caller fills in what it applies to.
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

words! {
    /// The kinds of operations, as the table names them.
    pub(crate) enum Action {
        ParkedRelease = "parked.release",
        ParkedDiscard = "parked.discard",
        ParkedReplace = "parked.replace",
        ParkedBulk = "parked.bulk",
        ConsumersPause = "consumers.pause",
        ConsumersResume = "consumers.resume",
        LanesPause = "lanes.pause",
        LanesResume = "lanes.resume",
        ReplaysStart = "replays.start",
    }
}

/// Records an operation, in the transaction that performs it.
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

/// An operation as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRecord {
    pub operation_id: i64,
    pub at: OffsetDateTime,
    pub caller: String,
    /// The action as noun.verb: `parked.discard`.
    pub action: String,
    pub reason: String,
    pub topic: Option<String>,
    pub partition: Option<i32>,
    pub key: Option<String>,
    pub event_id: Option<Uuid>,
    pub source: Option<String>,
    pub version: Option<i64>,
}

/// The operations before the one with id `before`, the newest first.
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
