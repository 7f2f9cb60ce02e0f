//! Answers that the simulator never gives: intents that are not at their end, replayed failures,
//! other amounts.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use payment_svc::{
    domain::{Call, ChargeOutcome, Operation, PaymentProvider, Token},
    provider::{Provider, ProviderError, Stripe},
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{
    super::{an_order, usd},
    account::serve,
};

type Script = Arc<Mutex<VecDeque<(&'static str, Response)>>>;

/// A provider that answers as a test has written down, request by request.
struct ScriptedStripe {
    stripe: Stripe,
    script: Script,
    _tasks: JoinSet<()>,
}

async fn scripted(script: Vec<(&'static str, Response)>) -> ScriptedStripe {
    let script: Script = Arc::new(Mutex::new(script.into()));
    let mut tasks = JoinSet::new();
    let router = Router::new().fallback(reply).with_state(Arc::clone(&script));
    let url = serve(&mut tasks, router).await;
    let stripe = Stripe::new(&url, "sk_test_scripted", Duration::from_secs(5)).unwrap();
    ScriptedStripe { stripe, script, _tasks: tasks }
}

async fn reply(State(script): State<Script>, request: Request) -> Response {
    let (expected, answer) = script.lock().unwrap().pop_front().expect("nothing more is asked");
    let asked = format!("{} {}", request.method(), request.uri().path());
    assert_eq!(asked, expected);
    answer
}

fn a_charge() -> Call {
    let operation = Operation::Charge { revision: 1, token: Token::new("pm_card_visa") };
    let (order, provider) = (an_order(), PaymentProvider::Stripe);
    Call { order, amount: usd("20.00"), provider, operation }
}

fn intent(call: &Call, status: &str) -> Value {
    json!({"id": "pi_1", "status": status, "amount": 2000, "amount_received": 2000,
        "currency": "usd", "metadata": {"payment_key": call.key()}})
}

fn ok(body: &Value) -> Response {
    (StatusCode::OK, axum::Json(body.clone())).into_response()
}

fn replayed(status: StatusCode) -> Response {
    let body = axum::Json(json!({"error": {"type": "api_error", "message": "oops"}}));
    (status, [("idempotent-replayed", "true")], body).into_response()
}

const MADE: &str = "POST /v1/payment_intents";
const READ: &str = "GET /v1/payment_intents/pi_1";
const CANCEL: &str = "POST /v1/payment_intents/pi_1/cancel";
const SEARCH: &str = "GET /v1/payment_intents/search";

async fn charge(call: &Call, script: Vec<(&'static str, Response)>) -> Result<String, String> {
    let scripted = scripted(script).await;
    let answer = scripted.stripe.charge(&call.key(), call, "pm_card_visa").await;
    assert!(scripted.script.lock().unwrap().is_empty(), "all of it was asked: {answer:?}");
    match answer {
        Ok(ChargeOutcome::Captured { reference, .. }) => Ok(reference.to_string()),
        Ok(ChargeOutcome::Declined { code, .. }) => Ok(code.as_str().to_owned()),
        Err(ProviderError::Unknown(why)) => Err(why),
        Err(ProviderError::Refused(why)) => panic!("refused: {why}"),
    }
}

/// A repeated request gets the first answer, so an intent that was under way is read by its id.
#[tokio::test]
async fn an_intent_under_way_is_read_anew_and_one_that_waits_for_its_customer_is_cancelled() {
    let call = a_charge();
    let of = |status: &str| ok(&intent(&call, status));
    let taken = vec![(MADE, of("processing")), (READ, of("succeeded"))];
    assert_eq!(charge(&call, taken).await.unwrap(), "pi_1");

    let open = vec![(MADE, of("processing")), (READ, of("processing"))];
    assert!(charge(&call, open).await.unwrap_err().contains("processing"));

    let waits = vec![
        (MADE, of("requires_action")),
        (READ, of("requires_action")),
        (CANCEL, of("canceled")),
    ];
    assert_eq!(charge(&call, waits).await.unwrap(), "card_declined");

    let away = (StatusCode::BAD_GATEWAY, "").into_response();
    let waits = vec![(MADE, of("requires_action")), (READ, of("requires_action")), (CANCEL, away)];
    charge(&call, waits).await.unwrap_err();
}

#[tokio::test]
async fn a_failure_that_is_replayed_is_looked_for_and_never_a_decline() {
    let call = a_charge();
    let failed = || replayed(StatusCode::INTERNAL_SERVER_ERROR);
    let found = ok(&json!({"data": [intent(&call, "processing")]}));
    let script = vec![(MADE, failed()), (SEARCH, found), (READ, ok(&intent(&call, "succeeded")))];
    assert_eq!(charge(&call, script).await.unwrap(), "pi_1");

    let script = vec![(MADE, failed()), (SEARCH, ok(&json!({"data": []})))];
    assert!(charge(&call, script).await.unwrap_err().contains("500"));
}

#[tokio::test]
async fn an_answer_about_something_else_is_none() {
    let call = a_charge();
    for (member, value) in [
        ("amount", json!(1999)),
        ("amount_received", json!(1999)),
        ("currency", json!("eur")),
        ("metadata", json!({"payment_key": a_charge().key()})),
        ("metadata", json!({})),
        ("status", json!(null)),
    ] {
        let mut other = intent(&call, "succeeded");
        other[member] = value;
        let answer = charge(&call, vec![(MADE, ok(&other))]).await;
        assert!(answer.is_err(), "{member}: {answer:?}");
    }
    let endless = (StatusCode::OK, "x".repeat(2 * 1024 * 1024)).into_response();
    assert!(charge(&call, vec![(MADE, endless)]).await.unwrap_err().contains("too large"));
    let moved = (StatusCode::FOUND, [("location", "http://127.0.0.1:1/")]).into_response();
    assert!(charge(&call, vec![(MADE, moved)]).await.unwrap_err().contains("302"));
}

#[tokio::test]
async fn a_refund_that_is_pending_is_asked_about_again_and_one_that_failed_is_refused() {
    let operation = Operation::Refund { number: 1, reference: "pi_1".into() };
    let call = Call { operation, ..a_charge() };
    let of = |status: &str| {
        json!({"id": "re_1", "status": status, "amount": 2000, "currency": "usd",
            "failure_reason": "declined", "metadata": {"payment_key": call.key()}})
    };
    let list = |status: &str| ok(&json!({"data": [of(status)], "has_more": false}));
    let script = vec![
        ("POST /v1/refunds", ok(&of("pending"))),
        ("GET /v1/refunds", list("pending")),
        ("GET /v1/refunds", list("failed")),
        ("GET /v1/refunds", list("succeeded")),
    ];
    let provider = scripted(script).await;
    let (stripe, key) = (&provider.stripe, call.key());

    let asked = stripe.refund(&key, &call, "pi_1").await;
    assert!(matches!(asked, Err(ProviderError::Unknown(_))), "{asked:?}");
    let pending = stripe.refund_of(&key, &call, "pi_1").await;
    assert!(matches!(pending, Err(ProviderError::Unknown(_))), "{pending:?}");
    let failed = stripe.refund_of(&key, &call, "pi_1").await;
    assert!(matches!(failed, Err(ProviderError::Refused(ref why)) if why == "declined"));
    assert!(stripe.refund_of(&key, &call, "pi_1").await.unwrap());
}
