//! Paying over HTTP, through the edge and a batch.

use std::time::{Duration, Instant};

use backends::testing::eventually;
use mailbox::testing::CounterRecorder;
use payment_svc::domain::{Event, payment_id};
use proto::{OrderId, limits::TEXT_CHARS_MAX};
use serde_json::{Value, json};

use super::{
    an_order,
    server::{a_server, a_server_with},
    stub::{Stub, Trouble},
};

fn card(order: OrderId, token: &str) -> Value {
    json!({"order_id": order.to_string(), "payment_method": {"type": "card", "token": token}})
}

#[tokio::test]
async fn a_deferred_order_is_paid_by_card_and_seen() {
    let server = a_server().await;
    let order = an_order();
    server.waits_for(order, "59.98").await;
    let of_order = format!("/v1/payments?order_id={order}");
    assert_eq!(server.http.get(&of_order).await.body["items"][0]["status"], "pending");

    let body = json!({
        "order_id": order.to_string(), "amount": "59.98",
        "payment_method": {"type": "credit_card", "card_number": "4111111111111111",
            "expiry": "12/99", "cvv": "123"},
    });
    let paid = server.http.post("/v1/payments", body).await;

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
    let read = server.http.get(&format!("/v1/payments/{id}")).await;
    assert_eq!(read.body, paid.body);
    assert_eq!(read.headers["etag"], paid.headers["etag"]);
    assert_eq!(server.http.get(&of_order).await.body["items"], json!([paid.body]));
    let again = server.http.post("/v1/payments", card(order, "tok_visa")).await;
    assert_eq!(again.code(), (409, "already_paid"));
    let nonsense = server.http.get(&format!("{of_order}&cursor=abc")).await;
    assert_eq!(nonsense.code(), (400, "bad_cursor"));
    let behind = chassis::http::write_cursor("payments", &id);
    let behind = server.http.get(&format!("{of_order}&cursor={behind}")).await;
    assert_eq!(behind.code(), (400, "bad_cursor"), "its one page has given no cursor");
}

#[tokio::test]
async fn a_declined_payment_is_told_with_the_payment_in_it() {
    let server = a_server().await.with_account("c-1", "5.00").await;
    let (by_card, by_wallet) = (an_order(), an_order());
    server.waits_for(by_card, "20.00").await;
    server.waits_for(by_wallet, "20.00").await;

    let declined = server.http.post("/v1/payments", card(by_card, "tok_declined")).await;
    assert_eq!(declined.code(), (402, "payment_declined"));
    assert_eq!(declined.body["payment"]["status"], "declined");
    assert_eq!(declined.body["payment"]["decline"]["code"], "card_declined");
    let again = server.http.post("/v1/payments", card(by_card, "tok_visa")).await;
    assert_eq!(again.code(), (409, "not_payable"));

    let order_id = by_wallet.to_string();
    let body = json!({"order_id": order_id, "payment_method": {"type": "wallet"}});
    let declined = server.http.post("/v1/payments", body).await;
    assert_eq!(declined.body["payment"]["decline"]["code"], "insufficient_funds");
}

#[tokio::test]
async fn an_open_answer_is_waited_for_again_by_a_repetition() {
    let server = a_server_with(Stub::with(&[Trouble::Lost])).await;
    let order = an_order();
    server.waits_for(order, "20.00").await;
    let headers = [("idempotency-key", "k-1"), ("prefer", "wait=0")];

    let open = server.http.post_with("/v1/payments", &headers, card(order, "tok_visa")).await;
    assert_eq!((open.status.as_u16(), &open.body["status"]), (202, &json!("processing")));
    assert_eq!(open.headers["preference-applied"], "wait=0");

    let told = server.http.post_with("/v1/payments", &headers[..1], card(order, "tok_visa")).await;
    assert_eq!((told.status.as_u16(), &told.body["status"]), (201, &json!("captured")));
    assert_eq!(told.headers["idempotency-replayed"], "true");
    assert_eq!(server.stub.book().charges.len(), 1);
}

#[tokio::test]
async fn an_order_not_heard_of_is_waited_for_and_then_unknown() {
    let server = a_server().await;
    let (late, never) = (an_order(), an_order());
    let pay = server.http.post("/v1/payments", card(late, "tok_visa"));
    let hear = async {
        tokio::task::yield_now().await;
        server.waits_for(late, "20.00").await;
    };
    let (paid, ()) = tokio::join!(pay, hear);
    assert_eq!(paid.status, 201);

    let start = Instant::now();
    let unknown = server.http.post("/v1/payments", card(never, "tok_visa")).await;

    assert_eq!(unknown.code(), (404, "not_found"));
    assert!(start.elapsed() >= Duration::from_secs(2));
}

