//! Receivers that fail, and processes that die.

use std::time::Duration;

use mailbox::testing::Person;
use notify_svc::carriers::guard::AddressPolicy;
use serde_json::{Value, json};
use sqlx::PgPool;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::{DUE, Receiver, Tellers, all_are, tellers, tellers_with};
use crate::{an_order, http::a_server};

fn statuses(delivery: &Value) -> Vec<Value> {
    delivery["attempts"].as_array().unwrap().iter().map(|it| it["status"].clone()).collect()
}

/// As if three days had passed: for the webhook, and for what it is still to be told.
const THREE_DAYS: &str = "update webhooks set enabled_at = enabled_at - interval '3 days';
    update webhook_deliveries set give_up_at = give_up_at - interval '3 days',
        due_at = clock_timestamp() where status = 'pending'";

#[tokio::test]
async fn what_is_not_taken_is_sent_again_under_the_same_id() {
    let mut server = a_server().await;
    let answers = [500, 302, 404, 200];
    let receiver = Receiver::that(move |_, before| answers.get(before).copied()).await;
    let webhook = server.webhook(&receiver.url(), &["*"]).await;
    let tellers = tellers(&server.shop);
    let captured = server.shop.captured(an_order());
    server.shop.hear([captured]).await;

    for before in 1..=3_usize {
        let has_tried = |items: &[Value]| statuses(&items[0]).len() == before;
        let items = server.deliveries(&webhook, has_tried).await;
        assert_eq!(items[0]["status"], "pending");
        assert_eq!(
            items[0]["attempts"][before - 1]["error"],
            format!("status {}", answers[before - 1])
        );
        assert!(items[0]["next_attempt_at"].is_string());
        server.shop.run(DUE).await;
    }

    let items = server.deliveries(&webhook, all_are("delivered")).await;
    assert_eq!(statuses(&items[0]), answers.map(Value::from));
    let calls = receiver.calls();
    assert!(calls.len() == 4 && calls.iter().all(|call| call.id() == calls[0].id()));
    tellers.end().await;
}

#[tokio::test]
async fn a_receiver_is_left_alone_until_the_moment_that_it_names() {
    let mut server = a_server().await;
    let receiver = Receiver::that(|_, _| Some(503)).await;
    let webhook = server.webhook(&receiver.url(), &["*"]).await;
    let tellers = tellers(&server.shop);
    let captured = server.shop.captured(an_order());
    server.shop.hear([captured]).await;

    let has_tried = |items: &[Value]| statuses(&items[0]).len() == 1;
    let items = server.deliveries(&webhook, has_tried).await;

    let next = items[0]["next_attempt_at"].as_str().unwrap();
    let next = OffsetDateTime::parse(next, &Rfc3339).unwrap();
    let pause = next - chassis::clock::now();
    assert!(pause > time::Duration::minutes(50), "{pause}");
    tellers.end().await;
}

