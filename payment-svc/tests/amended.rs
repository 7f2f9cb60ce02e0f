//! Paying an order that is amended while a card is charged for it, or after that was declined.

use backends::testing::eventually;
use payment_svc::domain::payment_id;
use proto::OrderId;
use serde_json::{Value, json};
use service_kit::testing::TestResponse;

use super::{
    an_order,
    charges::SOON,
    reactions::declined,
    server::{Server, a_server, a_server_with},
    stub::{Stub, Trouble},
};

const PATH: &str = "/v1/payments";

fn by_card(order: OrderId, token: &str) -> Value {
    json!({"order_id": order.to_string(), "payment_method": {"type": "card", "token": token}})
}

fn by_wallet(order: OrderId) -> Value {
    json!({"order_id": order.to_string(), "payment_method": {"type": "wallet"}})
}

/// A server whose provider never answers its first request, and a deferred order of 20.00 at it.
async fn an_order_at_a_silent_provider() -> (Server, OrderId) {
    let silent = a_server_with(Stub::with(&[Trouble::Silent])).await;
    let server = silent.with_account("c-1", "100.00").await;
    let order = an_order();
    server.waits_for(order, "20.00").await;
    (server, order)
}

/// The order is amended to 30.00 while its card is charged, and then that charge is declined.
async fn amended_and_declined(server: &Server, order: OrderId) {
    eventually("the charge is under way", SOON, || async {
        if server.stub.book().asked.is_empty() { Err("nothing asked") } else { Ok(()) }
    })
    .await;
    server.waits_for_revision(order, 2, "30.00").await;
    server.answer(order, declined(1)).await;
}

/// Somebody pays what is due now from the wallet.
async fn paid_otherwise(server: &Server, order: OrderId) {
    let paid = server.http.post(PATH, by_wallet(order)).await;
    assert_eq!((paid.status.as_u16(), &paid.body["amount"]["amount"]), (201, &json!("30.00")));
}

/// The payment in an answer: what has to be the same in each repetition of it.
fn shown(told: &TestResponse) -> &Value {
    if told.status.is_success() { &told.body } else { &told.body["payment"] }
}

/// The payer waits for a charge, and not for whatever the order becomes: there is no more to come.
#[tokio::test]
async fn a_charge_declined_for_an_earlier_revision_is_told_to_its_payer_ever_after() {
    let (server, order) = an_order_at_a_silent_provider().await;
    let key = [("idempotency-key", "payer")];
    let pay = || server.http.post_with(PATH, &key, by_card(order, "tok_visa"));

    let (told, ()) = tokio::join!(pay(), amended_and_declined(&server, order));

    assert_eq!(told.code(), (402, "payment_declined"));
    assert_eq!(shown(&told)["status"], "declined");
    assert_eq!(shown(&told)["amount"]["amount"], "20.00");
    assert_eq!(shown(&told)["decline"]["code"], "card_declined");
    let read = server.http.get(&format!("{PATH}/{}", payment_id(order))).await;
    assert_eq!(
        (&read.body["status"], &read.body["amount"]["amount"]),
        (&json!("pending"), &json!("30.00"))
    );

    let waiting = pay().await;
    paid_otherwise(&server, order).await;
    let paid = pay().await;
    for again in [waiting, paid] {
        assert_eq!(again.code(), (402, "payment_declined"));
        assert_eq!(shown(&again), shown(&told));
        assert_eq!(again.headers["idempotency-replayed"], "true");
    }
}

/// A repetition that comes when the order has gone on to a later revision, again and again.
#[tokio::test]
async fn each_payer_of_an_amended_order_is_told_of_their_own_charge_again() {
    let server = a_server().await;
    let order = an_order();
    let payers = [
        ("first", "20.00", "tok_declined", 402),
        ("second", "30.00", "tok_declined", 402),
        ("third", "40.00", "tok_visa", 201),
    ];
    let pay = async |key: &str, token: &str| {
        let headers = [("idempotency-key", key)];
        server.http.post_with(PATH, &headers, by_card(order, token)).await
    };

    let mut told = Vec::new();
    for (revision, (key, amount, token, status)) in (1..).zip(payers) {
        server.waits_for_revision(order, revision, amount).await;
        let answer = pay(key, token).await;
        assert_eq!(answer.status, status, "{key}");
        assert_eq!(shown(&answer)["amount"]["amount"], amount);
        told.push(answer);
    }

    for ((key, _, token, status), first) in payers.into_iter().zip(&told) {
        let again = pay(key, token).await;
        assert_eq!(again.status, status, "{key}");
        assert_eq!(shown(&again), shown(first), "{key}");
        assert_eq!(again.headers["idempotency-replayed"], "true");
    }
}

/// Another card, or a wallet, is not charged beside the one under way, nor in its place afterwards.
#[tokio::test]
async fn who_came_second_is_told_that_the_charge_for_an_earlier_revision_was_declined() {
    let (server, order) = an_order_at_a_silent_provider().await;
    let first = [("prefer", "wait=0")];
    let second = [("idempotency-key", "second"), ("prefer", "wait=0")];
    let ask = || server.http.post_with(PATH, &second, by_card(order, "tok_slow"));
    let begun = server.http.post_with(PATH, &first, by_card(order, "tok_visa")).await;
    let open = ask().await;
    assert_eq!((begun.status.as_u16(), open.status.as_u16()), (202, 202));

    amended_and_declined(&server, order).await;
    let told = ask().await;
    paid_otherwise(&server, order).await;
    let again = ask().await;

    assert_eq!((told.code(), again.code()), ((409, "not_payable"), (409, "not_payable")));
    assert_eq!(again.body["detail"], told.body["detail"]);
    assert_eq!(server.stub.book().charges.len(), 1);
}
