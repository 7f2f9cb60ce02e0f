//! What operators did, over HTTP: the newest first.

use axum::{Router, extract::State, response::Response, routing::get};
use chassis::{Problem, clock::rfc3339, http};
use mailbox::{Mailbox, OperationRecord, Reactor};
use serde_json::{Value, json};

use crate::desk::{Desk, unanswered};

/// The list's name in cursors. The gateway writes it, too: it merges the lists of all services by
/// time.
const CURSOR: &str = "operations";

/// The route of `/v1/operations` in one service.
pub(crate) fn router<R: Reactor>(mailbox: Mailbox<R>, service: &'static str) -> Router {
    Router::new()
        .route("/v1/operations", get(list_operations::<R>))
        .with_state(Desk { mailbox, service })
}

async fn list_operations<R: Reactor>(
    State(desk): State<Desk<R>>,
    params: http::Params,
) -> Result<Response, Problem> {
    let page = desk.page(params)?;
    let before = page.place(CURSOR)?.unwrap_or(i64::MAX);
    // One more than the limit, to find out whether there is another page.
    let found = desk.mailbox.operations(before, page.limit + 1).await;
    let found = found.map_err(|error| unanswered(&error))?;
    let items = found.iter().map(|it| (it.operation_id, item(desk.service, it)));
    Ok(http::page(CURSOR, page.limit, items, None))
}

fn item(service: &str, it: &OperationRecord) -> Value {
    json!({
        "id": it.operation_id, "service": service, "at": rfc3339(it.at), "caller": it.caller,
        "action": it.action, "reason": it.reason, "topic": it.topic, "partition": it.partition,
        "key": it.key, "event_id": it.event_id, "source": it.source, "version": it.version,
    })
}
