//! The scan: publishes a difference that is too large for a poll in windows over `pos` between its
//! two snapshots, so that memory stays constant.
//!
//! The set of rows that is scanned no longer changes: it is what is visible in the second snapshot
//! and not in the first. So the last position of a window is as good a cursor as a snapshot. Ticks
//! contain both snapshots and the position, so a scan of ten million rows goes on where it was.
//!
//! The rows may lie far apart, with millions between them that were published long ago, if a
//! transaction wrote early and late and was open for an hour. A window reads all rows that it
//! spans, so it spans a limited stretch of positions; where that contains too few rows of the scan,
//! the next row is looked for by transaction id (the look ahead), which reads the scan's rows and
//! no others.

use std::{sync::Arc, time::Duration};

use futures::TryStreamExt;
use sqlx::{PgConnection, Row as _};

use crate::{
    poll::{Bounds, Row, prepared},
    session::within,
};

/// Rows and bytes of payload in a window: half of what a poll may return.
pub(crate) const ROWS_MAX: i64 = crate::poll::ROWS_MAX / 2;
pub(crate) const BYTES_MAX: i64 = crate::poll::BYTES_MAX / 2;

/// Limit of a statement. A look ahead reads every row of the difference: a third of a second for a
/// million.
const TIMEOUT: Duration = Duration::from_mins(10);

/// Positions that a window spans at least: reading them takes some 60 ms if all were published
/// before.
const SPAN_MIN: i64 = 20_000;

/// A window spans one position for each so many rows left, if that is more: reading past a
/// published row costs as much as looking ahead over eight or more of the scan's rows. With this
/// ratio neither costs much more than the better of both would.
const SPAN_RATIO: i64 = 8;

/// The texts of a scan's statements, between two positions.
pub(crate) struct Texts {
    pub(crate) ahead: Arc<str>,
    pub(crate) window: Arc<str>,
}

impl Texts {
    pub(crate) fn new(bounds: &Bounds) -> Self {
        Self { ahead: ahead(bounds), window: window(bounds) }
    }
}

/// The text of the look ahead: the lowest position of the difference that is left, and how many
/// rows are.
fn ahead(Bounds { low, high, .. }: &Bounds) -> Arc<str> {
    format!(
        "-- scan.ahead
select min(pos) as pos, count(*) as rows
from (
  (
    select pos
    from outbox
    where xid >= (select pg_snapshot_xmax($1::text::pg_snapshot))
      and pg_visible_in_snapshot(xid, (select $2::text::pg_snapshot))
      and pos >= {low} and pos < {high}
      and pos > $3
    order by xid
    offset 0
  )
  union all
  (
    select pos
    from outbox
    where xid = any(array(select pg_snapshot_xip($1::text::pg_snapshot)))
      and pg_visible_in_snapshot(xid, (select $2::text::pg_snapshot))
      and pos >= {low} and pos < {high}
      and pos > $3
    order by xid
    offset 0
  )
) as difference"
    )
    .into()
}

fn window(Bounds { low, high, .. }: &Bounds) -> Arc<str> {
    format!(
        "-- scan.window
select pos, event_id, key, version, type, trace, payload, created_at
from (
  select
    pos, event_id, key, version, type, trace, payload, created_at,
    sum(octet_length(payload)) over (order by pos rows unbounded preceding)
      - octet_length(payload) as bytes_before
  from outbox
  where pos > $1
    and pos <= $2
    and pos >= {low} and pos < {high}
    and pg_visible_in_snapshot(xid, (select $4::text::pg_snapshot))
    and not pg_visible_in_snapshot(xid, (select $3::text::pg_snapshot))
  order by pos
  limit {ROWS_MAX}
) as scanned
where bytes_before < {BYTES_MAX}
order by pos"
    )
    .into()
}

/// A scan under way: its two snapshots, the position it has reached, and what is known to be left.
pub(crate) struct Scan {
    pub(crate) from: Arc<str>,
    pub(crate) to: Arc<str>,
    pub(crate) after: i64,
    /// Rows of the scan that are left.
    left: i64,
    /// Whether the next row may be far away, so that a look ahead is needed.
    is_in_gap: bool,
}

impl Scan {
    pub(crate) fn new(from: Arc<str>, to: Arc<str>, after: i64) -> Self {
        Self { from, to, after, left: 0, is_in_gap: true }
    }

    /// The last position that the next window reads.
    fn window_end(&self) -> i64 {
        self.after + SPAN_MIN.max(self.left / SPAN_RATIO)
    }

    /// Notes that a window's rows were sent, the last of them at `last_pos`; false when none are
    /// left.
    pub(crate) fn advance(&mut self, rows: u32, last_pos: i64, is_full: bool) -> bool {
        self.after = if is_full { last_pos } else { self.window_end() };
        self.is_in_gap = !is_full;
        self.left -= i64::from(rows);
        self.left > 0
    }
}

/// Finds the scan's next row if it may be far away; false when no rows are left.
pub(crate) async fn look_ahead(
    session: &mut PgConnection,
    texts: &Texts,
    scan: &mut Scan,
) -> sqlx::Result<bool> {
    if !scan.is_in_gap {
        return Ok(true);
    }
    let statement = prepared(&texts.ahead).bind(&*scan.from).bind(&*scan.to).bind(scan.after);
    let row = within(TIMEOUT, statement.fetch_one(session)).await?;
    let first: Option<i64> = row.try_get(0)?;
    scan.left = row.try_get(1)?;
    scan.after = first.map_or(scan.after, |first| first - 1);
    Ok(scan.left > 0)
}

/// Hands the rows of the next window to `each`. Returns whether the window was full; if it was not,
/// the next row may be far away.
pub(crate) async fn window_of<E: From<sqlx::Error>>(
    session: &mut PgConnection,
    texts: &Texts,
    scan: &Scan,
    mut each: impl FnMut(&Row<'_>) -> Result<(), E>,
) -> Result<bool, E> {
    let scanned = async {
        let statement = prepared(&texts.window).bind(scan.after).bind(scan.window_end());
        let mut rows = statement.bind(&*scan.from).bind(&*scan.to).fetch(session);
        let (mut count, mut bytes) = (0, 0);
        while let Some(row) = rows.try_next().await? {
            let row = Row::read(&row)?;
            count += 1;
            bytes += i64::try_from(row.payload.len()).unwrap_or(i64::MAX);
            each(&row)?;
        }
        Ok(count >= ROWS_MAX || bytes >= BYTES_MAX)
    };
    within(TIMEOUT, scanned).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(after: i64, left: i64) -> Scan {
        Scan { left, is_in_gap: false, ..Scan::new("".into(), "".into(), after) }
    }

    #[test]
    fn a_full_window_is_followed_by_the_next_and_a_short_one_by_a_look_ahead() {
        let mut scan = scan(10, 8_000);

        assert!(scan.advance(5_000, 6_000, true));
        assert_eq!((scan.after, scan.is_in_gap), (6_000, false));
        assert!(scan.advance(7, 6_900, false));
        assert_eq!((scan.after, scan.is_in_gap), (6_000 + SPAN_MIN, true), "all of it was read");
        assert!(!scan.advance(2_993, 30_000, true), "nothing is left: no look is needed");
    }

    #[test]
    fn the_more_is_left_the_farther_a_window_may_step() {
        assert_eq!(scan(100, 0).window_end(), 100 + SPAN_MIN);
        assert_eq!(scan(100, SPAN_MIN * SPAN_RATIO * 5).window_end(), 100 + SPAN_MIN * 5);
    }
}
