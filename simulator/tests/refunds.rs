//! Refunds: once for each key, and never more than was captured.

use serde_json::{Value, json};

use crate::harness::{Simulator, a_charge, fresh_file, order};

fn a_refund(key: &str, charge: &str, amount: &str) -> Value {
    json!({"idempotency_key": key, "charge": charge, "amount": amount})
}

#[tokio::test]
async fn a_refund_is_made_once() {
    let simulator = Simulator::start(&fresh_file());
    simulator.ask("/charges", &a_charge("k1", "tok_visa")).await;

    let first = simulator.ask("/refunds", &a_refund("r1", "k1", "59.98")).await;
    let again = simulator.ask("/refunds", &a_refund("r1", "k1", "59.98")).await;

    assert_eq!(first.status, 200);
    assert_eq!(first.body["status"], "refunded");
    assert_eq!((first.replayed, again.replayed), (false, true));
    assert_eq!(again.body, first.body);
    assert_eq!(simulator.get("/refunds/r1").await.body, first.body);
    let account = &simulator.get(&format!("/ledger?order_id={}", order(1))).await.body["items"][0];
    assert_eq!((&account["captured"], &account["refunded"]), (&json!("59.98"), &json!("59.98")));
    assert_eq!(account["refunds"], 1);
}

#[tokio::test]
async fn no_more_goes_back_than_came() {
    let simulator = Simulator::start(&fresh_file());
    simulator.ask("/charges", &a_charge("k1", "tok_visa")).await;
    simulator.ask("/refunds", &a_refund("r1", "k1", "59.00")).await;

    let too_much = simulator.ask("/refunds", &a_refund("r2", "k1", "0.99")).await;
    let rest = simulator.ask("/refunds", &a_refund("r2", "k1", "0.98")).await;

    assert_eq!(too_much.problem(), (409, "not_refundable"));
    assert_eq!(rest.status, 200);
}

#[tokio::test]
async fn what_was_not_captured_does_not_go_back() {
    let simulator = Simulator::start(&fresh_file());
    simulator.ask("/charges", &a_charge("k1", "tok_declined")).await;

    let declined = simulator.ask("/refunds", &a_refund("r1", "k1", "1")).await;
    let unknown = simulator.ask("/refunds", &a_refund("r1", "k9", "1")).await;

    assert_eq!(declined.problem(), (409, "not_refundable"));
    assert_eq!(unknown.problem(), (404, "not_found"));
}

#[tokio::test]
async fn the_same_key_for_another_refund_is_refused() {
    let simulator = Simulator::start(&fresh_file());
    simulator.ask("/charges", &a_charge("k1", "tok_visa")).await;
    simulator.ask("/refunds", &a_refund("r1", "k1", "1.00")).await;

    let told = simulator.ask("/refunds", &a_refund("r1", "k1", "2.00")).await;

    assert_eq!(told.problem(), (422, "idempotency_key_reused"));
    let mut other = a_refund("r2", "k1", "1.00");
    other["currency"] = json!("EUR");
    assert_eq!(simulator.ask("/refunds", &other).await.problem(), (422, "invalid_value"));
}

#[tokio::test]
async fn the_ledger_is_read_page_by_page_by_whoever_asks_for_pages() {
    let simulator = Simulator::start(&fresh_file());
    for number in 0..5 {
        let mut charge = a_charge(&format!("k{number}"), "tok_visa");
        charge["order_id"] = json!(order(number));
        assert_eq!(simulator.ask("/charges", &charge).await.status, 200);
    }

    let mut path = "/ledger?limit=2".to_owned();
    let mut orders = Vec::new();
    loop {
        let page = simulator.get(&path).await.body;
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2, "{page}");
        orders.extend(items.iter().map(|item| item["order_id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/ledger?limit=2&cursor={cursor}");
    }

    assert_eq!(orders, (0..5).map(order).collect::<Vec<_>>());
    let whole = simulator.get("/ledger").await.body;
    assert_eq!(
        (whole["items"].as_array().unwrap().len(), &whole["next_cursor"]),
        (5, &json!(null))
    );
    assert_eq!(simulator.get("/ledger?limit=0").await.problem(), (400, "bad_parameter"));
}
