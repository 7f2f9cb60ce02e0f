//! Whether the process can do its work, and what is wrong when it cannot.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde::Serialize;
use serde_json::Map;
use tokio_util::sync::CancellationToken;

/// A probe that has not answered by then has failed.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
const HEALTHY: &str = "healthy";
const UNHEALTHY: &str = "unhealthy";

type CheckFuture = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
type Check = Arc<dyn Fn() -> CheckFuture + Send + Sync>;

#[derive(Clone)]
struct Probe {
    name: &'static str,
    check: Check,
    /// Whether the process can work although the probe fails.
    notice: bool,
}

/// The process's probes. Cheap to clone.
#[derive(Clone)]
pub struct Health(Arc<Inner>);

struct Inner {
    service: &'static str,
    started: Arc<AtomicBool>,
    stop: CancellationToken,
    probes: Mutex<Vec<Probe>>,
}

/// What the probes said.
#[derive(Debug, Serialize)]
pub struct HealthReport {
    pub status: &'static str,
    pub service: &'static str,
    /// What is wrong, by probe.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub problems: Map<String, serde_json::Value>,
}

impl HealthReport {
    pub fn is_healthy(&self) -> bool {
        self.status == HEALTHY
    }
}

impl Health {
    /// `started` turns true when the process has started; `stop` is cancelled when it drains.
    pub fn new(service: &'static str, started: Arc<AtomicBool>, stop: CancellationToken) -> Self {
        Self(Arc::new(Inner { service, started, stop, probes: Mutex::default() }))
    }

    /// Adds a probe: `Err` says what is wrong. It is called for each look at the health, and runs
    /// beside the work, so it must not wait for what the work may exhaust (a pool's connection).
    pub fn probe<F, R>(&self, name: &'static str, check: F)
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.add(Probe { name, check: Arc::new(move || Box::pin(check())), notice: false });
    }

    /// A probe of something that the process can do without: it is told, and the process is
    /// healthy all the same.
    pub fn notice<F, R>(&self, name: &'static str, check: F)
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.add(Probe { name, check: Arc::new(move || Box::pin(check())), notice: true });
    }

    fn add(&self, probe: Probe) {
        self.0.probes.lock().unwrap_or_else(PoisonError::into_inner).push(probe);
    }

    pub fn service(&self) -> &'static str {
        self.0.service
    }

    /// What `/health` says.
    pub async fn report(&self) -> HealthReport {
        let probes = self.0.probes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut problems = Map::new();
        let mut status = HEALTHY;
        for Probe { name, check, notice } in probes {
            let said = tokio::time::timeout(PROBE_TIMEOUT, check()).await;
            if let Err(wrong) = said.unwrap_or_else(|_| Err("no answer within 2 s".to_owned())) {
                problems.insert(name.to_owned(), wrong.into());
                status = if notice { status } else { UNHEALTHY };
            }
        }
        HealthReport { status, service: self.0.service, problems }
    }

    /// What `/readyz` says: healthy, and neither starting nor stopping.
    pub async fn readiness(&self) -> HealthReport {
        let mut report = self.report().await;
        let phase = if self.0.stop.is_cancelled() {
            Some("stopping")
        } else if self.0.started.load(Ordering::Acquire) {
            None
        } else {
            Some("starting")
        };
        if let Some(phase) = phase {
            report.status = UNHEALTHY;
            report.problems.insert("process".to_owned(), phase.into());
        }
        report
    }
}
