//! `shop audit --watch`: audits again and again, and shows what it finds as metrics.

use std::{
    collections::HashSet,
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};
use serde_json::json;

use super::{AuditReport, Promise, audit, store};
use crate::{Home, Stack, telemetry::prometheus_folder, terminal};

const LAST_COMPLETE: &str = "audit_last_complete_timestamp_seconds";
const SECONDS: &str = "audit_seconds";
const DIVERGENCES: &str = "audit_divergences";
const FAILURES: &str = "audit_failures_total";
const ARRIVALS: &str = "audit_parked_arrivals_total";

/// Tells the exporter what the numbers mean, and shows at 0 what has not happened.
pub fn describe_metrics() {
    describe_gauge!(LAST_COMPLETE, Unit::Seconds, "When the last complete audit ended; 0: never");
    describe_gauge!(SECONDS, Unit::Seconds, "How long that took");
    describe_gauge!(DIVERGENCES, "What the last complete audit found broken, by `invariant`");
    describe_counter!(FAILURES, "Audits that could not be completed");
    describe_counter!(ARRIVALS, "Messages that were parked since the watch began");
    gauge!(LAST_COMPLETE).set(0);
    gauge!(SECONDS).set(0);
    for promise in Promise::ALL {
        gauge!(DIVERGENCES, "invariant" => promise.words().0).set(0);
    }
    let _shown = (counter!(FAILURES), counter!(ARRIVALS));
}

/// Audits every so often until Ctrl-C, and shows metrics on a port of this machine.
pub async fn watch(home: &Home, every: Duration, port: u16) -> anyhow::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let serving = chassis::show_metrics("audit", address).await?;
    describe_metrics();
    let _target = Target::announce(home, address)?;
    terminal::note(format!("audits every {every:?}; metrics: http://{address}/metrics"));
    tokio::select! {
        ended = serving => ended,
        ended = keep_auditing(home, every) => ended,
        ended = tokio::signal::ctrl_c() => ended.context("cannot wait for Ctrl-C"),
    }
}

async fn keep_auditing(home: &Home, every: Duration) -> anyhow::Result<()> {
    let (mut told, mut arrived) = (HashSet::new(), None);
    loop {
        let started = Instant::now();
        match audit(home).await {
            Ok(report) => {
                show(&report, started.elapsed());
                tell(&report, &mut told);
            }
            Err(error) => {
                counter!(FAILURES).increment(1);
                terminal::note(format!("no audit: {error:#}"));
            }
        }
        // Without the databases there is no audit either, and that was told.
        if let Ok(now) = arrivals(&home.stack()?).await {
            let before = arrived.replace(now).unwrap_or(now);
            counter!(ARRIVALS).increment(now.saturating_sub(before));
        }
        tokio::time::sleep(every.saturating_sub(started.elapsed())).await;
    }
}

fn show(report: &AuditReport, took: Duration) {
    let now = chassis::clock::now().unix_timestamp();
    #[expect(clippy::cast_precision_loss, reason = "a gauge, not a count anybody sums")]
    gauge!(LAST_COMPLETE).set(now as f64);
    gauge!(SECONDS).set(took.as_secs_f64());
    for check in &report.checks {
        #[expect(clippy::cast_precision_loss, reason = "a gauge, not a count anybody sums")]
        gauge!(DIVERGENCES, "invariant" => check.name).set(check.violations as f64);
    }
}

/// Writes each violation once.
fn tell(report: &AuditReport, told: &mut HashSet<String>) {
    told.retain(|known| report.violations.contains(known));
    for violation in &report.violations {
        if told.insert(violation.clone()) {
            terminal::say(violation);
        }
    }
}

/// How many messages all services have ever parked.
async fn arrivals(stack: &Stack) -> anyhow::Result<u64> {
    let mut all = 0;
    for (database, _) in crate::home::DATABASES {
        let mut db = store::connect(stack, database).await?;
        all += store::mailbox::parked_arrivals(&mut db).await?;
    }
    Ok(all)
}

/// The line that tells the stack's Prometheus of this listener, for as long as there is one.
struct Target(PathBuf);

impl Target {
    fn announce(home: &Home, address: SocketAddr) -> anyhow::Result<Self> {
        let folder = prometheus_folder(home.path());
        let file = folder.join("targets-audit.json");
        if folder.is_dir() {
            let line = json!([{"targets": [address.to_string()], "labels": {"job": "audit"}}]);
            fs::write(&file, line.to_string())
                .with_context(|| format!("cannot write {}", file.display()))?;
        }
        Ok(Self(file))
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        fs::remove_file(&self.0).ok();
    }
}
