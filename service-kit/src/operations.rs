//! What operators did, over HTTP: the newest first.

use axum::{Router, extract::State, routing::get};
use chassis::{
    clock::Timestamp,
    http::{self, HttpResult, Params},
};
use mailbox::{Mailbox, OperationRecord, Reactor};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

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

/// What an operator did.
#[derive(Serialize, JsonSchema)]
pub(crate) struct OperationView<'a> {
    id: i64,
    service: &'static str,
    at: Timestamp,
    /// The `sub` of who did it.
    caller: &'a str,
    /// Such as `parked.release`.
    action: &'a str,
    reason: &'a str,
    topic: Option<&'a str>,
    partition: Option<i32>,
    key: Option<&'a str>,
    /// The event that it was done to, with its source and version.
    event_id: Option<Uuid>,
    source: Option<&'a str>,
    version: Option<i64>,
}

async fn list_operations<R: Reactor>(State(desk): State<Desk<R>>, params: Params) -> HttpResult {
    let page = desk.page(params)?;
    let before = page.place(CURSOR)?.unwrap_or(i64::MAX);
    // One more than the limit, to find out whether there is another page.
    let found = desk.mailbox.operations(before, page.limit + 1).await;
    let found = found.map_err(|error| unanswered(&error))?;
    let items = found.iter().map(|it| (it.operation_id, item(desk.service, it)));
    Ok(http::page(CURSOR, page.limit, items, None))
}

fn item<'a>(service: &'static str, it: &'a OperationRecord) -> OperationView<'a> {
    OperationView {
        id: it.operation_id,
        service,
        at: it.at.into(),
        caller: &it.caller,
        action: &it.action,
        reason: &it.reason,
        topic: it.topic.as_deref(),
        partition: it.partition,
        key: it.key.as_deref(),
        event_id: it.event_id,
        source: it.source.as_deref(),
        version: it.version,
    }
}
