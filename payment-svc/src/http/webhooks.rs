//! Events that a provider sends by itself: an answer to a call that still waits for one.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::IntoResponse,
};
use chassis::{
    Code, Problem, body, clock,
    http::{HttpResult, NoParams},
};
use mailbox::Command;

use super::AppState;
use crate::{
    domain::{ChargeOutcome, Event, PaymentProvider, Phase},
    input::Input,
    metrics,
    provider::stripe::webhook::{self, BadSignature, StripeNotice},
    store,
};

const SIGNATURE: &str = "stripe-signature";

/// Takes an event of Stripe's. Whatever it is about, it is taken once its signature fits: Stripe
/// repeats what is refused, for days.
pub(super) async fn stripe_event(
    State(app): State<AppState>,
    _: NoParams,
    headers: HeaderMap,
    body: Body,
) -> HttpResult {
    let missing = || Problem::not_found("no webhook of Stripe's is set up here");
    let secrets = app.stripe_webhook.as_ref().ok_or_else(missing)?;
    let bytes = body::collect(body).await?;
    let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
    secrets.verify(signature.unwrap_or_default(), &bytes, clock::now()).map_err(nobodys)?;
    let notice = webhook::read(&bytes)
        .map_err(|_| Problem::new(Code::MalformedJson, "the event cannot be read"))?;
    let result = match notice {
        Some(notice) => app.hear(notice).await?,
        None => "no_answer",
    };
    metrics::webhook(result);
    Ok(StatusCode::OK.into_response())
}

fn nobodys(why: BadSignature) -> Problem {
    metrics::webhook("bad_signature");
    Problem::new(Code::BadSignature, why.to_string())
}

impl AppState {
    /// Records what an event says if its call still waits for that, in the way in which the call's
    /// own answer is recorded; whichever comes second changes nothing.
    async fn hear(&self, notice: StripeNotice) -> Result<&'static str, Problem> {
        let order = notice.name.order();
        let mut db = self.pool.acquire().await?;
        let open = store::provider_calls::open(&mut db, order, PaymentProvider::Stripe).await?;
        drop(db);
        let Some(call) = open.filter(|call| call.name == notice.name) else {
            return Ok(self.unasked(&notice).await?);
        };
        if !notice.fits(call.name, call.amount) {
            tracing::error!(order_id = %order, "an event of Stripe's is about another amount");
            return Ok("does_not_fit");
        }
        let (event, trace) = (notice.event, call.trace);
        // An answer without money counts only for the attempt that was under way when it was
        // looked at: a later one gets its own.
        let input = Input::Answered { order, event, attempts: call.attempts, trace };
        let command = Command { trace, ..Command::new(input) };
        service_kit::outcome_of(self.mailbox.submit(command).await)?;
        Ok("answered")
    }

    /// Logs money that moved although no call waits for it: staff have to settle that.
    async fn unasked(&self, notice: &StripeNotice) -> sqlx::Result<&'static str> {
        let order = notice.name.order();
        match &notice.event {
            // The bank of the card may refuse days later what had been given back.
            Event::RefundRefused { reason, .. } => {
                tracing::error!(order_id = %order, %reason, "Stripe says that a refund has failed");
                return Ok("refund_failed_later");
            }
            Event::ChargeAnswered { revision, outcome: ChargeOutcome::Captured { .. } } => {
                let mut db = self.pool.acquire().await?;
                let found = store::payments::find(&mut db, order, None).await?;
                let is_known = found.is_some_and(|root| match root.payment.phase {
                    Phase::Captured(capture) => capture.revision == *revision,
                    Phase::Waiting | Phase::Charging(_) | Phase::Declined(_) => false,
                });
                if !is_known {
                    tracing::error!(order_id = %order, "Stripe took money that no payment has");
                    return Ok("unknown_money");
                }
            }
            _ => {}
        }
        Ok("nothing_open")
    }
}
