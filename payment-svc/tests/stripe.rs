//! Cards charged through Stripe, as the simulator speaks its protocol: its own ledger is the judge.

mod account;
mod answers;
mod secrets;
mod webhook;

use payment_svc::domain::payment_id;
use proto::OrderId;
use serde_json::{Value, json};

use self::account::{Account, Trouble, a_shop_with_stripe};
use super::an_order;

const AGE_FORGOTTEN: &str = "25 hours";
/// Beyond what is repeated, and within what Stripe keeps.
const AGE_UNCERTAIN: &str = "13 hours";

fn pm(token: &str) -> Value {
    json!({"type": "card", "token": token})
}

fn refund_path(order: OrderId) -> String {
    format!("/v1/payments/{}/refund", payment_id(order))
}

impl Account {
    /// An order of 20.00 that waits for its payment.
    async fn an_order(&self) -> OrderId {
        let order = an_order();
        self.server.waits_for(order, "20.00").await;
        order
    }

    /// Begins a payment whose outcome nobody waits for, although it may be quick.
    async fn begun(&self, token: &str) -> OrderId {
        let order = self.an_order().await;
        let body = json!({"order_id": order.to_string(), "payment_method": pm(token)});
        let begun = self.server.http.post_with("/v1/payments", &[("prefer", "wait=0")], body).await;
        assert!([201, 202].contains(&begun.status.as_u16()), "{}", begun.body);
        order
    }
}

#[tokio::test]
async fn a_card_is_charged_and_its_money_goes_back_in_parts() {
    let mut account = a_shop_with_stripe(&[]).await;

    let order = account.server.paid(pm("pm_card_visa")).await;

    let paid = account.payment(order).await;
    assert_eq!((&paid["provider"], &paid["status"]), (&json!("stripe"), &json!("captured")));
    assert_eq!(paid["card"], json!({"brand": "visa", "last4": "4242"}));
    for (asked, status) in [
        (json!({"amount": "5.00"}), "partially_refunded"),
        (json!({"amount": "1.50"}), "partially_refunded"),
        (json!({}), "refunded"),
    ] {
        let back = account.server.http.post(&refund_path(order), asked).await;
        assert_eq!((back.status.as_u16(), &back.body["status"]), (200, &json!(status)));
    }
    let books = account.books(order).await;
    assert_eq!(
        books,
        json!({"captured": "20.00", "captures": 1, "refunded": "20.00", "refunds": 3})
    );
    let told = account.server.shop.told().await;
    assert_eq!(told.len(), 4, "{told:?}");
}

#[tokio::test]
async fn the_simulators_tokens_stay_with_it_and_stripes_are_valid_as_far_as_they_tell() {
    let account = a_shop_with_stripe(&[]).await;
    let order = account.server.paid(pm("tok_visa")).await;
    assert_eq!(account.payment(order).await["provider"], "simulator");
    assert_eq!(account.asked().len(), 0);
    let valid = json!({"payment_method": pm("pm_card_visa")});
    let valid = account.server.http.post("/v1/payment-methods/validate", valid).await;
    assert_eq!((&valid.body["valid"], &valid.body["reason"]), (&json!(true), &Value::Null));
}

