//! What the receiver of a webhook gets, and in which order.

use std::collections::HashMap;

use mailbox::{Message, testing::message};
use proto::{Event, catalogue};
use serde_json::json;
use standardwebhooks::Webhook;

use super::{Receiver, all_are, tellers};
use crate::{CUSTOMER, an_order, http::a_server};

#[tokio::test]
async fn an_event_arrives_signed_as_a_cloud_event_without_sealed_details() {
    let mut server = a_server().await;
    let receiver = Receiver::that_takes_all().await;
    let webhook = server.webhook(&receiver.url(), &["StockReserved", "OrderConfirmed"]).await;
    let tellers = tellers(&server.shop);
    let order = an_order();

    let messages = [server.shop.reserved(order), server.shop.captured(order)];
    server.shop.hear(messages.clone()).await;
    let confirmed = server.shop.confirmed(order);
    server.shop.hear([confirmed.clone()]).await;

    let calls = receiver.got(2).await;
    let key = Webhook::new(&webhook.secret).unwrap();
    for call in &calls {
        key.verify(&call.body, &call.headers).unwrap();
        assert_eq!(call.headers["content-type"], "application/cloudevents+json");
        assert_eq!(call.headers["webhook-signature"].to_str().unwrap().split(' ').count(), 1);
    }
    let [reserved, told] = [calls[0].event(), calls[1].event()];
    assert_eq!(calls[0].id(), messages[0].event_id.to_string());
    assert_eq!(reserved["id"], messages[0].event_id.to_string());
    assert_eq!(reserved["type"], "shop.stock.v1.StockReserved");
    assert_eq!(
        (&reserved["source"], &reserved["version"]),
        (&json!("/shop/inventory-svc"), &json!(1))
    );
    assert_eq!(
        (&reserved["subject"], &reserved["data"]["order_id"]),
        (&json!(order), &json!(order))
    );
    let dollars = json!({"currency_code": "USD", "units": "60", "nanos": 0});
    assert_eq!(
        reserved["data"]["terms"],
        json!({"customer_id": CUSTOMER, "amount": dollars, "method": "PAYMENT_METHOD_CARD"})
    );
    assert_eq!(told["data"]["lines"][0]["name"], "Blue mug");
    let items = server.deliveries(&webhook, all_are("delivered")).await;
    assert_eq!(items.len(), 2, "what it did not ask for is not there");
    assert_eq!((&items[1]["type"], &items[1]["event_id"]), (&json!("OrderConfirmed"), &told["id"]));
    let attempt = &items[1]["attempts"][0];
    assert_eq!((&attempt["status"], &attempt["error"]), (&json!(204), &json!(null)));
    assert!(
        attempt["ms"].is_u64()
            && attempt["at"].is_string()
            && items[1]["next_attempt_at"].is_null()
    );
    assert_eq!(server.shop.count("webhook_events").await, 3, "the others wait for a replay");
    tellers.end().await;
    assert_eq!(receiver.calls().len(), 2);
}

#[tokio::test]
async fn a_change_of_a_product_is_told_under_its_sku() {
    let mut server = a_server().await;
    let receiver = Receiver::that_takes_all().await;
    server.webhook(&receiver.url(), &["ProductChanged"]).await;
    let tellers = tellers(&server.shop);
    let changed = Event::from(catalogue::ProductChanged {
        sku: "BLUE-MUG".to_owned(),
        name: "Blue mug".to_owned(),
        version: 1,
        ..catalogue::ProductChanged::default()
    });
    let name = changed.event_type().full_name();

    server.shop.hear([message(changed.topic(), "BLUE-MUG", &name, 1, changed.encode())]).await;

    let told = receiver.got(1).await[0].event();
    assert_eq!(
        (&told["source"], &told["type"], &told["subject"], &told["data"]["name"]),
        (
            &json!("/shop/inventory-svc"),
            &json!("shop.catalogue.v1.ProductChanged"),
            &json!("BLUE-MUG"),
            &json!("Blue mug")
        )
    );
    tellers.end().await;
}

