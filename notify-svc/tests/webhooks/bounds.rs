//! What webhooks may cost everything else.

use std::time::Duration;

use mailbox::testing::Person;
use notify_svc::store::webhook_events;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::{Receiver, tellers};
use crate::{an_order, http::a_server};

#[tokio::test]
async fn there_are_at_most_a_hundred_webhooks() {
    let mut server = a_server().await;
    let made = server.webhook("http://127.0.0.1:9/", &["*"]).await;
    let more = "insert into webhooks (webhook_id, url, status, enabled_at, secret, created_at)
        select gen_random_uuid(), url, status, enabled_at, secret, created_at
        from webhooks, generate_series(1, 98)";
    server.shop.run(more).await;
    let body = json!({"url": "http://127.0.0.1:9/", "events": ["*"]});

    let last = server.http.post("/v1/webhooks", &body).await;
    let refused = server.http.post("/v1/webhooks", &body).await;
    let deleted = server.http.ask("DELETE", &made.path(""), &[], None).await;
    let next = server.http.post("/v1/webhooks", &body).await;

    assert_eq!((last.status.as_u16(), refused.code()), (201, (422, "invalid_value")));
    assert_eq!((deleted.status.as_u16(), next.status.as_u16()), (204, 201));
}

/// A session that lets nobody read the events.
async fn events_locked(url: &str) -> PgConnection {
    let mut db = PgConnection::connect(url).await.unwrap();
    let lock = "begin; lock table webhook_events in access exclusive mode";
    sqlx::raw_sql(lock).execute(&mut db).await.unwrap();
    db
}

#[tokio::test]
async fn a_count_that_takes_too_long_is_ended_by_the_database() {
    let server = a_server().await;
    let url = server.shop.database.url();
    let locked = events_locked(&url).await;
    let mut db = PgConnection::connect(&url).await.unwrap();
    let all = (Uuid::nil(), Uuid::max());

    let counted = webhook_events::count(&mut db, all, None, Duration::from_millis(50)).await;

    assert_eq!(counted.unwrap(), None);
    drop(locked);
    let counted = webhook_events::count(&mut db, all, None, Duration::from_secs(20)).await;
    assert_eq!(counted.unwrap(), Some(0), "the connection serves on");
}

/// Whoever asks and goes away leaves a count running: it keeps its connection, and takes no second.
#[tokio::test]
async fn one_replay_is_counted_at_a_time() {
    let server = a_server().await;
    let path = server.webhook("http://127.0.0.1:9/", &["*"]).await.path("/replay");
    let period = json!({"from": "2026-11-20T10:00:00Z", "to": "2026-11-20T11:00:00Z"});
    let url = server.shop.database.url();
    let locked = events_locked(&url).await;
    let is_counting = backends::testing::eventually("it is counted", crate::SOON, async || {
        let waiting = "select count(*) from pg_stat_activity
            where wait_event_type = 'Lock' and query like '%webhook_events.count%'
              and datname = current_database()";
        let mut db = PgConnection::connect(&url).await.unwrap();
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(&mut db).await.unwrap();
        if waiting == 1 { Ok(()) } else { Err(waiting.to_string()) }
    });

    tokio::select! {
        _ = server.http.post(&path, &period) => panic!("the events cannot be counted"),
        () = is_counting => {}
    }
    let second = server.http.post(&path, &period).await;

    assert_eq!(second.code(), (503, "overloaded"));
    assert_eq!(second.body["detail"], "the database does not answer at present", "not begun");
    drop(locked);
    backends::testing::eventually("it is the next one's turn", crate::SOON, async || {
        let third = server.http.post(&path, &period).await;
        if third.status == 202 { Ok(()) } else { Err(third.body.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn a_deleted_webhook_that_does_not_go_delays_no_other_and_no_end() {
    let mut server = a_server().await;
    let receiver = Receiver::that_takes_all().await;
    let goes = server.webhook(&receiver.url(), &["StockReserved"]).await;
    server.webhook(&receiver.url(), &["PaymentCaptured"]).await;
    let reserved = server.shop.reserved(an_order());
    server.shop.hear([reserved]).await;
    assert_eq!(server.http.ask("DELETE", &goes.path(""), &[], None).await.status, 204);
    let held = "select * from webhook_deliveries";
    let person = Person::holds(&server.shop.database.url(), held).await;

    let tellers = tellers(&server.shop);
    let messages = [server.shop.captured(an_order()), server.shop.captured(an_order())];
    for message in messages {
        server.shop.hear([message]).await;
    }

    receiver.got(2).await;
    tellers.end().await;
    person.ends().await;
}

/// Few of many events are the webhook's.
#[tokio::test]
async fn a_replay_with_a_narrow_filter_does_not_wait_between_its_pieces() {
    let mut server = a_server().await;
    let reserved = server.shop.reserved(an_order());
    server.shop.hear([reserved]).await;
    let many = "insert into webhook_events (event_id, event_type, key, version, payload)
        select (left(event_id::text, 24) || lpad(to_hex(n), 12, '0'))::uuid, event_type, key,
            version, payload
        from webhook_events, generate_series(1, 30000) n";
    server.shop.run(many).await;
    let captured = server.shop.captured(an_order());
    server.shop.hear([captured]).await;
    let receiver = Receiver::that_takes_all().await;
    let webhook = server.webhook(&receiver.url(), &["PaymentCaptured"]).await;
    let tellers = tellers(&server.shop);
    let now = server.shop.mailbox.now;
    let at = |minutes| chassis::clock::rfc3339(now + time::Duration::minutes(minutes));

    let period = json!({"from": at(-60), "to": at(60)});
    let replay = server.http.post(&webhook.path("/replay"), period).await;

    assert_eq!(replay.body, json!({"events": 1}));
    receiver.got(1).await;
    backends::testing::eventually("the replay ends", crate::SOON, async || {
        let left = "select count(*) from webhook_replays";
        let mut db = PgConnection::connect(&server.shop.database.url()).await.unwrap();
        let left: i64 = sqlx::query_scalar(left).fetch_one(&mut db).await.unwrap();
        if left == 0 { Ok(()) } else { Err(left.to_string()) }
    })
    .await;
    tellers.end().await;
}
