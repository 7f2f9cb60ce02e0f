//! Sagas: what they show of amendments, refunds and parked keys, and which of them are listed as
//! what.

use chassis::clock;
use order_svc::{domain::Method, saga_gauges::measure};
use proto::{OrderId, payments};
use serde_json::{Value, json};

use super::{
    Shop,
    http::{Server, a_server},
    usd,
};

#[tokio::test]
async fn a_saga_has_a_tag_that_changes_as_it_moves() {
    let mut server = a_server().await;
    let order = server.shop.place(Method::Wallet).await;
    let path = format!("/v1/orders/{order}/saga");
    let first = server.http.get(&path).await;
    let known = [("if-none-match", first.header("etag"))];
    let same = server.http.ask("GET", &path, &known, None).await;
    assert_eq!(
        (same.status.as_u16(), &same.body, same.header("etag")),
        (304, &Value::Null, known[0].1)
    );

    let reserved = server.shop.reserved(order);
    server.shop.hear([reserved]).await;

    let moved = server.http.ask("GET", &path, &known, None).await;
    assert_eq!(moved.status, 200);
    assert_ne!(moved.header("etag"), known[0].1);
}

async fn saga(server: &Server, order: OrderId) -> Value {
    server.http.get(&format!("/v1/orders/{order}/saga")).await.body
}

/// The orders that a list of sagas has, page by page.
async fn listed(server: &Server, state: &str) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = server.http.get(&format!("/v1/sagas?limit=1{state}{cursor}")).await;
        assert_eq!(page.status, 200, "{}", page.body);
        let items = page.body["items"].as_array().unwrap().iter();
        found.extend(items.map(|it| it["order_id"].as_str().unwrap().to_owned()));
        let Some(next) = page.body["next_cursor"].as_str() else { return found };
        cursor = format!("&cursor={next}");
    }
}

fn refused(shop: &mut Shop, order: OrderId, cause: payments::RefundCause) -> mailbox::Message {
    let refused = payments::RefundRefused {
        order_id: order.to_string(),
        amount: Some(usd("59.98").into()),
        cause: cause.into(),
        ..Default::default()
    };
    shop.said(order, refused)
}

#[tokio::test]
async fn every_state_lists_its_orders() {
    let mut server = a_server().await;
    let shop = &mut server.shop;
    let mut orders = Vec::new();
    for _ in 0..5 {
        orders.push(shop.place(Method::Wallet).await);
    }
    let [started, completed, compensating, compensated, failed] = orders[..] else { panic!() };
    let messages = [
        shop.reserved(completed),
        shop.captured(completed),
        shop.reserved(compensating),
        shop.declined(compensating),
        shop.reserved(compensated),
        shop.captured(compensated),
        shop.rejected(failed),
    ];
    shop.hear(messages).await;
    shop.cancel(compensated).await;
    let messages = [
        shop.released(compensated),
        shop.refunded(compensated),
        shop.released(failed),
        shop.voided(failed),
    ];
    shop.hear(messages).await;
    assert_eq!(shop.count("unfinished_orders").await, 2);

    for (state, order) in [
        ("started", started),
        ("completed", completed),
        ("compensating", compensating),
        ("compensated", compensated),
        ("failed", failed),
    ] {
        assert_eq!(
            listed(&server, &format!("&state={state}")).await,
            [order.to_string()],
            "{state}"
        );
        assert_eq!(saga(&server, order).await["status"], state);
    }
    let all: Vec<String> = orders.iter().rev().map(ToString::to_string).collect();
    assert_eq!(listed(&server, "").await, all);
    assert_eq!(listed(&server, "&state=stuck").await, Vec::<String>::new());
    assert_eq!(server.http.get("/v1/sagas?state=lost").await.code(), (400, "bad_parameter"));
    let cursor = chassis::http::write_cursor("orders", &started);
    let foreign = server.http.get(&format!("/v1/sagas?cursor={cursor}")).await;
    assert_eq!(foreign.code(), (400, "bad_cursor"));
}

#[tokio::test]
async fn what_is_late_is_stuck_and_an_amendment_has_its_own_minute() {
    let mut server = a_server().await;
    let shop = &mut server.shop;
    let (late, amended) = (shop.place(Method::Wallet).await, shop.place(Method::Wallet).await);
    let reserved = shop.reserved(amended);
    shop.hear([reserved]).await;
    let text = "update orders set placed_at = placed_at - interval '1 hour',
        revised_at = revised_at - interval '1 hour'";
    sqlx::raw_sql(text).execute(shop.db().await).await.unwrap();
    shop.amend(amended, 1).await;

    assert_eq!(listed(&server, "&state=stuck").await, [late.to_string()]);
    assert_eq!(saga(&server, late).await["expected"]["late"], true);
    let waiting = saga(&server, amended).await;
    assert_eq!(
        (&waiting["expected"]["step"], &waiting["expected"]["late"]),
        (&json!("inventory_reserved"), &json!(false))
    );
    assert_eq!(waiting["steps"][0]["state"], "waiting", "the first revision's stock is not it");
    assert_eq!(waiting["completed_steps"], json!([]));
    let measured = measure(server.shop.db().await, clock::now()).await.unwrap();
    assert_eq!((measured.count, measured.late, measured.stuck), (2, 1, 1));
    assert!(measured.since.is_some_and(|since| since <= clock::now()));
}

