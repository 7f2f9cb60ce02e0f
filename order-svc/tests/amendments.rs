//! Amendments: what they change, what they meet, and what is refused.

use std::time::Duration;

use order_svc::{domain::Method, store};
use proto::{Event, OrderId, orders::order_event::Event as Said, topic};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{
    Shop, a_shop,
    http::{Server, a_server, id_of, two_mugs},
};

fn mugs(quantity: u32) -> Value {
    json!({"items": [{"sku": "mug", "quantity": quantity}]})
}

/// Places two mugs by card; returns the order's id and path.
async fn placed(server: &Server) -> (OrderId, String) {
    let id = id_of(&server.http.post("/v1/orders", &two_mugs()).await);
    (id, format!("/v1/orders/{id}"))
}

/// The last event that was said about an order.
async fn last_said(shop: &mut Shop, order: OrderId) -> Said {
    let appended = shop.mailbox.outbox().await;
    let last = appended.iter().rfind(|row| row.key == order.to_string()).unwrap();
    match Event::decode(topic::ORDERS, &last.payload).unwrap().unwrap() {
        Event::Orders(said) => said,
        other => unreachable!("{other:?} is not ours"),
    }
}

#[tokio::test]
async fn a_put_changes_what_an_open_order_asks_for_at_todays_price() {
    let mut server = a_server().await;
    let (id, at) = placed(&server).await;
    let before = server.http.get(&at).await;
    server.shop.list("mug", "19.99", 5).await;

    let fresh = [("if-match", before.header("etag"))];
    let amended = server.http.ask("PUT", &at, &fresh, Some(&mugs(3))).await;

    assert_eq!(amended.status, 200, "{}", amended.body);
    let order = &amended.body;
    assert_eq!((&order["revision"], &order["version"]), (&json!(2), &json!(2)));
    assert_eq!((&order["amendment"], &order["status"]), (&json!("requested"), &json!("pending")));
    assert_eq!(order["total_amount"]["amount"], "59.97");
    assert_eq!((&order["note"], &before.body["amendment"]), (&before.body["note"], &Value::Null));
    let read = server.http.get(&at).await;
    assert_eq!((&read.body, read.header("etag")), (order, amended.header("etag")));
    let Said::OrderAmended(said) = last_said(&mut server.shop, id).await else { panic!() };
    assert_eq!((said.revision, said.lines[0].quantity, said.pay_within_seconds), (2, 3, 900));
    let terms = said.terms.unwrap();
    assert_eq!(terms.amount, said.total);
    assert!(!terms.details.unwrap().ciphertext.is_empty(), "the card is charged for it");
}

#[tokio::test]
async fn what_refuses_an_amendment_is_looked_for_in_one_order() {
    let server = a_server().await;
    let (id, at) = placed(&server).await;
    let nobodys = format!("/v1/orders/{}", super::an_id());
    let stale = [("if-match", "\"x\"")];
    let unknown = json!({"items": [{"sku": "jug", "quantity": 9, "unit_price": "1.00"}]});
    let dear = json!({"items": [{"sku": "mug", "quantity": 9, "unit_price": "1.00"}]});
    let twice = json!({"items": [{"sku": "mug", "quantity": 1}, {"sku": "mug", "quantity": 1}]});
    let put = async |at: &str, headers: &[(&str, &str)], body: &Value| {
        let told = server.http.ask("PUT", at, headers, Some(body)).await;
        (told.status.as_u16(), told.body["code"].as_str().unwrap_or_default().to_owned())
    };
    let is = |status: u16, code: &str| (status, code.to_owned());

    assert_eq!(put(&nobodys, &stale, &twice).await, is(422, "duplicate_line"));
    assert_eq!(put(&nobodys, &stale, &json!({})).await, is(422, "missing_field"));
    let field = json!({"items": [{"sku": "mug", "quantity": 1}], "note": "x"});
    assert_eq!(put(&nobodys, &stale, &field).await, is(422, "unknown_field"));
    assert_eq!(put(&nobodys, &stale, &unknown).await, is(404, "not_found"));
    assert_eq!(put("/v1/orders/1", &stale, &unknown).await, is(404, "not_found"));
    assert_eq!(put(&at, &stale, &unknown).await, is(412, "stale"));
    assert_eq!(put(&at, &[], &unknown).await, is(422, "unknown_product"));
    assert_eq!(put(&at, &[], &dear).await, is(409, "price_changed"));
    assert_eq!(put(&at, &[], &mugs(9)).await, is(409, "insufficient_inventory"));

    let Server { mut shop, http, commands: _commands, .. } = server;
    let captured = shop.captured(id);
    shop.hear([captured]).await;
    let told = http.ask("PUT", &at, &stale, Some(&unknown)).await;
    assert_eq!(told.code(), (412, "stale"));
    let told = http.put(&at, &unknown).await;
    assert_eq!(told.code(), (409, "not_amendable"), "before its products are looked for");
    assert_eq!(told.body["detail"], "an order that is paid cannot be amended");
    assert_eq!(shop.order(id).await.order.present.number, 1);
}

