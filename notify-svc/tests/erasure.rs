//! The erasure of a customer: nothing that names them is left, and what waited fails.

use serde_json::json;
use service_kit::testing::is_found;
use tokio_util::sync::CancellationToken;

use super::{an_order, http::a_server, sink};

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
    assert!(is_found(&mut server.shop.mailbox, "canary").await);

    let erased = server.http.ask("DELETE", path, &[], None).await;
    let again = server.http.ask("DELETE", path, &[], None).await;

    assert_eq!(erased.status, 200);
    assert_eq!(erased.body, json!({"erased": {"contacts": 1, "notifications": 2}}));
    assert_eq!(again.body, json!({"erased": {"contacts": 0, "notifications": 0}}));
    assert!(!is_found(&mut server.shop.mailbox, "canary").await);
    assert!(is_found(&mut server.shop.mailbox, "other@shop.example").await);
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

/// What staff sent to an address of the customer's is found by the address alone: whatever order it
/// is about, and although the customer has another address by now.
#[tokio::test]
async fn letters_to_an_address_of_the_past_and_about_anothers_order_are_erased() {
    let mut server = a_server().await;
    let path = "/v1/customers/customer-9";
    let order = an_order();
    let message = server.shop.confirmed(order);
    server.shop.hear([message]).await;
    for email in ["canary@old.example", "canary@shop.example"] {
        let contact = json!({"email": email, "phone": "+4930777"});
        server.put(&format!("{path}/contact"), contact).await;
    }
    let letters = [
        json!({"to": "canary@old.example", "subject": "canary", "text": "canary"}),
        json!({"to": "canary@shop.example", "subject": "canary", "text": "b", "order_id": order}),
        json!({"to": "canary@shop.example", "template": "order_shipped", "order_id": order,
            "data": {"carrier": "canary"}}),
        json!({"to": "other@shop.example", "subject": "b", "text": "c", "order_id": order}),
    ];
    for (number, letter) in letters.iter().enumerate() {
        let key = [("idempotency-key", &*number.to_string())];
        let queued = server.http.post_with("/v1/notifications/email", &key, letter).await;
        assert_eq!(queued.status, 202, "{}", queued.body);
    }
    // What is kept for a repetition has the addresses, masked.
    let kept = ["c***@old.example", "c***@shop.example"];
    for masked in kept {
        assert!(is_found(&mut server.shop.mailbox, masked).await, "{masked}");
    }

    let erased = server.http.ask("DELETE", path, &[], None).await;

    assert_eq!(erased.body, json!({"erased": {"contacts": 1, "notifications": 3}}));
    assert!(!is_found(&mut server.shop.mailbox, "canary").await);
    assert!(!is_found(&mut server.shop.mailbox, "+4930777").await);
    for masked in kept {
        assert!(!is_found(&mut server.shop.mailbox, masked).await, "{masked}");
    }
    for others in ["other@shop.example", "o***@shop.example"] {
        assert!(is_found(&mut server.shop.mailbox, others).await, "{others}");
    }
    let again = server.http.ask("DELETE", path, &[], None).await;
    assert_eq!(again.body, json!({"erased": {"contacts": 0, "notifications": 0}}));
}

/// A batch that has read the contact before it was erased writes it into a notification afterwards.
#[tokio::test]
async fn what_was_under_way_is_erased_too() {
    let mut server = a_server().await;
    let path = "/v1/customers/customer-456";
    server.put(&format!("{path}/contact"), json!({"email": "canary@shop.example"})).await;
    let pool = sink::room(&server.shop, &server.mailbox).pool;
    let mut batch = pool.begin().await.unwrap();
    sqlx::raw_sql(
        "insert into notifications (notification_id, order_id, customer_id, channel, template,
           language, recipient, fields, status, attempts, created_at)
         values (gen_random_uuid(), gen_random_uuid(), 'customer-456', 'email',
           'order_confirmation', 'en', 'canary@shop.example', '{}', 'queued', 0, now())",
    )
    .execute(&mut *batch)
    .await
    .unwrap();

    let committed = async {
        let contact = format!("{path}/contact");
        backends::testing::eventually("the contact's end", super::SOON, async || {
            let told = server.http.get(&contact).await;
            if told.status == 404 { Ok(()) } else { Err(told.body) }
        })
        .await;
        batch.commit().await.unwrap();
    };
    let (erased, ()) = tokio::join!(server.http.ask("DELETE", path, &[], None), committed);

    assert_eq!(erased.body, json!({"erased": {"contacts": 1, "notifications": 1}}));
    assert!(!is_found(&mut server.shop.mailbox, "canary").await);
}

#[tokio::test]
async fn an_erasure_that_cannot_see_the_end_of_what_is_under_way_is_to_be_repeated() {
    let server = a_server().await;
    let pool = sink::room(&server.shop, &server.mailbox).pool;
    let mut batch = pool.begin().await.unwrap();
    sqlx::raw_sql("select pg_current_xact_id()").execute(&mut *batch).await.unwrap();

    let path = "/v1/customers/customer-456";
    let refused = server.http.ask("DELETE", path, &[], None).await;
    assert_eq!(refused.code(), (503, "overloaded"));
    batch.rollback().await.unwrap();
    let erased = server.http.ask("DELETE", path, &[], None).await;
    assert_eq!(erased.status, 200);
}
