//! Events of Stripe's: whose they are, and that they bring answers that are waited for, once.

use axum::{body::Body, http::Request};
use chassis::clock;
use hmac_sha256::HMAC;
use payment_svc::domain::{ChargeOutcome, DeclineCode, Event};
use proto::OrderId;
use serde_json::{Value, json};
use service_kit::testing::TestResponse;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{
    super::server::a_server,
    account::{Account, SECRET, Trouble, a_shop_with_events, a_shop_with_stripe},
    pm, refund_path,
};

const PATH: &str = "/v1/providers/stripe/webhook";

fn signed(secret: &str, at: i64, body: &str) -> String {
    format!("t={at},v1={}", hex::encode(HMAC::mac(format!("{at}.{body}"), secret)))
}

fn now() -> i64 {
    clock::now().unix_timestamp()
}

fn event(kind: &str, object: &Value) -> String {
    json!({"id": "evt_1", "object": "event", "type": kind, "data": {"object": object}}).to_string()
}

/// The intent of the order's charge, as its events have it.
fn an_intent(order: OrderId, status: &str) -> Value {
    json!({"id": format!("pi_{}", order.uuid().simple()), "object": "payment_intent",
        "amount": 2000, "amount_received": 2000, "currency": "usd", "status": status,
        "latest_charge": "ch_1", "last_payment_error": null,
        "metadata": {"order_id": order.to_string(), "payment_key": format!("{order}.charge.1")}})
}

fn a_refund(order: OrderId, status: &str) -> Value {
    json!({"id": "re_1", "object": "refund", "amount": 2000, "currency": "usd", "status": status,
        "failure_reason": "lost_or_stolen_card",
        "metadata": {"payment_key": format!("{order}.refund.1")}})
}

impl Account {
    async fn post_signed(&self, signature: Option<&str>, body: &str) -> TestResponse {
        let mut request = Request::post(PATH).header("content-type", "application/json");
        if let Some(signature) = signature {
            request = request.header("stripe-signature", signature);
        }
        self.server.http.send(request.body(Body::from(body.to_owned())).unwrap()).await
    }

    /// Stripe sends an event, and it is taken.
    async fn hears(&self, kind: &str, object: &Value) {
        let body = event(kind, object);
        let taken = self.post_signed(Some(&signed(SECRET, now(), &body)), &body).await;
        assert_eq!(taken.status, 200, "{kind}: {}", taken.body);
    }
}

#[tokio::test]
async fn an_event_that_stripe_did_not_sign_is_refused_and_changes_nothing() {
    let mut account = a_shop_with_stripe(&[]).await;
    account.close_after_troubles();
    let order = account.begun("pm_card_visa").await;
    let body = event("payment_intent.succeeded", &an_intent(order, "succeeded"));
    let good = signed(SECRET, now(), &body);
    let tampered = body.replace("2000", "2001");

    for (case, signature, body) in [
        ("none", None, &body),
        ("nonsense", Some("sha256=1".to_owned()), &body),
        ("another's", Some(signed("whsec_another", now(), &body)), &body),
        ("old", Some(signed(SECRET, now() - 301, &body)), &body),
        ("ahead", Some(signed(SECRET, now() + 310, &body)), &body),
        ("tampered", Some(good.clone()), &tampered),
    ] {
        let refused = account.post_signed(signature.as_deref(), body).await;
        assert_eq!(refused.code(), (400, "bad_signature"), "{case}");
    }
    assert_eq!(account.payment(order).await["status"], "processing");
    assert_eq!(account.server.shop.told().await, []);

    let rotated = signed("whsec_older", now(), &body);
    assert_eq!(account.post_signed(Some(&rotated), &body).await.status, 200);
    account.becomes(order, "captured").await;
}

