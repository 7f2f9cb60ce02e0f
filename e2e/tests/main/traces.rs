//! One order, one trace: through the gateway, the outboxes, Kafka and every service.

use std::{collections::BTreeSet, time::Instant};

use backends::{server::send, testing::eventually};
use e2e::{
    AnOrder, Collector, PlacedOrder, Shop, SpanRecord, WITHIN, a_listener, in_a_shop_of_its_own,
};
use rustix::process::Signal;
use uuid::Uuid;

/// Who is to be found calling or telling whom, in every confirmed order's trace.
const EDGES: [(&str, &str); 9] = [
    ("gateway", "order-svc"),
    ("order-svc", "outbox-relay"),
    ("outbox-relay", "inventory-svc"),
    ("inventory-svc", "outbox-relay"),
    ("outbox-relay", "payment-svc"),
    ("payment-svc", "outbox-relay"),
    ("outbox-relay", "order-svc"),
    ("outbox-relay", "notify-svc"),
    ("notify-svc", "outbox-relay"),
];

#[test]
fn an_order_is_one_trace_also_when_the_relay_is_killed_in_the_middle() {
    let (listener, address) = a_listener();
    let endpoint = format!("http://{address}");
    in_a_shop_of_its_own(&[("SHOP_OTLP_ENDPOINT", &endpoint)], async |shop| {
        let collector = Collector::serve(listener);
        let (trace, order) = places(shop, &wants(shop).await, "01").await;
        shop.expect(&order, "confirmed").await;
        has_every_edge(&collector, &trace).await;
        let batches = collector.linked_to(&trace);
        for name in ["send", "batch of messages", "batch of commands"] {
            assert!(batches.iter().any(|batch| batch.name == name), "{name}: {batches:#?}");
        }
        let spans = collector.of_trace(&trace);
        for name in ["POST /v1/orders", "execute", "charge", "outbox shop.stock.v1"] {
            assert!(spans.iter().any(|span| span.name == name), "{name}: {spans:#?}");
        }

        // The relay stands still, so the order's first event waits in its outbox.
        let order = wants(shop).await;
        let relay = shop.stack().process("outbox-relay").unwrap().pid.unwrap();
        send(relay, Signal::STOP);
        let (trace, order) = places(shop, &order, "01").await;
        let waits = Instant::now();
        assert_eq!(shop.get(&order.path("/status")).await.with(200)["status"], "pending");
        let waited = waits.elapsed();
        shop.kill("outbox-relay").await;
        shop.expect(&order, "confirmed").await;
        let spans = has_every_edge(&collector, &trace).await;
        let is_first = |span: &&SpanRecord| span.name == "outbox shop.orders.v1";
        let longest = spans.iter().filter(is_first).map(|span| span.took).max();
        assert!(longest > Some(waited), "it waited {waited:?}: {spans:#?}");

        // What its caller does not sample is nobody's.
        let (trace, order) = places(shop, &wants(shop).await, "00").await;
        shop.expect(&order, "confirmed").await;
        let (sampled, order) = places(shop, &wants(shop).await, "01").await;
        shop.expect(&order, "confirmed").await;
        has_every_edge(&collector, &sampled).await;
        assert_eq!(collector.of_trace(&trace).len(), 0);
    });
}

#[test]
fn a_collector_that_never_answers_holds_nothing_up() {
    let (_silent, address) = a_listener();
    let endpoint = format!("http://{address}");
    in_a_shop_of_its_own(&[("SHOP_OTLP_ENDPOINT", &endpoint)], async |shop| {
        for _ in 0..20 {
            let (_, order) = places(shop, &wants(shop).await, "01").await;
            shop.expect(&order, "confirmed").await;
        }
    });
}

/// An order that can be confirmed, of a customer who can be told.
async fn wants(shop: &Shop) -> AnOrder {
    let customer = shop.welcomes("100.00").await;
    customer.wants(1, &shop.lists("5.00", 1).await).by_card("tok_visa")
}

/// Places an order within a trace of the caller's.
async fn places(shop: &Shop, order: &AnOrder, flags: &str) -> (String, PlacedOrder) {
    let trace = Uuid::new_v4().simple().to_string();
    let context = format!("00-{trace}-00f067aa0ba902b7-{flags}");
    let answer = shop.ordering(order).header("traceparent", &context).await;
    (trace, PlacedOrder::of(answer.with(201)))
}

/// Waits until the trace has every edge; returns its spans.
async fn has_every_edge(collector: &Collector, trace: &str) -> Vec<SpanRecord> {
    eventually("every edge of the trace", WITHIN, async || {
        let spans = collector.of_trace(trace);
        let edges: BTreeSet<_> = spans.iter().filter_map(|span| edge(&spans, span)).collect();
        let missing: Vec<_> = EDGES.into_iter().filter(|edge| !edges.contains(edge)).collect();
        if missing.is_empty() { Ok(spans) } else { Err(format!("{missing:?} of {edges:?}")) }
    })
    .await
}

/// The services of a span and of its parent, if that is another's.
fn edge<'a>(spans: &'a [SpanRecord], span: &'a SpanRecord) -> Option<(&'a str, &'a str)> {
    let parent = spans.iter().find(|other| other.id == span.parent)?;
    (parent.service != span.service).then_some((&parent.service, &span.service))
}
