//! Refunds over HTTP: in parts, by card and wallet, refused, and without an answer.

use std::time::Duration;

use backends::testing::eventually;
use payment_svc::{
    domain::{Event, payment_id},
    store,
};
use proto::{
    OrderId,
    payments::{RefundCause, payment_event},
};
use serde_json::{Value, json};

use super::{
    an_order,
    server::{Server, a_server, a_server_with},
    stub::{Stub, Trouble},
    usd,
};

fn by_card() -> Value {
    json!({"type": "card", "token": "tok_visa"})
}

fn wallet() -> Value {
    json!({"type": "wallet"})
}

fn path(order: OrderId) -> String {
    format!("/v1/payments/{}/refund", payment_id(order))
}

fn money(amount: &str) -> Value {
    json!({"amount": amount, "currency": "USD"})
}

const FINE: Trouble = Trouble::Slow(Duration::ZERO);

/// The names of the events about payments, in order.
async fn told(server: &mut Server) -> Vec<&'static str> {
    server.shop.told().await.into_iter().map(|(name, _)| name).collect()
}

#[tokio::test]
async fn money_goes_back_in_parts_by_card_and_wallet() {
    for instrument in [by_card(), wallet()] {
        let mut server = a_server().await.with_account("c-1", "50.00").await;
        let order = server.paid(instrument.clone()).await;

        let part = server.http.post(&path(order), json!({"amount": "5.00"})).await;
        assert_eq!(
            (part.status.as_u16(), &part.body["status"]),
            (200, &"partially_refunded".into())
        );
        assert_eq!(part.body["refunded"], money("5.00"));
        let read = server.http.get(&format!("/v1/payments/{}", payment_id(order))).await;
        assert_eq!((&read.body, &read.headers["etag"]), (&part.body, &part.headers["etag"]));
        let beyond = server.http.post(&path(order), json!({"amount": "15.01"})).await;
        assert_eq!(beyond.code(), (409, "not_refundable"));

        let rest = server.http.post(&path(order), json!({})).await;
        assert_eq!((rest.status.as_u16(), &rest.body["status"]), (200, &"refunded".into()));
        assert_eq!(rest.body["refunded"], money("20.00"));
        let nothing = server.http.post(&path(order), json!({})).await;
        assert_eq!(nothing.code(), (409, "not_refundable"));

        assert_eq!(
            told(&mut server).await,
            ["PaymentCaptured", "PaymentRefunded", "PaymentRefunded"]
        );
        let is_card = instrument["type"] == "card";
        assert_eq!(server.stub.book().refunds.len(), if is_card { 2 } else { 0 });
        assert_eq!(server.shop.balance("c-1").await, (usd("50.00"), usd("0")));
    }
}

#[tokio::test]
async fn a_refund_by_staff_says_what_it_is_about() {
    let mut server = a_server().await;
    let order = server.paid(by_card()).await;

    server.http.post(&path(order), json!({"amount": "5.00"})).await;

    let said = server.shop.outbox().await.pop().unwrap();
    let payment_event::Event::PaymentRefunded(refunded) = said else { panic!("{said:?}") };
    assert_eq!(refunded.cause(), RefundCause::Staff);
    assert_eq!((refunded.revision, refunded.amount), (1, Some(usd("5.00").into())));
    assert_eq!(refunded.refund_id, payment_svc::domain::refund_id(order, 1).to_string());
    let row: (String, String, String) =
        sqlx::query_as("select refund_id::text, customer_id, state from refunds")
            .fetch_one(server.shop.mailbox.db().await)
            .await
            .unwrap();
    assert_eq!(row, (refunded.refund_id, "c-1".to_owned(), "refunded".to_owned()));
}

#[tokio::test]
async fn what_cannot_be_refunded_is_told_why() {
    let server = a_server().await;
    let (waiting, unknown) = (an_order(), an_order());
    server.waits_for(waiting, "20.00").await;
    let paid = server.paid(by_card()).await;

    for (path, body, code) in [
        (path(waiting), json!({}), (409, "not_refundable")),
        (path(unknown), json!({}), (404, "not_found")),
        ("/v1/payments/7/refund".to_owned(), json!({}), (404, "not_found")),
        (path(paid), json!({"amount": "0"}), (422, "amount_not_positive")),
        (path(paid), json!({"amount": "1.001"}), (422, "too_many_decimals")),
        (path(paid), json!({"amount": {"amount": "1", "currency": "EUR"}}), (422, "invalid_value")),
        (path(paid), json!({"sum": "1"}), (422, "unknown_field")),
        (path(paid), json!({"amount": "20.01"}), (409, "not_refundable")),
    ] {
        let told = server.http.post(&path, body.clone()).await;
        assert_eq!(told.code(), code, "{path} {body}");
    }
    let tombstone = an_order();
    server.hear(tombstone, Event::OrderCancelled { revision: 1 }).await;
    assert_eq!(server.http.post(&path(tombstone), json!({})).await.code(), (404, "not_found"));
    assert!(server.stub.book().refunds.is_empty());
}

/// The client may repeat its request at will: the money goes back once, and the first answer stays.
#[tokio::test]
async fn a_repeated_request_gets_the_answer_as_it_was_when_the_refund_ended() {
    for instrument in [by_card(), wallet()] {
        let server = a_server().await.with_account("c-1", "50.00").await;
        let order = server.paid(instrument).await;
        let key = [("idempotency-key", "r-1")];
        let path = &path(order);
        let ask = || server.http.post_with(path, &key, json!({"amount": "5.00"}));

        let first = ask().await;
        let later = server.http.post(path, json!({})).await;
        let again = ask().await;

        assert_eq!(later.body["refunded"], money("20.00"));
        assert_eq!((first.status.as_u16(), again.status.as_u16()), (200, 200));
        assert_eq!(again.body, first.body);
        assert_eq!(again.headers["etag"], first.headers["etag"]);
        assert_eq!(again.headers["idempotency-replayed"], "true");
        let other = server.http.post_with(path, &key, json!({"amount": "6.00"})).await;
        assert_eq!(other.code(), (422, "idempotency_key_reused"));
    }
}