#[tokio::test]
async fn what_is_no_event_is_refused_and_without_a_secret_there_is_no_webhook() {
    let account = a_shop_with_stripe(&[]).await;
    let large = "x".repeat(64 * 1024 + 1);
    let sign = |body: &str| signed(SECRET, now(), body);

    let refused = account.post_signed(Some(&sign(&large)), &large).await;
    assert_eq!(refused.code(), (413, "body_too_large"));
    let refused = account.post_signed(Some(&sign("{")), "{").await;
    assert_eq!(refused.code(), (400, "malformed_json"));

    let without = a_server().await;
    assert_eq!(without.http.post(PATH, json!({})).await.code(), (404, "not_found"));
}

#[tokio::test]
async fn events_about_nothing_of_ours_are_taken_and_change_nothing() {
    let mut account = a_shop_with_stripe(&[]).await;
    let order = account.server.paid(pm("pm_card_visa")).await;
    let by_token = account.server.paid(pm("tok_visa")).await;
    let before = account.server.shop.told().await;

    for (kind, object) in [
        ("payment_intent.succeeded", an_intent(super::an_order(), "succeeded")),
        ("payment_intent.succeeded", an_intent(order, "succeeded")),
        ("payment_intent.succeeded", an_intent(by_token, "succeeded")),
        ("payment_intent.canceled", an_intent(order, "canceled")),
        ("payment_intent.created", an_intent(order, "requires_confirmation")),
        ("refund.updated", a_refund(order, "succeeded")),
        ("charge.refunded", json!({"id": "ch_1"})),
        (
            "payment_intent.succeeded",
            json!({"id": "pi_1", "status": "succeeded", "amount": 1,
            "currency": "usd", "metadata": {"payment_key": "another shop's"}}),
        ),
        ("customer.created", json!({})),
    ] {
        account.hears(kind, &object).await;
    }

    assert_eq!(account.server.shop.told().await, before);
    assert_eq!(account.payment(order).await["status"], "captured");
}

#[tokio::test]
async fn an_event_ends_a_charge_whose_answer_was_lost_and_its_repetition_changes_nothing() {
    let mut account = a_shop_with_stripe(&[Trouble::Lost]).await;
    account.close_after_troubles();
    let order = account.begun("pm_card_visa").await;
    account.is_charged(order).await;
    let intent = account.intent(order).await;

    for _ in 0..3 {
        account.hears("payment_intent.succeeded", &intent).await;
        assert_eq!(account.payment(order).await["status"], "captured");
    }
    account.open();

    let back = account.server.http.post(&refund_path(order), json!({})).await;
    assert_eq!(back.status, 200, "{}", back.body);
    assert_eq!(account.books(order).await["captures"], 1);
    let told: Vec<_> = account.server.shop.told().await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(told, ["PaymentCaptured", "PaymentRefunded"]);
}

/// An intent names its charge alone, so only the charge's own event tells the card.
#[tokio::test]
async fn a_charge_that_its_own_event_ends_shows_the_card() {
    let mut account = a_shop_with_stripe(&[Trouble::Lost]).await;
    account.close_after_troubles();
    let order = account.begun("pm_card_visa").await;
    account.is_charged(order).await;
    let intent = account.intent(order).await;
    let charge = |captured: i64| {
        json!({"id": "ch_1", "object": "charge", "amount": 2000, "amount_captured": captured,
            "currency": "usd", "status": "succeeded", "payment_intent": intent["id"],
            "metadata": intent["metadata"], "payment_method_details":
                {"type": "card", "card": {"brand": "visa", "last4": "4242"}}})
    };

    account.hears("charge.succeeded", &charge(0)).await;
    assert_eq!(account.payment(order).await["status"], "processing", "nothing is captured");
    for _ in 0..2 {
        account.hears("charge.succeeded", &charge(2000)).await;
        account.hears("payment_intent.succeeded", &intent).await;
    }

    let told = account.payment(order).await;
    assert_eq!(told["status"], "captured");
    assert_eq!(told["card"], json!({"brand": "visa", "last4": "4242"}));
    account.open();
    let back = account.server.http.post(&refund_path(order), json!({})).await;
    assert_eq!(back.status, 200, "its reference is the intent: {}", back.body);
    assert_eq!(account.server.shop.told().await.len(), 2);
}

