//! Pulls the trigger of every alert on a live shop: each has to be raised in Prometheus, and to
//! clear.
//!
//! The rules are those of deploy/prometheus with every duration divided by 60. `make drill` runs it.

mod consumers;
mod relay;
mod webhooks;

use std::{
    collections::BTreeSet,
    fs,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use backends::{server::send, testing::eventually};
use e2e::{Product, Shop, WITHIN, in_a_shop_of_its_own};
use futures::future::join_all;
use proto::topic;
use reqwest::Url;
use rustix::process::Signal;
use serde_json::{Value, json};
use shop::{processes::PROMETHEUS, telemetry::prometheus_folder};
use sqlx::{Connection as _, PgConnection};

use crate::{
    poison::{an_order_that_waits, poison},
    telemetry::Audit,
};

const DRILL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/prometheus/drill");
const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/prometheus/rules");
/// The longest `for` of a drill is a minute; limits that are numbers of seconds stay: 30 s for the
/// outbox, half a minute for an answer.
const RAISED_WITHIN: Duration = Duration::from_mins(3);
/// Between two orders of a load that an alert needs.
const PACE: Duration = Duration::from_millis(300);
/// The longest window of an alert that has to be over is 6 minutes then.
const OVER_WITHIN: Duration = Duration::from_mins(8);

#[test]
#[ignore = "make drill: it waits for alerts, one after the other"]
fn every_trigger_raises_its_alert_and_lets_it_clear() {
    in_a_shop_of_its_own(&[("SHOP_TELEMETRY", "on")], async |shop| {
        let alerts = Alerts::of(shop);
        divide_durations(shop);
        let mug = shop.lists("5.00", 100_000).await;
        let audit = Audit::watch(shop, "2s");
        alerts.none(&["InstanceDown", "AuditMissing", "AuditSilent", "ParkedKeys"]).await;

        a_service_stands_still(shop, &mug, &alerts).await;
        a_service_is_forgotten(shop, &alerts).await;
        its_tables_are_locked(shop, &mug, &alerts).await;
        relay::a_lane_is_paused(shop, &mug, &alerts).await;
        relay::more_comes_than_goes(shop, &alerts).await;
        relay::it_stands_still(shop, &alerts).await;
        a_topic_is_paused(shop, &alerts).await;
        a_message_is_poison(shop, &alerts).await;
        consumers::all_messages_are_poison(shop, &alerts).await;
        consumers::an_event_is_unknown(shop, &alerts).await;
        the_provider_is_silent(shop, &mug, &alerts).await;
        webhooks::a_receiver_is_away(shop, &mug, &alerts).await;
        webhooks::a_receiver_is_gone(shop, &mug, &alerts).await;
        // The last, as what was read and published begins anew.
        relay::a_topic_is_made_anew(shop, &mug, &alerts).await;

        drop(audit);
        alerts.raised(&["AuditMissing"]).await;
        no_audit_is_complete(shop, &alerts).await;
        let _audit = Audit::watch(shop, "2s");
        alerts.none(&["AuditMissing", "AuditSilent", "AuditFailed"]).await;
        alerts.none(&["ErrorBudgetBurnsFast"]).await;
        alerts.names_all_of_the_rules();
    });
}

async fn a_service_stands_still(shop: &Shop, mug: &Product, alerts: &Alerts) {
    let inventory = stand(shop, "inventory-svc", Signal::STOP);
    let ask = async || {
        wants(shop, mug).await;
        // The service's circuit opens by what is asked of it.
        drop(shop.get("/v1/products").send().await);
    };
    asking_until(ask, async {
        alerts.raised(&["InstanceDown", "ServiceUnreachable", "CircuitOpen", "SagasLate"]).await;
        alerts.raised(&["SagasStuck", "ErrorBudgetBurnsFast", "ErrorBudgetBurnsSlowly"]).await;
    })
    .await;
    send(inventory, Signal::CONT);
    alerts.none(&["InstanceDown", "ServiceUnreachable", "SagasLate", "SagasStuck"]).await;
    alerts.none(&["CircuitOpen"]).await;
}

/// Nobody tells Prometheus of the service any more.
async fn a_service_is_forgotten(shop: &Shop, alerts: &Alerts) {
    let file = prometheus_folder(shop.home().path()).join("targets.json");
    let all = fs::read_to_string(&file).unwrap();
    let mut targets: Vec<Value> = serde_json::from_str(&all).unwrap();
    targets.retain(|target| target["labels"]["job"] != "notify-svc");
    fs::write(&file, json!(targets).to_string()).unwrap();
    alerts.raised(&["ServiceMissing"]).await;
    fs::write(&file, all).unwrap();
    alerts.none(&["ServiceMissing"]).await;
}

/// Whoever asks payment-svc waits for the lock with a connection; so does its consumer.
async fn its_tables_are_locked(shop: &Shop, mug: &Product, alerts: &Alerts) {
    let mut db = session(shop, "payments").await;
    let mut tx = db.begin().await.unwrap();
    sqlx::raw_sql("lock table accounts, payments, inbox").execute(&mut *tx).await.unwrap();
    for _ in 0..3 {
        wants(shop, mug).await;
    }
    let is_over = AtomicBool::new(false);
    let asking = join_all((0..40).map(async |_| {
        while !is_over.load(Ordering::Relaxed) {
            drop(shop.get("/v1/accounts/nobody").send().await);
        }
    }));
    let raised = async {
        alerts.raised(&["PoolExhausted"]).await;
        is_over.store(true, Ordering::Relaxed);
    };
    tokio::join!(asking, raised);
    alerts.raised(&["ConsumerStuck"]).await;
    tx.rollback().await.unwrap();
    alerts.none(&["PoolExhausted", "ConsumerStuck"]).await;
}

async fn a_topic_is_paused(shop: &Shop, alerts: &Alerts) {
    let what = json!({"topic": topic::PAYMENTS, "reason": "a drill"});
    shop.post("/v1/consumers/order-svc/pause", &what).await.with(200);
    alerts.raised(&["ConsumerPaused"]).await;
    shop.post("/v1/consumers/order-svc/resume", &what).await.with(200);
    alerts.none(&["ConsumerPaused"]).await;
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
    let raised = alerts.raised(&["ProviderFailing", "ProviderUnknown"]);
    asking_until(async || wants(shop, mug).await, raised).await;
    send(simulator, Signal::CONT);
    alerts.none(&["ProviderFailing", "ProviderUnknown"]).await;
}

/// Asks several times a second until something is over.
async fn asking_until(ask: impl AsyncFn(), over: impl Future<Output = ()>) {
    let mut clock = tokio::time::interval(PACE);
    let asking = async {
        loop {
            clock.tick().await;
            ask().await;
        }
    };
    tokio::select! {
        () = asking => {}
        () = over => {}
    }
}

/// The audit cannot read what it looks at.
async fn no_audit_is_complete(shop: &Shop, alerts: &Alerts) {
    let mut db = session(shop, "orders").await;
    let mut tx = db.begin().await.unwrap();
    sqlx::raw_sql("lock table orders").execute(&mut *tx).await.unwrap();
    let _audit = Audit::watch(shop, "2s");
    alerts.raised(&["AuditSilent"]).await;
    tx.rollback().await.unwrap();
}

/// Waits until a statement has rows to change.
async fn until_changed(shop: &Shop, database: &str, statement: &'static str) {
    eventually(statement, WITHIN, async || {
        let mut db = session(shop, database).await;
        let changed = sqlx::raw_sql(statement).execute(&mut db).await.unwrap();
        if changed.rows_affected() > 0 { Ok(()) } else { Err("no row") }
    })
    .await;
}

async fn session(shop: &Shop, database: &str) -> PgConnection {
    PgConnection::connect(&shop.stack().database_as_superuser(database)).await.unwrap()
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

/// The alerts of the stack's Prometheus, and which of them were raised and were over again.
struct Alerts {
    url: Url,
    raised: Mutex<BTreeSet<String>>,
    over: Mutex<BTreeSet<String>>,
}

impl Alerts {
    fn of(shop: &Shop) -> Self {
        let url = shop.stack().service(PROMETHEUS).expect("make setup installs Prometheus");
        let url = format!("{url}/api/v1/alerts").parse().unwrap();
        Self { url, raised: Mutex::default(), over: Mutex::default() }
    }

    /// Waits until all of these are firing.
    async fn raised(&self, names: &[&str]) {
        let are = |firing: &[String]| names.iter().all(|it| firing.contains(&(*it).into()));
        self.until(names, "raised", RAISED_WITHIN, are).await;
        self.raised.lock().unwrap().extend(names.iter().map(ToString::to_string));
    }

    /// Waits until none of these is firing.
    async fn none(&self, names: &[&str]) {
        let are = |firing: &[String]| !names.iter().any(|it| firing.contains(&(*it).into()));
        self.until(names, "over", OVER_WITHIN, are).await;
        self.over.lock().unwrap().extend(names.iter().map(ToString::to_string));
    }

    #[expect(clippy::print_stderr, reason = "it is what the drill has found out")]
    async fn until(
        &self,
        names: &[&str],
        what: &str,
        within: Duration,
        is_it: impl Fn(&[String]) -> bool,
    ) {
        let began = Instant::now();
        eventually(&format!("{names:?} to be {what}"), within, async || {
            let firing = self.firing().await;
            if is_it(&firing) { Ok(()) } else { Err(format!("{firing:?}")) }
        })
        .await;
        eprintln!("{what} after {:.0?}: {names:?}", began.elapsed());
    }

    async fn firing(&self) -> Vec<String> {
        let told: Value = reqwest::get(self.url.clone()).await.unwrap().json().await.unwrap();
        let alerts = told["data"]["alerts"].as_array().unwrap();
        let firing = alerts.iter().filter(|alert| alert["state"] == "firing");
        firing.map(|alert| alert["labels"]["alertname"].as_str().unwrap().to_owned()).collect()
    }

    /// No alert of the rules was left out. What burns slowly is over only after more than an hour.
    fn names_all_of_the_rules(&self) {
        let mut known: BTreeSet<String> = alert_names();
        assert_eq!(*self.raised.lock().unwrap(), known);
        known.remove("ErrorBudgetBurnsSlowly");
        assert!(known.is_subset(&self.over.lock().unwrap()), "{:?}", self.over);
    }
}

/// The names of all alerts of deploy/prometheus.
fn alert_names() -> BTreeSet<String> {
    let files = fs::read_dir(RULES).unwrap();
    let texts = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let names = |text: String| {
        let lines = text.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    texts.flat_map(names).collect()
}
