//! What the shop shows of itself: every metric is described, and every rule and panel finds its
//! numbers in a real Prometheus.

use std::{collections::BTreeMap, path::Path, time::Duration};

use backends::{machine, server::send, testing::eventually};
use chassis::clock::new_id;
use e2e::{PlacedOrder, Shop, in_a_shop_of_its_own, meters, promql};
use reqwest::Url;
use rustix::process::Signal;
use serde_json::Value;
use shop::{
    load,
    processes::{JAEGER, PROMETHEUS},
    terminal::note,
    testing::is_in_containers,
};

/// Orders of every kind, so that every panel has something to show.
const MIX: &str = "happy=60,declined=8,out_of_stock=8,cancelled=8,amended=6,refunded=5,shipped=5";
/// Prometheus looks every second, and a rate needs two looks at something that moved.
const SHOWN_WITHIN: Duration = Duration::from_secs(90);

#[test]
fn what_is_shown_is_described_and_what_is_asked_for_is_shown() {
    if is_in_containers() {
        note("the audit's metrics are shown on this machine, out of Prometheus's reach: skipped");
        return;
    }
    assert!(machine::program("prometheus").is_some(), "apt-get install prometheus (make setup)");
    in_a_shop_of_its_own(&[("SHOP_TELEMETRY", "on")], async |shop| {
        let audit = Audit::watch(shop, "5s");
        orders_of_every_kind(shop).await;
        orders_do_not_need_observers(shop).await;
        everything_is_described(shop).await;
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let prometheus = Prometheus::of(shop);
        eventually("numbers in every panel", SHOWN_WITHIN, async || {
            let mut empty = Vec::new();
            for panel in promql::panels(root) {
                // What lists troubles alone is empty while there are none.
                let asked = panel.text.trim_end_matches(" > 0");
                if promql::metrics(asked).is_empty() {
                    continue;
                }
                let found = prometheus.ask(asked).await;
                if found.is_none_or(|found| found.is_empty()) {
                    empty.push(format!("{}: {}", panel.place, panel.text));
                }
            }
            if empty.is_empty() { Ok(()) } else { Err(format!("{empty:#?}")) }
        })
        .await;
        for rule in promql::expressions(root) {
            for name in promql::metrics(&rule.text) {
                let series = [name.clone(), format!("{name}_count")];
                let mut is_there = false;
                for name in &series {
                    is_there |= prometheus.ask(name).await.is_some_and(|it| !it.is_empty());
                }
                assert!(is_there, "{}: nobody shows {name}", rule.place);
            }
        }
        assert_eq!(prometheus.broken_rules().await, [""; 0]);
        drop(audit);
        if shop.stack().process(JAEGER).is_some() {
            an_orders_trace_is_at_the_gateway(shop).await;
        }
    });
}

async fn orders_of_every_kind(shop: &Shop) {
    let (products, customers) = (20, 20);
    shop::seed::run(shop::seed::Args { products, customers, stock: 1_000_000 }, shop.home())
        .await
        .unwrap();
    let args = load::Args {
        rate: Some(20),
        duration: Some(Duration::from_secs(15)),
        mix: MIX.parse().unwrap(),
        streams: 150,
        ..load::Args::default()
    };
    let report = load::load(args, shop.home()).await.unwrap();
    assert_eq!(report.unfinished, 0);
}

/// Jaeger is there where `make jaeger` has built it; traces.rs has the same without.
async fn an_orders_trace_is_at_the_gateway(shop: &Shop) {
    let mug = shop.lists("5.00", 5).await;
    let wanted = shop.a_stranger().wants(1, &mug).by_card("tok_visa");
    let traceparent = format!("00-{}-00f067aa0ba902b7-01", new_id().simple());
    let placed = shop.ordering(&wanted).header("traceparent", &traceparent).await.with(201);
    let order = PlacedOrder::of(placed);
    shop.expect(&order, "confirmed").await;
    let services = ["gateway", "order-svc", "outbox-relay", "inventory-svc", "payment-svc"];
    let has_all = |told: &Value| {
        let spans = told["spans"].as_array().map_or(&[][..], Vec::as_slice);
        services.iter().all(|service| spans.iter().any(|span| span["service"] == *service))
    };
    eventually("the trace of the order", SHOWN_WITHIN, async || {
        let told = shop.get(&order.path("/trace")).await;
        if told.status == 200 && has_all(&told.body) { Ok(()) } else { Err(told.to_string()) }
    })
    .await;
}

