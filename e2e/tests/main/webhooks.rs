//! Webhooks of the whole shop: another system follows an order without Kafka.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use backends::testing::eventually;
use e2e::{a_listener, in_the_shop};
use proto::Role;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::{net::TcpListener, task::JoinSet};

const PATIENCE: Duration = Duration::from_mins(1);

type Calls = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

/// A receiver that takes whatever comes.
fn a_receiver(running: &mut JoinSet<()>) -> (String, Calls) {
    async fn take(State(calls): State<Calls>, headers: HeaderMap, body: Bytes) -> StatusCode {
        calls.lock().unwrap().push((headers, body));
        StatusCode::OK
    }
    let calls = Calls::default();
    let (listener, address) = a_listener();
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    let router = Router::new().fallback(take).with_state(Arc::clone(&calls));
    running.spawn(async move { axum::serve(listener, router).await.unwrap() });
    (address, calls)
}

#[test]
fn the_events_of_an_order_arrive_signed_at_a_webhook_and_again_when_asked_for() {
    in_the_shop(async |shop| {
        let mut running = JoinSet::new();
        let (address, calls) = a_receiver(&mut running);
        let staff = shop.token("staff", &[Role::Staff]);
        let body = json!({"url": format!("http://{address}/hook"), "events": ["*"]});
        let made = shop.post("/v1/webhooks", &body).with_token(&staff).await.with(201);
        let path = format!("/v1/webhooks/{}", made["id"].as_str().unwrap());
        let key = Webhook::new(made["secret"].as_str().unwrap()).unwrap();
        let mug = shop.lists("5.00", 5).await;

        let order = shop.place(shop.a_stranger().wants(1, &mug).by_card("tok_visa")).await;
        shop.expect(&order, "confirmed").await;

        // The customer has no address, so the last event is that nobody could be told.
        let wanted = [
            "OrderPlaced",
            "StockReserved",
            "PaymentCaptured",
            "OrderConfirmed",
            "NotificationFailed",
        ];
        let told = eventually("the events arrive", PATIENCE, async || {
            let mine = of_order(&calls, &order.id);
            if mine.len() >= wanted.len() { Ok(mine) } else { Err(format!("{mine:?}")) }
        })
        .await;
        // The events come on several topics, so in no order but that of each topic.
        let names: BTreeSet<_> = told.iter().map(|(_, _, event)| name(event)).collect();
        assert_eq!(names, BTreeSet::from(wanted));
        for (headers, body, event) in &told {
            key.verify(body, headers).unwrap();
            assert_eq!(headers["webhook-id"], event["id"].as_str().unwrap());
            assert!(event["data"]["terms"].get("details").is_none());
        }

        // The shop has had thousands of orders before this one.
        let period = json!({"from": made["created_at"], "to": "2100-01-01T00:00:00Z"});
        let again =
            shop.post(&format!("{path}/replay"), &period).with_token(&staff).await.with(202);
        assert!(again["events"].as_u64().unwrap() >= 5, "{again}");
        eventually("the events arrive again", PATIENCE, async || {
            let mine = of_order(&calls, &order.id).len();
            if mine >= 2 * wanted.len() { Ok(()) } else { Err(mine.to_string()) }
        })
        .await;
        shop.delete(&path).with_token(&staff).await.with(204);
    });
}

/// What came about an order, each with its event.
fn of_order(calls: &Calls, order: &str) -> Vec<(HeaderMap, Bytes, Value)> {
    let calls = calls.lock().unwrap().clone();
    let events = calls.into_iter().map(|(headers, body)| {
        let event: Value = serde_json::from_slice(&body).unwrap();
        (headers, body, event)
    });
    events.filter(|(_, _, event)| event["subject"] == order).collect()
}

fn name(event: &Value) -> &str {
    event["type"].as_str().unwrap().rsplit('.').next().unwrap()
}
