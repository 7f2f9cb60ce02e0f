//! Requests and their answers, through the edge and a batch.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use axum::{
    body::{Body, to_bytes},
    http::{HeaderMap, Request, StatusCode},
};
use chassis::{Health, http::Edge};
use mailbox::{Command, Mailbox};
use payment_svc::{
    charges::{Charges, Limits},
    domain::{Due, Event, payment_id},
    http::{Site, router},
    outcomes::Outcomes,
    reactions::{Input, Payments, Source},
};
use proto::OrderId;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{
    Shop, a_shop, an_order, customer, mailbox_of, payments,
    stub::{Stub, Trouble},
    usd,
};

/// The service's HTTP side, with commands and calls but without Kafka.
struct Server {
    /// Its database lives as long as it does.
    _shop: Shop,
    edge: Edge,
    router: axum::Router,
    mailbox: Mailbox<Payments>,
    stub: Stub,
    _tasks: JoinSet<anyhow::Result<()>>,
}

struct Told {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

async fn a_server() -> Server {
    a_server_with(Stub::default()).await
}

async fn a_server_with(stub: Stub) -> Server {
    let shop = a_shop().await;
    let outcomes = Outcomes::default();
    let (reactor, calls) = payments(&outcomes, 30_000);
    let (mailbox, mut tasks) = mailbox_of(&shop.database, reactor).await;
    let pool = chassis::database::connect_pool(&shop.database.url(), 4).await.unwrap();
    let limits = Limits { lease: Duration::from_secs(30), sweep: Duration::from_millis(20) };
    let charges = Charges::new(stub.clone(), mailbox.clone(), pool.clone(), calls, limits);
    tasks.spawn(charges.run(CancellationToken::new()));
    let started = Arc::new(AtomicBool::new(true));
    let edge = Edge::new(Health::new(payment_svc::NAME, started, CancellationToken::new()));
    let router = router(Site { pool, mailbox: mailbox.clone(), outcomes });
    Server { _shop: shop, edge, router, mailbox, stub, _tasks: tasks }
}

impl Server {
    async fn send(&self, request: Request<Body>) -> Told {
        let response = self.edge.answer(self.router.clone(), request).await;
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, usize::MAX).await.unwrap();
        let body =
            if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Told { status: parts.status, headers: parts.headers, body }
    }

    async fn get(&self, path: &str) -> Told {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }

    async fn post(&self, path: &str, body: Value) -> Told {
        self.post_with(path, &[], body).await
    }

    async fn post_with(&self, path: &str, headers: &[(&str, &str)], body: Value) -> Told {
        let mut request = Request::post(path).header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body.to_string())).unwrap()).await
    }

    async fn with_account(self, name: &str, money: &str) -> Self {
        let path = format!("/v1/accounts/{name}");
        assert_eq!(self.post(&path, json!({})).await.status, 201);
        let deposited = self.post(&format!("{path}/deposit"), json!({"amount": money})).await;
        assert_eq!(deposited.status, 201);
        self
    }

    /// Stock is reserved for a deferred order of `c-1`.
    async fn waits_for(&self, order: OrderId, amount: &str) {
        let (customer, amount) = (customer("c-1"), usd(amount));
        let due = Due { customer, revision: 1, amount, instrument: None };
        self.hear(order, Event::StockReserved(due)).await;
    }

    async fn hear(&self, order: OrderId, event: Event) {
        let input = Input::Heard { order, source: Source::Stock, event, trace: None };
        self.mailbox.submit(Command::new(input)).await.unwrap();
    }
}

impl Told {
    fn code(&self) -> (u16, &str) {
        (self.status.as_u16(), self.body["code"].as_str().unwrap_or_default())
    }

    fn pointer(&self) -> &str {
        self.body["errors"][0]["pointer"].as_str().unwrap_or_default()
    }
}

fn card(order: OrderId, token: &str) -> Value {
    json!({"order_id": order.to_string(), "payment_method": {"type": "card", "token": token}})
}

