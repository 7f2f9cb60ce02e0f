//! What each token does, and that a key is charged once.

use std::time::{Duration, Instant};

use proto::limits::TOKEN_CHARS_MAX;
use serde_json::{Value, json};

use crate::harness::{Simulator, a_charge, fresh_file, order};

#[tokio::test]
async fn each_token_does_what_it_is_for() {
    let simulator = Simulator::start(&fresh_file());

    for (token, status, code, last4) in [
        ("tok_visa", "captured", Value::Null, json!("4242")),
        ("tok_declined", "declined", json!("card_declined"), json!("0002")),
        ("tok_insufficient", "declined", json!("insufficient_funds"), json!("9995")),
        ("tok_expired", "declined", json!("expired_card"), json!("0069")),
        ("tok_nobody_knows", "declined", json!("card_declined"), Value::Null),
    ] {
        let told = simulator.ask("/charges", &a_charge(token, token)).await;

        assert_eq!(told.status, 200, "{token}");
        assert!(!told.replayed);
        assert_eq!(told.body["status"], status, "{token}");
        assert_eq!(told.body["code"], code, "{token}");
        assert_eq!(told.body["card"]["last4"], last4, "{token}");
        assert_eq!(told.body["amount"], "59.98");
        assert_eq!(told.body["currency"], "USD");
        assert!(!told.body.to_string().contains("\"token\""), "tokens are not told");
    }
}

#[tokio::test]
async fn the_same_charge_is_told_again_and_made_once() {
    let simulator = Simulator::start(&fresh_file());
    let first = simulator.ask("/charges", &a_charge("k1", "tok_visa")).await;

    let again = simulator.ask("/charges", &a_charge("k1", "tok_visa")).await;
    let looked_up = simulator.get("/charges/k1").await;
    let ledger = simulator.get("/ledger").await;

    assert!(again.replayed);
    assert_eq!(again.body, first.body);
    assert_eq!(looked_up.body, first.body);
    assert_eq!(
        ledger.body,
        json!({"items": [{"order_id": order(1), "currency": "USD", "captured": "59.98",
                          "refunded": "0.00", "captures": 1, "declines": 0, "refunds": 0}],
               "next_cursor": null})
    );
}

#[tokio::test]
async fn the_same_key_for_another_charge_is_refused() {
    let simulator = Simulator::start(&fresh_file());
    simulator.ask("/charges", &a_charge("k1", "tok_visa")).await;

    for (member, value) in
        [("amount", json!("59.99")), ("token", json!("tok_slow")), ("order_id", json!(order(2)))]
    {
        let mut other = a_charge("k1", "tok_visa");
        other[member] = value;

        let told = simulator.ask("/charges", &other).await;

        assert_eq!(told.problem(), (422, "idempotency_key_reused"), "{member}");
    }
}

#[tokio::test]
async fn the_key_may_be_a_header() {
    let simulator = Simulator::start(&fresh_file());
    let mut body = a_charge("k1", "tok_visa");
    body.as_object_mut().unwrap().remove("idempotency_key");

    let told = simulator.post_with_key("/charges", "k1", &body).await;

    assert_eq!(told.body["idempotency_key"], "k1");
    let both = simulator.post_with_key("/charges", "k2", &a_charge("k1", "tok_visa")).await;
    assert_eq!(both.problem(), (422, "invalid_value"));
}

#[tokio::test]
async fn a_lost_answer_is_a_charge_that_can_be_asked_for() {
    let simulator = Simulator::start(&fresh_file());

    let lost = simulator.post("/charges", &a_charge("k1", "tok_lost")).await;

    assert!(lost.is_err(), "the connection is closed");
    assert_eq!(simulator.get("/charges/k1").await.body["status"], "captured");
    let again = simulator.ask("/charges", &a_charge("k1", "tok_lost")).await;
    assert_eq!((again.status.as_u16(), again.replayed), (200, true));
    assert_eq!(again.body["status"], "captured");
    assert_eq!(simulator.get("/ledger").await.body["items"][0]["captures"], 1);
}

#[tokio::test]
async fn a_slow_charge_is_made_although_its_caller_hangs_up() {
    let simulator = Simulator::start(&fresh_file());
    let charge = a_charge("k1", "tok_slow");
    let started = Instant::now();

    let impatient = simulator.post("/charges", &charge);
    assert!(tokio::time::timeout(Duration::from_millis(100), impatient).await.is_err());
    assert_eq!(simulator.get("/charges/k1").await.problem(), (404, "not_found"));
    let again = simulator.ask("/charges", &charge).await;

    assert_eq!(again.body["status"], "captured");
    assert!(again.replayed, "the first request has made it meanwhile");
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!(simulator.get("/ledger").await.body["items"][0]["captures"], 1);
}

#[tokio::test]
async fn what_is_no_charge_is_refused() {
    let simulator = Simulator::start(&fresh_file());
    for (member, value, code) in [
        ("idempotency_key", Value::Null, "missing_field"),
        ("idempotency_key", json!("a b"), "invalid_value"),
        ("order_id", json!("order-1"), "invalid_value"),
        ("amount", json!("0.00"), "amount_not_positive"),
        ("amount", json!("-1"), "amount_not_positive"),
        ("amount", json!("1.234"), "too_many_decimals"),
        ("amount", json!("1e3"), "invalid_value"),
        ("currency", json!("USDX"), "unknown_currency"),
        ("currency", Value::Null, "missing_field"),
        ("token", Value::Null, "missing_field"),
        ("card_number", json!("4242424242424242"), "unknown_field"),
    ] {
        let mut charge = a_charge("k1", "tok_visa");
        charge[member] = value.clone();

        let told = simulator.ask("/charges", &charge).await;

        assert_eq!(told.problem(), (422, code), "{member} {value}");
    }
    assert_eq!(simulator.get("/ledger").await.body["items"], json!([]));
}

#[tokio::test]
async fn amounts_may_be_large_and_written_in_any_way() {
    let simulator = Simulator::start(&fresh_file());
    for (key, amount, told) in [
        ("k1", json!("123456789.5"), "123456789.50"),
        ("k2", json!(59.98), "59.98"),
        ("k3", json!({"amount": "59.9800", "currency": "USD"}), "59.98"),
    ] {
        let mut charge = a_charge(key, "tok_visa");
        charge["amount"] = amount;

        assert_eq!(simulator.ask("/charges", &charge).await.body["amount"], told);
    }
}

#[tokio::test]
async fn a_token_is_bounded_in_characters() {
    let simulator = Simulator::start(&fresh_file());
    let token = |count| "é".repeat(count);

    let longest = simulator.ask("/charges", &a_charge("k1", &token(TOKEN_CHARS_MAX))).await;
    let longer = simulator.ask("/charges", &a_charge("k2", &token(TOKEN_CHARS_MAX + 1))).await;

    assert_eq!((longest.status.as_u16(), &longest.body["code"]), (200, &json!("card_declined")));
    assert_eq!(longer.problem(), (422, "invalid_value"));
}
