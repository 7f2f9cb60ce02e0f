//! Live updates of an order, over the gateway's stream.

use std::{collections::HashMap, ops::Range, time::Duration};

use e2e::{
    EventStream, PlacedOrder, Shop, StreamEvent, StreamItem, Twin, WITHIN, alone_in_the_shop,
    in_the_shop, resident_kib,
};
use futures::future::join_all;
use proto::{Role, topic};
use serde_json::{Value, json};
use shop::follow::{self, TopicEvent};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout},
};
use uuid::Uuid;

/// How long a stream is silent before a comment comes (`HEARTBEAT` in gateway/src/stream.rs); less,
/// as the last event comes here later than it went out there, and more on a busy machine.
const SILENCE: Range<Duration> = Duration::from_secs(14)..Duration::from_secs(30);
/// Streams at once in the test of their memory.
const MANY: usize = 1_000;
/// As many as one caller may have.
const EACH: usize = 100;

async fn an_order(shop: &Shop) -> PlacedOrder {
    let mug = shop.lists("5.00", 9).await;
    shop.place(shop.welcomes("100.00").await.wants(1, &mug)).await
}

/// The versions of the orders that were shown.
fn versions(events: &[StreamEvent]) -> Vec<i64> {
    let orders = events.iter().filter(|event| event.name == "order");
    orders.map(|order| order.data["version"].as_i64().unwrap()).collect()
}

/// The `count` versions after the one that an event's id names.
fn after(id: &str, count: usize) -> Vec<i64> {
    let seen: i64 = id.parse().unwrap();
    (seen + 1..).take(count).collect()
}

/// Reads on until an event is as wanted; returns all that came, it included.
async fn until(stream: &mut EventStream, is_it: impl Fn(&StreamEvent) -> bool) -> Vec<StreamEvent> {
    let mut all = Vec::new();
    loop {
        let event = stream.next().await.expect("the stream goes on");
        let found = is_it(&event);
        all.push(event);
        if found {
            return all;
        }
    }
}

fn has_status(name: &'static str, status: &'static str) -> impl Fn(&StreamEvent) -> bool {
    move |event| event.name == name && event.data["status"] == status
}

#[test]
fn an_order_is_followed_from_the_present_to_its_end() {
    in_the_shop(async |shop| {
        let topics = [topic::ORDERS, topic::STOCK, topic::PAYMENTS, topic::NOTIFICATIONS];
        let kafka = follow::live(&shop.stack().kafka(), &topics).unwrap();
        let order = an_order(shop).await;
        let version =
            async || shop.get(&order.path("")).await.with(200)["version"].as_i64().unwrap();
        let before = version().await;
        let mut stream = shop.get(&order.path("/stream")).stream().await;

        let first = stream.next().await.unwrap();
        assert_eq!((first.name.as_str(), &first.data["id"]), ("order", &json!(order.id)));
        // The order may have moved before the stream was there.
        let present = first.data["version"].as_i64().unwrap();
        assert!((before..=version().await).contains(&present), "{before}, {present}");
        // Between two events said about the order its saga moves: stock is reserved.
        let reserved = |event: &StreamEvent| {
            event.name == "saga" && event.data["completed_steps"] == json!(["inventory_reserved"])
        };
        let so_far = until(&mut stream, reserved).await;
        assert!(so_far.iter().filter(|event| event.name == "saga").all(|saga| saga.id.is_none()));

        shop.paying(&order, &json!({"type": "wallet"})).await.with(201);
        let confirmed = until(&mut stream, has_status("order", "confirmed")).await;
        shop.post(&order.path("/ship"), &json!({"carrier": "post", "tracking_number": "1"}))
            .await
            .with(200);
        shop.post(&order.path("/deliver"), &json!({})).await.with(200);
        let rest = stream.rest().await;

        // A look that finds both tells the saga after the order.
        let end = rest.iter().rposition(|event| event.name == "order").unwrap();
        assert_eq!(rest[end].data["status"], "delivered", "the stream ends with it");
        assert!(rest[end + 1..].iter().all(|event| event.name == "saga"), "{:?}", &rest[end..]);
        let all = [vec![first], so_far, confirmed, rest].concat();
        let seen = versions(&all);
        let last = version().await;
        assert_eq!(seen, (present..=last).collect::<Vec<_>>(), "each version once, in order");
        for event in all.iter().filter(|event| event.name == "order") {
            assert_eq!(event.id.as_deref(), Some(&*event.data["version"].to_string()));
        }
        lie_where_they_were_shown(kafka, &all).await;
    });
}

/// Each place that was shown is where the event lies in Kafka.
async fn lie_where_they_were_shown(
    mut kafka: mpsc::UnboundedReceiver<TopicEvent>,
    all: &[StreamEvent],
) {
    let mut lying = HashMap::new();
    let shown: Vec<&Value> =
        all.iter().filter(|it| it.name == "published").map(|it| &it.data).collect();
    assert!(shown.iter().any(|place| place["topic"] == topic::PAYMENTS), "{shown:?}");
    for place in shown {
        let id: Uuid = place["event_id"].as_str().unwrap().parse().unwrap();
        while !lying.contains_key(&id) {
            let event = timeout(WITHIN, kafka.recv()).await.unwrap().unwrap();
            let (topic, partition, offset) = (event.topic, event.partition, event.offset);
            let at = json!({
                "event_id": event.id, "topic": topic, "partition": partition, "offset": offset,
            });
            lying.insert(event.id.unwrap(), at);
        }
        assert_eq!(place, &lying[&id]);
    }
}

