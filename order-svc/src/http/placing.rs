//! Placing and amending an order: the request, a second look at the catalogue, and the wait for an
//! outcome.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
};
use chassis::{
    Caller, Code, Problem, TraceParent,
    http::{HttpResult, Prefer},
};
use mailbox::{Command, Outcome};
use proto::{Currency, OrderId};
use service_kit::CommandRequest;

use super::{AppState, bodies};
use crate::{
    domain::{Catalogue, LineRequest, OrderRequest},
    input::{Change, ChangeOrder, Input, PlaceOrder, Request},
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
    trace: TraceParent,
    prefer: Prefer,
    asked: CommandRequest,
) -> HttpResult {
    let id = OrderId::new(chassis::clock::new_id());
    let caller = asked.caller();
    let read = asked.read(|fields| {
        let terms = bodies::OrderTerms { id, pay_within: app.pay_within, buyer: caller.customer() };
        bodies::order(fields, &terms)
    })?;
    may_order(caller, &read.request)?;
    let admitted = app.pressure.admit();
    let placing = PlaceOrder {
        request: Arc::new(read.request),
        note: read.note,
        details: read.token.map(|token| app.seal_key.seal(id, token.as_bytes())),
        trace_id: Some(trace.trace()),
        request_key: asked.key()?.map(|key| format!("{}\n{}", key.caller, key.key).into()),
        names: read.names,
        is_admitted: admitted.is_ok(),
    };
    let input = Input::Request(Request::Place(placing));
    let command = asked.command(input)?;
    // With an idempotency key the request goes on even while new orders are refused: its order may
    // have been accepted before, and then the stored answer is given again.
    if command.key.is_none() {
        admitted?;
    }
    let outcome = app.submit_lines(command).await?;
    let Some(wait) = prefer.0.filter(|_| outcome.answer.status == StatusCode::CREATED.as_u16())
    else {
        return Ok(service_kit::response(outcome));
    };
    let mut response = app.waited(outcome, caller, wait).await?;
    response.headers_mut().extend(prefer.applied());
    Ok(response)
}

pub(super) async fn amend_order(
    State(app): State<AppState>,
    Path(id): Path<String>,
    headers: HeaderMap,
    asked: CommandRequest,
) -> HttpResult {
    let order = super::parse_order(&id)?;
    let caller = asked.caller();
    let known = app.find(order, caller).await;
    // Bare amounts are in the order's currency. Whatever the order is, the shape of the body is
    // refused first.
    let currency = known.as_ref().map_or(Currency::USD, |it| it.order.present.total.currency());
    let lines = asked.read(|fields| bodies::items(fields, currency))?;
    known?;
    may_add(caller, &lines.lines)?;
    let conditions = super::if_match(&headers);
    let (caller, change) = (caller.clone(), Change::Amend(lines));
    let changing = ChangeOrder { order, caller, change, conditions };
    // Idempotency keys are for POST: the answer to a PUT is not stored.
    let command = asked.command_without_key(Input::Request(Request::Change(changing)));
    Ok(service_kit::response(app.submit_lines(command).await?))
}

/// Refuses an order in somebody else's name, or with what only staff may put into it.
fn may_order(caller: &Caller, request: &OrderRequest) -> Result<(), Problem> {
    if !caller.may_act_for(&request.customer) {
        let detail = "customer_id: an order is placed for the caller, or by staff";
        return Err(Problem::new(Code::Forbidden, detail));
    }
    may_add(caller, &request.lines)
}

/// Refuses lines that only staff may add.
fn may_add(caller: &Caller, lines: &[LineRequest]) -> Result<(), Problem> {
    let is_extra = |line: &LineRequest| matches!(line, LineRequest::Extra { .. });
    if lines.iter().any(is_extra) {
        caller.require_staff("a line without stock is for staff to add")?;
    }
    Ok(())
}

impl AppState {
    /// Submits a request for lines, which the catalogue may refuse because it is behind.
    async fn submit_lines(&self, command: Command<Input>) -> Result<Outcome, Problem> {
        let skus: BTreeSet<&str> = command.input.skus().collect();
        let skus: Vec<String> = skus.into_iter().map(ToOwned::to_owned).collect();
        let look = || self.products(&skus);
        service_kit::submit_patiently(&self.mailbox, command, &LOOKS, look).await
    }

    async fn products(&self, skus: &[String]) -> Result<Catalogue, Problem> {
        let skus: Vec<&str> = skus.iter().map(String::as_str).collect();
        let mut db = self.pool.acquire().await?;
        Ok(products_seen::find_all(&mut db, &skus).await?)
    }

    /// The same answer with the order as it is once it has an outcome, or when `wait` is over.
    async fn waited(&self, mut outcome: Outcome, caller: &Caller, wait: Duration) -> HttpResult {
        let at = outcome.answer.headers.iter().find(|(name, _)| name == header::LOCATION.as_str());
        // The first answer under this key may name another order than this request would have made.
        let location = at.map(|(_, location)| location.clone());
        let id = location.as_deref().and_then(|at| at.rsplit('/').next());
        if let Some(id) = id.and_then(|id| OrderId::parse(id).ok()) {
            let (stored, texts) = self.outcome(id, caller, wait).await?;
            let status = outcome.answer.status;
            let view = OrderView::new(&stored.order, &texts);
            outcome.answer = service_kit::json_answer(status, &view, location);
        }
        Ok(service_kit::response(outcome))
    }
}