#[tokio::test]
async fn what_is_parked_here_is_stuck_late_or_not() {
    let mut server = a_server().await;
    let shop = &mut server.shop;
    let (order, other) = (shop.place(Method::Wallet).await, shop.place(Method::Wallet).await);
    let messages = [shop.reserved(order), shop.captured(order)];
    shop.hear(messages).await;
    let mut broken = shop.notified(order);
    broken.version = 0;
    assert_eq!(shop.mailbox.hear(vec![broken]).await, 1);

    assert_eq!(listed(&server, "&state=stuck").await, [order.to_string()]);
    let told = saga(&server, order).await;
    assert_eq!((&told["parked"], &told["status"]), (&json!(true), &json!("completed")));
    assert_eq!(saga(&server, other).await["parked"], false);

    let shop = &mut server.shop;
    let mut broken = shop.reserved(other);
    broken.version = 0;
    assert_eq!(shop.mailbox.hear(vec![broken]).await, 1);
    let measured = measure(shop.db().await, clock::now()).await.unwrap();
    assert_eq!((measured.count, measured.late, measured.stuck), (1, 0, 1));
}

#[tokio::test]
async fn a_refund_that_is_refused_waits_for_staff() {
    let mut server = a_server().await;
    let shop = &mut server.shop;
    let (order, shop_owes) = (shop.place(Method::Card).await, shop.place(Method::Card).await);
    let messages = [
        shop.reserved(order),
        shop.captured(order),
        shop.reserved(shop_owes),
        shop.captured(shop_owes),
    ];
    shop.hear(messages).await;
    // What staff wanted to give back, and could not, is theirs to see: the order goes on.
    let noted = refused(shop, shop_owes, payments::RefundCause::Staff);
    shop.hear([noted]).await;
    shop.cancel(order).await;
    let messages =
        [shop.released(order), refused(shop, order, payments::RefundCause::OrderCancelled)];
    shop.hear(messages).await;

    assert_eq!(listed(&server, "&state=stuck").await, [order.to_string()]);
    let told = saga(&server, order).await;
    assert_eq!(
        (&told["status"], &told["expected"]["late"]),
        (&json!("compensating"), &json!(false))
    );
    assert_eq!(told["steps"][1]["detail"], "refund_refused");
    let settled = server.shop.refunded(order);
    server.shop.hear([settled]).await;
    assert_eq!(listed(&server, "&state=stuck").await, Vec::<String>::new());
    let told = saga(&server, order).await;
    assert_eq!(
        (&told["status"], &told["steps"][1]["state"]),
        (&json!("compensated"), &json!("compensated"))
    );
    assert_eq!(told["steps"][1]["detail"], Value::Null);
}

#[tokio::test]
async fn history_tells_the_order_after_each_event_said_about_it() {
    let mut server = a_server().await;
    let placed = server.http.post("/v1/orders", &super::http::two_mugs()).await;
    let (id, at) = (super::http::id_of(&placed), placed.header("location").to_owned());
    let shop = &mut server.shop;
    let reserved = shop.reserved(id);
    shop.hear([reserved]).await;
    shop.amend(id, 1).await;
    let messages = [shop.reserved_as(id, 2), shop.captured_as(id, 2), shop.notified(id)];
    shop.hear(messages).await;
    let words = json!({"reason": "changed my mind"});
    let last = server.http.post(&format!("{at}/cancel"), &words).await.body;

    let told = server.http.get(&format!("{at}/history")).await.body;
    let all = told["items"].as_array().unwrap().clone();
    let seen = |name: &str| all.iter().map(|it| it[name].clone()).collect::<Vec<_>>();
    assert_eq!(seen("version"), [1, 2, 3, 4]);
    assert_eq!(seen("status"), ["pending", "pending", "confirmed", "cancelled"]);
    assert_eq!(seen("revision"), [1, 2, 2, 2]);
    assert_eq!((&all[0], &all[3]), (&placed.body, &last), "as it was told then");
    assert_eq!(all[3]["cancellation"]["detail"], "changed my mind");

    let rest = server.http.get(&format!("{at}/history?after=2&limit=1")).await.body;
    assert_eq!(rest["items"], json!([all[2]]));
    let cursor = rest["next_cursor"].as_str().unwrap();
    let end = server.http.get(&format!("{at}/history?after=2&limit=1&cursor={cursor}")).await.body;
    assert_eq!((&end["items"], &end["next_cursor"]), (&json!([all[3]]), &Value::Null));
    assert_eq!(server.http.get(&format!("{at}/history?after=9")).await.body["items"], json!([]));
    for after in ["-1", "x", "", "1.5"] {
        let refused = server.http.get(&format!("{at}/history?after={after}")).await;
        assert_eq!(refused.code(), (400, "bad_parameter"), "{after}");
    }
    let nobodys = format!("/v1/orders/{}/history", super::an_id());
    assert_eq!(server.http.get(&nobodys).await.code(), (404, "not_found"));
    let events = server.http.get(&format!("{at}/events")).await.body.to_string();
    assert!(!events.contains("changed my mind") && !events.contains("at the door"), "{events}");
}