#[tokio::test]
async fn an_account_is_opened_filled_and_read() {
    let server = a_server().await;

    let opened = server.post("/v1/accounts/c-1", json!({"currency": "USD"})).await;
    assert_eq!(opened.status, 201);
    assert_eq!(opened.headers["location"], "/v1/accounts/c-1");
    assert_eq!(server.post("/v1/accounts/c-1", json!({})).await.code(), (409, "account_exists"));

    let key = [("idempotency-key", "k-1")];
    let body = json!({"amount": {"amount": "100.00", "currency": "USD"}});
    let deposited = server.post_with("/v1/accounts/c-1/deposit", &key, body.clone()).await;
    let replayed = server.post_with("/v1/accounts/c-1/deposit", &key, body).await;
    assert_eq!(deposited.status, 201);
    assert_eq!(replayed.body, deposited.body);
    assert_eq!(replayed.headers["idempotency-replayed"], "true");
    let other = server.post_with("/v1/accounts/c-1/deposit", &key, json!({"amount": 7})).await;
    assert_eq!(other.code(), (422, "idempotency_key_reused"));

    let read = server.get("/v1/accounts/c-1/balance").await;
    assert_eq!(read.body["balance"], json!({"amount": "100.00", "currency": "USD"}));
    assert_eq!(read.body, server.get("/v1/accounts/c-1").await.body);
    let entries = server.get("/v1/accounts/c-1/entries").await;
    let [entry] = &entries.body["items"].as_array().unwrap()[..] else { panic!("one entry") };
    assert_eq!(entry["id"], deposited.body["entry_id"]);
    assert_eq!((&entry["kind"], &entry["debit"]), (&json!("deposit"), &json!("outside")));
    assert_eq!(server.get("/v1/accounts/nobody").await.code(), (404, "not_found"));
}

#[tokio::test]
async fn the_ledger_is_read_page_by_page() {
    let server = a_server().await.with_account("c-1", "1.00").await;
    for _ in 0..4 {
        server.post("/v1/accounts/c-1/deposit", json!({"amount": "1.00"})).await;
    }

    let mut path = "/v1/accounts/c-1/entries?limit=2".to_owned();
    let mut sizes = Vec::new();
    loop {
        let page = server.get(&path).await.body;
        sizes.push(page["items"].as_array().unwrap().len());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/accounts/c-1/entries?limit=2&cursor={cursor}");
    }

    assert_eq!(sizes, [2, 2, 1]);
    let bad = server.get("/v1/accounts/c-1/entries?cursor=abc").await;
    assert_eq!(bad.code(), (400, "bad_cursor"));
}

#[tokio::test]
async fn amounts_are_read_strictly() {
    let server = a_server().await.with_account("c-1", "1.00").await;
    for (amount, code, pointer) in [
        (json!("0"), "amount_not_positive", "/amount"),
        (json!("-5.00"), "amount_not_positive", "/amount"),
        (json!("1.000"), "too_many_decimals", "/amount"),
        (json!("1e2"), "invalid_value", "/amount"),
        (json!("10000000"), "invalid_value", "/amount"),
        (json!("a lot"), "invalid_value", "/amount"),
        (json!({"amount": "1.00", "currency": "EUR"}), "invalid_value", "/amount/currency"),
        (json!({"amount": "1.00", "currency": "XYZ"}), "unknown_currency", "/amount/currency"),
        (json!(null), "missing_field", "/amount"),
    ] {
        let told = server.post("/v1/accounts/c-1/deposit", json!({"amount": amount.clone()})).await;
        assert_eq!((told.code(), told.pointer()), ((422, code), pointer), "{amount}");
    }
    let told = server.post("/v1/accounts/c-2", json!({"currency": "dollars"})).await;
    assert_eq!((told.code(), told.pointer()), ((422, "unknown_currency"), "/currency"));
}

#[tokio::test]
async fn money_is_held_and_released() {
    let server = a_server().await.with_account("c-1", "50.00").await;
    let order = an_order().to_string();
    let hold = |amount: &str| json!({"order_id": order, "amount": amount});
    let release = json!({"order_id": order});

    let path = "/v1/accounts/c-1/release";
    assert_eq!(server.post(path, release.clone()).await.code(), (404, "not_found"));
    let path = "/v1/accounts/c-1/hold";
    assert_eq!(server.post(path, hold("50.01")).await.code(), (409, "insufficient_funds"));
    let done = server.post(path, hold("20.00")).await;
    assert_eq!(
        (done.status.as_u16(), &done.body["account"]["held"]["amount"]),
        (201, &json!("20.00"))
    );
    assert_eq!(server.post(path, hold("20.00")).await.status, 200);
    assert_eq!(server.post(path, hold("21.00")).await.code(), (409, "hold_exists"));
    for _ in 0..2 {
        let released = server.post("/v1/accounts/c-1/release", release.clone()).await;
        assert_eq!(released.body["account"]["available"]["amount"], "50.00");
        assert_eq!(released.status, 200);
    }
}

