//! Pulls the triggers of alerts on a live shop: each has to be raised in Prometheus, and to clear.
//!
//! The rules are those of deploy/prometheus with every duration divided by 60. `make drill` runs it.

use std::{fs, process::Command, time::Duration};

use backends::{server::send, testing::eventually};
use e2e::{Product, Shop, in_a_shop_to_break};
use proto::topic;
use reqwest::Url;
use rustix::process::Signal;
use serde_json::{Value, json};
use shop::{processes::PROMETHEUS, telemetry::prometheus_folder};

use crate::{
    poison::{an_order_that_waits, poison},
    telemetry::Audit,
};

const DRILL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/prometheus/drill");
/// The longest `for` of a drill is a minute; limits that are numbers of seconds stay: 30 s for the
/// outbox, half a minute for an answer.
const RAISED_WITHIN: Duration = Duration::from_mins(3);

#[test]
#[ignore = "make drill: it waits for alerts, one after the other"]
fn every_trigger_raises_its_alert_and_lets_it_clear() {
    in_a_shop_to_break(async |shop| {
        let alerts = Alerts::of(shop);
        divide_durations(shop);
        let mug = shop.lists("5.00", 1_000).await;
        let audit = Audit::watch(shop, "2s");
        alerts.none(&["InstanceDown", "AuditMissing", "AuditSilent", "ParkedKeys"]).await;

        a_service_stands_still(shop, &mug, &alerts).await;
        a_lane_is_paused(shop, &mug, &alerts).await;
        a_topic_is_paused(shop, &alerts).await;
        the_relay_stands_still(shop, &alerts).await;
        a_message_is_poison(shop, &alerts).await;
        the_provider_is_silent(shop, &mug, &alerts).await;

        drop(audit);
        alerts.raised(&["AuditMissing"]).await;
        let _audit = Audit::watch(shop, "2s");
        alerts.none(&["AuditMissing"]).await;
    });
}

async fn a_service_stands_still(shop: &Shop, mug: &Product, alerts: &Alerts) {
    let inventory = stand(shop, "inventory-svc", Signal::STOP);
    for _ in 0..12 {
        wants(shop, mug).await;
        // Its circuit opens by what is asked of it.
        drop(shop.get("/v1/products").await);
    }
    alerts.raised(&["InstanceDown", "ServiceUnreachable", "SagasLate", "SagasStuck"]).await;
    alerts.raised(&["ErrorBudgetBurnsFast"]).await;
    send(inventory, Signal::CONT);
    alerts.none(&["InstanceDown", "ServiceUnreachable", "SagasLate", "SagasStuck"]).await;
    alerts.none(&["ErrorBudgetBurnsFast"]).await;
}

async fn a_lane_is_paused(shop: &Shop, mug: &Product, alerts: &Alerts) {
    let reason = json!({"reason": "a drill"});
    shop.post("/v1/lanes/order-svc/pause", &reason).await.with(200);
    wants(shop, mug).await;
    alerts.raised(&["RelayPaused", "OutboxOld"]).await;
    let from = json!({"from": "here", "reason": "a drill"});
    shop.post("/v1/lanes/order-svc/resume", &from).await.with(200);
    alerts.none(&["RelayPaused", "OutboxOld"]).await;
}

async fn a_topic_is_paused(shop: &Shop, alerts: &Alerts) {
    let what = json!({"topic": topic::PAYMENTS, "reason": "a drill"});
    shop.post("/v1/consumers/order-svc/pause", &what).await.with(200);
    alerts.raised(&["ConsumerPaused"]).await;
    shop.post("/v1/consumers/order-svc/resume", &what).await.with(200);
    alerts.none(&["ConsumerPaused"]).await;
}

async fn the_relay_stands_still(shop: &Shop, alerts: &Alerts) {
    let relay = stand(shop, "outbox-relay", Signal::STOP);
    alerts.raised(&["RelayWithoutLeader"]).await;
    send(relay, Signal::CONT);
    alerts.none(&["RelayWithoutLeader"]).await;
}

async fn a_message_is_poison(shop: &Shop, alerts: &Alerts) {
    let order = an_order_that_waits(shop).await;
    poison(shop, topic::PAYMENTS, &order).await;
    alerts.raised(&["ParkedKeys", "AuditFailed"]).await;
    for service in ["order-svc", "notify-svc"] {
        let place = format!("/v1/parked/{service}/{}/{}", topic::PAYMENTS, order.id);
        let reason = json!({"reason": "a drill"});
        shop.post(&format!("{place}/discard"), &reason).await.with(200);
    }
    alerts.none(&["ParkedKeys", "AuditFailed"]).await;
}

async fn the_provider_is_silent(shop: &Shop, mug: &Product, alerts: &Alerts) {
    let simulator = stand(shop, "simulator", Signal::STOP);
    for _ in 0..3 {
        wants(shop, mug).await;
    }
    alerts.raised(&["ProviderFailing", "ProviderUnknown"]).await;
    send(simulator, Signal::CONT);
    alerts.none(&["ProviderFailing", "ProviderUnknown"]).await;
}

/// Places an order, and does not look whether it is taken.
async fn wants(shop: &Shop, mug: &Product) {
    drop(shop.ordering(&shop.a_stranger().wants(1, mug).by_card("tok_visa")).await);
}

/// Sends a signal to a process; its id.
fn stand(shop: &Shop, process: &str, signal: Signal) -> u32 {
    let pid = shop.stack().process(process).unwrap().pid.unwrap();
    send(pid, signal);
    pid
}

/// Gives the running Prometheus the rules of a drill.
fn divide_durations(shop: &Shop) {
    let folder = prometheus_folder(shop.home().path());
    for entry in fs::read_dir(folder.join("rules")).unwrap() {
        let path = entry.unwrap().path();
        let divided = Command::new(DRILL).arg(&path).output().unwrap();
        assert!(divided.status.success());
        fs::write(&path, divided.stdout).unwrap();
    }
    let config = folder.join("prometheus.yml");
    let text = fs::read_to_string(&config).unwrap();
    let often = text.replace("evaluation_interval: 5s", "evaluation_interval: 1s");
    assert_ne!(text, often);
    fs::write(&config, often).unwrap();
    send(shop.stack().process(PROMETHEUS).unwrap().pid.unwrap(), Signal::HUP);
}

/// The alerts of the stack's Prometheus.
struct Alerts(Url);

impl Alerts {
    fn of(shop: &Shop) -> Self {
        let url = shop.stack().service(PROMETHEUS).expect("make setup installs Prometheus");
        Self(format!("{url}/api/v1/alerts").parse().unwrap())
    }

    /// Waits until all of these are firing.
    async fn raised(&self, names: &[&str]) {
        self.until(names, "raised", |firing| names.iter().all(|it| firing.contains(&(*it).into())))
            .await;
    }

    /// Waits until none of these is firing.
    async fn none(&self, names: &[&str]) {
        self.until(names, "over", |firing| !names.iter().any(|it| firing.contains(&(*it).into())))
            .await;
    }

    async fn until(&self, names: &[&str], what: &str, is_it: impl Fn(&[String]) -> bool) {
        eventually(&format!("{names:?} to be {what}"), RAISED_WITHIN, async || {
            let firing = self.firing().await;
            if is_it(&firing) { Ok(()) } else { Err(format!("{firing:?}")) }
        })
        .await;
    }

    async fn firing(&self) -> Vec<String> {
        let told: Value = reqwest::get(self.0.clone()).await.unwrap().json().await.unwrap();
        let alerts = told["data"]["alerts"].as_array().unwrap();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        firing.map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect()
    }
}