#[tokio::test]
async fn what_an_order_holds_is_there_for_it() {
    let mut server = a_server().await;
    let (id, at) = placed(&server).await;
    let reserved = server.shop.reserved(id);
    server.shop.hear([reserved]).await;
    server.shop.list("mug", "29.99", 0).await;

    let more = server.http.put(&at, &mugs(3)).await;
    assert_eq!(more.code(), (409, "insufficient_inventory"));
    assert_eq!(more.body["errors"][0]["detail"], "2 available");
    assert_eq!(server.http.put(&at, &mugs(1)).await.status, 200);
    let reserved = server.shop.reserved_as(id, 2);
    server.shop.hear([reserved]).await;

    let again = server.http.put(&at, &mugs(2)).await;
    assert_eq!(again.status, 200, "the surplus is held until the order ends: {}", again.body);
}

#[tokio::test]
async fn an_amendment_that_does_not_fit_is_undone() {
    let mut shop = a_shop().await;
    let order = shop.place(Method::Wallet).await;
    let reserved = shop.reserved(order);
    shop.hear([reserved]).await;
    assert_eq!(shop.amend(order, 4).await.status, 200);
    assert_eq!(shop.count("order_deadlines").await, 0, "no clock before stock has answered");

    let messages = [shop.rejected_as(order, 2), shop.captured(order), shop.reserved_as(order, 3)];
    shop.hear(messages).await;

    let Said::OrderConfirmed(said) = last_said(&mut shop, order).await else { panic!() };
    assert_eq!((said.revision, said.lines[0].quantity), (3, 2));
    let names = ["OrderPlaced", "OrderAmended", "OrderAmended", "OrderConfirmed"];
    assert_eq!(shop.names(order).await, names);
    let present = shop.order(order).await.order.present;
    assert_eq!(present.cause.unwrap().as_str(), "stock_rejected");
    assert_eq!(shop.count("order_revisions").await, 2);
    assert_eq!(shop.count("unfinished_orders").await, 0);
}

#[tokio::test]
async fn an_amendment_that_comes_after_the_money_is_undone_unless_it_changes_nothing() {
    for (quantity, names, revision) in [
        (1, &["OrderPlaced", "OrderAmended", "OrderAmended", "OrderConfirmed"][..], 3),
        (2, &["OrderPlaced", "OrderAmended", "OrderConfirmed"], 2),
    ] {
        let mut shop = a_shop().await;
        let order = shop.place(Method::Wallet).await;
        assert_eq!(shop.amend(order, quantity).await.status, 200);

        let captured = shop.captured(order);
        shop.hear([captured]).await;
        assert_eq!(shop.status(order).await, "paid");
        assert_eq!(shop.amend(order, 3).await.status, 409, "what is paid is not amended");
        let messages = [shop.reserved(order), shop.reserved_as(order, 2)];
        shop.hear(messages).await;
        if revision == 3 {
            assert_eq!(shop.status(order).await, "paid");
            let reserved = shop.reserved_as(order, 3);
            shop.hear([reserved]).await;
        }

        assert_eq!(shop.names(order).await, names);
        let order = shop.order(order).await.order;
        assert_eq!((order.present.number, order.present.lines[0].quantity), (revision, 2));
    }
}

#[tokio::test]
async fn only_answers_to_the_present_revision_end_an_order() {
    let mut shop = a_shop().await;
    let order = shop.place(Method::Wallet).await;
    shop.amend(order, 1).await;

    let messages = [shop.rejected(order), shop.declined(order)];
    shop.hear(messages).await;
    assert_eq!(shop.status(order).await, "pending");
    let messages = [shop.reserved_as(order, 2), shop.declined_as(order, 2)];
    shop.hear(messages).await;

    let reason = shop.order(order).await.order.cancellation.unwrap().reason;
    assert_eq!(reason.as_str(), "payment_declined");
}

