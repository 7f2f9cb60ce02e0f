//! Stripe's protocol: as strict as documented, and charged once a key.

use std::time::Duration;

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, routing::post};
use hmac_sha256::HMAC;
use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::mpsc, time::timeout};

use crate::harness::{Simulator, TestResponse, fresh_file, order, told};

const KEY: &str = "sk_test_1";
const SECRET: &str = "whsec_test";

type Param<'a> = (&'a str, &'a str);

fn an_intent(order: &str) -> Vec<Param<'_>> {
    vec![
        ("amount", "5998"),
        ("currency", "usd"),
        ("payment_method", "pm_card_visa"),
        ("confirm", "true"),
        ("metadata[order_id]", order),
        ("metadata[payment_key]", "k1"),
    ]
}

fn with<'a>(params: &[Param<'a>], name: &'a str, value: &'a str) -> Vec<Param<'a>> {
    let others = params.iter().filter(|(other, _)| *other != name).copied();
    others.chain([(name, value)]).collect()
}

fn form(request: RequestBuilder, params: &[Param<'_>]) -> RequestBuilder {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(params).finish();
    request.header("content-type", "application/x-www-form-urlencoded").body(body)
}

/// Asks for a change under a key.
async fn ask(simulator: &Simulator, path: &str, key: &str, params: &[Param<'_>]) -> TestResponse {
    let request = form(simulator.request("POST", path), params);
    let request = request.bearer_auth(KEY).header("idempotency-key", key);
    told(request.header("stripe-version", "2025-03-31.basil").send().await.unwrap()).await
}

async fn look(simulator: &Simulator, path: &str) -> Value {
    let request = simulator.request("GET", path).bearer_auth(KEY);
    let answer = told(request.send().await.unwrap()).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.body
}

fn error(answer: &TestResponse) -> (u16, &str, &str) {
    let text = |name: &str| answer.body["error"][name].as_str().unwrap_or_default();
    (answer.status.as_u16(), text("type"), text("code"))
}

async fn captures(simulator: &Simulator) -> Value {
    simulator.get("/ledger").await.body["items"][0]["captures"].clone()
}

const INTENTS: &str = "/stripe/v1/payment_intents";

#[tokio::test]
async fn an_intent_is_made_once_for_its_key_until_the_key_is_forgotten() {
    let simulator = Simulator::start(&fresh_file());
    let order = order(1);
    let params = an_intent(&order);

    let first = ask(&simulator, INTENTS, "k1", &params).await;
    let again = ask(&simulator, INTENTS, "k1", &params).await;
    assert_eq!((first.status.as_u16(), &first.body["status"]), (200, &json!("succeeded")));
    assert_eq!((again.replayed, &again.body), (true, &first.body));
    let other = ask(&simulator, INTENTS, "k1", &with(&params, "amount", "5999")).await;
    assert_eq!(error(&other), (400, "idempotency_error", ""));
    assert_eq!(captures(&simulator).await, 1);

    let forgotten = simulator.ask("/stripe/forget_keys", &json!({})).await;
    assert_eq!(forgotten.body, json!({"forgotten": 1}));
    let second = ask(&simulator, INTENTS, "k1", &params).await;

    assert_ne!(second.body["id"], first.body["id"]);
    assert_eq!(captures(&simulator).await, 2, "a forgotten key charges again");
}

#[tokio::test]
async fn a_key_that_is_being_asked_for_is_refused_to_a_second_request() {
    let simulator = Simulator::start_with(&["--latency", "1s"]);
    let order = order(1);
    let params = an_intent(&order);

    let (one, other) = tokio::join!(
        ask(&simulator, INTENTS, "k1", &params),
        ask(&simulator, INTENTS, "k1", &params)
    );

    let (made, refused) = if one.status == 200 { (one, other) } else { (other, one) };
    assert_eq!(made.status, 200);
    assert_eq!(error(&refused), (409, "idempotency_error", "idempotency_key_in_use"));
    assert_eq!(captures(&simulator).await, 1);
}

#[tokio::test]
async fn what_stripe_would_refuse_is_refused() {
    let simulator = Simulator::start(&fresh_file());
    let order = order(1);
    let good = an_intent(&order);
    let send = async |request: RequestBuilder| told(request.send().await.unwrap()).await;
    let post = || simulator.request("POST", INTENTS);

    for (case, request) in [
        ("no key", form(post(), &good)),
        ("a live key", form(post(), &good).bearer_auth("sk_live_1")),
    ] {
        assert_eq!(error(&send(request).await).0, 401, "{case}");
    }
    for (case, request) in [
        ("JSON", post().bearer_auth(KEY).json(&json!({"amount": 1}))),
        ("no version", form(post(), &good).bearer_auth(KEY).header("stripe-version", "new")),
        ("an unknown parameter", form(post(), &with(&good, "speed", "high")).bearer_auth(KEY)),
        ("no amount", form(post(), &good[1..]).bearer_auth(KEY)),
        ("a decimal", form(post(), &with(&good, "amount", "59.98")).bearer_auth(KEY)),
        ("capitals", form(post(), &with(&good, "currency", "USD")).bearer_auth(KEY)),
        ("no such card", form(post(), &with(&good, "payment_method", "pm_x")).bearer_auth(KEY)),
    ] {
        let answer = send(request).await;
        let (status, kind, _) = error(&answer);
        assert_eq!((status, kind), (400, "invalid_request_error"), "{case}");
    }
    assert_eq!(simulator.get("/ledger").await.body["items"], json!([]));
}

#[tokio::test]
async fn each_test_method_is_declined_for_what_it_stands_for() {
    let simulator = Simulator::start(&fresh_file());
    let order = order(1);

    for (method, code, decline_code) in [
        ("pm_card_chargeDeclined", "card_declined", json!("generic_decline")),
        ("pm_card_visa_chargeDeclined", "card_declined", json!("generic_decline")),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", json!("insufficient_funds")),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", json!("expired_card")),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", Value::Null),
    ] {
        let params = with(&an_intent(&order), "payment_method", method);
        let declined = ask(&simulator, INTENTS, method, &params).await;
        assert_eq!(error(&declined), (402, "card_error", code), "{method}");
        assert_eq!(declined.body["error"]["decline_code"], decline_code, "{method}");
        let intent = &declined.body["error"]["payment_intent"];
        assert_eq!(intent["status"], "requires_payment_method", "{method}");
        let again = ask(&simulator, INTENTS, method, &params).await;
        assert_eq!((again.replayed, again.body), (true, declined.body), "{method}");
    }
}

#[tokio::test]
async fn intents_are_found_and_their_refunds_listed_also_after_a_restart() {
    let file = fresh_file();
    let simulator = Simulator::start(&file);
    let order = order(1);
    let params = an_intent(&order);
    let made = ask(&simulator, INTENTS, "k1", &params).await.body;
    let id = made["id"].as_str().unwrap().to_owned();
    for number in ["1", "2", "3"] {
        let part = [("payment_intent", &*id), ("amount", "1000"), ("metadata[number]", number)];
        let refund = ask(&simulator, "/stripe/v1/refunds", number, &part).await;
        assert_eq!(refund.body["status"], "succeeded");
    }
    let rest = [("payment_intent", &*id), ("amount", "3000")];
    let beyond = ask(&simulator, "/stripe/v1/refunds", "4", &rest).await;
    assert_eq!(error(&beyond), (400, "invalid_request_error", "parameter_invalid"));
    simulator.kill();

    let simulator = Simulator::start(&file);
    let found =
        look(&simulator, &format!("{INTENTS}/search?query=metadata['payment_key']:'k1'")).await;
    assert_eq!(found["data"], json!([made]));
    let none =
        look(&simulator, &format!("{INTENTS}/search?query=metadata['payment_key']:'k2'")).await;
    assert_eq!(none["data"], json!([]));
    let shown = look(&simulator, &format!("{INTENTS}/{id}?expand[]=latest_charge")).await;
    let card = &shown["latest_charge"]["payment_method_details"]["card"];
    assert_eq!((&card["brand"], &card["last4"]), (&json!("visa"), &json!("4242")));
    let pages = format!("/stripe/v1/refunds?payment_intent={id}&limit=2");
    let page = look(&simulator, &pages).await;
    assert_eq!((page["data"].as_array().unwrap().len(), &page["has_more"]), (2, &json!(true)));
    let last = page["data"][1]["id"].as_str().unwrap();
    let rest = look(&simulator, &format!("{pages}&starting_after={last}")).await;
    assert_eq!(rest["data"][0]["metadata"], json!({"number": "1"}));
    let again = ask(&simulator, INTENTS, "k1", &params).await;
    assert!(again.replayed, "a key outlives its process");
}

#[tokio::test]
async fn events_are_sent_signed_and_sent_again_until_they_are_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (tell, mut told) = mpsc::unbounded_channel();
    let hook =
        async |State(tell): State<mpsc::UnboundedSender<_>>, headers: HeaderMap, body: Bytes| {
            let signature = headers["stripe-signature"].to_str().unwrap().to_owned();
            tell.send((signature, body)).unwrap();
            axum::http::StatusCode::SERVICE_UNAVAILABLE
        };
    let router = Router::new().route("/hook", post(hook)).with_state(tell);
    let serving = tokio::task::JoinSet::from_iter([async {
        axum::serve(listener, router).await.unwrap();
    }]);
    let settings = ["--stripe-webhook-url", &url, "--stripe-webhook-secret", SECRET];
    let simulator = Simulator::start_with(&settings);
    let order = order(1);

    ask(&simulator, INTENTS, "k1", &an_intent(&order)).await;

    for _ in 0..2 {
        let soon = timeout(Duration::from_secs(10), told.recv()).await;
        let (signature, body): (String, Bytes) = soon.unwrap().unwrap();
        let (at, v1) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
        let signed = HMAC::mac([at.as_bytes(), b".", &body].concat(), SECRET);
        assert_eq!(hex::encode(signed), v1);
        let event: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(event["type"], "charge.succeeded", "as Stripe says it, before the intent's");
        let charge = &event["data"]["object"];
        assert_eq!(charge["metadata"]["payment_key"], "k1");
        assert_eq!(charge["payment_method_details"]["card"]["brand"], "visa");
    }
    drop(serving);
}