#[test]
fn a_cancelled_orders_stream_ends_with_its_compensation() {
    in_the_shop(async |shop| {
        let order = an_order(shop).await;
        shop.expect(&order, "payment_pending").await;
        let stream = shop.get(&order.path("/stream")).stream().await;
        shop.delete(&order.path("")).await.with(200);

        let all = stream.rest().await;
        assert_eq!(all.last().unwrap().name, "saga");
        assert_eq!(all.last().unwrap().data["status"], "compensated");
        let orders: Vec<&Value> = all.iter().map(|event| &event.data).collect();
        assert!(orders.iter().any(|data| data["status"] == "cancelled"));

        // Whoever comes later is shown the end at once.
        let late = shop.get(&order.path("/stream")).stream().await.rest().await;
        let names: Vec<&str> = late.iter().map(|event| event.name.as_str()).collect();
        assert_eq!(names, ["order", "saga"]);
    });
}

#[test]
fn a_stream_goes_on_where_it_broke_off_though_the_gateway_was_killed() {
    alone_in_the_shop(async |shop| {
        let order = an_order(shop).await;
        shop.expect(&order, "payment_pending").await;
        let mut stream = shop.get(&order.path("/stream")).stream().await;
        let seen = stream.next().await.unwrap().id.unwrap();

        shop.kill("gateway").await;
        assert!(stream.rest().await.iter().all(|event| event.name != "order"), "it broke off");
        shop.paying(&order, &json!({"type": "wallet"})).await.with(201);
        shop.expect(&order, "confirmed").await;

        let resumed = |last: &str| shop.get(&order.path("/stream")).header("last-event-id", last);
        let mut again = resumed(&seen).stream().await;
        let missed = versions(&until(&mut again, has_status("order", "confirmed")).await);
        assert_eq!(missed, after(&seen, missed.len()), "every version after the one that was seen");

        // All of them, on demand; one that never was counts as none.
        let all = until(&mut resumed("0").stream().await, has_status("order", "confirmed")).await;
        assert_eq!(versions(&all)[0], 1);
        for unknown in ["99", "-1", "soon"] {
            let first = resumed(unknown).stream().await.next().await.unwrap();
            assert_eq!(first.data["status"], "confirmed", "{unknown}");
        }
    });
}

#[test]
fn a_silent_stream_has_a_heart_beat_and_goes_on_at_another_gateway() {
    in_the_shop(async |shop| {
        let order = an_order(shop).await;
        shop.expect(&order, "payment_pending").await;
        let mut stream = shop.get(&order.path("/stream")).stream().await;
        let (mut seen, mut silent) = (None, Instant::now());
        let beat = async {
            while let StreamItem::Event(event) = stream.item().await.expect("it goes on") {
                seen = event.id.or(seen.take());
                silent = Instant::now();
            }
            silent.elapsed()
        };
        // Another one is started meanwhile, since there is time.
        let (silence, other) = tokio::join!(beat, Twin::start(shop, "gateway", &[]));
        assert!(SILENCE.contains(&silence), "{silence:?}");

        drop(stream);
        shop.paying(&order, &json!({"type": "wallet"})).await.with(201);
        let seen = seen.unwrap();
        let url = format!("http://{}{}", other.address(), order.path("/stream"));
        let mut again = shop.ask_at("GET", &url).header("last-event-id", &seen).stream().await;
        let missed = versions(&until(&mut again, has_status("order", "confirmed")).await);

        assert_eq!(missed, after(&seen, missed.len()), "every version after the one that was seen");
    });
}

#[test]
fn a_stream_is_its_customers_and_ends_with_the_token() {
    in_the_shop(async |shop| {
        let order = an_order(shop).await;
        let path = order.path("/stream");
        shop.get(&path).as_stranger().await.refused(401, "unauthenticated");
        let other = shop.token("customer-other", &[Role::Customer]);
        shop.get(&path).with_token(&other).await.refused(404, "not_found");
        let operator = shop.token("ops", &[Role::Operator]);
        shop.get(&path).with_token(&operator).await.refused(403, "forbidden");
        shop.get("/v1/orders/nonsense/stream").await.refused(404, "not_found");
        shop.get(&format!("{path}?after=1")).await.refused(400, "bad_parameter");

        let brief = shop.brief_token("shop", &[Role::Staff], Duration::from_secs(2));
        let stream = shop.get(&path).with_token(&brief).stream().await;
        let shown = stream.rest().await;
        assert!(!shown.is_empty(), "it showed the present, and ended");
    });
}

#[test]
fn a_thousand_streams_cost_little_and_all_hear_the_end() {
    alone_in_the_shop(async |shop| {
        let order = an_order(shop).await;
        shop.expect(&order, "payment_pending").await;
        let before = resident_kib(shop, "gateway");
        let path = order.path("/stream");
        let callers: Vec<String> =
            (0..MANY / EACH).map(|n| shop.token(&format!("clerk-{n}"), &[Role::Staff])).collect();
        let open = |n: usize| shop.get(&path).with_token(&callers[n / EACH]).stream();
        let streams = join_all((0..MANY).map(open)).await;
        let more = shop.get(&path).with_token(&callers[0]);
        more.await.refused(429, "rate_limited");
        let grown = resident_kib(shop, "gateway") - before;
        assert!(grown < 100 * 1024, "{MANY} streams took {grown} KiB");

        shop.delete(&order.path("")).await.with(200);
        for all in join_all(streams.into_iter().map(EventStream::rest)).await {
            assert_eq!(all.last().unwrap().data["status"], "compensated");
        }
    });
}