#[tokio::test]
async fn a_deferred_order_is_paid_by_card_and_seen() {
    let server = a_server().await;
    let order = an_order();
    server.waits_for(order, "59.98").await;
    let of_order = format!("/v1/payments?order_id={order}");
    assert_eq!(server.get(&of_order).await.body["items"][0]["status"], "pending");

    let body = json!({
        "order_id": order.to_string(), "amount": "59.98",
        "payment_method": {"type": "credit_card", "card_number": "4111111111111111",
            "expiry": "12/99", "cvv": "123"},
    });
    let paid = server.post("/v1/payments", body).await;

    assert_eq!(paid.status, 201);
    let id = payment_id(order).to_string();
    assert_eq!(paid.headers["location"], format!("/v1/payments/{id}"));
    assert_eq!(paid.body["id"], id.as_str());
    assert_eq!(paid.body["status"], "captured");
    assert_eq!(
        (&paid.body["method"], &paid.body["provider"]),
        (&json!("card"), &json!("simulator"))
    );
    assert_eq!(paid.body["card"], json!({"brand": "visa", "last4": "1111"}));
    assert_eq!(paid.body["amount"], json!({"amount": "59.98", "currency": "USD"}));
    assert_eq!(paid.body["refunded"], json!({"amount": "0.00", "currency": "USD"}));
    let read = server.get(&format!("/v1/payments/{id}")).await;
    assert_eq!(read.body, paid.body);
    assert_eq!(read.headers["etag"], paid.headers["etag"]);
    assert_eq!(server.get(&of_order).await.body["items"], json!([paid.body]));
    let again = server.post("/v1/payments", card(order, "tok_visa")).await;
    assert_eq!(again.code(), (409, "already_paid"));
}

#[tokio::test]
async fn a_declined_payment_is_told_with_the_payment_in_it() {
    let server = a_server().await.with_account("c-1", "5.00").await;
    let (by_card, by_wallet) = (an_order(), an_order());
    server.waits_for(by_card, "20.00").await;
    server.waits_for(by_wallet, "20.00").await;

    let declined = server.post("/v1/payments", card(by_card, "tok_declined")).await;
    assert_eq!(declined.code(), (402, "payment_declined"));
    assert_eq!(declined.body["payment"]["status"], "declined");
    assert_eq!(declined.body["payment"]["decline"]["code"], "card_declined");
    let again = server.post("/v1/payments", card(by_card, "tok_visa")).await;
    assert_eq!(again.code(), (409, "not_payable"));

    let order_id = by_wallet.to_string();
    let body = json!({"order_id": order_id, "payment_method": {"type": "wallet"}});
    let declined = server.post("/v1/payments", body).await;
    assert_eq!(declined.body["payment"]["decline"]["code"], "insufficient_funds");
}

#[tokio::test]
async fn an_open_answer_is_waited_for_again_by_a_repetition() {
    let server = a_server_with(Stub::with(&[Trouble::Lost])).await;
    let order = an_order();
    server.waits_for(order, "20.00").await;
    let headers = [("idempotency-key", "k-1"), ("prefer", "wait=0")];

    let open = server.post_with("/v1/payments", &headers, card(order, "tok_visa")).await;
    assert_eq!((open.status.as_u16(), &open.body["status"]), (202, &json!("processing")));
    assert_eq!(open.headers["preference-applied"], "wait=0");

    let told = server.post_with("/v1/payments", &headers[..1], card(order, "tok_visa")).await;
    assert_eq!((told.status.as_u16(), &told.body["status"]), (201, &json!("captured")));
    assert_eq!(told.headers["idempotency-replayed"], "true");
    assert_eq!(server.stub.book().charges.len(), 1);
}

