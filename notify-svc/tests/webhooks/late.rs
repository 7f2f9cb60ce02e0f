//! Events that wait for long, and those that nobody can be told of any more.

use std::time::Duration;

use notify_svc::{carriers::guard::AddressPolicy, store::webhooks};
use proto::WebhookId;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

use super::{Receiver, all_are, tellers, tellers_with};
use crate::{an_order, http::a_server};

fn attempts(delivery: &Value) -> &[Value] {
    delivery["attempts"].as_array().unwrap()
}

/// A receiver is not to blame for what it was not asked: no pause, and it is not disabled.
#[tokio::test]
async fn what_cannot_be_sent_is_no_failure_of_the_receiver() {
    let mut server = a_server().await;
    let receiver = Receiver::that_takes_all().await;
    let webhook = server.webhook(&receiver.url(), &["*"]).await;
    let lost: Vec<_> = (0..20).map(|_| server.shop.captured(an_order())).collect();
    server.shop.hear(lost).await;
    server.shop.run("delete from webhook_events").await;
    let unwritable: Vec<_> = (0..20).map(|_| server.shop.reserved(an_order())).collect();
    server.shop.hear(unwritable).await;
    server
        .shop
        .run(
            r"update webhook_events set payload = '\xff';
        update webhooks set enabled_at = enabled_at - interval '4 days'",
        )
        .await;
    let tellers = tellers(&server.shop);

    let ended = |items: &[Value]| {
        let (lost, unwritable) = items.split_at(20);
        all_are("failed")(lost) && unwritable.iter().all(|item| !attempts(item).is_empty())
    };
    let items = server.deliveries(&webhook, ended).await;
    let why = |item: &Value| attempts(item)[0]["error"].clone();
    assert_eq!(why(&items[0]), "the event is not kept any more");
    assert!(all_are("pending")(&items[20..]) && why(&items[20]).is_string());
    assert_eq!(server.get(&webhook.path("")).await.1["status"], "enabled");
    server
        .shop
        .run(
            "update webhook_deliveries set due_at = clock_timestamp(),
            give_up_at = clock_timestamp() where status = 'pending'",
        )
        .await;
    server.deliveries(&webhook, all_are("failed")).await;

    let captured = server.shop.captured(an_order());
    server.shop.hear([captured]).await;
    receiver.got(1).await;
    assert_eq!(server.get(&webhook.path("")).await.1["status"], "enabled");
    tellers.end().await;
    assert_eq!(receiver.calls().len(), 1);
}

/// A receiver that is slow is asked for a few things at a time: what it does not come to ends, too.
#[tokio::test]
async fn what_has_waited_for_three_days_ends_without_an_attempt() {
    let mut server = a_server().await;
    let receiver = Receiver::that(|_, _| None).await;
    let webhook = server.webhook(&receiver.url(), &["*"]).await;
    let captured: Vec<_> = (0..6).map(|_| server.shop.captured(an_order())).collect();
    server.shop.hear(captured).await;
    server
        .shop
        .run(
            "update webhooks set enabled_at = enabled_at - interval '3 days';
        update webhook_deliveries set give_up_at = give_up_at - interval '3 days'",
        )
        .await;

    let tellers = tellers_with(&server.shop, AddressPolicy::Any, Duration::from_mins(5));

    let untried = |item: &&Value| item["status"] == "failed" && attempts(item).is_empty();
    let items =
        server.deliveries(&webhook, |items| items.iter().filter(untried).count() >= 2).await;
    assert_eq!(items.len(), 6);
    assert_eq!(server.get(&webhook.path("")).await.1["status"], "enabled");
    drop(tellers);
}

#[tokio::test]
async fn the_health_names_a_webhook_for_which_an_event_waits_for_an_hour() {
    let mut server = a_server().await;
    let receiver = Receiver::that(|_, _| Some(500)).await;
    let webhook = server.webhook(&receiver.url(), &["*"]).await;
    let captured = server.shop.captured(an_order());
    server.shop.hear([captured]).await;
    let tellers = tellers(&server.shop);
    server.deliveries(&webhook, |items| !attempts(&items[0]).is_empty()).await;
    assert_eq!(tellers.standing.told(), None);

    let later = "update webhook_deliveries set give_up_at = give_up_at - interval '61 minutes'";
    server.shop.run(later).await;

    let wanted = format!("an hour late: {}", webhook.id);
    backends::testing::eventually("the health tells of it", crate::SOON, async || {
        let told = tellers.standing.told();
        if told.as_ref() == Some(&wanted) { Ok(()) } else { Err(format!("{told:?}")) }
    })
    .await;
    tellers.end().await;
}

#[tokio::test]
async fn what_waited_while_its_webhook_was_disabled_is_tried_for_three_days_more() {
    let mut server = a_server().await;
    let receiver = Receiver::that(|_, _| Some(500)).await;
    let webhook = server.webhook(&receiver.url(), &["*"]).await;
    let captured = server.shop.captured(an_order());
    server.shop.hear([captured]).await;
    server
        .shop
        .run(
            "update webhooks set status = 'disabled', disabled_reason = 'failures',
            enabled_at = enabled_at - interval '5 days';
        update webhook_deliveries set give_up_at = give_up_at - interval '4 days'",
        )
        .await;
    let tellers = tellers(&server.shop);

    let body = json!({"url": receiver.url(), "events": ["*"]});
    let (status, _) = server.put(&webhook.path(""), body).await;

    assert_eq!(status, 200);
    let tried = |items: &[Value]| !attempts(&items[0]).is_empty();
    let items = server.deliveries(&webhook, tried).await;
    assert_eq!(items[0]["status"], "pending");
    let next = items[0]["next_attempt_at"].as_str().unwrap();
    assert!(next > attempts(&items[0])[0]["at"].as_str().unwrap(), "{next}");
    tellers.end().await;
}

#[tokio::test]
async fn a_late_word_of_an_old_address_does_not_disable_the_new_one() {
    let server = a_server().await;
    let webhook = server.webhook("http://127.0.0.1:9/old", &["*"]).await;
    let mut db = PgConnection::connect(&server.shop.database.url()).await.unwrap();
    let id = WebhookId::parse(&webhook.id).unwrap();
    let since = async || {
        let mut db = PgConnection::connect(&server.shop.database.url()).await.unwrap();
        webhooks::find_all(&mut db, &[id.uuid()]).await.unwrap()[0].1.enabled_at
    };
    let before = since().await;
    let body = json!({"url": "http://127.0.0.1:9/new", "events": ["*"]});
    let (status, _) = server.put(&webhook.path(""), body).await;
    assert_eq!(status, 200);

    assert!(!webhooks::disable_gone(&mut db, id, before).await.unwrap());
    assert_eq!(server.get(&webhook.path("")).await.1["status"], "enabled");
    assert!(webhooks::disable_gone(&mut db, id, since().await).await.unwrap());
}
