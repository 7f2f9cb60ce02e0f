//! Paying an order, and what became of its payment.

use std::time::Duration;

use axum::{
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
};
use chassis::{
    Caller, Problem, TraceParent, clock,
    http::{self, HttpResult, NoParams, Params, Prefer},
};
use mailbox::{Answer, Command, CommandError, Outcome};
use proto::{CustomerId, OrderId, PaymentId};
use service_kit::CommandRequest;
use tokio::time::{Instant, timeout_at};

use super::{AppState, bodies};
use crate::{
    domain::{DeclineCode, Instrument, order_of},
    input::{Input, Request},
    store,
    views::{self, OpenCharge, PaymentView},
    world::Root,
};

/// How long to wait for `StockReserved` of an order that a client wants to pay, or of the revision
/// whose amount the client names: the client may know of either before this service does.
const NEWS_WAIT: Duration = Duration::from_secs(2);
/// How long a client that pays waits in all: for `StockReserved`, for the commit and for the
/// outcome. Only the outcome may take longer, if `Prefer` says so. The gateway waits longer than
/// this.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

pub(super) async fn post_payment(
    State(app): State<AppState>,
    prefer: Prefer,
    trace: TraceParent,
    asked: CommandRequest,
) -> HttpResult {
    let began = Instant::now();
    let rules = app.card_rules();
    let bodies::Payment { order, amount, instrument } =
        asked.read(|fields| bodies::payment(fields, rules))?;
    let request = Request::Pay { order, instrument, amount, trace: Some(trace.to_bytes()) };
    let command = asked.command(Input::Request(request))?;
    let of = (order, asked.caller().acts_for());
    let mut outcome = service_kit::outcome_of(app.pay(of, command, began).await?)?;
    // There is no outcome yet, or there was none when the answer was stored: the client waits for
    // the outcome now.
    if outcome.answer.status == StatusCode::ACCEPTED
        && let Some(charge) = views::open_charge(&outcome.answer)
    {
        let until = began + prefer.0.unwrap_or(PATIENCE);
        outcome.answer = app.outcome(order, charge, until).await?;
    }
    let mut response = service_kit::response(outcome);
    response.headers_mut().extend(prefer.applied());
    Ok(response)
}

pub(super) async fn get_payment(
    State(app): State<AppState>,
    _: NoParams,
    Path(id): Path<String>,
    caller: Caller,
    headers: HeaderMap,
) -> HttpResult {
    let unknown = || Problem::not_found(format!("there is no payment {id}"));
    let payment = PaymentId::parse(&id).map_err(|_| unknown())?;
    let root = app.root_of(order_of(payment), caller.sees()).await?.ok_or_else(unknown)?;
    let view = PaymentView::of(&root).ok_or_else(unknown)?;
    Ok(http::resource(&headers, &view))
}

pub(super) async fn list_payments(
    State(app): State<AppState>,
    caller: Caller,
    mut params: Params,
) -> HttpResult {
    let order = service_kit::required_order(&mut params)?;
    // An order has one payment, so there is never a next page.
    params.take_page()?.first_only()?;
    params.finish()?;
    let root = app.root_of(order, caller.sees()).await?;
    let views: Vec<_> = root.iter().filter_map(PaymentView::of).collect();
    Ok(http::list(&views, None))
}

/// Says whether an instrument could be paid with, as far as that is known without charging it.
pub(super) async fn validate_method(
    State(app): State<AppState>,
    asked: CommandRequest,
) -> HttpResult {
    let rules = app.card_rules();
    let instrument = asked.read(|fields| bodies::any_instrument(fields, rules))?;
    let answer = match &instrument {
        Ok(Instrument::Wallet) if !app.has_account(asked.caller()).await? => {
            views::unusable(DeclineCode::NoAccount.as_str())
        }
        Ok(instrument) => views::validated(instrument),
        Err(unusable) => views::unusable(unusable.code.as_str()),
    };
    let command = asked.command(Input::Request(Request::Keep(answer.clone())))?;
    if command.key.is_some() {
        return service_kit::submit(&app.mailbox, command).await;
    }
    Ok(service_kit::new_response(answer))
}