/// Many orders, events on several topics and in several batches, and a receiver that takes its
/// time: what belongs to one order arrives one after the other.
#[tokio::test]
async fn the_events_of_an_order_arrive_in_their_order() {
    let mut server = a_server().await;
    let receiver = Receiver::that_takes_all().await;
    server.webhook(&receiver.url(), &["*"]).await;
    let tellers = [tellers(&server.shop), tellers(&server.shop)];
    let orders: Vec<_> = (0..25).map(|_| an_order()).collect();
    let shop = &mut server.shop;

    for event in [
        crate::Shop::reserved,
        crate::Shop::captured,
        crate::Shop::confirmed,
        crate::Shop::notified,
    ] {
        let messages: Vec<Message> = orders.iter().map(|order| event(shop, *order)).collect();
        shop.hear(messages).await;
    }

    let mut arrived: HashMap<String, Vec<String>> = HashMap::new();
    for call in receiver.got(100).await {
        let subject = call.event()["subject"].as_str().unwrap().to_owned();
        arrived.entry(subject).or_default().push(call.name());
    }
    assert_eq!(arrived.len(), 25);
    let wanted = ["StockReserved", "PaymentCaptured", "OrderConfirmed", "NotificationSent"];
    for (order, names) in arrived {
        assert_eq!(names, wanted, "{order}");
    }
    for tellers in tellers {
        tellers.end().await;
    }
    assert_eq!(receiver.calls().len(), 100, "of two processes, one tells each event");
}

#[tokio::test]
async fn a_repeated_message_is_told_once() {
    let mut server = a_server().await;
    let receiver = Receiver::that_takes_all().await;
    let webhook = server.webhook(&receiver.url(), &["*"]).await;
    let order = an_order();
    let messages = [server.shop.captured(order), server.shop.confirmed(order)];

    server.shop.hear(messages.clone()).await;
    server.shop.hear(messages.clone()).await;
    server.shop.hear([&messages[..], &messages[..]].concat()).await;

    let items = server.deliveries(&webhook, all_are("pending")).await;
    assert_eq!(items.len(), 2);
    assert_eq!(server.shop.count("webhook_events").await, 2);
}

/// What only webhooks are told must not stop a key for its age, nor wait for a partition that will
/// never be.
#[tokio::test]
async fn an_event_of_long_ago_is_told_nobody_and_stops_nothing() {
    let mut server = a_server().await;
    let receiver = Receiver::that_takes_all().await;
    server.webhook(&receiver.url(), &["*"]).await;
    let old = [8, 100].map(|days| {
        let at = server.shop.mailbox.now - time::Duration::days(days);
        let millis = u64::try_from(at.unix_timestamp()).unwrap() * 1_000;
        let event_id = uuid::Builder::from_unix_timestamp_millis(millis, &[7; 10]).into_uuid();
        Message { event_id, ..server.shop.captured(an_order()) }
    });

    server.shop.hear(old).await;

    assert_eq!(server.shop.count("webhook_events").await, 0);
    assert_eq!(server.shop.count("webhook_deliveries").await, 0);
}

#[tokio::test]
async fn for_a_day_after_a_rotation_both_secrets_sign() {
    let mut server = a_server().await;
    let receiver = Receiver::that_takes_all().await;
    let webhook = server.webhook(&receiver.url(), &["*"]).await;
    let tellers = tellers(&server.shop);

    let rotated = server.http.post(&webhook.path("/rotate-secret"), json!({})).await;
    assert_eq!(rotated.status, 200);
    let new = rotated.body["secret"].as_str().unwrap();
    assert_ne!(new, webhook.secret);
    let captured = server.shop.captured(an_order());
    server.shop.hear([captured]).await;
    let [call] = &receiver.got(1).await[..] else { panic!("one call") };
    let keys = [new, &webhook.secret].map(|secret| Webhook::new(secret).unwrap());
    for key in &keys {
        key.verify(&call.body, &call.headers).unwrap();
    }

    server.shop.run("update webhooks set old_secret_until = clock_timestamp()").await;
    // A look that was under way may have read the secrets before: it can tell the next event, and none
    // after that.
    for count in 2..=3 {
        let captured = server.shop.captured(an_order());
        server.shop.hear([captured]).await;
        let call = &receiver.got(count).await[count - 1];
        keys[0].verify(&call.body, &call.headers).unwrap();
        assert!(count == 2 || keys[1].verify(&call.body, &call.headers).is_err());
    }
    tellers.end().await;
}

