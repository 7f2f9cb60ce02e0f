//! Stripe's protocol, as far as payment-svc speaks it, over the same ledger: payment intents of
//! cards that are confirmed at once, and their refunds. Written from the documented API, and as strict.

mod account;
mod amounts;
mod cards;
mod events;
mod forms;
mod objects;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use chassis::clock;
use proto::OrderId;
use serde_json::json;

pub use self::{account::StripeAccount, events::WebhookSender};
use self::{
    account::key_of,
    cards::TestMethod,
    forms::{form, query, units},
    objects::{StripeError, charge_view, intent_view, refund_view},
};
use crate::{
    book::{Charge, FormRequest, RecordResult, Refund, Refusal},
    http::{AppState, hung_up},
};

const REPLAYED: &str = "idempotent-replayed";
const INTENT_PARAMS: [&str; 9] = [
    "amount",
    "currency",
    "payment_method",
    "payment_method_types[]",
    "confirm",
    "off_session",
    "error_on_requires_action",
    "description",
    "expand[]",
];
const REFUND_PARAMS: [&str; 4] = ["payment_intent", "amount", "reason", "expand[]"];
/// Refunds on a page unless asked otherwise, and at most.
const PAGE: usize = 10;
const PAGE_MAX: usize = 100;

/// Where Stripe's requests come in: the provider behind it, and the account.
#[derive(Clone)]
pub(crate) struct StripeDesk {
    pub(crate) provider: AppState,
    pub(crate) account: StripeAccount,
}

pub(crate) fn routes(desk: StripeDesk) -> Router {
    Router::new()
        .route("/stripe/v1/payment_intents", post(make_intent))
        .route("/stripe/v1/payment_intents/search", get(search_intents))
        .route("/stripe/v1/payment_intents/{id}", get(intent))
        .route("/stripe/v1/refunds", post(make_refund).get(list_refunds))
        // No part of Stripe: a day passes.
        .route("/stripe/forget_keys", post(forget_keys))
        .with_state(desk)
}

type StripeResult = Result<Response, StripeError>;

async fn make_intent(
    State(StripeDesk { provider, account }): State<StripeDesk>,
    headers: HeaderMap,
    body: Bytes,
) -> StripeResult {
    account.admit(&headers)?;
    let params = form(&headers, &body)?;
    params.only(&INTENT_PARAMS)?;
    let currency = params.currency()?;
    let money = units(&params.required("amount")?, currency)?;
    if params.get("confirm") != Some("true") {
        return Err(StripeError::invalid("confirm", "only intents that are confirmed at once"));
    }
    let token = params.required("payment_method")?;
    let method = TestMethod::parse(&token).ok_or_else(|| StripeError::no_method(&token))?;
    let order = params.metadata("order_id").and_then(|text| OrderId::parse(text).ok());
    let order_id = order.ok_or_else(|| {
        StripeError::invalid("metadata[order_id]", "this ledger is kept by order")
    })?;
    let expanded = params.get("expand[]") == Some("latest_charge");
    let asked = FormRequest { key: key_of(&headers)?, form: params.0 };
    let _under_way = account.enter(&asked.key)?;
    provider.knobs.delay(provider.began).await;
    let is_lost = provider.knobs.is_lost(&asked.key);
    let wanted = Charge {
        idempotency_key: format!("pi_{}", clock::new_id().simple()),
        order_id,
        money,
        token,
        declined: method.decline(),
        at: clock::now(),
        asked: Some(asked),
    };
    let recorded = provider.ledger.record(|book| book.intend(wanted)).await?.map_err(refused)?;
    let charge = &recorded.entry;
    if recorded.is_new {
        let kind = if charge.declined.is_some() { "payment_failed" } else { "succeeded" };
        let of_charge = if charge.declined.is_some() { "failed" } else { "succeeded" };
        account.tell(&format!("charge.{of_charge}"), &charge_view(charge), charge.at);
        let object = intent_view(charge, false);
        account.tell(&format!("payment_intent.{kind}"), &object, charge.at);
    }
    if is_lost && recorded.is_new {
        return Ok(hung_up());
    }
    let answer = match StripeError::decline(charge) {
        Some(declined) => declined.into_response(),
        None => answer(&intent_view(charge, expanded)),
    };
    Ok(marked(answer, &recorded))
}

async fn search_intents(
    State(StripeDesk { provider, account }): State<StripeDesk>,
    headers: HeaderMap,
    RawQuery(text): RawQuery,
) -> StripeResult {
    account.admit(&headers)?;
    let params = query(text.as_deref());
    params.only(&["query", "limit", "page", "expand[]"])?;
    let wanted = params.required("query")?;
    let field = wanted.strip_prefix("metadata['").and_then(|rest| rest.strip_suffix('\''));
    let (name, value) = field
        .and_then(|field| field.split_once("']:'"))
        .ok_or_else(|| StripeError::invalid("query", "only metadata['name']:'value' is known"))?;
    let found = provider.ledger.look(|book| book.intents_with(name, value)).await?;
    let data: Vec<_> = found.iter().map(|charge| intent_view(charge, false)).collect();
    let url = "/v1/payment_intents/search";
    Ok(answer(&json!({"object": "search_result", "url": url, "has_more": false, "data": data})))
}

