//! Events as JSON for people.

use proto::{Event, catalogue::ProductChanged, orders::OrderCancelled, payments::PaymentVoided};
use serde_json::{Value, json};

use crate::samples;

fn json_of(name: &str) -> Value {
    let mut events = samples::all().into_iter();
    events.find(|event| event.event_type().name == name).unwrap().to_json()
}

#[test]
fn a_placed_order_reads_as_the_api_writes_it() {
    let money = |amount: &str| json!({"amount": amount, "currency": "USD"});

    assert_eq!(
        json_of("OrderPlaced"),
        json!({
            "order_id": samples::ORDER,
            "customer_id": "customer-456",
            "revision": 1,
            "lines": [
                {"line": 1, "sku": "product-123", "name": "Blue mug", "quantity": 2,
                 "unit_price": money("29.99")},
                {"line": 2, "sku": "", "name": "gift wrap", "quantity": 1,
                 "unit_price": money("5.00")},
            ],
            "total": money("64.98"),
            "terms": {"customer_id": "customer-456", "amount": money("64.98"), "method": "card",
                      "details": "sealed"},
            "pay_within_seconds": 900,
        })
    );
}

#[test]
fn enums_are_short_words() {
    assert_eq!(json_of("OrderCancelled")["reason"], "payment_declined");
    assert_eq!(json_of("PaymentCaptured")["method"], "wallet");
    assert_eq!(json_of("PaymentDeclined")["code"], "insufficient_funds");
    assert_eq!(json_of("PaymentRefunded")["cause"], "order_cancelled");
    assert_eq!(json_of("OrderAmended")["cause"], "captured_first");
}

#[test]
fn counts_are_numbers_and_zero_is_shown() {
    assert_eq!(json_of("ProductChanged")["available"], json!(1200));

    let sold_out =
        Event::from(ProductChanged { price: Some(samples::money("0")), ..Default::default() });
    let free = json!({"amount": "0.00", "currency": "USD"});
    assert_eq!(
        sold_out.to_json(),
        json!({"sku": "", "name": "", "price": free, "available": 0, "version": 0})
    );
}

#[test]
fn words_of_people_stay_as_they_are() {
    let event = OrderCancelled { detail: "PAYMENT_METHOD_CARD".into(), ..Default::default() };

    assert_eq!(Event::from(event).to_json()["detail"], "PAYMENT_METHOD_CARD");
}

#[test]
fn nothing_sealed_is_ever_shown() {
    for event in samples::all() {
        assert!(!event.to_json().to_string().contains("ciphertext"), "{event:?}");
    }
}

#[test]
fn what_this_build_cannot_name_is_said_to_be_so() {
    let newer = OrderCancelled { reason: 99, ..Default::default() };

    assert!(Event::from(newer).to_json()["unreadable"].is_string());
    assert_eq!(
        Event::from(PaymentVoided::default()).to_json(),
        json!({"order_id": "", "payment_id": "", "revision": 0})
    );
}
