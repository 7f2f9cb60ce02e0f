//! The provider's HTTP API: `POST /charges`, `POST /refunds`, and look-ups of what became of them.

use std::{io, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, State},
    http::{HeaderValue, StatusCode},
    response::Response,
    routing::{get, post},
};
use chassis::{
    Code, DetachedRunner, Problem,
    body::{Amount, Fields, JsonBody, invalid_value},
    clock,
    http::{self, HttpResult, IdempotencyKeyHeader, Params},
};
use proto::{
    Currency, Money, MoneyError, OrderId,
    limits::{TEXT_CHARS_MAX, TOKEN_CHARS_MAX},
};
use rust_decimal::Decimal;
use serde::Serialize;
use time::OffsetDateTime;
use tokio::time::Instant;

use crate::{
    book::{Account, Book, Charge, RecordResult, Refund, Refusal},
    knobs::Knobs,
    ledger::{Ledger, Unwritable},
    tokens::{self, Card, Decline, Manner},
};

const KEY_CHARS_MAX: usize = 255;
/// What the cursors of the ledger are marked with.
const LEDGER: &str = "ledger";
const REPLAYED: &str = "idempotency-replayed";

/// What the handlers share.
#[derive(Clone)]
pub struct AppState {
    pub ledger: Ledger,
    pub detached: DetachedRunner,
    /// How long a slow charge takes.
    pub slow: Duration,
    pub knobs: Knobs,
    /// When the process began: its silences are counted from then.
    pub began: Instant,
}

pub(crate) fn routes(provider: AppState) -> Router {
    Router::new()
        .route("/charges", post(charge))
        .route("/charges/{key}", get(charge_of))
        .route("/refunds", post(refund))
        .route("/refunds/{key}", get(refund_of))
        .route("/ledger", get(accounts))
        .with_state(provider)
}

#[derive(Serialize)]
struct ChargeBody<'a> {
    idempotency_key: &'a str,
    order_id: OrderId,
    status: &'static str,
    code: Option<Decline>,
    detail: Option<&'static str>,
    #[serde(flatten)]
    money: Money,
    card: Option<Card>,
    #[serde(serialize_with = "clock::serialize")]
    created_at: OffsetDateTime,
}

impl<'a> From<&'a Charge> for ChargeBody<'a> {
    fn from(charge: &'a Charge) -> Self {
        Self {
            idempotency_key: &charge.idempotency_key,
            order_id: charge.order_id,
            status: if charge.declined.is_some() { "declined" } else { "captured" },
            code: charge.declined,
            detail: charge.declined.map(Decline::detail),
            money: charge.money,
            card: tokens::card(&charge.token),
            created_at: charge.at,
        }
    }
}

#[derive(Serialize)]
struct RefundBody<'a> {
    idempotency_key: &'a str,
    charge: &'a str,
    order_id: OrderId,
    status: &'static str,
    #[serde(flatten)]
    money: Money,
    #[serde(serialize_with = "clock::serialize")]
    created_at: OffsetDateTime,
}

impl<'a> From<&'a Refund> for RefundBody<'a> {
    fn from(refund: &'a Refund) -> Self {
        Self {
            idempotency_key: &refund.idempotency_key,
            charge: &refund.charge,
            order_id: refund.order_id,
            status: "refunded",
            money: refund.money,
            created_at: refund.at,
        }
    }
}

#[derive(Serialize)]
struct AccountBody {
    order_id: OrderId,
    currency: Currency,
    captured: String,
    refunded: String,
    captures: u32,
    declines: u32,
    refunds: u32,
}

impl From<Account> for AccountBody {
    fn from(account: Account) -> Self {
        Self {
            order_id: account.order_id,
            currency: account.captured.currency(),
            captured: account.captured.amount_text(),
            refunded: account.refunded.amount_text(),
            captures: account.captures,
            declines: account.declines,
            refunds: account.refunds,
        }
    }
}

