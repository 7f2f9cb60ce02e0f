//! Bad connections, one at a time: slow, uneven, narrow, cut and silent ones, between each two that
//! talk. No accepted order is lost, and all goes on by itself.
//!
//! Each connection leads through a proxy: Toxiproxy in containers (deploy/compose.faults.yaml), our
//! own on a local stack (`shop faults`).

use std::time::{Duration, Instant};

use backends::testing::eventually;
use e2e::{AnOrder, PlacedOrder, Product, Shop, TestResponse, WITHIN, in_a_shop_of_its_own};
use serde_json::{Value, json};
use shop::terminal::note;
use tokio::task::JoinSet;

/// How long a connection is bad.
const BAD_FOR: Duration = Duration::from_secs(1);
/// How often an order is placed meanwhile.
const EVERY: Duration = Duration::from_millis(150);

/// What is wrong with a connection, as the proxy is told; a cut one is refused.
const FAULTS: [(&str, &str); 5] = [
    ("slow", r#"{"type": "latency", "attributes": {"latency": 200}}"#),
    ("uneven", r#"{"type": "latency", "attributes": {"latency": 100, "jitter": 100}}"#),
    ("narrow", r#"{"type": "bandwidth", "attributes": {"rate": 16}}"#),
    ("silent", r#"{"type": "timeout", "attributes": {"timeout": 0}}"#),
    ("cut", r#"{"enabled": false}"#),
];

#[test]
fn a_bad_connection_to_postgres_loses_no_order() {
    each_connection_is_bad("-postgres");
}

#[test]
fn a_bad_connection_to_kafka_loses_no_order() {
    each_connection_is_bad("-kafka");
}

#[test]
fn a_bad_connection_between_gateway_and_services_loses_no_order() {
    each_connection_is_bad("-svc");
}

#[test]
fn a_bad_connection_to_the_provider_loses_no_order() {
    each_connection_is_bad("-simulator");
}

/// Spoils each of the connections whose names end so, in each manner.
fn each_connection_is_bad(ending: &str) {
    in_a_shop_of_its_own(&[("SHOP_FAULTS", "on")], async |shop| {
        let proxy = Proxy::of(shop);
        let mug = shop.lists("5.00", 1_000_000).await;
        let names = proxy.names(ending).await;
        assert!(!names.is_empty(), "no connection ends with {ending}");
        let mut accepted = Vec::new();
        for name in names {
            for (word, fault) in FAULTS {
                proxy.spoil(&name, fault).await;
                let requests = placing(shop, &mug).await;
                let healed = Instant::now();
                proxy.heal().await;
                recovers(shop, &mug).await;
                let took = healed.elapsed();
                let (before, all) = (accepted.len(), requests.len());
                accepted.extend(requests.join_all().await.into_iter().filter_map(of));
                let count = accepted.len() - before;
                note(format_args!(
                    "{name} {word}: {count} of {all} accepted, well after {took:.1?}"
                ));
            }
        }
        assert!(!accepted.is_empty());
        for order in accepted {
            shop.expect(&order, "confirmed").await;
        }
    });
}

/// What is asked for while a connection is bad: those that hang get their answer once it is well.
type Requests = JoinSet<Result<TestResponse, String>>;

/// Places orders for as long as the connection is bad.
async fn placing(shop: &Shop, mug: &Product) -> Requests {
    let order = an_order(shop, mug);
    let mut requests = Requests::new();
    let (start, mut clock) = (Instant::now(), tokio::time::interval(EVERY));
    while start.elapsed() < BAD_FOR {
        clock.tick().await;
        requests.spawn(shop.ordering(&order).send());
    }
    requests
}

/// Waits until an order goes through as if nothing had been.
async fn recovers(shop: &Shop, mug: &Product) {
    let order = eventually("an order is accepted", WITHIN, async || {
        let answer = shop.ordering(&an_order(shop, mug)).send().await?;
        if answer.status == 201 {
            Ok(PlacedOrder::of(answer.body))
        } else {
            Err(answer.to_string())
        }
    })
    .await;
    shop.expect(&order, "confirmed").await;
}

fn an_order(shop: &Shop, mug: &Product) -> AnOrder {
    shop.a_stranger().wants(1, mug).by_card("tok_visa")
}

/// The order, if it was accepted.
fn of(answer: Result<TestResponse, String>) -> Option<PlacedOrder> {
    let accepted = answer.ok().filter(|answer| answer.status == 201)?;
    Some(PlacedOrder::of(accepted.body))
}

/// The proxy's own API.
struct Proxy {
    api: String,
    client: reqwest::Client,
}

impl Proxy {
    fn of(shop: &Shop) -> Self {
        let port = shop.stack().ports().unwrap().faults();
        let api = format!("http://127.0.0.1:{port}");
        Self { api, client: reqwest::Client::new() }
    }

    /// The connections whose names end so.
    async fn names(&self, ending: &str) -> Vec<String> {
        let all = self.client.get(format!("{}/proxies", self.api)).send().await.unwrap();
        let all: Value = all.json().await.unwrap();
        let names = all.as_object().unwrap().keys().filter(|name| name.ends_with(ending));
        names.cloned().collect()
    }

    async fn spoil(&self, name: &str, fault: &str) {
        let fault: Value = serde_json::from_str(fault).unwrap();
        let proxy = format!("{}/proxies/{name}", self.api);
        let path = if fault.get("type").is_some() { format!("{proxy}/toxics") } else { proxy };
        self.told(&path, &fault).await;
    }

    async fn heal(&self) {
        self.told(&format!("{}/reset", self.api), &json!({})).await;
    }

    async fn told(&self, path: &str, body: &Value) {
        let answer = self.client.post(path).json(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
    }
}
