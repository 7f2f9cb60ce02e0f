//! Giving captured money back, all of it or a part.

use axum::{
    extract::{Path, State},
    http::StatusCode,
};
use chassis::{
    Problem, TraceParent,
    http::{HttpResult, Prefer},
};
use mailbox::{Answer, Command, CommandError};
use proto::{OrderId, PaymentId};
use service_kit::{AmountRequest, CommandRequest};
use tokio::time::Instant;

use super::{AppState, payments::PATIENCE};
use crate::{
    domain::order_of,
    input::{Input, Request},
    store::{self, refunds::RefundOutcome},
    views,
};

pub(super) async fn refund_payment(
    State(app): State<AppState>,
    Path(id): Path<String>,
    (prefer, trace): (Prefer, TraceParent),
    asked: CommandRequest,
) -> HttpResult {
    let until = Instant::now() + prefer.0.unwrap_or(PATIENCE);
    let unknown = || Problem::not_found(format!("there is no payment {id}"));
    let order = PaymentId::parse(&id).map(order_of).map_err(|_| unknown())?;
    let amount = asked.read_optional(|fields| AmountRequest::read_optional(fields, "amount"))?;
    let request = Request::Refund { order, amount, trace: Some(trace.to_bytes()) };
    let command = asked.command(Input::Request(request))?;
    let mut outcome = service_kit::outcome_of(app.refund(order, command, until).await?)?;
    if outcome.answer.status == StatusCode::ACCEPTED
        && let Some(number) = views::open_refund(&outcome.answer)
    {
        outcome.answer = app.refund_outcome(order, number, until).await?;
    }
    let mut response = service_kit::response(outcome);
    response.headers_mut().extend(prefer.applied());
    Ok(response)
}

impl AppState {
    /// Hands a refund over. While another refund of the order is under way it waits: what is left
    /// to be given back is known after it.
    async fn refund(
        &self,
        order: OrderId,
        command: Command<Input>,
        until: Instant,
    ) -> Result<Result<mailbox::Outcome, CommandError>, Problem> {
        let early = Command { is_last_try: false, ..command };
        loop {
            let end = self.submit_until(early.clone(), Instant::now() + PATIENCE).await;
            if end != Err(CommandError::TryAgain) {
                return Ok(end);
            }
            let within = until.saturating_duration_since(Instant::now());
            let free = self.waiters.wait(order, within, || async move {
                let root = self.root(order).await?;
                Ok::<_, Problem>(root.filter(|root| !root.payment.is_in_flight()))
            });
            if free.await?.is_none() {
                return Ok(Err(CommandError::Overloaded));
            }
        }
    }

    /// The answer to a client that waits for refund `number`: its outcome, or that it is under way
    /// still.
    async fn refund_outcome(
        &self,
        order: OrderId,
        number: u32,
        until: Instant,
    ) -> Result<Answer, Problem> {
        let within = until.saturating_duration_since(Instant::now());
        let ended = self.waiters.wait(order, within, || async move {
            let outcome = self.refund_so_far(order, number).await?;
            Ok::<_, Problem>(outcome.filter(|outcome| outcome.ended_at.is_some()))
        });
        let mut outcome = ended.await?;
        if outcome.is_none() {
            outcome = self.refund_so_far(order, number).await?;
        }
        let told = self.root(order).await?.zip(outcome);
        let told = told.map(|(root, outcome)| views::refund_outcome(root, &outcome));
        told.ok_or_else(Problem::internal)
    }

    async fn refund_so_far(
        &self,
        order: OrderId,
        number: u32,
    ) -> Result<Option<RefundOutcome>, Problem> {
        let mut db = self.pool.acquire().await?;
        Ok(store::refunds::outcome(&mut db, order, number).await?)
    }
}
