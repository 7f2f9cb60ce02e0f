//! Placing an order: the request, the second look, and the wait for an outcome.

use std::{sync::Arc, time::Duration};

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::Response,
};
use chassis::{Problem, TraceParent, body::JsonBody, http::Prefer};
use mailbox::{Command, Outcome};
use proto::OrderId;
use service::RequestInfo;
use uuid::Uuid;

use super::{Answered, Site, bodies};
use crate::{
    domain::{self, Request},
    reactions::{Input, LOOK_AGAIN, PlaceOrder, wanted},
    store,
    views::OrderView,
};

/// When the catalogue is looked at again before it refuses: half a second in all.
const LOOKS: [Duration; 4] = [
    Duration::from_millis(20),
    Duration::from_millis(80),
    Duration::from_millis(150),
    Duration::from_millis(250),
];

pub(super) async fn place(
    State(site): State<Site>,
    asked: RequestInfo,
    trace: TraceParent,
    prefer: Prefer,
    body: JsonBody,
) -> Answered {
    let id = OrderId::new(Uuid::now_v7());
    let read = body.read(|fields| bodies::order(fields, id))?;
    let admitted = site.pressure.admit();
    let placing = PlaceOrder {
        request: Arc::new(read.request),
        details: read.token.map(|token| site.seal_key.seal(id, token.as_bytes())),
        trace_id: Some(trace.trace()),
        is_last_look: false,
        names: read.names,
        is_admitted: admitted.is_ok(),
    };
    let command = asked.command(placing, &body.0)?;
    // An order that was taken under this key before is told even now.
    if command.key.is_none() {
        admitted?;
    }
    let outcome = site.place(command).await?;
    let Some(wait) = prefer.0.filter(|_| outcome.answer.status == StatusCode::CREATED.as_u16())
    else {
        return Ok(service::outcome(outcome));
    };
    let mut response = site.waited(outcome, wait).await?;
    response.headers_mut().extend(prefer.applied());
    Ok(response)
}

impl Site {
    /// Looks again while the catalogue may merely be behind; only what the last look refuses is
    /// told, and kept.
    async fn place(&self, command: Command<PlaceOrder>) -> Result<Outcome, Problem> {
        let mut outcome = self.try_to_place(command.clone()).await?;
        for pause in LOOKS {
            if outcome.answer.status != LOOK_AGAIN {
                return Ok(outcome);
            }
            tokio::time::sleep(pause).await;
            if self.would_accept(&command.input.request).await? {
                outcome = self.try_to_place(command.clone()).await?;
            }
        }
        if outcome.answer.status != LOOK_AGAIN {
            return Ok(outcome);
        }
        let last = PlaceOrder { is_last_look: true, ..command.input };
        self.try_to_place(Command { input: last, ..command }).await
    }

    async fn try_to_place(&self, command: Command<PlaceOrder>) -> Result<Outcome, Problem> {
        let Command { input, key, trace } = command;
        let command = Command { input: Input::Place(input), key, trace };
        service::ended(self.mailbox.submit(command).await)
    }

    async fn would_accept(&self, request: &Request) -> Result<bool, Problem> {
        let mut skus: Vec<&str> = wanted(request).collect();
        skus.sort_unstable();
        let mut db = self.pool.acquire().await?;
        let known = store::products(&mut db, &skus).await?;
        Ok(domain::place(request, &known, chassis::clock::now()).is_ok())
    }

    /// The same answer with the order as it is once it has an outcome, or when the time is over.
    async fn waited(&self, mut outcome: Outcome, wait: Duration) -> Answered {
        let at = outcome.answer.headers.iter().find(|(name, _)| name == header::LOCATION.as_str());
        // The first answer under this key may name another order than this request would have made.
        let location = at.map(|(_, location)| location.clone());
        let id = location.as_deref().and_then(|at| at.rsplit('/').next());
        if let Some(id) = id.and_then(|id| OrderId::parse(id).ok()) {
            let stored = self.outcome(id, wait).await?;
            let status = outcome.answer.status;
            outcome.answer = service::told(status, &OrderView::new(&stored.order), location);
        }
        Ok::<Response, Problem>(service::outcome(outcome))
    }
}