async fn intent(
    State(StripeDesk { provider, account }): State<StripeDesk>,
    Path(id): Path<String>,
    headers: HeaderMap,
    RawQuery(text): RawQuery,
) -> StripeResult {
    account.admit(&headers)?;
    let params = query(text.as_deref());
    let expanded = params.get("expand[]") == Some("latest_charge");
    Ok(answer(&intent_view(&find_intent(&provider, &id).await?, expanded)))
}

/// The charge of an intent; one that was asked for otherwise is no intent.
async fn find_intent(provider: &AppState, id: &str) -> Result<Charge, StripeError> {
    let found = provider.ledger.look(|book| book.charge_of(id).cloned()).await?;
    let intent = found.filter(|charge| charge.asked.is_some());
    intent.ok_or_else(|| StripeError::missing("payment_intent", id))
}

async fn make_refund(
    State(StripeDesk { provider, account }): State<StripeDesk>,
    headers: HeaderMap,
    body: Bytes,
) -> StripeResult {
    account.admit(&headers)?;
    let params = form(&headers, &body)?;
    params.only(&REFUND_PARAMS)?;
    let intent = params.required("payment_intent")?;
    let of = find_intent(&provider, &intent).await?;
    let amount = params.get("amount").map(|text| units(text, of.money.currency())).transpose()?;
    let asked = FormRequest { key: key_of(&headers)?, form: params.0 };
    let _under_way = account.enter(&asked.key)?;
    provider.knobs.delay(provider.began).await;
    if provider.knobs.is_refund_refused(&asked.key) {
        return Err(StripeError::disputed());
    }
    let is_lost = provider.knobs.is_lost(&asked.key);
    let id = format!("re_{}", clock::new_id().simple());
    let give_back =
        |book: &mut crate::book::Book| book.give_back(asked, (id, &intent), amount, clock::now());
    let recorded = provider.ledger.record(give_back).await?.map_err(refused)?;
    let refund = &recorded.entry;
    if recorded.is_new {
        for kind in ["refund.created", "refund.updated"] {
            account.tell(kind, &refund_view(refund), refund.at);
        }
        account.tell("charge.refunded", &charge_view(&of), refund.at);
    }
    if is_lost && recorded.is_new {
        return Ok(hung_up());
    }
    Ok(marked(answer(&refund_view(refund)), &recorded))
}

async fn list_refunds(
    State(StripeDesk { provider, account }): State<StripeDesk>,
    headers: HeaderMap,
    RawQuery(text): RawQuery,
) -> StripeResult {
    account.admit(&headers)?;
    let params = query(text.as_deref());
    params.only(&["payment_intent", "limit", "starting_after", "expand[]"])?;
    let intent = params.required("payment_intent")?;
    let limit = params.get("limit").map_or(Some(PAGE), |text| text.parse().ok());
    let limit = limit.filter(|limit| (1..=PAGE_MAX).contains(limit));
    let limit = limit.ok_or_else(|| StripeError::invalid("limit", "has to be 1 to 100"))?;
    let all: Vec<Refund> = provider.ledger.look(|book| book.refunds_of(&intent)).await?;
    let after = params.get("starting_after").map_or(Some(0), |id| {
        all.iter().position(|refund| refund.idempotency_key == id).map(|at| at + 1)
    });
    let after = after.ok_or_else(|| StripeError::invalid("starting_after", "is no refund"))?;
    let page: Vec<_> = all.iter().skip(after).take(limit).map(refund_view).collect();
    let has_more = after + page.len() < all.len();
    Ok(answer(&json!({"object": "list", "url": "/v1/refunds", "has_more": has_more, "data": page})))
}

async fn forget_keys(State(StripeDesk { provider, .. }): State<StripeDesk>) -> StripeResult {
    let forgotten = provider.ledger.forget_keys();
    Ok(answer(&json!({ "forgotten": forgotten })))
}

fn answer(body: &serde_json::Value) -> Response {
    chassis::http::json(StatusCode::OK, body)
}

fn marked<T>(mut response: Response, recorded: &RecordResult<T>) -> Response {
    if !recorded.is_new {
        let value = axum::http::HeaderValue::from_static("true");
        response.headers_mut().insert(REPLAYED, value);
    }
    response
}

fn refused(refusal: Refusal) -> StripeError {
    match refusal {
        Refusal::KeyReused => StripeError::key_reused(),
        Refusal::NoSuchCharge | Refusal::TooLarge => {
            StripeError::invalid("amount", &refusal.to_string())
        }
        Refusal::NothingCaptured => {
            StripeError::invalid("payment_intent", "the intent has no successful charge")
        }
        Refusal::MoreThanLeft(left) if left.is_zero() => StripeError::refunded_already(),
        Refusal::MoreThanLeft(_) => StripeError::invalid("amount", &refusal.to_string()),
    }
}