/// Whoever rotates once more may not have told the receiver of the secret in between.
#[tokio::test]
async fn of_rotations_one_after_another_the_first_secret_signs_on() {
    let mut server = a_server().await;
    let receiver = Receiver::that_takes_all().await;
    let webhook = server.webhook(&receiver.url(), &["*"]).await;
    let tellers = tellers(&server.shop);
    let mut secrets = vec![webhook.secret.clone()];
    for _ in 0..2 {
        let rotated = server.http.post(&webhook.path("/rotate-secret"), json!({})).await;
        secrets.push(rotated.body["secret"].as_str().unwrap().to_owned());
    }

    let captured = server.shop.captured(an_order());
    server.shop.hear([captured]).await;

    let [call] = &receiver.got(1).await[..] else { panic!("one call") };
    let signs =
        |secret: &String| Webhook::new(secret).unwrap().verify(&call.body, &call.headers).is_ok();
    assert_eq!(secrets.iter().map(signs).collect::<Vec<_>>(), [true, false, true]);
    tellers.end().await;
}

#[tokio::test]
async fn a_rotation_leaves_types_of_a_later_build_in_the_filter() {
    let mut server = a_server().await;
    let webhook = server.webhook("http://127.0.0.1:9/", &["OrderPlaced"]).await;
    server.shop.run("update webhooks set events = '{1, 9999}'").await;

    let rotated = server.http.post(&webhook.path("/rotate-secret"), json!({})).await;

    assert_eq!(rotated.status, 200);
    let events: Vec<i16> = sqlx::query_scalar("select events from webhooks")
        .fetch_one(server.shop.mailbox.db().await)
        .await
        .unwrap();
    assert_eq!(events, [1, 9999]);
}

#[tokio::test]
async fn events_from_before_a_webhook_was_made_are_told_when_it_asks_for_a_replay() {
    let mut server = a_server().await;
    let orders: Vec<_> = (0..600).map(|_| an_order()).collect();
    let mut messages: Vec<Message> = Vec::new();
    for order in &orders {
        messages.extend([server.shop.reserved(*order), server.shop.captured(*order)]);
    }
    server.shop.hear(messages).await;
    let receiver = Receiver::that_takes_all().await;
    let webhook = server.webhook(&receiver.url(), &["PaymentCaptured"]).await;
    let tellers = tellers(&server.shop);
    let now = server.shop.mailbox.now;
    let at = |minutes| chassis::clock::rfc3339(now + time::Duration::minutes(minutes));
    let period = |from, to| json!({"from": at(from), "to": at(to)});

    let before = server.http.post(&webhook.path("/replay"), period(-60, -30)).await;
    let key = [("idempotency-key", "again")];
    let path = webhook.path("/replay");
    let replay = server.http.post_with(&path, &key, period(-60, 60)).await;
    let repeated = server.http.post_with(&path, &key, period(-60, 60)).await;

    assert_eq!((before.status.as_u16(), &before.body), (202, &json!({"events": 0})));
    assert_eq!((replay.status.as_u16(), &replay.body), (202, &json!({"events": 600})));
    assert_eq!((repeated.status.as_u16(), repeated.body), (202, replay.body));
    let calls = receiver.got(600).await;
    let mut told: Vec<_> =
        calls.iter().map(|call| call.event()["subject"].as_str().unwrap().to_owned()).collect();
    told.sort_unstable();
    let mut wanted: Vec<_> = orders.iter().map(ToString::to_string).collect();
    wanted.sort_unstable();
    assert_eq!(told, wanted);
    assert!(calls.iter().all(|call| call.name() == "PaymentCaptured"));
    tellers.end().await;
    assert_eq!(server.shop.count("webhook_replays").await, 0);
}

#[tokio::test]
async fn a_delivery_is_sent_again_when_staff_ask_for_it() {
    let mut server = a_server().await;
    let receiver = Receiver::that_takes_all().await;
    let webhook = server.webhook(&receiver.url(), &["*"]).await;
    let tellers = tellers(&server.shop);
    let captured = server.shop.captured(an_order());
    server.shop.hear([captured]).await;
    let delivered = server.deliveries(&webhook, all_are("delivered")).await;
    let id = delivered[0]["id"].as_str().unwrap();

    let path = webhook.path(&format!("/deliveries/{id}/resend"));
    let resent = server.http.post(&path, json!({})).await;

    assert_eq!((resent.status.as_u16(), &resent.body["status"]), (202, &json!("pending")));
    assert!(resent.body["next_attempt_at"].is_string());
    let calls = receiver.got(2).await;
    assert_eq!(calls[0].id(), calls[1].id());
    let items = server.deliveries(&webhook, all_are("delivered")).await;
    assert_eq!(items[0]["attempts"].as_array().unwrap().len(), 2);
    tellers.end().await;
}