async fn charge(
    State(provider): State<AppState>,
    IdempotencyKeyHeader(header): IdempotencyKeyHeader,
    body: JsonBody,
) -> HttpResult {
    let mut wanted = body.read(|fields| read_charge(fields, header))?;
    let manner = tokens::manner(&wanted.token);
    let AppState { ledger, detached, slow, knobs, began } = provider;
    knobs.delay(began).await;
    let is_lost = manner == Manner::Lost || knobs.is_lost(&wanted.idempotency_key);
    wanted.declined = knobs.is_declined(&wanted.idempotency_key).then_some(Decline::CardDeclined);
    // A charge under way is finished even when its caller hangs up, as at a real provider.
    let recorded = detached.run(async move { charge_with(&ledger, wanted, slow).await }).await?;
    let recorded = recorded.map_err(unwritable)?.map_err(refused)?;
    if is_lost && recorded.is_new {
        return Ok(hung_up());
    }
    Ok(answer(&recorded, &ChargeBody::from(&recorded.entry)))
}

async fn charge_with(
    ledger: &Ledger,
    mut wanted: Charge,
    slow: Duration,
) -> Result<Result<RecordResult<Charge>, Refusal>, Unwritable> {
    if tokens::manner(&wanted.token) == Manner::Slowly {
        let known = ledger.look(|book| book.charge_of(&wanted.idempotency_key).is_some()).await?;
        if !known {
            tokio::time::sleep(slow).await;
            wanted.at = clock::now();
        }
    }
    ledger.record(|book| book.charge(wanted)).await
}

async fn charge_of(State(provider): State<AppState>, Path(key): Path<String>) -> HttpResult {
    let found = provider.ledger.look(|book| book.charge_of(&key).cloned()).await;
    let charge = found.map_err(unwritable)?.ok_or_else(|| refused(Refusal::NoSuchCharge))?;
    Ok(http::json(StatusCode::OK, &ChargeBody::from(&charge)))
}

async fn refund(
    State(provider): State<AppState>,
    IdempotencyKeyHeader(header): IdempotencyKeyHeader,
    body: JsonBody,
) -> HttpResult {
    let (key, charge, amount) = body.read(|fields| {
        let key = read_key(fields, header);
        let charge = fields.text("charge", KEY_CHARS_MAX).map(ToOwned::to_owned);
        let amount = fields.amount("amount");
        let currency = fields.optional_text("currency", TEXT_CHARS_MAX).map(ToOwned::to_owned);
        let Amount { text, currency: inner } = amount?;
        Some((key?, charge?, Amount { text, currency: inner.or(currency) }))
    })?;
    provider.knobs.delay(provider.began).await;
    let is_lost = provider.knobs.is_lost(&key);
    if provider.knobs.is_refund_refused(&key) {
        return Err(Problem::new(Code::RefundRefused, "this charge cannot be given back"));
    }
    let ledger = &provider.ledger;
    let of = ledger.look(|book| book.currency_of(&charge)).await.map_err(unwritable)?;
    let currency = of.ok_or_else(|| refused(Refusal::NoSuchCharge))?;
    if amount.currency.as_deref().is_some_and(|code| code != currency.code()) {
        let wrong = "is not the currency of the charge";
        return Err(Problem::new(Code::InvalidValue, wrong).at(
            "/currency",
            Code::InvalidValue,
            wrong,
        ));
    }
    let amount = read_money(&amount.text, currency)
        .map_err(|(code, detail)| Problem::new(code, detail).at("/amount", code, detail))?;
    let recorded = ledger.record(|book| book.refund(key, &charge, amount, clock::now())).await;
    let recorded = recorded.map_err(unwritable)?.map_err(refused)?;
    if is_lost && recorded.is_new {
        return Ok(hung_up());
    }
    Ok(answer(&recorded, &RefundBody::from(&recorded.entry)))
}

async fn refund_of(State(provider): State<AppState>, Path(key): Path<String>) -> HttpResult {
    let found = provider.ledger.look(|book| book.refund_of(&key).cloned()).await;
    let refund = found.map_err(unwritable)?;
    let refund = refund.ok_or_else(|| Problem::new(Code::NotFound, "there is no such refund"))?;
    Ok(http::json(StatusCode::OK, &RefundBody::from(&refund)))
}

/// Every order's account, or one order's; in pages if the request has a `limit`.
async fn accounts(State(provider): State<AppState>, mut params: Params) -> HttpResult {
    let order = params.take_parsed("order_id", |text| {
        OrderId::parse(text).map_err(|_| "has to be the id of an order")
    })?;
    let limit = params.take_parsed("limit", |text| {
        text.parse().ok().filter(|limit| *limit > 0).ok_or("has to be a number above 0")
    })?;
    let cursor = params.take("cursor");
    params.finish()?;
    let after = cursor.map(|cursor| http::read_cursor(LEDGER, &cursor)).transpose()?;
    let limit: usize = limit.unwrap_or(usize::MAX);
    // One more than asked for tells whether there is another page.
    let look = |book: &Book| book.accounts(order, after, limit.saturating_add(1));
    let mut accounts = provider.ledger.look(look).await.map_err(unwritable)?;
    let more = accounts.len() > limit;
    accounts.truncate(limit);
    let next = accounts
        .last()
        .filter(|_| more)
        .map(|last| http::write_cursor(LEDGER, &(last.order_id, last.captured.currency())));
    let items: Vec<_> = accounts.into_iter().map(AccountBody::from).collect();
    Ok(http::list(&items, next))
}