#[tokio::test]
async fn a_deferred_order_says_anew_what_is_due_and_a_client_may_wait_for_it() {
    let mut server = a_server().await;
    let mut body = two_mugs();
    body["payment"] = Value::Null;
    let id = id_of(&server.http.post("/v1/orders", &body).await);
    let at = format!("/v1/orders/{id}");
    let reserved = server.shop.reserved(id);
    server.shop.hear([reserved]).await;
    let first = server.shop.order(id).await.order.deadline().unwrap();
    assert_eq!(server.http.put(&at, &mugs(1)).await.body["status"], "pending");

    let (http, path) = (server.http.clone(), at.clone());
    let mut waiting = JoinSet::new();
    waiting.spawn(async move { http.ask("GET", &path, &[("prefer", "wait=20")], None).await.body });
    tokio::time::timeout(Duration::from_millis(50), waiting.join_next()).await.unwrap_err();
    let reserved = server.shop.reserved_as(id, 2);
    server.shop.hear([reserved]).await;

    let told = waiting.join_next().await.unwrap().unwrap();
    assert_eq!((&told["status"], &told["revision"]), (&json!("payment_pending"), &json!(2)));
    let Said::OrderAwaitingPayment(said) = last_said(&mut server.shop, id).await else { panic!() };
    assert_eq!((said.revision, said.amount.unwrap().units), (2, 29));
    let second = server.shop.order(id).await.order.deadline().unwrap();
    assert!(second > first, "the time to pay begins anew");
    assert_eq!(server.shop.count("order_deadlines").await, 1);
}

#[tokio::test]
async fn sealed_details_are_kept_once_and_go_when_the_order_ends() {
    let mut shop = a_shop().await;
    let (order, other) = (shop.place(Method::Card).await, shop.place(Method::Card).await);
    let kept = "unfinished_orders where details is not null";
    assert_eq!(shop.count(kept).await, 2);

    shop.amend(order, 1).await;
    shop.amend(order, 2).await;
    let Said::OrderAmended(said) = last_said(&mut shop, order).await else { panic!() };
    assert_eq!(said.terms.unwrap().details.unwrap().ciphertext, vec![2; 24]);
    let messages = [shop.reserved(other), shop.captured(other)];
    shop.hear(messages).await;
    assert_eq!(shop.count(kept).await, 1, "what is confirmed is finished");
    shop.cancel(order).await;

    assert_eq!((shop.count(kept).await, shop.count("unfinished_orders").await), (0, 1));
    let history = store::order_events::of_order(shop.db().await, order, 0, 10).await.unwrap();
    let holds =
        |row: &order_svc::world::HistoryRow| row.payload.windows(24).any(|it| it == [2; 24]);
    assert!(!history.iter().any(holds), "the history has none of them");
}

#[tokio::test]
async fn an_order_of_lines_without_stock_goes_through() {
    let mut server = a_server().await;
    let mut body = two_mugs();
    body["items"] = json!([{"description": "gift wrap", "quantity": 2, "unit_price": "2.50"}]);
    let placed = server.http.post("/v1/orders", &body).await;
    let id = id_of(&placed);
    assert_eq!((placed.status.as_u16(), &placed.body["items"][0]["sku"]), (201, &Value::Null));
    assert_eq!(placed.body["total_amount"]["amount"], "5.00");

    let amended = server
        .http
        .put(
            &format!("/v1/orders/{id}"),
            &json!({"items": [{"description": "card", "quantity": 1, "unit_price": "29.99"}]}),
        )
        .await;
    assert_eq!((amended.status.as_u16(), &amended.body["items"][0]["name"]), (200, &json!("card")));
    let captured = server.shop.captured_as(id, 2);
    let reserved = server.shop.reserved_as(id, 2);
    server.shop.hear([reserved, captured]).await;

    let told = server.shop.order(id).await.order;
    assert_eq!(told.status().as_str(), "confirmed", "{:?}", told.cancellation);
}

#[tokio::test]
async fn an_order_is_amended_a_hundred_times_and_no_more() {
    let mut shop = a_shop().await;
    let order = shop.place(Method::Wallet).await;
    for _ in 0..100 {
        assert_eq!(shop.amend(order, 1).await.status, 200);
    }

    let refused = shop.amend(order, 1).await;

    let problem: Value = serde_json::from_slice(&refused.body).unwrap();
    assert_eq!((refused.status, &problem["code"]), (409, &json!("not_amendable")));
    let messages = [shop.reserved_as(order, 101), shop.captured_as(order, 1)];
    shop.hear(messages).await;
    assert_eq!(shop.order(order).await.order.present.number, 102, "what is paid is still known");
}