#[tokio::test]
async fn an_order_not_heard_of_is_waited_for_and_then_unknown() {
    let server = a_server().await;
    let (late, never) = (an_order(), an_order());
    let pay = server.post("/v1/payments", card(late, "tok_visa"));
    let hear = async {
        tokio::task::yield_now().await;
        server.waits_for(late, "20.00").await;
    };
    let (paid, ()) = tokio::join!(pay, hear);
    assert_eq!(paid.status, 201);

    let start = Instant::now();
    let unknown = server.post("/v1/payments", card(never, "tok_visa")).await;

    assert_eq!(unknown.code(), (404, "not_found"));
    assert!(start.elapsed() >= Duration::from_secs(2));
}

#[tokio::test]
async fn a_cancelled_order_is_not_payable() {
    let server = a_server().await;
    let (known, tombstone) = (an_order(), an_order());
    server.waits_for(known, "20.00").await;
    for order in [known, tombstone] {
        server.hear(order, Event::OrderCancelled).await;

        let refused = server.post("/v1/payments", card(order, "tok_visa")).await;
        assert_eq!(refused.code(), (409, "not_payable"));
    }
    let seen = server.get(&format!("/v1/payments?order_id={known}")).await;
    assert_eq!(seen.body["items"][0]["status"], "voided");
    let path = format!("/v1/payments/{}", payment_id(tombstone));
    assert_eq!(server.get(&path).await.code(), (404, "not_found"));
}

#[tokio::test]
async fn what_is_sent_to_pay_with_is_read_strictly() {
    let server = a_server().await;
    let order = an_order();
    server.waits_for(order, "20.00").await;
    let id = order.to_string();
    let number = |number: &str| json!({"type": "credit_card", "card_number": number, "expiry": "12/29", "cvv": "123"});
    for (body, code, pointer) in [
        (number("5555555555554444"), "card_number_refused", "/payment_method/card_number"),
        (number("42"), "card_number_refused", "/payment_method/card_number"),
        (
            json!({"type": "card", "token": "5555555555554444"}),
            "card_number_refused",
            "/payment_method/token",
        ),
        (json!({"type": "card"}), "missing_field", "/payment_method/token"),
        (json!({"type": "gold", "bars": 2}), "unknown_payment_method", "/payment_method/type"),
        (json!({"type": "wallet", "pin": 1}), "unknown_field", "/payment_method/pin"),
        (json!({}), "missing_field", "/payment_method/type"),
    ] {
        let told =
            server.post("/v1/payments", json!({"order_id": id, "payment_method": body})).await;
        assert_eq!((told.code(), told.pointer()), ((422, code), pointer), "{body}");
        assert!(!told.body.to_string().contains("5555555555554444"), "the number is not repeated");
    }
    let mut other = card(order, "tok_visa");
    other["amount"] = json!("19.99");
    let told = server.post("/v1/payments", other).await;
    assert_eq!((told.code(), told.pointer()), ((422, "invalid_value"), "/amount"));
    let told = server.post("/v1/payments", json!({"order_id": "7"})).await;
    assert_eq!((told.code(), told.pointer()), ((422, "invalid_value"), "/order_id"));
}

#[tokio::test]
async fn payment_methods_are_validated_without_trying() {
    let server = a_server().await;
    let path = "/v1/payment-methods/validate";
    let expired = json!({"type": "credit_card", "card_number": "4242424242424242",
        "expiry": "01/20", "cvv": "1234"});
    for (method, valid, last4, reason) in [
        (json!({"type": "card", "token": "tok_visa"}), true, json!("4242"), Value::Null),
        (json!({"type": "card", "token": "tok_x"}), false, Value::Null, json!("card_declined")),
        (expired, false, json!("4242"), json!("expired_card")),
        (json!({"type": "wallet"}), true, Value::Null, Value::Null),
    ] {
        let told = server.post(path, json!({"payment_method": method})).await;

        assert_eq!(told.status, 200);
        assert_eq!(told.body["valid"], json!(valid), "{}", told.body);
        assert_eq!((&told.body["last4"], &told.body["reason"]), (&last4, &reason));
    }
    let refused = json!({"payment_method": {"type": "credit_card",
        "card_number": "5555555555554444", "expiry": "12/29"}});
    assert_eq!(server.post(path, refused).await.code(), (422, "card_number_refused"));
}

#[tokio::test]
async fn parked_keys_are_listed_by_the_service_itself() {
    let server = a_server().await;

    let parked = server.get("/v1/parked?service=payment-svc").await;

    assert_eq!((parked.status.as_u16(), &parked.body["items"]), (200, &json!([])));
}
