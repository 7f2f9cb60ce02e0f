//! The walk: a difference too large for a poll, shipped in windows over `pos` between the two
//! snapshots, so that memory stays constant.
//!
//! A window's last position is as good a cursor as a snapshot, because the set that is walked no
//! longer changes: what is visible in the second snapshot and not in the first. Ticks carry both
//! snapshots and the position, so a walk over ten million rows goes on where it was.

use std::{sync::Arc, time::Duration};

use futures::TryStreamExt;
use sqlx::{PgConnection, Row as _};

use crate::{
    leader::Bounds,
    poll::{Row, prepared},
};

/// A window's size: half of what a poll may return.
pub(crate) const ROWS_MAX: i64 = crate::poll::ROWS_MAX / 2;
pub(crate) const BYTES_MAX: i64 = crate::poll::BYTES_MAX / 2;

/// The first position takes a look at every row of the difference: a third of a second a million.
const TIMEOUT: Duration = Duration::from_mins(10);

/// The texts of a walk's statements between two positions.
pub(crate) struct Texts {
    pub(crate) first: Arc<str>,
    pub(crate) window: Arc<str>,
}

impl Texts {
    pub(crate) fn new(bounds: &Bounds) -> Self {
        Self { first: first(bounds), window: window(bounds) }
    }
}

/// The lowest position of the difference: below it lie only rows that were shipped long ago, and
/// stepping over them would cost more than the walk.
fn first(Bounds { low, high, .. }: &Bounds) -> Arc<str> {
    format!(
        "-- walk.first
select min(pos) as pos
from (
  (
    select pos
    from outbox
    where xid >= (select pg_snapshot_xmax($1::text::pg_snapshot))
      and pos >= {low} and pos < {high}
    order by xid
    offset 0
  )
  union all
  (
    select pos
    from outbox
    where xid = any(array(select pg_snapshot_xip($1::text::pg_snapshot)))
      and pos >= {low} and pos < {high}
    order by xid
    offset 0
  )
) as difference"
    )
    .into()
}

fn window(Bounds { low, high, .. }: &Bounds) -> Arc<str> {
    format!(
        "-- walk.window
select pos, event_id, key, version, type, trace, payload, created_at
from (
  select
    pos, event_id, key, version, type, trace, payload, created_at,
    sum(octet_length(payload)) over (order by pos rows unbounded preceding)
      - octet_length(payload) as bytes_before
  from outbox
  where pos > $1
    and pos >= {low} and pos < {high}
    and pg_visible_in_snapshot(xid, (select $3::text::pg_snapshot))
    and not pg_visible_in_snapshot(xid, (select $2::text::pg_snapshot))
  order by pos
  limit {ROWS_MAX}
) as walked
where bytes_before < {BYTES_MAX}
order by pos"
    )
    .into()
}

/// Where a walk from `from` begins: before its first row, if it has any.
pub(crate) async fn start(
    session: &mut PgConnection,
    texts: &Texts,
    from: &str,
) -> sqlx::Result<Option<i64>> {
    let found = prepared(&texts.first).bind(from).fetch_one(session);
    let row =
        tokio::time::timeout(TIMEOUT, found).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))?;
    let first: Option<i64> = row.try_get(0)?;
    Ok(first.map(|pos| pos - 1))
}

/// The walk's two snapshots, and the position it has reached.
pub(crate) struct Stretch<'a> {
    pub(crate) from: &'a str,
    pub(crate) to: &'a str,
    pub(crate) after: i64,
}

/// Hands the next rows to `each`; false when these were the last.
pub(crate) async fn window_of<E: From<sqlx::Error>>(
    session: &mut PgConnection,
    texts: &Texts,
    stretch: Stretch<'_>,
    mut each: impl FnMut(&Row<'_>) -> Result<(), E>,
) -> Result<bool, E> {
    let walked = async {
        let statement = prepared(&texts.window);
        let mut rows =
            statement.bind(stretch.after).bind(stretch.from).bind(stretch.to).fetch(session);
        let (mut count, mut bytes) = (0, 0);
        while let Some(row) = rows.try_next().await? {
            let row = Row::read(&row)?;
            count += 1;
            bytes += i64::try_from(row.payload.len()).unwrap_or(i64::MAX);
            each(&row)?;
        }
        Ok(count >= ROWS_MAX || bytes >= BYTES_MAX)
    };
    tokio::time::timeout(TIMEOUT, walked)
        .await
        .unwrap_or_else(|_| Err(sqlx::Error::PoolTimedOut.into()))
}