impl AppState {
    /// Whether a caller could pay from a wallet.
    async fn has_account(&self, caller: &Caller) -> Result<bool, Problem> {
        let Ok(customer) = CustomerId::parse(caller.subject()) else { return Ok(false) };
        let mut db = self.pool.acquire().await?;
        Ok(store::accounts::find(&mut db, &customer).await?.is_some())
    }

    fn card_rules(&self) -> bodies::CardRules {
        bodies::CardRules { today: clock::now().date(), routing: self.routing }
    }

    pub(super) async fn root(&self, order: OrderId) -> Result<Option<Root>, Problem> {
        self.root_of(order, None).await
    }

    /// The payment of an order of `owner`, if one is given.
    async fn root_of(&self, order: OrderId, owner: Option<&str>) -> Result<Option<Root>, Problem> {
        let mut db = self.pool.acquire().await?;
        Ok(store::payments::find(&mut db, order, owner).await?)
    }

    /// Hands a payment over, once the order is heard of: it may have been placed just now. It may
    /// have been amended just now, too: then another amount is due than the client names, and the
    /// payment waits for what is reserved next. An order of somebody else than `owner` is never
    /// heard of.
    async fn pay(
        &self,
        (order, owner): (OrderId, Option<&str>),
        command: Command<Input>,
        began: Instant,
    ) -> Result<Result<Outcome, CommandError>, Problem> {
        let found = self.waiters.wait(order, NEWS_WAIT, || self.root_of(order, owner)).await?;
        let unknown = || Problem::not_found("no stock has been reserved for such an order");
        let mut seen = found.ok_or_else(unknown)?.payment;
        let early = Command { is_last_try: false, ..command.clone() };
        loop {
            let end = self.submit_until(early.clone(), began + PATIENCE).await;
            if end != Err(CommandError::TryAgain) {
                return Ok(end);
            }
            let (before, within) =
                (&seen, (began + NEWS_WAIT).saturating_duration_since(Instant::now()));
            let newer = self.waiters.wait(order, within, || async move {
                let root = self.root(order).await?;
                Ok::<_, Problem>(root.filter(|root| root.payment != *before))
            });
            match newer.await? {
                Some(root) => seen = root.payment,
                None => return Ok(self.submit_until(command, began + PATIENCE).await),
            }
        }
    }

    /// Hands a command over and waits for it until `until`; the command is decided all the same.
    pub(super) async fn submit_until(
        &self,
        command: Command<Input>,
        until: Instant,
    ) -> Result<Outcome, CommandError> {
        let submitted = timeout_at(until, self.mailbox.submit(command)).await;
        submitted.unwrap_or(Err(CommandError::Overloaded))
    }

    /// The answer to a client that pays: once its charge has an outcome, or as that stands at
    /// `until`.
    async fn outcome(
        &self,
        order: OrderId,
        charge: OpenCharge,
        until: Instant,
    ) -> Result<Answer, Problem> {
        let OpenCharge { revision, is_payer } = charge;
        let within = until.saturating_duration_since(Instant::now());
        let ended = self.waiters.wait(order, within, || async move {
            let root = self.charged(order, revision).await?;
            Ok::<_, Problem>(root.filter(|root| root.payment.outcome().is_some()))
        });
        let root = match ended.await? {
            Some(root) => Some(root),
            None => self.charged(order, revision).await?,
        };
        let told = root.as_ref().map(|root| views::outcome(root, is_payer));
        told.ok_or_else(Problem::internal)
    }

    /// The payment of an order as its charge for `revision` left it, or as it stands while that is
    /// under way. A payment that has gone on to another revision was not paid by that charge, so it
    /// was declined.
    async fn charged(&self, order: OrderId, revision: u32) -> Result<Option<Root>, Problem> {
        let mut db = self.pool.acquire().await?;
        let Some(root) = store::payments::find(&mut db, order, None).await? else {
            return Ok(None);
        };
        if root.payment.tried_revision() == Some(revision) {
            return Ok(Some(root));
        }
        let declined = store::declined_charges::find(&mut db, order, revision).await?;
        Ok(declined.map(|declined| root.at_decline(declined)))
    }
}
