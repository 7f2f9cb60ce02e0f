//! The erasure of a customer: nothing that names them is left, and what waited fails.

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{an_order, http::a_server, sink};

/// Whether a text is anywhere in the database.
async fn is_found(shop: &mut super::Shop, text: &str) -> bool {
    let dump = shop.mailbox.dump().await;
    dump.values().flatten().any(|row| row.contains(text))
}

#[tokio::test]
async fn what_is_held_of_a_customer_is_erased_once() {
    let mut server = a_server().await;
    let path = "/v1/customers/customer-456";
    let contact =
        json!({"email": "canary@shop.example", "phone": "+4930777", "push_token": "canary"});
    server.put(&format!("{path}/contact"), contact).await;
    let other = json!({"email": "other@shop.example"});
    server.put("/v1/customers/customer-9/contact", other).await;
    let order = an_order();
    let message = server.shop.confirmed(order);
    server.shop.hear([message]).await;
    let letter = json!({"to": "canary@shop.example", "subject": "canary", "text": "canary"});
    let key = [("idempotency-key", "letter")];
    let queued = server.http.post_with("/v1/notifications/email", &key, &letter).await;
    assert_eq!(queued.status, 202);
    let other = json!({"to": "other@shop.example", "subject": "b", "text": "c"});
    server.http.post("/v1/notifications/email", &other).await;
    assert!(is_found(&mut server.shop, "canary").await);

    let erased = server.http.ask("DELETE", path, &[], None).await;
    let again = server.http.ask("DELETE", path, &[], None).await;

    assert_eq!(erased.status, 200);
    assert_eq!(erased.body, json!({"erased": {"contacts": 1, "notifications": 2}}));
    assert_eq!(again.body, json!({"erased": {"contacts": 0, "notifications": 0}}));
    assert!(!is_found(&mut server.shop, "canary").await);
    assert!(is_found(&mut server.shop, "other@shop.example").await);
    assert_eq!(server.http.get(&format!("{path}/contact")).await.code(), (404, "not_found"));
    let malformed = server.http.ask("DELETE", "/v1/customers/a%20b", &[], None).await;
    assert_eq!(malformed.code(), (404, "not_found"));

    // What waited is told to nobody, and its order hears so.
    let (room, ended) = (sink::room(&server.shop, &server.mailbox), CancellationToken::new());
    let sink = sink::a_sink().await;
    let workers = sink::deliver_all(&mut server.shop, &sink, &room, &ended);
    backends::testing::eventually("all have ended", super::SOON, async || {
        let left: i64 = sqlx::query_scalar("select count(*) from deliveries")
            .fetch_one(&room.pool)
            .await
            .unwrap();
        if left == 0 { Ok(()) } else { Err(left) }
    })
    .await;
    workers.end(&ended).await;
    let [only] = &sink.messages()[..] else { panic!("{:?}", sink.messages()) };
    assert_eq!(only.to, "other@shop.example");
    let (_, list) = server.get(&format!("/v1/notifications?order_id={order}")).await;
    let item = &list["items"][0];
    assert_eq!((&item["status"], &item["failure"]), (&json!("failed"), &json!("erased")));
    assert_eq!(item["to"], json!(null));
    assert_eq!(server.shop.said_of_orders().await, ["NotificationFailed"]);
}