#[tokio::test]
async fn what_failed_at_first_is_overtaken_by_what_follows() {
    let mut server = a_server().await;
    let receiver =
        Receiver::that(|call, _| Some(if call.name() == "StockReserved" { 500 } else { 200 }))
            .await;
    let webhook = server.webhook(&receiver.url(), &["*"]).await;
    let tellers = tellers(&server.shop);
    let order = an_order();
    let messages = [server.shop.reserved(order), server.shop.captured(order)];
    server.shop.hear(messages).await;

    let taken = |items: &[Value]| items.len() == 2 && items[1]["status"] == "delivered";
    let items = server.deliveries(&webhook, taken).await;
    assert_eq!(items[0]["status"], "pending");
    tellers.end().await;
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_told_nothing_more_until_staff_say_so() {
    let mut server = a_server().await;
    let receiver = Receiver::that(|_, _| Some(410)).await;
    let webhook = server.webhook(&receiver.url(), &["*"]).await;
    let tellers = tellers(&server.shop);
    let captured = server.shop.captured(an_order());
    server.shop.hear([captured]).await;

    server.deliveries(&webhook, all_are("failed")).await;
    let told = told_of(&tellers).await;
    assert_eq!(told, format!("disabled: {} (gone)", webhook.id));
    let (_, shown) = server.get(&webhook.path("")).await;
    assert_eq!((&shown["status"], &shown["disabled_reason"]), (&json!("disabled"), &json!("gone")));
    let captured = server.shop.captured(an_order());
    server.shop.hear([captured]).await;
    assert_eq!(server.shop.count("webhook_deliveries").await, 1, "it is kept for a replay alone");

    receiver.answers(|_, _| Some(200));
    let body = json!({"url": receiver.url(), "events": ["*"]});
    let (_, enabled) = server.put(&webhook.path(""), body).await;
    assert_eq!(
        (&enabled["status"], &enabled["disabled_reason"]),
        (&json!("enabled"), &Value::Null)
    );
    let captured = server.shop.captured(an_order());
    server.shop.hear([captured]).await;
    receiver.got(2).await;
    tellers.end().await;
}

/// What the health tells of disabled webhooks.
async fn told_of(tellers: &Tellers) -> String {
    backends::testing::eventually("the health tells of it", crate::SOON, async || {
        let told = tellers.standing.told().unwrap_or_default();
        if told.starts_with("disabled") { Ok(told) } else { Err(told) }
    })
    .await
}

#[tokio::test]
async fn three_days_of_failures_disable_a_webhook_and_one_bad_event_does_not() {
    let mut server = a_server().await;
    let receiver =
        Receiver::that(|call, _| Some(if call.name() == "StockReserved" { 500 } else { 200 }))
            .await;
    let webhook = server.webhook(&receiver.url(), &["*"]).await;
    let tellers = tellers(&server.shop);
    let messages = [server.shop.reserved(an_order()), server.shop.captured(an_order())];
    server.shop.hear(messages).await;
    let has_tried = |items: &[Value]| items.iter().all(|item| !statuses(item).is_empty());
    server.deliveries(&webhook, has_tried).await;
    server.shop.run(THREE_DAYS).await;
    let failed = |items: &[Value]| items[0]["status"] == "failed";
    server.deliveries(&webhook, failed).await;
    assert_eq!(server.get(&webhook.path("")).await.1["status"], "enabled");

    server.shop.run("update webhook_deliveries set ended_at = ended_at - interval '3 days'").await;
    let reserved = server.shop.reserved(an_order());
    server.shop.hear([reserved]).await;
    server.deliveries(&webhook, |items| items.len() == 3 && has_tried(items)).await;
    server.shop.run(THREE_DAYS).await;

    assert_eq!(told_of(&tellers).await, format!("disabled: {} (failures)", webhook.id));
    tellers.end().await;
}

/// What is asked one thing at a time comes to its oldest event late.
#[tokio::test]
async fn a_long_queue_hides_no_three_days_of_failures() {
    let mut server = a_server().await;
    let receiver = Receiver::that(|_, _| Some(500)).await;
    let webhook = server.webhook(&receiver.url(), &["*"]).await;
    let tellers = tellers(&server.shop);
    let messages = [server.shop.captured(an_order()), server.shop.captured(an_order())];
    server.shop.hear(messages).await;
    let tries = |count: usize| {
        move |items: &[Value]| items.iter().map(|item| statuses(item).len()).sum::<usize>() >= count
    };
    server.deliveries(&webhook, tries(2)).await;
    let the_other = "update webhook_deliveries set due_at = clock_timestamp()
        where delivery_id = (select max(delivery_id) from webhook_deliveries)";
    server.shop.run("update webhooks set enabled_at = enabled_at - interval '3 days'").await;
    server.shop.run(the_other).await;
    server.deliveries(&webhook, tries(3)).await;
    assert_eq!(server.get(&webhook.path("")).await.1["status"], "enabled");

    let oldest = "update webhook_deliveries
        set give_up_at = clock_timestamp(), due_at = clock_timestamp() + interval '1 hour'
        where delivery_id = (select min(delivery_id) from webhook_deliveries)";
    server.shop.run(oldest).await;
    server.shop.run(the_other).await;

    assert_eq!(told_of(&tellers).await, format!("disabled: {} (failures)", webhook.id));
    tellers.end().await;
}

/// A receiver that never answers holds attempts of its own, and nobody else's; nor a mail.
#[tokio::test]
async fn a_dead_receiver_delays_no_other_and_no_mail() {
    let mut server = a_server().await;
    let (dead, well) = (Receiver::that(|_, _| None).await, Receiver::that_takes_all().await);
    let waiting = server.webhook(&dead.url(), &["*"]).await;
    server.webhook(&well.url(), &["*"]).await;
    let tellers = tellers_with(&server.shop, AddressPolicy::Any, Duration::from_mins(5));
    server.shop = server.shop.with_contact().await;

    let confirmed: Vec<_> = (0..50).map(|_| server.shop.confirmed(an_order())).collect();
    server.shop.hear(confirmed).await;

    assert_eq!(server.shop.handed().len(), 50, "mails go to their worker");
    well.got(50).await;
    assert_eq!(dead.got(4).await.len(), 4, "no more than it may have at once");
    let items = server.deliveries(&waiting, all_are("pending")).await;
    assert_eq!(items.len(), 50);
    drop(tellers);
}

#[tokio::test]
async fn what_a_dead_process_had_sent_is_sent_again_when_its_lease_is_over() {
    let mut server = a_server().await;
    let receiver = Receiver::that(|_, before| (before > 0).then_some(200)).await;
    let webhook = server.webhook(&receiver.url(), &["*"]).await;
    let dies = tellers(&server.shop);
    let order = an_order();
    let messages = [server.shop.captured(order), server.shop.confirmed(order)];
    server.shop.hear(messages).await;
    receiver.got(1).await;
    drop(dies);

    let tellers = tellers(&server.shop);
    server.shop.run(DUE).await;

    server.deliveries(&webhook, all_are("delivered")).await;
    let calls = receiver.calls();
    let names: Vec<_> = calls.iter().map(super::Call::name).collect();
    assert_eq!(names, ["PaymentCaptured", "PaymentCaptured", "OrderConfirmed"]);
    assert_eq!(calls[0].id(), calls[1].id());
    tellers.end().await;
}

/// A process that was slow finds that another has begun the delivery since: its record has no
/// effect.
#[tokio::test]
async fn who_has_lost_a_lease_records_nothing() {
    let mut server = a_server().await;
    let receiver = Receiver::that(|_, before| (before > 0).then_some(200)).await;
    let webhook = server.webhook(&receiver.url(), &["*"]).await;
    let slow = tellers_with(&server.shop, AddressPolicy::Any, Duration::from_secs(3));
    let captured = server.shop.captured(an_order());
    server.shop.hear([captured]).await;
    receiver.got(1).await;
    server.shop.run(DUE).await;
    let items = server.deliveries(&webhook, all_are("delivered")).await;
    assert_eq!(statuses(&items[0]), [200]);

    slow.end().await;

    let items = server.deliveries(&webhook, all_are("delivered")).await;
    assert_eq!(statuses(&items[0]), [200], "the time-out of the first attempt came too late");
}

#[tokio::test]
async fn a_name_that_leads_into_this_network_by_now_is_not_called() {
    let mut server = a_server().await;
    let receiver = Receiver::that_takes_all().await;
    let by_name = receiver.url().replace("127.0.0.1", "localhost");
    let webhooks =
        [server.webhook(&receiver.url(), &["*"]).await, server.webhook(&by_name, &["*"]).await];
    let tellers = tellers_with(&server.shop, AddressPolicy::PublicOnly, Duration::from_secs(5));
    let captured = server.shop.captured(an_order());
    server.shop.hear([captured]).await;

    for webhook in &webhooks {
        let items = server.deliveries(webhook, |items| !statuses(&items[0]).is_empty()).await;
        assert_eq!(statuses(&items[0]), [Value::Null]);
        assert!(items[0]["attempts"][0]["error"].is_string());
    }
    assert!(receiver.calls().is_empty());
    tellers.end().await;
}

/// Whoever holds a webhook's row delays requests about it, and neither its events nor a customer's
/// mail.
#[tokio::test]
async fn a_webhook_that_somebody_holds_delays_no_mail() {
    let mut server = a_server().await;
    let receiver = Receiver::that_takes_all().await;
    server.webhook(&receiver.url(), &["*"]).await;
    server.shop = server.shop.with_contact().await;
    let person = Person::holds(&server.shop.database.url(), "select * from webhooks").await;

    let confirmed = server.shop.confirmed(an_order());
    server.shop.hear([confirmed]).await;

    assert_eq!(server.shop.handed().len(), 1);
    assert_eq!(server.shop.count("webhook_deliveries").await, 1);
    person.ends().await;
}

#[tokio::test]
async fn what_ended_a_week_ago_goes_and_a_deleted_webhook_with_all_it_had() {
    let mut server = a_server().await;
    let receiver = Receiver::that_takes_all().await;
    let stays = server.webhook(&receiver.url(), &["*"]).await;
    let goes = server.webhook(&receiver.url(), &["PaymentCaptured"]).await;
    let messages = [server.shop.captured(an_order()), server.shop.reserved(an_order())];
    server.shop.hear(messages).await;
    let deleted = server.http.ask("DELETE", &goes.path(""), &[], None).await;
    assert_eq!(deleted.status, 204);
    server
        .shop
        .run(
            "update webhooks set enabled_at = enabled_at - interval '1 hour';
        update webhook_deliveries set status = 'delivered', ended_at = clock_timestamp() -
            case when event_type = 21 then interval '8 days' else interval '6 days' end",
        )
        .await;

    let tellers = tellers(&server.shop);

    let items = server.deliveries(&stays, |items| items.len() == 1).await;
    assert_eq!(items[0]["type"], "StockReserved");
    let pool = PgPool::connect_lazy(&server.shop.database.url()).unwrap();
    backends::testing::eventually("the deleted webhook goes", crate::SOON, async || {
        let left =
            "select (select count(*) from webhooks) + (select count(*) from webhook_deliveries)";
        let left: i64 = sqlx::query_scalar(left).fetch_one(&pool).await.unwrap();
        if left == 2 { Ok(()) } else { Err(left.to_string()) }
    })
    .await;
    tellers.end().await;
}