fn read_charge(fields: &mut Fields<'_>, header: Option<String>) -> Option<Charge> {
    let key = read_key(fields, header);
    let order_id = fields.parsed("order_id", |text| OrderId::parse(text).map_err(invalid_value));
    let amount = fields.amount("amount");
    let outer = fields.optional_text("currency", TEXT_CHARS_MAX).map(ToOwned::to_owned);
    let token = fields.text("token", TOKEN_CHARS_MAX).map(ToOwned::to_owned);
    let Amount { text, currency } = amount?;
    let Some(code) = currency.or(outer) else {
        fields.refuse("currency", Code::MissingField, "is missing");
        return None;
    };
    let Ok(currency) = Currency::parse(&code) else {
        fields.refuse("currency", Code::UnknownCurrency, "is no currency of ISO 4217");
        return None;
    };
    let money = read_money(&text, currency)
        .map_err(|(code, detail)| fields.refuse("amount", code, detail))
        .ok();
    Some(Charge {
        idempotency_key: key?,
        order_id: order_id?,
        money: money?,
        token: token?,
        declined: None,
        at: clock::now(),
        asked: None,
    })
}

/// The key stands in the body or in the header; where it stands in both, they must agree.
fn read_key(fields: &mut Fields<'_>, header: Option<String>) -> Option<String> {
    let key = match (fields.optional_text("idempotency_key", KEY_CHARS_MAX), header) {
        (Some(member), Some(header)) if member != header => {
            fields.refuse("idempotency_key", Code::InvalidValue, "is not the header's");
            return None;
        }
        (Some(member), _) => member.to_owned(),
        (None, Some(header)) => header,
        (None, None) => {
            fields.refuse("idempotency_key", Code::MissingField, "is missing, also as a header");
            return None;
        }
    };
    if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
        fields.refuse("idempotency_key", Code::InvalidValue, "has visible ASCII characters only");
        return None;
    }
    Some(key)
}

/// Reads an amount as programs write it: it may be larger than a person's, with zeros at its end.
fn read_money(text: &str, currency: Currency) -> Result<Money, (Code, &'static str)> {
    let amount = Decimal::from_str_exact(text)
        .map_err(|_| (Code::InvalidValue, "has to be a decimal number"))?;
    let money = Money::new(amount, currency).map_err(|error| match error {
        MoneyError::TooManyDecimals => {
            (Code::TooManyDecimals, "has more decimals than the currency")
        }
        MoneyError::NotANumber | MoneyError::Exponent | MoneyError::TooLarge => {
            (Code::InvalidValue, "is too large")
        }
    })?;
    let positive = (Code::AmountNotPositive, "has to be more than nothing");
    if money.is_positive() { Ok(money) } else { Err(positive) }
}

fn answer<T>(recorded: &RecordResult<T>, body: &impl Serialize) -> Response {
    let mut response = http::json(StatusCode::OK, body);
    if !recorded.is_new {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

/// An answer that gets lost: the body fails before anything is sent, so the connection is closed.
pub(crate) fn hung_up() -> Response {
    let lost = io::Error::other("this answer gets lost");
    Response::new(Body::from_stream(futures::stream::iter([Err::<Bytes, _>(lost)])))
}

fn refused(refusal: Refusal) -> Problem {
    let code = match refusal {
        Refusal::KeyReused => Code::IdempotencyKeyReused,
        Refusal::NoSuchCharge => Code::NotFound,
        Refusal::NothingCaptured | Refusal::MoreThanLeft(_) => Code::NotRefundable,
        Refusal::TooLarge => Code::InvalidValue,
    };
    Problem::new(code, refusal.to_string())
}

fn unwritable(fault: Unwritable) -> Problem {
    Problem::new(Code::Overloaded, fault.to_string()).retry_after(1)
}