#[tokio::test]
async fn an_event_before_the_calls_own_answer_doubles_nothing() {
    let mut account = a_shop_with_stripe(&[Trouble::Held]).await;
    let order = account.begun("pm_card_visa").await;
    account.is_charged(order).await;
    let intent = account.intent(order).await;

    account.hears("payment_intent.succeeded", &intent).await;
    let told = account.payment(order).await;
    assert_eq!(told["status"], "captured");
    account.release();

    // A charge that is asked for after it is answered after it, too.
    account.server.paid(pm("pm_card_visa")).await;
    assert_eq!(account.payment(order).await, told);
    let names: Vec<_> =
        account.server.shop.told().await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["PaymentCaptured"; 2]);
}

#[tokio::test]
async fn an_event_declines_only_the_attempt_that_is_under_way() {
    let account = a_shop_with_stripe(&[]).await;
    account.close_after_troubles();
    let order = account.begun("pm_card_visa").await;
    let mut declined = an_intent(order, "requires_payment_method");
    declined["last_payment_error"] = json!({"type": "card_error", "code": "card_declined",
        "decline_code": "insufficient_funds", "message": "Your card has insufficient funds."});

    // What an earlier attempt brings is void.
    let early = Event::ChargeAnswered {
        revision: 1,
        outcome: ChargeOutcome::Declined {
            code: DeclineCode::CardDeclined,
            detail: "an earlier attempt".into(),
        },
    };
    account.was_asked(3).await;
    account.server.answer(order, early).await;
    assert_eq!(account.payment(order).await["status"], "processing");
    account.hears("payment_intent.payment_failed", &declined).await;

    account.becomes(order, "declined").await;
    let decline = account.payment(order).await["decline"].clone();
    assert_eq!(decline["code"], "insufficient_funds");
    account.hears("payment_intent.succeeded", &an_intent(order, "succeeded")).await;
    assert_eq!(account.payment(order).await["status"], "declined", "the first answer stands");
}

#[tokio::test]
async fn events_end_refunds_whose_answers_were_lost() {
    for (kind, status, code, shown) in [
        ("refund.updated", "succeeded", 200, "refunded"),
        ("refund.failed", "failed", 409, "captured"),
    ] {
        let account = a_shop_with_stripe(&[Trouble::None]).await;
        account.close_after_troubles();
        let order = account.server.paid(pm("pm_card_visa")).await;
        let key = [("idempotency-key", "r1"), ("prefer", "wait=0")];
        let begun = account.server.http.post_with(&refund_path(order), &key, json!({})).await;
        assert_eq!(begun.status, 202);

        account.hears("refund.updated", &a_refund(order, "pending")).await;
        account.hears(kind, &a_refund(order, status)).await;

        let told = account.server.http.post_with(&refund_path(order), &key[..1], json!({})).await;
        assert_eq!(told.status, code, "{kind}: {}", told.body);
        assert_eq!(account.payment(order).await["status"], shown);
    }
}

#[tokio::test]
async fn an_event_about_another_amount_or_currency_is_no_answer() {
    let mut account = a_shop_with_stripe(&[]).await;
    account.close_after_troubles();
    let order = account.begun("pm_card_visa").await;
    for (member, value) in [("amount", json!(1999)), ("currency", json!("eur"))] {
        let mut intent = an_intent(order, "succeeded");
        intent[member] = value;
        account.hears("payment_intent.succeeded", &intent).await;
    }

    assert_eq!(account.payment(order).await["status"], "processing");
    assert_eq!(account.server.shop.told().await, []);
}

/// The account's own events, over a socket and with its own signature.
#[tokio::test]
async fn the_accounts_events_are_taken_as_they_come() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (mut account, sender) = a_shop_with_events(&listener).await;
    account.tasks.spawn(async move { sender.run(CancellationToken::new()).await.unwrap() });
    let router = account.server.router.clone();
    account.tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
    account.lose_next();
    account.close_after_troubles();

    let order = account.begun("pm_card_visa").await;

    account.becomes(order, "captured").await;
    let face = account.payment(order).await["card"].clone();
    assert_eq!(face, json!({"brand": "visa", "last4": "4242"}));
}
