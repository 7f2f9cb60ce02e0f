//! The poll: one statement that returns every row which is visible now and was not in the last
//! snapshot, and its own snapshot, which is the next cursor.
//!
//! Why nothing is skipped: a row becomes visible once, with its transaction; it is in the
//! difference of the first snapshot that sees it, whatever its position or transaction id, and the
//! rows and the new snapshot come from one statement, so there is no gap between the two. Why the
//! order of each key is kept: a row is inserted under its aggregate's lock, so whoever sees the
//! second row of a key sees the first, at a lower position; either the first came with an earlier
//! poll or it sorts first in this one. Nothing waits for other transactions: what is still running
//! is simply not in the difference.
//!
//! Plans are pinned. An outbox has no statistics (it is never analysed), and if it had any, they
//! would be wrong. So each of the two probes is ordered by xid, and sorting is off in the session
//! (PostgreSQL counts a sort as dearer than anything then): what is left is the index on xid. `low` and `high` are
//! literals, so that leaves are pruned when the statement is planned, once.

use std::{sync::Arc, time::Duration};

use futures::TryStreamExt;
use sqlx::{
    AssertSqlSafe, PgConnection, Row as _, ValueRef as _,
    postgres::{PgRow, PgValueRef},
};

use crate::session::within;

/// Rows, and bytes of payload, that a poll returns at most; a larger difference is published by a
/// scan.
pub(crate) const ROWS_MAX: i64 = 10_000;
pub(crate) const BYTES_MAX: i64 = 8_000_000;

/// Limit of a poll, which takes less than a millisecond: one that takes this long will not come
/// back.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The positions between which a poll looks; its text contains them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// The start of the first leaf that is not sealed.
    pub(crate) low: i64,
    /// The end of the leaf that the sequence is in.
    pub(crate) high: i64,
}

/// An outbox row, borrowed from the connection's buffer.
pub(crate) struct Row<'r> {
    pub(crate) pos: i64,
    pub(crate) event_id: [u8; 16],
    pub(crate) key: &'r [u8],
    pub(crate) version: i64,
    pub(crate) kind: i16,
    pub(crate) trace: Option<&'r [u8]>,
    pub(crate) payload: &'r [u8],
    /// Microseconds since 2000-01-01, as PostgreSQL sends a timestamp.
    pub(crate) created_at: i64,
}

impl<'r> Row<'r> {
    pub(crate) fn read(row: &'r PgRow) -> sqlx::Result<Self> {
        let trace = row.try_get_raw(5)?;
        Ok(Self {
            pos: i64::from_be_bytes(fixed(row, 0)?),
            event_id: fixed(row, 1)?,
            key: bytes(&row.try_get_raw(2)?)?,
            version: i64::from_be_bytes(fixed(row, 3)?),
            kind: i16::from_be_bytes(fixed(row, 4)?),
            trace: if trace.is_null() { None } else { Some(bytes(&trace)?) },
            payload: bytes(&row.try_get_raw(6)?)?,
            created_at: i64::from_be_bytes(fixed(row, 7)?),
        })
    }
}

fn bytes<'r>(value: &PgValueRef<'r>) -> sqlx::Result<&'r [u8]> {
    value.as_bytes().map_err(sqlx::Error::Decode)
}

fn fixed<const N: usize>(row: &PgRow, column: usize) -> sqlx::Result<[u8; N]> {
    let value = bytes(&row.try_get_raw(column)?)?;
    value.try_into().map_err(|wrong| sqlx::Error::Decode(Box::new(wrong)))
}

/// What a poll returns besides the rows.
pub(crate) struct Head {
    /// The poll's snapshot, which is the next cursor.
    pub(crate) snapshot: Arc<str>,
    /// The last position that the sequence has handed out.
    pub(crate) last_value: i64,
    /// The database's clock, in microseconds since 2000-01-01.
    pub(crate) clock: i64,
    /// Whether the difference is too large for a poll: then no rows are returned.
    pub(crate) is_too_large: bool,
    /// Whether a row may be above the poll's bounds: then no rows are handed on.
    pub(crate) is_beyond: bool,
}

/// The poll's text between two positions. Its first row is no event but the [`Head`], in an event's
/// columns, so that all of it comes from one statement.
pub(crate) fn text(bounds: &Bounds) -> Arc<str> {
    let Bounds { low, high, .. } = bounds;
    let limit = ROWS_MAX + 1;
    format!(
        "-- poll.rows
with
  cursor as (select $1::text::pg_snapshot as snap),
  found as materialized (
    (
      select pos, event_id, key, version, type, trace, payload, created_at
      from outbox
      where xid >= (select pg_snapshot_xmax(snap) from cursor)
        and pos >= {low} and pos < {high}
      order by xid
      limit {limit}
    )
    union all
    (
      select pos, event_id, key, version, type, trace, payload, created_at
      from outbox
      where xid = any(array(select pg_snapshot_xip(snap) from cursor))
        and pos >= {low} and pos < {high}
      order by xid
      limit {limit}
    )
  ),
  size as (
    select count(*) > {ROWS_MAX} or coalesce(sum(octet_length(payload)), 0) > {BYTES_MAX} as is_too_large
    from found
  )
-- The head: version has the sequence's last value, type whether there are too many rows,
-- payload the new snapshot, created_at the database's clock.
select
  0::bigint as pos,
  null::uuid as event_id,
  null::bytea as key,
  (select last_value from outbox_pos) as version,
  is_too_large::int::smallint as type,
  null::bytea as trace,
  pg_current_snapshot()::text::bytea as payload,
  clock_timestamp() as created_at
from size
union all
(
  select pos, event_id, key, version, type, trace, payload, created_at
  from found, size
  where not is_too_large
  order by pos
)"
    )
    .into()
}

/// Polls from `cursor` and hands each row to `each`, ordered by position.
///
/// After an error of `each` the session can still be used: the rows that are left are skipped.
pub(crate) async fn poll<E: From<sqlx::Error>>(
    session: &mut PgConnection,
    text: &Arc<str>,
    bounds: &Bounds,
    cursor: &str,
    mut each: impl FnMut(&Row<'_>) -> Result<(), E>,
) -> Result<Head, E> {
    let polled = async {
        let mut rows = prepared(text).bind(cursor).fetch(session);
        let first = rows.try_next().await?.ok_or(sqlx::Error::RowNotFound)?;
        let mut head = head(&first)?;
        head.is_beyond = head.last_value >= bounds.high;
        while let Some(row) = rows.try_next().await? {
            if !head.is_beyond {
                each(&Row::read(&row)?)?;
            }
        }
        Ok(head)
    };
    within(TIMEOUT, polled).await
}

fn head(row: &PgRow) -> sqlx::Result<Head> {
    let snapshot = std::str::from_utf8(bytes(&row.try_get_raw(6)?)?);
    Ok(Head {
        snapshot: snapshot.map_err(|wrong| sqlx::Error::Decode(Box::new(wrong)))?.into(),
        last_value: i64::from_be_bytes(fixed(row, 3)?),
        clock: i64::from_be_bytes(fixed(row, 7)?),
        is_too_large: i16::from_be_bytes(fixed(row, 4)?) != 0,
        is_beyond: false,
    })
}

type Statement = sqlx::query::Query<'static, sqlx::Postgres, sqlx::postgres::PgArguments>;

/// A prepared statement whose text contains its bounds.
#[expect(
    clippy::disallowed_methods,
    reason = "bounds are literals, so that leaves are pruned early"
)]
pub(crate) fn prepared(text: &Arc<str>) -> Statement {
    sqlx::query(AssertSqlSafe(Arc::clone(text)))
}
