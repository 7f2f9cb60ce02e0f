//! An order as it stood after each event that this service said about it, from its history.

use axum::extract::{Path, State};
use chassis::{
    Caller, Problem,
    http::{HttpResult, PageBody, Params, write_cursor},
};
use mailbox::Park;
use proto::{EventType, topic};

use super::{AppState, parse_order};
use crate::{
    domain::{HistoryEvent, Order, fold},
    store::order_events,
    views::OrderView,
    wire,
    world::HistoryRow,
};

/// What the cursors of an order's history are marked with, so that no other list takes them.
const HISTORY: &str = "history";
/// Rows read by one statement.
const PIECE: i64 = 200;

pub(super) async fn list_history(
    State(app): State<AppState>,
    Path(id): Path<String>,
    caller: Caller,
    mut params: Params,
) -> HttpResult {
    let id = parse_order(&id)?;
    let after = params.take_parsed("after", |text| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // A number beyond all versions is one that nothing follows.
        if digits { Ok(text.parse().unwrap_or(i64::MAX)) } else { Err("has to be a version") }
    })?;
    let (limit, shown) = params.into_page::<i64>(HISTORY)?;
    let (root, texts) = app.shown(id, &caller).await?;
    let mut last = after.unwrap_or(0).max(shown.unwrap_or(0));
    let (mut body, mut order, mut seq) = (PageBody::new(limit), None, 0);
    let mut db = app.pool.acquire().await?;
    loop {
        let rows = order_events::of_order(&mut db, id, seq, PIECE).await?;
        for row in &rows {
            seq = row.seq;
            let Some((next, is_said)) = after_row(&root.order, order.as_ref(), row)? else {
                continue;
            };
            if is_said && row.version > last {
                if !body.push(&OrderView::new(&next, &texts)) {
                    return Ok(body.finish(Some(&write_cursor(HISTORY, &last))));
                }
                last = row.version;
            }
            order = Some(next);
        }
        if rows.is_empty() {
            return Ok(body.finish(None));
        }
    }
}

/// The order after a row of its history, and whether this service said it. `None` for an event that
/// this build does not know.
fn after_row(
    known: &Order,
    before: Option<&Order>,
    row: &HistoryRow,
) -> Result<Option<(Order, bool)>, Problem> {
    let Some(event_type) = EventType::numbered(row.event_type) else { return Ok(None) };
    let Some(event) = wire::decode_history(known, event_type.topic, &row.payload) else {
        return Ok(None);
    };
    let next = match before {
        None => wire::placed_order((known.id, known.customer.clone()), &event, row.at),
        Some(before) => wire::history_event(&event, row.at)
            .map(|event: HistoryEvent| fold(before, [(event, row.at)])),
    };
    let next = next.map_err(|park| {
        let (Park { class, reason }, seq) = (park, row.seq);
        tracing::error!(order_id = %known.id, seq, class, reason, "a history cannot be read");
        Problem::internal()
    })?;
    Ok(Some((next, event_type.topic == topic::ORDERS)))
}