#[tokio::test]
async fn a_refund_without_an_answer_is_open_and_a_repetition_tells_its_outcome() {
    let server = a_server_with(Stub::with(&[FINE, Trouble::Silent])).await;
    let order = server.paid(by_card()).await;
    let path = &path(order);
    let headers = [("idempotency-key", "r-1"), ("prefer", "wait=0")];
    let part = json!({"amount": "5.00"});

    let open = server.http.post_with(path, &headers, part.clone()).await;
    assert_eq!(open.headers["preference-applied"], "wait=0");
    assert_eq!((open.status.as_u16(), &open.body["status"]), (202, &"captured".into()));
    assert_eq!(open.body["refunded"], money("0.00"));

    // Another one waits for the first: what is left is known after it.
    let busy = server.http.post_with(path, &headers[1..], json!({})).await;
    assert_eq!(busy.code(), (503, "overloaded"));
    let answered = async { server.answer(order, Event::RefundAnswered { number: 1 }).await };
    let rest = server.http.post(path, json!({}));
    let (rest, ()) = tokio::join!(rest, answered);
    assert_eq!((rest.status.as_u16(), &rest.body["refunded"]), (200, &money("20.00")));

    let told = server.http.post_with(path, &headers, part).await;
    assert_eq!((told.status.as_u16(), &told.body["refunded"]), (200, &money("5.00")));
    assert_eq!(told.body["status"], "partially_refunded");
    assert_eq!(told.headers["idempotency-replayed"], "true");
}

#[tokio::test]
async fn a_lost_answer_to_a_refund_is_asked_for_again() {
    let server = a_server_with(Stub::with(&[FINE, Trouble::Lost, Trouble::Away])).await;
    let order = server.paid(by_card()).await;

    let back = server.http.post(&path(order), json!({})).await;

    assert_eq!((back.status.as_u16(), &back.body["status"]), (200, &"refunded".into()));
    assert_eq!(server.stub.book().refunds.len(), 1);
}

#[tokio::test]
async fn a_refund_that_the_provider_refuses_leaves_the_payment_as_it_was() {
    let mut server = a_server_with(Stub::with(&[FINE, Trouble::Refused])).await;
    let order = server.paid(by_card()).await;
    let key = [("idempotency-key", "r-1")];

    let refused = server.http.post_with(&path(order), &key, json!({})).await;
    assert_eq!(refused.code(), (409, "refund_refused"));
    let again = server.http.post_with(&path(order), &key, json!({})).await;
    assert_eq!(again.code(), (409, "refund_refused"));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let read = server.http.get(&format!("/v1/payments/{}", payment_id(order))).await;
    assert_eq!(read.body["status"], "captured");
    let said = server.shop.outbox().await.pop().unwrap();
    let payment_event::Event::RefundRefused(refused) = said else { panic!("{said:?}") };
    assert_eq!((refused.cause(), refused.detail.as_str()), (RefundCause::Staff, "no such thing"));

    let asked = server.http.post(&path(order), json!({})).await;
    assert_eq!((asked.status.as_u16(), &asked.body["status"]), (200, &"refunded".into()));
}

/// A cancelled order whose money the provider would not give back is settled by asking again.
#[tokio::test]
async fn staff_settle_a_cancelled_order_by_asking_again() {
    let mut server = a_server_with(Stub::with(&[FINE, Trouble::Refused])).await;
    let order = server.paid(by_card()).await;
    server.hear(order, Event::OrderCancelled { revision: 2 }).await;
    let pool = chassis::database::connect_pool(&server.shop.database.url(), 1).await.unwrap();
    eventually("it is refused", Duration::from_secs(20), || async {
        let mut db = pool.acquire().await.unwrap();
        let waiting = store::refunds::waiting_for_staff(&mut db).await.unwrap();
        waiting.filter(|waiting| waiting.first == order).map(drop).ok_or("not yet")
    })
    .await;

    let settled = server.http.post(&path(order), json!({})).await;

    assert_eq!((settled.status.as_u16(), &settled.body["status"]), (200, &"refunded".into()));
    assert_eq!(told(&mut server).await, ["PaymentCaptured", "RefundRefused", "PaymentRefunded"]);
    let said = server.shop.outbox().await.pop().unwrap();
    let payment_event::Event::PaymentRefunded(refunded) = said else { panic!("{said:?}") };
    assert_eq!(refunded.cause(), RefundCause::OrderCancelled);
    assert_eq!(refunded.refund_id, payment_svc::domain::refund_id(order, 2).to_string());
}

/// Fifty people press the same button at once: no more goes back than was taken.
#[tokio::test]
async fn refunds_at_once_never_give_back_more_than_was_captured() {
    for instrument in [by_card(), wallet()] {
        let server = a_server().await.with_account("c-1", "50.00").await;
        let order = server.paid(instrument).await;

        let path = &path(order);
        let all = (0..50).map(|_| server.http.post(path, json!({"amount": "3.00"})));
        let all = futures::future::join_all(all).await;

        let done = all.iter().filter(|told| told.status == 200).count();
        let refused = all.iter().filter(|told| told.status == 409).count();
        assert_eq!((done, refused), (6, 44));
        let read = server.http.get(&format!("/v1/payments/{}", payment_id(order))).await;
        assert_eq!(read.body["refunded"], money("18.00"));
    }
}