/// Prometheus and Jaeger take connections and never answer: nobody waits for them but whoever asks
/// for what they know.
async fn orders_do_not_need_observers(shop: &Shop) {
    let stack = shop.stack();
    let pids: Vec<u32> =
        [PROMETHEUS, JAEGER].into_iter().filter_map(|name| stack.process(name)?.pid).collect();
    for pid in &pids {
        send(*pid, Signal::STOP);
    }
    let mug = shop.lists("5.00", 5).await;
    for _ in 0..5 {
        let order = shop.place(shop.a_stranger().wants(1, &mug).by_card("tok_visa")).await;
        shop.expect(&order, "confirmed").await;
    }
    assert_eq!(shop.get("/v1/pipeline").await.status, 503);
    for pid in &pids {
        send(*pid, Signal::CONT);
    }
    shop.until("/v1/pipeline", "Prometheus again", |told| told["at"].is_string()).await;
}

/// Each process shows what it describes, with the labels that it describes, and nothing else.
async fn everything_is_described(shop: &Shop) {
    let stack = shop.stack();
    for process in meters::PROCESSES.iter().filter(|it| **it != "audit") {
        let url = format!("{}/metrics", stack.private(process).unwrap());
        let shown = reqwest::get(&url).await.unwrap().text().await.unwrap();
        let (described, shown) = (meters::of(process), series(&shown));
        for (name, labels) in &shown {
            assert!(described.contains_key(name), "{process} shows {name}, undescribed");
            let metric = &described[name];
            let known = metric.labels();
            for label in labels.iter().filter(|it| !["le", "quantile"].contains(&it.as_str())) {
                assert!(
                    known.contains(label.as_str()),
                    "{process}: {name} has {label}: {metric:?}"
                );
            }
        }
        // A histogram is there once it has a value, and requests are once somebody has asked.
        let owed = described.iter().filter(|(_, it)| it.kind != "histogram");
        let owed = owed.filter(|(name, _)| *name != "http_requests_total");
        let missing: Vec<_> = owed.filter(|(name, _)| !shown.contains_key(*name)).collect();
        assert!(missing.is_empty(), "{process} does not show {missing:#?}");
    }
}

/// The metrics of an exposition, each with its labels.
fn series(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
        let labels = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
        let names = labels.map_or("", |(labels, _)| labels).split("\",");
        let names = names.filter_map(|label| label.split_once('=')).map(|it| it.0.to_owned());
        all.entry(base.unwrap_or(name).to_owned()).or_default().extend(names);
    }
    all
}

/// The stack's Prometheus.
struct Prometheus(Url);

impl Prometheus {
    fn of(shop: &Shop) -> Self {
        Self(shop.stack().service("prometheus").unwrap().parse().unwrap())
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> Option<Value> {
        let mut url = self.0.join(path).unwrap();
        url.query_pairs_mut().extend_pairs(query);
        let answer: Value = reqwest::get(url).await.ok()?.json().await.ok()?;
        assert_eq!(answer["status"], "success", "{query:?}: {answer}");
        Some(answer["data"].clone())
    }

    /// The samples of an expression; `None` while Prometheus does not answer.
    async fn ask(&self, promql: &str) -> Option<Vec<Value>> {
        let data = self.get("api/v1/query", &[("query", promql)]).await?;
        Some(data["result"].as_array().unwrap().clone())
    }

    /// The rules that could not be evaluated.
    async fn broken_rules(&self) -> Vec<String> {
        let data = self.get("api/v1/rules", &[]).await.unwrap();
        let groups = data["groups"].as_array().unwrap();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        let bad = rules.filter(|rule| rule["health"] != "ok").map(ToString::to_string);
        bad.collect()
    }
}

/// `shop audit --watch` beside the stack; its end ends it.
pub(crate) struct Audit(std::process::Child);

impl Audit {
    pub(crate) fn watch(shop: &Shop, every: &str) -> Self {
        let out = std::fs::File::create(shop.home().log("audit")).unwrap();
        let child = std::process::Command::new(e2e::programs().join("shop"))
            .arg("--home")
            .arg(shop.home().path())
            .args(["audit", "--watch", every])
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .spawn();
        Self(child.unwrap())
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}