#[tokio::test]
async fn a_cancelled_order_is_not_payable() {
    let server = a_server().await;
    let (known, tombstone) = (an_order(), an_order());
    server.waits_for(known, "20.00").await;
    for order in [known, tombstone] {
        server.hear(order, Event::OrderCancelled { revision: 1 }).await;

        let refused = server.http.post("/v1/payments", card(order, "tok_visa")).await;
        assert_eq!(refused.code(), (409, "not_payable"));
    }
    let seen = server.http.get(&format!("/v1/payments?order_id={known}")).await;
    assert_eq!(seen.body["items"][0]["status"], "voided");
    let path = format!("/v1/payments/{}", payment_id(tombstone));
    assert_eq!(server.http.get(&path).await.code(), (404, "not_found"));
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
            server.http.post("/v1/payments", json!({"order_id": id, "payment_method": body})).await;
        assert_eq!((told.code(), told.pointer()), ((422, code), pointer), "{body}");
        assert!(!told.body.to_string().contains("5555555555554444"), "the number is not repeated");
    }
    let mut other = card(order, "tok_visa");
    other["amount"] = json!("19.99");
    let told = server.http.post("/v1/payments", other).await;
    assert_eq!((told.code(), told.pointer()), ((422, "invalid_value"), "/amount"));
    let told = server.http.post("/v1/payments", json!({"order_id": "7"})).await;
    assert_eq!((told.code(), told.pointer()), ((422, "invalid_value"), "/order_id"));
}

/// Whoever names the amount pays nothing else: an amendment that this service has not heard of yet
/// is waited for, and one that the client does not know of is no reason to charge more.
#[tokio::test]
async fn who_names_the_amount_pays_that_amount_or_nothing() {
    let decisions = CounterRecorder::of("reactions_total");
    let _counted = metrics::set_default_local_recorder(&decisions);
    let server = a_server().await;
    let (early, unaware) = (an_order(), an_order());
    for order in [early, unaware] {
        server.waits_for(order, "20.00").await;
    }
    let named = |order| {
        let mut body = card(order, "tok_visa");
        body["amount"] = json!("15.00");
        body
    };

    let before = decisions.count();
    let key = [("idempotency-key", "early")];
    let paying = server.http.post_with("/v1/payments", &key, named(early));
    let (paid, ()) = tokio::join!(paying, async {
        // Nothing answers a request that is to be tried again, but it was decided.
        eventually("the request is tried", Duration::from_secs(20), || async {
            if decisions.count() > before { Ok(()) } else { Err("not yet") }
        })
        .await;
        server.waits_for_revision(early, 2, "15.00").await;
    });
    server.waits_for_revision(unaware, 2, "15.00").await;
    let mut old = named(unaware);
    old["amount"] = json!("20.00");
    let refused = server.http.post("/v1/payments", old).await;

    assert_eq!((paid.status.as_u16(), &paid.body["amount"]["amount"]), (201, &json!("15.00")));
    assert_eq!((refused.code(), refused.pointer()), ((422, "invalid_value"), "/amount"));
    assert_eq!(server.stub.book().charges.len(), 1);
}

/// A client that comes second with another card or a wallet is told what became of the order, not
/// that its own money was taken.
#[tokio::test]
async fn a_second_payer_with_another_instrument_is_told_that_it_is_paid_already() {
    for (first, status, code) in
        [("tok_visa", 201, "already_paid"), ("tok_declined", 402, "not_payable")]
    {
        let slow = Stub::with(&[Trouble::Slow(Duration::from_millis(500))]);
        let server = a_server_with(slow).await.with_account("c-1", "100.00").await;
        let order = an_order();
        server.waits_for(order, "20.00").await;
        let wallet = json!({"order_id": order.to_string(), "payment_method": {"type": "wallet"}});
        let open = [("prefer", "wait=0")];
        let begun = server.http.post_with("/v1/payments", &open, card(order, first)).await;
        assert_eq!(begun.status, 202);

        let key = [("idempotency-key", "second")];
        let (same, other, by_wallet) = tokio::join!(
            server.http.post("/v1/payments", card(order, first)),
            server.http.post_with("/v1/payments", &key, card(order, "tok_slow")),
            server.http.post("/v1/payments", wallet),
        );

        assert_eq!(same.status, status, "the same instrument waits for its own outcome");
        assert_eq!((other.code(), by_wallet.code()), ((409, code), (409, code)));
        let again = server.http.post_with("/v1/payments", &key, card(order, "tok_slow")).await;
        assert_eq!(again.code(), (409, code));
        assert_eq!(again.headers["idempotency-replayed"], "true");
        assert_eq!(server.stub.book().charges.len(), 1);
    }
}

#[tokio::test]
async fn a_second_payer_who_does_not_wait_sees_the_payment_under_way() {
    let server = a_server_with(Stub::with(&[Trouble::Silent])).await;
    let order = an_order();
    server.waits_for(order, "20.00").await;
    let open = [("prefer", "wait=0")];

    let first = server.http.post_with("/v1/payments", &open, card(order, "tok_visa")).await;
    let second = server.http.post_with("/v1/payments", &open, card(order, "tok_slow")).await;

    for told in [first, second] {
        assert_eq!((told.status.as_u16(), &told.body["status"]), (202, &json!("processing")));
        assert_eq!(told.body["id"], payment_id(order).to_string());
    }
}

