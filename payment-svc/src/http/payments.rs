//! Paying, and what became of it.

use std::time::Duration;

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use chassis::{
    Code, Problem, TraceParent,
    body::JsonBody,
    clock,
    http::{self, Params, Prefer},
};
use mailbox::Answer;
use proto::{OrderId, PaymentId};
use serde_json::json;
use service::Asked;

use super::{Answered, Site, bodies};
use crate::{
    cards,
    commands::Request,
    domain::{Instrument, order_of},
    reactions::Input,
    store::{self, Root},
    views::{self, PaymentView},
};

/// An order is placed at one service and heard of at another: how long to believe a client.
const NEWS_WAIT: Duration = Duration::from_secs(2);
/// How long one who pays waits for the outcome, unless `Prefer` says otherwise.
const OUTCOME_WAIT: Duration = Duration::from_secs(10);

pub(super) async fn pay(
    State(site): State<Site>,
    prefer: Prefer,
    trace: TraceParent,
    asked: Asked,
    body: JsonBody,
) -> Answered {
    let today = clock::now().date();
    let wanted = body.read(|fields| bodies::payment(fields, today))?;
    let order = wanted.order;
    let due = site.heard_of(order).await?.payment.due;
    let amount = match (&wanted.amount, due) {
        (Some(amount), Some(due)) => Some(bodies::money(amount, due.amount.currency())?),
        (None, _) | (_, None) => None,
    };
    let request = Request::Pay { order, instrument: wanted.instrument, amount };
    let command = asked.command(Input::Asked(request, Some(trace.to_bytes())), &body.0)?;
    let mut outcome = service::ended(site.mailbox.submit(command).await)?;
    // Still open, also when it was so the first time: whoever asks waits and is told how it ended.
    if outcome.answer.status == StatusCode::ACCEPTED {
        outcome.answer = site.outcome(order, prefer.0.unwrap_or(OUTCOME_WAIT)).await?;
    }
    let mut response = service::outcome(outcome);
    if let Some((name, value)) = prefer.applied() {
        response.headers_mut().insert(name, value);
    }
    Ok(response)
}

pub(super) async fn show(
    State(site): State<Site>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answered {
    let unknown = || Problem::new(Code::NotFound, format!("there is no payment {id}"));
    let payment = PaymentId::parse(&id).map_err(|_| unknown())?;
    let root = site.root(order_of(payment)).await?.ok_or_else(unknown)?;
    let view = PaymentView::of(&root).ok_or_else(unknown)?;
    Ok(http::resource(&headers, &view))
}

/// An order has one payment, so there is never a next page.
pub(super) async fn of_order(State(site): State<Site>, mut params: Params) -> Answered {
    let order = params.take_parsed("order_id", |text| {
        OrderId::parse(text).map_err(|_| "has to be the id of an order")
    })?;
    params.take_page()?;
    params.finish()?;
    let order = order
        .ok_or_else(|| Problem::new(Code::BadParameter, "the parameter order_id is missing"))?;
    let root = site.root(order).await?;
    let views: Vec<_> = root.iter().filter_map(PaymentView::of).collect();
    Ok(http::list(&views, None))
}

/// Says whether something could be paid with, as far as can be told without trying.
/// Nothing changes, so a repetition gets the same answer without being remembered.
pub(super) async fn validate(body: JsonBody) -> Answered {
    let today = clock::now().date();
    let instrument = body.read(|fields| bodies::instrument(fields, today))?;
    let (face, reason) = match &instrument {
        Instrument::Wallet => (None, None),
        Instrument::Card(card) => (card.face.as_ref(), cards::unusable(card)),
    };
    let view = json!({
        "valid": reason.is_none(),
        "brand": face.map(|face| &*face.brand),
        "last4": face.map(|face| &*face.last4),
        "reason": reason,
    });
    Ok(http::json(StatusCode::OK, &view))
}

impl Site {
    async fn root(&self, order: OrderId) -> Result<Option<Root>, Problem> {
        let mut db = self.pool.acquire().await?;
        Ok(store::payment(&mut db, order).await?)
    }

    /// The payment of an order that may have been placed just now.
    async fn heard_of(&self, order: OrderId) -> Result<Root, Problem> {
        let found = self.outcomes.wait(order, NEWS_WAIT, || self.root(order)).await?;
        let unknown = "no stock has been reserved for such an order";
        found.ok_or_else(|| Problem::new(Code::NotFound, unknown))
    }

    /// What one who pays is told once it is known, or after `within`.
    async fn outcome(&self, order: OrderId, within: Duration) -> Result<Answer, Problem> {
        let ended = self.outcomes.wait(order, within, || async move {
            let root = self.root(order).await?;
            Ok::<_, Problem>(
                root.filter(|root| views::outcome(root).status != StatusCode::ACCEPTED),
            )
        });
        let root = match ended.await? {
            Some(root) => Some(root),
            None => self.root(order).await?,
        };
        root.as_ref().map(views::outcome).ok_or_else(Problem::internal)
    }
}