#[tokio::test]
async fn a_decline_is_told_by_its_code() {
    let account = a_shop_with_stripe(&[]).await;
    for (token, code, detail) in [
        ("pm_card_chargeDeclined", "card_declined", "Your card was declined."),
        ("pm_card_chargeDeclinedInsufficientFunds", "insufficient_funds", "insufficient funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "has expired"),
        ("pm_card_authenticationRequired", "card_declined", "requires authentication"),
        ("pm_nobody_gave_it", "card_declined", "No such PaymentMethod"),
    ] {
        let order = account.an_order().await;
        let body = json!({"order_id": order.to_string(), "payment_method": pm(token)});

        let declined = account.server.http.post("/v1/payments", body).await;

        assert_eq!(declined.code(), (402, "payment_declined"), "{token}");
        let payment = &declined.body["payment"];
        assert_eq!(payment["decline"]["code"], code, "{token}");
        assert_eq!(payment["provider"], "stripe", "{token}");
        let told = payment["decline"]["detail"].as_str().unwrap();
        assert!(told.contains(detail), "{token}: {told}");
    }
}

/// The request under the same key is the look-up: it finds what was captured, and captures once what
/// never arrived.
#[tokio::test]
async fn a_lost_answer_is_asked_for_under_the_same_key_and_charged_once() {
    let lost = &[Trouble::Lost, Trouble::Lost];
    let failed = &[Trouble::Away, Trouble::Lost];
    for troubles in [lost, failed] {
        let account = a_shop_with_stripe(troubles).await;

        let order = account.begun("pm_card_visa").await;

        account.becomes(order, "captured").await;
        assert_eq!(account.books(order).await["captures"], 1);
        assert_eq!(account.asked(), ["POST /v1/payment_intents"; 3]);
        let keys = account.keys();
        assert!(keys.iter().all(|key| *key == format!("{order}.charge.1")), "{keys:?}");
    }
}

/// Stripe's ledger counts: the key is forgotten, so a request would charge a second time.
#[tokio::test]
async fn a_charge_whose_key_is_forgotten_is_found_and_never_made_twice() {
    let account = a_shop_with_stripe(&[Trouble::Lost]).await;
    account.close_after_troubles();
    let order = account.begun("pm_card_visa").await;
    account.is_charged(order).await;
    account.grows_old(order, AGE_FORGOTTEN).await;
    account.forget_keys().await;

    account.open();

    account.becomes(order, "captured").await;
    assert_eq!(account.books(order).await["captures"], 1, "charged once");
    let since = account.asked_since_opened();
    let looks = ["GET /v1/payment_intents/search", "GET /v1/payment_intents/{id}"];
    assert_eq!(since, looks, "nothing is asked for but what became of it");
    let back = account.server.http.post(&refund_path(order), json!({})).await;
    assert_eq!(back.status, 200, "it is refunded by the name that was found");
}

/// A charge that never reached Stripe is not made half a day later: the order is long cancelled.
#[tokio::test]
async fn an_old_charge_that_is_not_found_is_declined_only_when_the_search_cannot_lag() {
    let account = a_shop_with_stripe(&[]).await;
    account.close_after_troubles();
    let order = account.begun("pm_card_visa").await;
    account.was_asked(1).await;
    account.grows_old(order, AGE_UNCERTAIN).await;

    account.open();
    account.was_asked_since_opened(3).await;
    assert_eq!(account.payment(order).await["status"], "processing", "the search may lag");
    account.grows_old(order, AGE_FORGOTTEN).await;

    account.becomes(order, "declined").await;
    let asked = account.asked_since_opened();
    assert!(asked.iter().all(|asked| asked == "GET /v1/payment_intents/search"), "{asked:?}");
    assert_eq!(account.books(order).await, Value::Null, "nothing was ever charged");
}

#[tokio::test]
async fn a_refund_whose_answer_is_lost_is_found_in_the_list_and_made_once() {
    for (trouble, asked) in [
        (Trouble::Lost, &["POST /v1/refunds", "GET /v1/refunds"][..]),
        (Trouble::Away, &["POST /v1/refunds", "GET /v1/refunds", "POST /v1/refunds"]),
    ] {
        let account = a_shop_with_stripe(&[Trouble::None, trouble]).await;
        let order = account.server.paid(pm("pm_card_visa")).await;
        account.forget_keys().await;

        let back = account.server.http.post(&refund_path(order), json!({"amount": "5.00"})).await;

        assert_eq!((back.status.as_u16(), &back.body["refunded"]["amount"]), (200, &json!("5.00")));
        let books = account.books(order).await;
        assert_eq!((&books["refunded"], &books["refunds"]), (&json!("5.00"), &json!(1)));
        assert_eq!(account.asked()[1..], *asked);
    }
}

#[tokio::test]
async fn a_refund_that_stripe_refuses_leaves_the_payment_as_it_was() {
    let account = a_shop_with_stripe(&[]).await;
    let order = account.server.paid(pm("pm_card_visa")).await;
    account.refund_by_hand(order).await;

    let refused = account.server.http.post(&refund_path(order), json!({})).await;

    assert_eq!(refused.code(), (409, "refund_refused"));
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("already been refunded"), "{detail}");
    assert_eq!(account.payment(order).await["status"], "captured");
}

/// A build that writes a parameter otherwise meets its own key: that says nothing about the money.
#[tokio::test]
async fn a_key_that_was_used_with_other_parameters_is_looked_for() {
    let account = a_shop_with_stripe(&[Trouble::Altered]).await;

    let order = account.begun("pm_card_visa").await;

    account.becomes(order, "captured").await;
    assert_eq!(account.books(order).await["captures"], 1);
    assert!(account.asked().iter().any(|asked| asked == "GET /v1/payment_intents/search"));
}