#[tokio::test]
async fn a_repetition_is_told_the_first_answer_though_the_money_went_back_since() {
    let server = a_server().await;
    let order = an_order();
    server.waits_for(order, "20.00").await;
    let key = [("idempotency-key", "k-1")];
    let first = server.http.post_with("/v1/payments", &key, card(order, "tok_visa")).await;
    assert_eq!(first.status, 201);

    server.hear(order, Event::OrderCancelled { revision: 1 }).await;
    let path = format!("/v1/payments?order_id={order}");
    eventually("the refund", Duration::from_secs(20), || async {
        let seen = server.http.get(&path).await.body["items"][0]["status"].clone();
        if seen == "refunded" { Ok(()) } else { Err(seen) }
    })
    .await;
    let again = server.http.post_with("/v1/payments", &key, card(order, "tok_visa")).await;

    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(again.headers["etag"], first.headers["etag"]);
    assert_eq!(again.headers["idempotency-replayed"], "true");
}

/// The waits for `StockReserved`, for the commit and for the outcome share one limit: a client that
/// came before `StockReserved` waits no longer than others do.
#[tokio::test]
async fn the_wait_for_news_counts_as_waiting() {
    let server = a_server_with(Stub::with(&[Trouble::Silent])).await;
    let order = an_order();
    let patience = [("prefer", "wait=4")];
    let pay = server.http.post_with("/v1/payments", &patience, card(order, "tok_visa"));
    let hear = async {
        // A real pause, because the waiting time itself is tested: most of what StockReserved may
        // take.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        server.waits_for(order, "20.00").await;
        Instant::now()
    };

    let (told, heard) = tokio::join!(pay, hear);

    assert_eq!(told.status, 202);
    assert!(heard.elapsed() < Duration::from_secs(4), "the waits add up: {:?}", heard.elapsed());
}

#[tokio::test]
async fn what_an_orders_currency_refuses_is_kept_under_the_key() {
    let server = a_server().await;
    let order = an_order();
    server.waits_for(order, "20.00").await;
    let key = [("idempotency-key", "k-1")];
    let mut wrong = card(order, "tok_visa");
    wrong["amount"] = json!({"amount": "20.00", "currency": "EUR"});

    let refused = server.http.post_with("/v1/payments", &key, wrong.clone()).await;
    let again = server.http.post_with("/v1/payments", &key, wrong).await;
    let other = server.http.post_with("/v1/payments", &key, card(order, "tok_visa")).await;

    assert_eq!((refused.code(), refused.pointer()), ((422, "invalid_value"), "/amount/currency"));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert_eq!(other.code(), (422, "idempotency_key_reused"));
}

#[tokio::test]
async fn texts_are_bounded_in_characters_wherever_they_are_sent() {
    let server = a_server().await;
    let (fits, long) = ("é".repeat(TEXT_CHARS_MAX), "é".repeat(TEXT_CHARS_MAX + 1));
    let method = |member: &str, text: &str| {
        let mut method = json!({"type": "credit_card", "card_number": "4242424242424242",
            "expiry": "12/99", "cvv": "123"});
        method[member] = json!(text);
        method
    };
    for (member, code) in [
        ("type", "unknown_payment_method"),
        ("card_number", "card_number_refused"),
        ("expiry", "invalid_value"),
        ("cvv", "invalid_value"),
    ] {
        let order = an_order().to_string();
        let body = |text| json!({"order_id": order, "payment_method": method(member, text)});
        let pointer = format!("/payment_method/{member}");
        let told = server.http.post("/v1/payments", body(&fits)).await;
        assert_eq!((told.code(), told.pointer()), ((422, code), pointer.as_str()));
        let told = server.http.post("/v1/payments", body(&long)).await;
        assert_eq!((told.code(), told.pointer()), ((422, "invalid_value"), pointer.as_str()));
        let detail = told.body["errors"][0]["detail"].as_str().unwrap();
        assert!(detail.contains("more than 200 characters"), "{detail}");
    }
    for (member, path, pointer) in [
        ("order_id", "/v1/accounts/c-1/hold", "/order_id"),
        ("order_id", "/v1/accounts/c-1/release", "/order_id"),
        ("order_id", "/v1/payments", "/order_id"),
        ("currency", "/v1/accounts/c-1", "/currency"),
        ("amount", "/v1/accounts/c-1/deposit", "/amount"),
    ] {
        for text in [&fits, &long] {
            let told = server.http.post(path, json!({member: text})).await;
            assert_eq!((told.status.as_u16(), told.pointer()), (422, pointer), "{path}");
        }
    }

    let order = an_order();
    server.waits_for(order, "20.00").await;
    let paid = server.http.post("/v1/payments", card(order, &fits)).await;
    assert_eq!(paid.status, 201, "the stub takes any token of {TEXT_CHARS_MAX} characters");
    let refused = server.http.post("/v1/payments", card(order, &long)).await;
    assert_eq!(
        (refused.code(), refused.pointer()),
        ((422, "invalid_value"), "/payment_method/token")
    );
}

#[tokio::test]
async fn parked_keys_are_listed_by_the_service_itself() {
    let server = a_server().await;

    let parked = server.http.get("/v1/parked?service=payment-svc").await;

    assert_eq!((parked.status.as_u16(), &parked.body["items"]), (200, &json!([])));
}
