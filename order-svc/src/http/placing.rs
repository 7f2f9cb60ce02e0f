//! Placing an order: the request, a second look at the catalogue, and the wait for an outcome.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{StatusCode, header},
};
use chassis::{
    Problem, TraceParent,
    body::JsonBody,
    http::{HttpResult, Prefer},
};
use mailbox::Outcome;
use proto::OrderId;
use service_kit::RequestInfo;

use super::{AppState, bodies};
use crate::{
    domain::Catalogue,
    input::{Input, PlaceOrder, Request},
    store::products_seen,
    views::OrderView,
};

/// Pauses after which the catalogue is read again before an order is refused: half a second in all.
const LOOKS: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(80),
    Duration::from_millis(150),
    Duration::from_millis(250),
];

pub(super) async fn place_order(
    State(app): State<AppState>,
    asked: RequestInfo,
    trace: TraceParent,
    prefer: Prefer,
    body: JsonBody,
) -> HttpResult {
    let id = OrderId::new(chassis::clock::new_id());
    let read = body.read(|fields| bodies::order(fields, id, app.pay_within))?;
    let admitted = app.pressure.admit();
    let placing = PlaceOrder {
        request: Arc::new(read.request),
        details: read.token.map(|token| app.seal_key.seal(id, token.as_bytes())),
        trace_id: Some(trace.trace()),
        names: read.names,
        is_admitted: admitted.is_ok(),
    };
    let skus: BTreeSet<&str> = placing.skus().collect();
    let skus: Vec<String> = skus.into_iter().map(ToOwned::to_owned).collect();
    let command = asked.command(Input::Request(Request::Place(placing)), &body.0)?;
    // With an idempotency key the request goes on even while new orders are refused: its order may
    // have been accepted before, and then the stored answer is given again.
    if command.key.is_none() {
        admitted?;
    }
    let look = || app.products(&skus);
    let outcome = service_kit::submit_patiently(&app.mailbox, command, &LOOKS, look).await?;
    let Some(wait) = prefer.0.filter(|_| outcome.answer.status == StatusCode::CREATED.as_u16())
    else {
        return Ok(service_kit::response(outcome));
    };
    let mut response = app.waited(outcome, wait).await?;
    response.headers_mut().extend(prefer.applied());
    Ok(response)
}

impl AppState {
    async fn products(&self, skus: &[String]) -> Result<Catalogue, Problem> {
        let skus: Vec<&str> = skus.iter().map(String::as_str).collect();
        let mut db = self.pool.acquire().await?;
        Ok(products_seen::find_all(&mut db, &skus).await?)
    }

    /// The same answer with the order as it is once it has an outcome, or when `wait` is over.
    async fn waited(&self, mut outcome: Outcome, wait: Duration) -> HttpResult {
        let at = outcome.answer.headers.iter().find(|(name, _)| name == header::LOCATION.as_str());
        // The first answer under this key may name another order than this request would have made.
        let location = at.map(|(_, location)| location.clone());
        let id = location.as_deref().and_then(|at| at.rsplit('/').next());
        if let Some(id) = id.and_then(|id| OrderId::parse(id).ok()) {
            let stored = self.outcome(id, wait).await?;
            let status = outcome.answer.status;
            outcome.answer =
                service_kit::json_answer(status, &OrderView::new(&stored.order), location);
        }
        Ok(service_kit::response(outcome))
    }
}
